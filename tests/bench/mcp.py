"""`scripts/bench mcp`: what the wrapper of MCP servers adds to a call, held against the goals.

One client talks to one server, directly and through the wrapper, in turns; what is told is the
difference. The server answers at once, so that nothing else is measured.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench import machine, mcp_core
from tests.bench.goals import Goal, percentile
from tests.mcp_peers.client import SERVER, Talk, environ, wrapper

MEDIAN, TAIL = 300.0, 1000.0
"""Microseconds that the wrapper adds to a call, in the median and at the 99th percentile."""

POLICY = "version: 1\nmcp:\n  budgets:\n    tool_calls: 0\n    server_calls: 0\n    repeats: 0\n"
"""More calls a minute than any agent makes."""

SIZES = {"a short text": 40, "1 KB": 1_000, "10 KB": 10_000, "100 KB": 100_000}


def main(arguments: Sequence[str]) -> int:
    """Measure, show, and say whether the goals are met."""
    parser = argparse.ArgumentParser(prog="scripts/bench mcp", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, and little of each")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each is measured")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample to FILE")
    chosen = parser.parse_args(arguments)
    rounds = chosen.rounds or (3 if chosen.quick else 9)
    number = 300 if chosen.quick else 1_000
    before = machine.load_average()
    facts: dict[str, Any] = {"rounds": rounds, "number": number}
    with tempfile.TemporaryDirectory(prefix="bench-mcp-") as folder:
        facts |= measured(Path(folder), rounds, number)
        facts["core"] = mcp_core.measure(Path(folder), number)
    facts["load"] = [before, machine.load_average()]
    found = goals(facts) + mcp_core.goals(facts["core"])
    print(mcp_core.table(facts["core"]))
    print(table(facts, found))
    if chosen.json:
        text = json.dumps({**facts, "goals": [asdict(goal) for goal in found]}, indent=1)
        chosen.json.write_text(text + "\n", "utf-8")
    missed = [goal.name for goal in found if not goal.met]
    if missed:
        print(f"\nMISSED: {'; '.join(missed)}")
    return 1 if missed else 0


def measured(folder: Path, rounds: int, number: int) -> dict[str, Any]:
    """Each round: a new wrapper and a new server; a call of each in turn."""
    policy = folder / "policy.yaml"
    policy.write_text(POLICY, "utf-8")
    own = ("--policy", str(policy), "--log", str(folder / "log"), "--state", str(folder))
    ways = {"direct": [*SERVER], "wrapped": [*wrapper(*own), "--", *SERVER]}
    samples: dict[str, dict[str, list[list[float]]]] = {
        size: {way: [] for way in ways} for size in SIZES
    }
    starts: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        with ExitStack() as open_ones:
            talks: dict[str, Talk] = {}
            for way, command in ways.items():
                begin = time.perf_counter()
                talks[way] = open_ones.enter_context(Talk(command, environ(folder)))
                talks[way].initialize()
                starts[way].append(time.perf_counter() - begin)
                talks[way].request("tools/list")
            for size, characters in SIZES.items():
                few = number if characters < 50_000 else number // 5
                took: dict[str, list[float]] = {way: [] for way in ways}
                for at in range(few):
                    for way, talk in talks.items():
                        took[way].append(_call(talk, at, characters))
                for way in ways:
                    samples[size][way].append(took[way])
    return {"samples": samples, "starts": starts}


def _call(talk: Talk, at: int, characters: int) -> float:
    # What an agent asks for differs from call to call; the answer is of the wanted size.
    tool, text = ("echo", f"line {at} of the file") if characters < 100 else ("big", characters)
    begin = time.perf_counter()
    answer = talk.call(tool, text=f"{text}")
    took = (time.perf_counter() - begin) * 1e6
    if "result" not in answer:
        raise machine.BenchError(f"a call was refused: {answer['error']['message']}")
    return took


def added(facts: dict[str, Any], size: str, rank: float) -> float:
    """Microseconds that the wrapper adds at a percentile: of the round that was disturbed least."""
    ways = facts["samples"][size]
    pairs = zip(ways["direct"], ways["wrapped"], strict=True)
    return min(percentile(theirs, rank) - percentile(direct, rank) for direct, theirs in pairs)


def goals(facts: dict[str, Any]) -> list[Goal]:
    """Hold what was measured against what was promised."""
    found = []
    for name, rank, most in (("median", 0.5, MEDIAN), ("99th percentile", 0.99, TAIL)):
        value = added(facts, "a short text", rank)
        wanted, shown = f"at most {most:,.0f} us", f"{value:,.0f} us"
        found.append(Goal(f"added to a call, {name}", wanted, shown, value <= most))
    return found


def table(facts: dict[str, Any], found: list[Goal]) -> str:
    """What is shown."""
    lines = [f"load {facts['load'][0]:.1f} before, {facts['load'][1]:.1f} after", ""]
    lines.append(f"{'added to a call, answer of':30} {'p50':>8} {'p90':>8} {'p99':>8}   us")
    for size in SIZES:
        values = [added(facts, size, rank) for rank in (0.5, 0.9, 0.99)]
        lines.append(f"{size:30} " + " ".join(f"{value:8,.0f}" for value in values))
    direct, theirs = (min(facts["starts"][way]) * 1e3 for way in ("direct", "wrapped"))
    lines.append(f"start to first answer: {theirs:.0f} ms, of the server alone {direct:.0f} ms")
    lines.append("")
    for goal in found:
        state = "met   " if goal.met else "MISSED"
        lines.append(f"{state} {goal.name}: {goal.found}, wanted {goal.wanted}")
    return "\n".join(lines)
