"""`scripts/bench scan`: what a scan costs, held against the stated goals. No network, no root."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from interceptor.scan.ruleset import load_rules
from tests.bench import machine
from tests.bench.goals import Goal
from tests.bench.scanning import inbound, measures
from tests.bench.scanning.measures import MB, ROWS, Row

MORE_RULES = 1.5
"""Times that a scan may take with 1 000 user rules added."""
START = 50.0
"""Milliseconds of a start from the cache: rules, databases and the first scan."""
LINEAR = 5.5
"""Times that four megabytes may take as long as one: four, and what measuring scatters."""

Samples = Mapping[str, Mapping[str, Sequence[float]]]


def main(arguments: Sequence[str]) -> int:
    """Measure, show, and say whether the goals are met."""
    parser = argparse.ArgumentParser(prog="scripts/bench scan", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, and no megabyte for `re`")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each is measured")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample to FILE")
    parser.add_argument(
        "--only", choices=("texts", "worst", "start", "inbound"), help="measure only this part"
    )
    chosen = parser.parse_args(arguments)
    rounds = chosen.rounds or (3 if chosen.quick else 9)
    begin = time.monotonic()
    before = machine.load_average()
    described = machine.describe(Path("mitmdump"))
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {machine.PROXY_CORE})
    machine.prefer([os.getpid()])
    facts: dict[str, Any] = {"machine": described, "rounds": rounds}
    rules = load_rules()
    facts["rules"] = len(rules.rules)
    with tempfile.TemporaryDirectory(prefix="bench-scan-") as folder:
        cache, bytecode = Path(folder, "cache"), Path(folder, "bytecode")
        subjects = measures.subjects(rules, cache)
        if chosen.only in (None, "texts"):
            rows = [row for row in ROWS if not (chosen.quick and row.long)]
            facts["texts"] = measures.side_by_side(subjects, rows, rounds)
            if chosen.quick:
                ours = {name: scan for name, scan in subjects.items() if name != "re"}
                long = [row for row in ROWS if row.long]
                facts["texts"] |= measures.side_by_side(ours, long, rounds)
        if chosen.only in (None, "worst"):
            scan = subjects["egressguard"]
            facts["worst"] = measures.worst(scan, rules, 1 if chosen.quick else 3)
        if chosen.only in (None, "start"):
            facts["start"] = measures.start(cache, bytecode, 5 if chosen.quick else 15)
        if chosen.only in (None, "inbound"):
            facts["inbound"] = inbound.measure(cache, rounds)
    facts["load"] = [before, machine.load_average()]
    facts["seconds"] = round(time.monotonic() - begin, 1)
    found = goals(facts)
    print(table(facts, found))
    if chosen.json:
        text = json.dumps({**facts, "goals": [asdict(goal) for goal in found]}, indent=1)
        chosen.json.write_text(text + "\n", "utf-8")
    missed = [goal.name for goal in found if not goal.met]
    if missed:
        print(f"\nMISSED: {'; '.join(missed)}")
    return 1 if missed else 0


def goals(facts: Mapping[str, Any]) -> list[Goal]:
    """The goals that this run can speak about."""
    found = []
    taken: Samples = facts.get("texts", {})
    for row in ROWS:
        if row.name in taken and row.goal is not None:
            found.append(_cost(row, statistics.median(taken[row.name]["egressguard"])))
    for row in ROWS:
        if row.name in taken:
            times = _ratio(taken[row.name], "with 1000 rules", "egressguard")
            name = f"{row.name}, with {measures.USER_RULES} user rules"
            found.append(Goal(name, f"<= {MORE_RULES}x", f"{times:.2f}x", times <= MORE_RULES))
    for name, flood in facts.get("worst", {}).items():
        times = flood["4 MB"] / flood["1 MB"]
        goal = Goal(f"4 MB of {name}", f"<= {LINEAR}x", f"{times:.1f}x", times <= LINEAR)
        found += [] if goal.met else [goal]  # those that are met stand in the table
    if measured := facts.get("inbound"):
        found += inbound.goals(measured)
    if steps := facts.get("start"):
        for name, spent in (("in a new process", _cold(steps)), ("again", steps["again"])):
            took = statistics.median(spent) * 1e3
            title = f"start from the cache, {name}"
            found.append(Goal(title, f"<= {START:g} ms", f"{took:.1f} ms", took <= START))
    return found


def table(facts: Mapping[str, Any], found: Sequence[Goal]) -> str:
    """Everything as text."""
    described = facts["machine"]
    lines = [
        (
            f"{described['cores']} cores ({described['model']}), Linux {described['kernel']}, "
            f"Python {described['python']}, egressguard {described['egressguard']} "
            f"({described['revision']}), {facts['rules']} rules"
        ),
        (
            f"Load average {facts['load'][0]:.1f} before and {facts['load'][1]:.1f} after; "
            f"median of {facts['rounds']} rounds, taken in turn; CPU time of one thread"
        ),
    ]
    if taken := facts.get("texts"):
        lines += ["", f"{'':<24}{'egressguard':>14}{'':>11}{'+1000 rules':>13}{'re alone':>13}"]
        lines += [_text(row, taken[row.name]) for row in ROWS if row.name in taken]
    if flooded := facts.get("worst"):
        lines += ["", f"{'worst texts':<34}{'1 MB, ms':>10}{'MB/s':>8}{'4 MB / 1 MB':>13}"]
        order = sorted(flooded.items(), key=lambda item: -item[1]["1 MB"])
        lines += [_flood(name, flood) for name, flood in order]
    if steps := facts.get("start"):
        lines += ["", "start from the cache, new process (ms)"]
        lines += [f"  {name:<24}{statistics.median(t) * 1e3:>8.1f}" for name, t in steps.items()]
    lines += ["", f"{'goal':<54}{'wanted':>12}{'found':>12}"]
    for goal in found:
        verdict = "met" if goal.met else "MISSED"
        lines.append(f"{goal.name:<54}{goal.wanted:>12}{goal.found:>12}  {verdict}")
    return "\n".join(lines)


def _text(row: Row, taken: Mapping[str, Sequence[float]]) -> str:
    ours = statistics.median(taken["egressguard"])
    shown = f"{ours * 1e6:,.1f} us"
    rate = f"{row.size / MB / ours:,.0f} MB/s"
    more = f"{_ratio(taken, 'with 1000 rules', 'egressguard'):.2f}x"
    plain = f"{_ratio(taken, 're', 'egressguard'):,.0f}x" if taken.get("re") else "-"
    return f"{row.name:<24}{shown:>14}{rate:>11}{more:>13}{plain:>13}"


def _flood(name: str, flood: Mapping[str, Any]) -> str:
    note = ""
    if flood["refused"]:
        note = "  refused: budget"
    elif flood["refused at 4 MB"]:
        note = "  refused at 4 MB: budget"
    return (
        f"{name:<34}{flood['1 MB'] * 1e3:>10.1f}{1 / flood['1 MB']:>8,.0f}"
        f"{flood['4 MB'] / flood['1 MB']:>12.1f}x{note}"
    )


def _cost(row: Row, seconds: float) -> Goal:
    assert row.goal is not None
    if row.long:
        rate = row.size / MB / seconds
        return Goal(row.name, f">= {row.goal:g} MB/s", f"{rate:.0f} MB/s", rate >= row.goal)
    took = seconds * 1e6
    return Goal(row.name, f"<= {row.goal:g} us", f"{took:.1f} us", took <= row.goal)


def _ratio(taken: Mapping[str, Sequence[float]], one: str, other: str) -> float:
    """Median over the rounds, each compared within itself."""
    return statistics.median(a / b for a, b in zip(taken[one], taken[other], strict=True))


def _cold(steps: Mapping[str, Sequence[float]]) -> list[float]:
    parts = ("rules", "databases", "first scan")
    return [sum(run) for run in zip(*(steps[part] for part in parts), strict=True)]
