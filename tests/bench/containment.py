"""`scripts/bench containment`: what the enclosure, attribution and the packet guard cost.

Everything is measured in the lab, in jails that the product starts as a user does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench import machine
from tests.bench.goals import Goal, percentile
from tests.bench.machine import BenchError, say
from tests.lab.programs import ROOT

START: Final = 100.0
"""Milliseconds that enclosure, seccomp and self-test may add to a start."""
OWNER: Final = 150.0
"""Microseconds to attribute a connection."""
FLOOD, FLOOD_SECONDS, KEPT = 50_000, 10, 0.5
"""Packets a second, for so long, and the part of HTTP's throughput that must be left."""

_INSIDE = Path(__file__).with_name("inside")
_STAGES = "/run/bench-stages.jsonl"
_REFUSED = "203.0.113.7 9"
"""An address for documentation (RFC 5737), where no listener takes UDP."""
_OWN = "127.0.0.1 9"
"""The same work for the sender, without a refusal of ours: the kernel refuses it by itself."""


def main(arguments: Sequence[str]) -> int:
    """Measure, show, and say whether the goals are met."""
    parser = argparse.ArgumentParser(prog="scripts/bench containment", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, and little of each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample to FILE")
    chosen = parser.parse_args(arguments)
    from tests.lab import Lab, LabError

    reason = Lab.missing()
    try:
        machine.check()
        facts = measured(quick=chosen.quick) if not reason else {}
    except (BenchError, LabError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 125
    if reason:
        print(f"bench: {reason}", file=sys.stderr)
        return 125
    found = goals(facts)
    print(table(facts, found))
    if chosen.json:
        chosen.json.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    return 0 if all(goal.met for goal in found) else 1


def measured(*, quick: bool) -> dict[str, Any]:
    """All samples, by section."""
    from tests.bench import load, startup, subjects
    from tests.lab import Lab

    machine.install_programs()
    startup.prepare()
    facts: dict[str, Any] = {"load": [machine.load_average()]}
    with Lab() as lab:
        say("the lab is up and sealed")
        times = 5 if quick else 15
        say("the stages of a start")
        line = [sys.executable, str(_INSIDE / "stages.py"), _STAGES]
        command = lab.jail_command(["true"], "--quiet", "--evidence", subjects.EVIDENCE)
        line += command[command.index("jail") :]
        for _ in range(times + 2):
            done = lab.run(line, env={"PYTHONPATH": str(ROOT)}, timeout=60)
            if done.returncode:
                raise BenchError(done.stderr.decode("utf-8", "replace"))
        stages = lab.path(_STAGES).read_text("ascii").splitlines()[2:]
        facts["stages"] = [json.loads(stage) for stage in stages]
        say("attribution")
        line = [sys.executable, str(_INSIDE / "owners.py"), str(100 if quick else 500)]
        done = lab.run(line, env={"PYTHONPATH": str(ROOT)}, timeout=120)
        if done.returncode:
            raise BenchError(done.stderr.decode("utf-8", "replace"))
        facts["owners"] = json.loads(done.stdout)
        url = lab.nginx(machine.CLIENT_CORE)
        load.furnish(lab)
        with subjects.ours(lab, url) as ours:
            machine.prefer(process.pid for process in lab.processes())
            facts["flood"] = _flood(ours, 2 if quick else 5, 3 if quick else FLOOD_SECONDS)
    facts["load"].append(machine.load_average())
    return facts


def _flood(ours: Any, rounds: int, seconds: int) -> dict[str, Any]:
    """HTTP's throughput alone, beside a sender that we need not refuse, and beside a flood."""
    from tests.bench import load
    from tests.lab.world import DEV_WORK

    found: dict[str, list[Any]] = {"alone": [], "own": [], "flood": [], "sent": [], "sent own": []}
    load.get_small(ours, 1)
    for number in range(rounds):
        say(f"flood, round {number + 1} of {rounds}")
        found["alone"].append(load.get_small(ours, seconds).rate)
        for kind, target, sent in (("own", _OWN, "sent own"), ("flood", _REFUSED, "sent")):
            ours.shell.run(
                f"python3 {DEV_WORK}/flood.py {target} {FLOOD} {seconds + 1} > {DEV_WORK}/sent & "
                "sleep 0.3"
            )
            found[kind].append(load.get_small(ours, seconds).rate)
            # What was sent is known when the sender has ended.
            text = ours.shell.run(f"sleep 1.5; cat {DEV_WORK}/sent")
            found[sent].append(int(text))
    return found


def goals(facts: dict[str, Any]) -> list[Goal]:
    """The stated goals, and what came of them."""
    stages = facts["stages"]
    parts = ("enclosure", "enclosure, seccomp and self-test", "gate", "witness")
    added = statistics.median(sum(stage.get(part, 0.0) for part in parts) for stage in stages)
    slowest = max(statistics.median(values) for values in facts["owners"].values())
    flood = facts["flood"]
    kept = statistics.median(
        b / a for a, b in zip(flood["alone"], flood["flood"], strict=True) if a
    )
    return [
        Goal("enclosure, seccomp, self-test", f"{START:.0f} ms", f"{added:.0f} ms", added <= START),
        Goal("attribution, median", f"{OWNER:.0f} us", f"{slowest:.0f} us", slowest <= OWNER),
        Goal("HTTP under a flood", f"{KEPT:.2f} of alone", f"{kept:.2f}", kept >= KEPT),
    ]


def table(facts: dict[str, Any], found: Sequence[Goal]) -> str:
    """What was measured, as text."""
    lines = [f"{machine.load_average()}", "", "stages of `jail -- true`, ms (median)"]
    lines[0] = f"load before and after: {facts['load'][0]}, {facts['load'][1]}"
    for name in facts["stages"][0]:
        values = [stage.get(name, 0.0) for stage in facts["stages"]]
        lines.append(f"  {name:<36} {statistics.median(values):8.1f}")
    lines += ["", "attribution, us: median, p99 (descriptors the client holds)"]
    for name, values in facts["owners"].items():
        lines.append(
            f"  {name:<36} {statistics.median(values):8.1f} {percentile(values, 0.99):8.1f}"
        )
    flood = facts["flood"]
    lines += ["", "1 KB GET, keep-alive, requests/s (median), and datagrams/s of the sender"]
    for name, sent in (("alone", ""), ("own", "sent own"), ("flood", "sent")):
        packets = f"{statistics.median(flood[sent]):8.0f}" if sent else ""
        lines.append(f"  {name:<36} {statistics.median(flood[name]):8.0f} {packets}")
    lines += ["", "goals"]
    for goal in found:
        word = "met" if goal.met else "NOT MET"
        lines.append(f"  {goal.name:<36} {goal.wanted:<16} {goal.found:<12} {word}")
    return "\n".join(lines)
