"""Measures of scans: CPU time of one thread, subjects in turn, start from the cache."""

from __future__ import annotations

import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import Rule, Ruleset, collect, expand
from interceptor.verdict import Severity
from tests.bench.machine import BenchError, say
from tests.bench.scanning.floods import drawn, floods
from tests.bench.scanning.texts import texts
from tests.lab.programs import ROOT

MB = 1 << 20
USER_RULES = 1000
_BURST = 0.01  # seconds of work in one sample, at least
_START = """
import json, sys, time
begin = time.perf_counter()
from pathlib import Path
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import load_rules
imported = time.perf_counter()
cache = Path(sys.argv[1])
rules = load_rules(cache)
read = time.perf_counter()
scanner = Scanner.build(rules, cache)
built = time.perf_counter()
scanner.scan(b"GET /v1/items?page=2 HTTP/1.1", "head")
done = time.perf_counter()
again = []
for _ in range(5):
    at = time.perf_counter()
    Scanner.build(load_rules(cache), cache)
    again.append(time.perf_counter() - at)
print(json.dumps({"imports": imported - begin, "rules": read - imported,
    "databases": built - read, "first scan": done - built, "again": sorted(again)[2]}))
"""

Scan = Callable[[bytes], object]


@dataclass(frozen=True)
class Row:
    """One kind of text at one size, and the goal for it."""

    name: str
    kind: str
    size: int
    goal: float | None = None
    """Microseconds, or MB/s for texts of a megabyte; None: only shown."""

    @property
    def long(self) -> bool:
        """Whether it is told in MB/s."""
        return self.size >= MB


ROWS = (
    Row("short item, 90 B", "short", 90, 10),
    Row("10 KB prose", "prose", 10_240, 100),
    Row("10 KB JSON", "JSON", 10_240, 100),
    Row("10 KB code", "code", 10_240, 100),
    Row("10 KB Chinese", "Chinese", 10_240),
    Row("10 KB base64-heavy", "base64-heavy", 10_240, 250),
    Row("1 MB prose", "prose", MB, 25),
    Row("1 MB JSON", "JSON", MB, 25),
    Row("1 MB base64-heavy", "base64-heavy", MB, 25),
    Row("1 MB binary", "binary", MB, 25),
)


def user_rules(number: int = USER_RULES) -> list[Rule]:
    """Rules as an operator's own might be: prefixed for the most part, some with context."""
    draw = random.Random(number)
    rules = []
    for index in range(number):
        name = "".join(draw.choices("bcdfghjklmnpqrstvwxyz", k=draw.randint(4, 7)))
        if index % 4:
            tail = draw.choice(("[A-Za-z0-9]{32}", "[0-9a-f]{40}", "[A-Za-z0-9_-]{24,48}"))
            rule = Rule(
                id=f"user-{index}",
                title=f"Key of {name}",
                pattern=f"{name}{draw.choice('_-')}{draw.choice(('live', 'pat', 'v1'))}_{tail}",
                severity=Severity.HIGH,
                validator="varied",
            )
        else:
            rule = Rule(
                id=f"user-{index}",
                title=f"Key of {name}",
                pattern=expand(f"{name}_(?:api_)?key(?P>is)([a-z0-9]{{32}})"),
                severity=Severity.HIGH,
                kind="contextual",
                caseless=True,
                validator="mixed",
            )
        rules.append(rule)
    return rules


def subjects(rules: Ruleset, cache: Path) -> dict[str, Scan]:
    """What is measured side by side. The last searches with `re`, and undoes no encoding."""
    ours = Scanner.build(rules, cache)
    own = user_rules()
    more = Scanner.build(collect((*rules.rules, *own)), cache)
    for rule in own[:40]:  # what is measured is there
        text = f" {drawn(rule.pattern, random.Random(rule.id))} ".encode()
        assert any(more.rules[raw.rule].id == rule.id for raw in more.scan(text, "body").findings)
    flags = [re.IGNORECASE if rule.caseless else re.NOFLAG for rule in rules.rules]
    patterns = [
        re.compile(rule.pattern.encode("ascii"), flag)
        for rule, flag in zip(rules.rules, flags, strict=True)
    ]
    return {
        "egressguard": lambda text: ours.scan(text, "body"),
        "with 1000 rules": lambda text: more.scan(text, "body"),
        "re": lambda text: [pattern.search(text) for pattern in patterns],
    }


def cost(scan: Scan, samples: Sequence[bytes], burst: float = _BURST) -> float:
    """CPU seconds of this thread for one text; samples in turn, for at least `burst` seconds."""
    calls = 0
    begin = time.thread_time()
    while True:
        for text in samples:
            scan(text)
        calls += len(samples)
        spent = time.thread_time() - begin
        if spent >= burst:
            return spent / calls


def side_by_side(
    measured: Mapping[str, Scan], rows: Sequence[Row], rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Row -> subject -> seconds a text, one for each round; A B C A B C."""
    found: dict[str, dict[str, list[float]]] = {
        row.name: {name: [] for name in measured} for row in rows
    }
    for turn in range(rounds):
        say(f"texts, round {turn + 1} of {rounds}")
        for row in rows:
            samples = texts(row.kind, row.size, 2 if row.long else 8, seed=turn)
            for name, scan in measured.items():
                if turn == 0 and not row.long:
                    cost(scan, samples)  # warm
                # One text is enough for `re`: it takes a second for a megabyte.
                few = samples[:1] if row.long and name == "re" else samples
                found[row.name][name].append(cost(scan, few))
    return found


def worst(scan: Callable[[bytes], Any], rules: Ruleset, rounds: int) -> dict[str, dict[str, Any]]:
    """Flood -> seconds for 1 MB and 4 MB, and whether the budget of decoders ended the scan."""
    found: dict[str, dict[str, Any]] = {}
    for name, flood in floods(rules.rules).items():
        small, large = flood(MB), flood(4 * MB)
        times: list[list[float]] = [[], []]
        for _ in range(rounds):
            for row, text in zip(times, (small, large), strict=True):
                begin = time.thread_time()
                result = scan(text)
                row.append(time.thread_time() - begin)
        found[name] = {
            "1 MB": statistics.median(times[0]),
            "4 MB": statistics.median(times[1]),
            "refused": bool(scan(small).incomplete),
            "refused at 4 MB": bool(result.incomplete),
        }
        say(f"{name}: {found[name]['1 MB'] * 1e3:.1f} ms a megabyte")
    return found


def start(cache: Path, bytecode: Path, times: int) -> dict[str, list[float]]:
    """Seconds of each step of a start in a new process, and of `python -c pass` beside it."""
    environment = {
        key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"
    } | {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(bytecode)}
    found: dict[str, list[float]] = {"process": [], "python alone": []}
    for turn in range(times + 2):
        for name, argv in (
            ("process", [sys.executable, "-c", _START, str(cache)]),
            ("python alone", [sys.executable, "-c", "pass"]),
        ):
            begin = time.perf_counter()
            done = subprocess.run(argv, env=environment, capture_output=True, check=False)
            spent = time.perf_counter() - begin
            if done.returncode:
                raise BenchError(done.stderr.decode("utf-8", "replace"))
            if turn < 2:  # compiles, and fills caches
                continue
            if name == "process":
                steps = json.loads(done.stdout)
                spent -= 5 * steps["again"]
                for step, seconds in steps.items():
                    found.setdefault(step, []).append(seconds)
            found[name].append(spent)
    return found
