"""`scripts/bench guest`: what a NIC costs. A client behind a veth beside the same client in a jail.

Both have an interceptor of their own on the proxy's core; the rounds take turns, so that other work
on the machine counts against both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import machine
from tests.bench.goals import Goal

if TYPE_CHECKING:
    from tests.bench.subjects import Subject
    from tests.lab import Lab

GOAL = 0.7
"""Of the jail's throughput, HTTPS keep-alive."""
EVIDENCE = "/run/bench-guest.jsonl"
_MEASURED = ("1 KB GET, keep-alive", "1 KB POST, keep-alive", "1 MB download, keep-alive")


def main(arguments: Sequence[str]) -> int:
    """Measure, show, and say whether the goal is met."""
    parser = argparse.ArgumentParser(prog="scripts/bench guest", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, and short ones")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each is measured")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample to FILE")
    chosen = parser.parse_args(arguments)
    rounds = chosen.rounds or (3 if chosen.quick else 7)
    seconds = 1 if chosen.quick else 3
    from tests.lab import Lab, LabError
    from tests.lab.nginx import NginxError

    try:
        machine.check()
        machine.install_programs()
        with Lab() as lab:  # says itself why there can be none
            rates = measured(lab, rounds, seconds)
    except (machine.BenchError, LabError, NginxError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 125
    found = goals(rates)
    print(table(rates, found))
    if chosen.json:
        chosen.json.write_text(json.dumps(rates, indent=1) + "\n", "utf-8")
    return 0 if all(goal.met for goal in found) else 1


def measured(lab: Lab, rounds: int, seconds: int) -> dict[str, dict[str, list[float]]]:
    """Rates by measure, then by subject (`jail`, `veth`), one for each round."""
    from tests.bench import load, subjects

    url = lab.nginx(machine.CLIENT_CORE)
    load.furnish(lab)
    found: dict[str, dict[str, list[float]]] = {}
    with subjects.ours(lab, url) as jail, behind_veth(lab, url) as veth:
        machine.prefer(process.pid for process in lab.processes())
        for measure in (each for each in load.MEASURES if each.name in _MEASURED):
            rates: dict[str, list[float]] = {"jail": [], "veth": []}
            for subject in (jail, veth):
                measure.take(subject, 1)  # warms up
            for turn in range(1, rounds + 1):
                for name, subject in (("jail", jail), ("veth", veth)):
                    rates[name].append(measure.take(subject, seconds).rate)
                shown = ", ".join(f"{name} {each[-1]:,.0f}" for name, each in rates.items())
                machine.say(f"{measure.name}, round {turn} of {rounds}: {shown} {measure.unit}")
            found[measure.name] = rates
    return found


@contextlib.contextmanager
def behind_veth(lab: Lab, url: str) -> Iterator[Subject]:
    """A client in a network namespace whose only link is a veth into a captive one."""
    from tests.bench.subjects import Shell, Subject
    from tests.lab.programs import JAIL_ENVIRONMENT
    from tests.lab.world import DEV_WORK

    command = [sys.executable, "-m", "tests.bench.guest_host", EVIDENCE, str(machine.CLIENT_CORE)]
    program = lab.popen(
        command,
        env=JAIL_ENVIRONMENT,
        cwd=DEV_WORK,
        cpu=machine.PROXY_CORE,
        stdin=subprocess.PIPE,
    )
    shell = Shell(program)
    end = time.monotonic() + 60
    try:
        shell.run("true", max(1.0, end - time.monotonic()))
        yield Subject("veth", url, shell)
    finally:
        shell.close()


def goals(rates: dict[str, dict[str, list[float]]]) -> list[Goal]:
    """The stated goal; best of the rounds, as other work on the machine only takes away."""
    best = {name: max(each) for name, each in rates[_MEASURED[0]].items()}
    ratio = best["veth"] / best["jail"]
    wanted, found = f">= {GOAL:g} x the jail", f"{ratio:.2f} x"
    return [Goal(f"veth, {_MEASURED[0]}", wanted, found, ratio >= GOAL)]


def table(rates: dict[str, dict[str, list[float]]], found: Sequence[Goal]) -> str:
    """Everything as text."""
    lines = [f"{'best of the rounds':<28}{'jail':>12}{'veth':>12}{'ratio':>8}"]
    for name, each in rates.items():
        best: dict[str, Any] = {subject: max(values) for subject, values in each.items()}
        ratio = best["veth"] / best["jail"]
        lines.append(f"{name:<28}{best['jail']:>12,.0f}{best['veth']:>12,.0f}{ratio:>8.2f}")
    lines.append("")
    for goal in found:
        verdict = "met" if goal.met else "MISSED"
        lines.append(f"{goal.name:<40}{goal.wanted:>20}{goal.found:>10}  {verdict}")
    return "\n".join(lines)
