"""Measure egressguard beside a direct connection and mitmproxy, in the lab, in one run."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.bench.load import Sample
    from tests.bench.subjects import Subject

_EPILOG = """\
examples:
  sudo scripts/bench                       everything: some eight minutes
  sudo scripts/bench --quick               the same with little of each: two minutes
  sudo scripts/bench --json bench.json     keep every sample
  sudo scripts/bench --only start          jail -- true alone
  sudo scripts/bench --only keep-alive --rounds 9
  scripts/bench scan [--quick]             what a scan costs: no root, no lab; two minutes
  scripts/bench dns [--quick]              what an answer of the DNS shim costs; half a minute
  scripts/bench mcp [--quick]              what the wrapper of MCP servers adds; half a minute
  sudo scripts/bench gateway [--quick]     what many idle guests cost; half a minute
  sudo scripts/bench guest [--quick]       a client behind a NIC beside one in a jail; a minute
  sudo scripts/bench containment [--quick] enclosure, attribution, a flood; three minutes

exit codes: 0; 1 a stated goal was missed (the table says which); 2 usage; 125 it cannot run here.

Everything runs in network namespaces without a route out. First use installs wrk, h2load and
nginx (apt) and mitmproxy (pip, an environment of its own in /var/cache/egressguard/bench).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, show, and say whether the goals are met."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["scan"]:
        from tests.bench import scan

        return scan.main(words[1:])
    if words[:1] == ["dns"]:
        from tests.bench import dns

        return dns.main(words[1:])
    if words[:1] == ["mcp"]:
        from tests.bench import mcp

        return mcp.main(words[1:])
    if words[:1] == ["guest"]:
        from tests.bench import guest

        return guest.main(words[1:])
    if words[:1] == ["containment"]:
        from tests.bench import containment

        return containment.main(words[1:])
    if words[:1] == ["gateway"]:
        from tests.bench import gateway

        return gateway.main(words[1:])
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="short rounds, and few of them")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each is measured")
    parser.add_argument("--seconds", type=int, metavar="S", help="length of a sample under load")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample to FILE")
    parser.add_argument(
        "--only",
        action="append",
        metavar="TEXT",
        help=(
            "measure only what has TEXT in its name (the table's rows, `delay`, `events`, "
            "`memory`, `idle`, `leaves`, `start`)"
        ),
    )
    chosen = parser.parse_args(words)
    rounds = chosen.rounds or (3 if chosen.quick else 7)
    seconds = chosen.seconds or (1 if chosen.quick else 3)
    if rounds < 1 or seconds < 1:
        parser.error("--rounds and --seconds must be at least 1")

    from tests.bench.machine import BenchError
    from tests.lab import LabError
    from tests.lab.nginx import NginxError

    try:
        return _bench(rounds, seconds, chosen)
    except (BenchError, LabError, NginxError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 125


def _bench(rounds: int, seconds: int, chosen: argparse.Namespace) -> int:
    from tests.bench import goals, load, machine, report, startup, steady, subjects
    from tests.lab import Lab

    begin = time.monotonic()
    wanted = _wanted(chosen.only)
    quick = bool(chosen.quick)
    measures = [measure for measure in load.MEASURES if wanted(measure.name)]
    machine.check()
    if reason := Lab.missing():
        raise machine.BenchError(reason)
    machine.install_programs()
    mitmdump = machine.mitmproxy()
    startup.prepare()
    described = machine.describe(mitmdump)  # now: the checkout may change under a long run
    before = machine.load_average()
    facts: dict[str, Any] = dict.fromkeys(("start", "delay", "events", "memory", "idle", "leaves"))
    samples: dict[str, dict[str, list[Sample]]] = {}
    if wanted("leaves"):
        facts["leaves"] = steady.leaves()
    with Lab() as lab:
        machine.say("the lab is up and sealed")
        if wanted("start"):
            facts["start"] = startup.measure(lab, 5 if quick else 15)
        url = lab.nginx(machine.CLIENT_CORE)
        load.furnish(lab)
        with subjects.direct(lab, url) as direct, subjects.ours(lab, url) as ours:
            for http2 in (False, True):
                chapter = [measure for measure in measures if measure.http2 is http2]
                if not chapter:
                    continue
                with subjects.mitmproxy(lab, url, mitmdump, http2=http2) as other:
                    measured = [direct, ours, other]
                    machine.prefer(process.pid for process in lab.processes())
                    for measure in chapter:
                        main = measure.unit == "requests/s" or not quick
                        number = rounds if main else 1
                        rows = _interleave(measure, measured, number, seconds, warm=main)
                        samples[measure.name] = {s.name: rows[s.name] for s in measured}
            machine.prefer(process.pid for process in lab.processes())
            if wanted("delay"):
                facts["delay"] = steady.delays([direct, ours], rounds, seconds)
            if wanted("events"):
                facts["events"] = steady.events([direct, ours], lab, 3 if quick else 10)
        # Each in a jail of its own: what was carried before must not count.
        if wanted("memory") and not quick:
            machine.say("memory, 1 MB against 1 GB")
            with subjects.ours(lab, url) as ours:
                facts["memory"] = load.memory(ours, lab)
        if wanted("idle"):
            with subjects.ours(lab, url) as ours:
                facts["idle"] = steady.idle(ours, lab)
    facts |= {
        "machine": described,
        "settings": {
            "rounds": rounds,
            "seconds": seconds,
            "connections": load.CONNECTIONS,
            "low_load": steady.RATE,
            "mitmproxy": " ".join(subjects.MITMPROXY_OPTIONS),
        },
        "load": [before, machine.load_average()],
        "seconds": round(time.monotonic() - begin, 1),
    }
    found = goals.goals(samples, facts)
    print(report.table(facts, samples, found))
    if chosen.json:
        text = json.dumps(report.as_json(facts, samples, found), indent=1)
        chosen.json.write_text(text + "\n", "utf-8")
    missed = [goal.name for goal in found if not goal.met]
    if missed:
        print(f"\nMISSED: {'; '.join(missed)}")
    return 1 if missed else 0


def _interleave(
    measure: Any, measured: Sequence[Subject], rounds: int, seconds: int, *, warm: bool
) -> dict[str, list[Sample]]:
    """A B C A B C ..., after a short run of each that warms up and is thrown away."""
    from tests.bench.machine import say

    rows: dict[str, list[Sample]] = {subject.name: [] for subject in measured}
    for subject in measured if warm else ():
        measure.take(subject, 1)
    for turn in range(1, rounds + 1):
        for subject in measured:
            rows[subject.name].append(measure.take(subject, seconds))
        shown = ", ".join(f"{s.name} {rows[s.name][-1].rate:,.0f}" for s in measured)
        say(f"{measure.name}, round {turn} of {rounds}: {shown} {measure.unit}")
    return rows


def _wanted(only: Sequence[str] | None) -> Any:
    return lambda name: only is None or any(text in name for text in only)


if __name__ == "__main__":
    sys.exit(main())
