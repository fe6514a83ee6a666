"""Run every check in turn, show a table, and close with the sum of the tests.

`scripts/test` prepares the environment and runs this. Arguments go to pytest, which then
runs alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "--durations=5", "--durations-min=5")
LINT: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ruff check", ("-m", "ruff", "check", "--quiet", ".")),
    ("ruff format", ("-m", "ruff", "format", "--check", "--quiet", ".")),
    ("mypy --strict", ("-m", "mypy")),
)
LAB_SKIPPED = "the tests in the lab need root: sudo scripts/test"


@dataclass(frozen=True)
class Counts:
    """Tests of one or several runs."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped
        )

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


@dataclass(frozen=True)
class Outcome:
    """One check that was run, or left out with a reason."""

    name: str
    ok: bool
    seconds: float = 0.0
    counts: Counts | None = None
    left_out: str = ""


def main(arguments: Sequence[str]) -> int:
    """Run the checks; 0 when all passed and at least one test ran."""
    outcomes: list[Outcome] = []
    if arguments:
        lab = {"EGRESSGUARD_REQUIRE_LAB": "1"} if os.geteuid() == 0 else {}
        outcomes.append(run_tests("pytest", arguments, lab))
    else:
        for name, command in LINT:
            outcomes.append(run(name, command))
        outcomes.append(run_tests("tests without root", ("-m", "not lab")))
        if os.geteuid() == 0:
            environment = {"EGRESSGUARD_REQUIRE_LAB": "1"}
            outcomes.append(run_tests("tests in the lab", ("-m", "lab"), environment))
        else:
            outcomes.append(Outcome("tests in the lab", ok=True, left_out=LAB_SKIPPED))
    return close(outcomes)


def run(name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Outcome:
    """Run one Python command with its output passed through."""
    print(f"\n--- {name}", flush=True)
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, *command], env={**os.environ, **(environment or {})}, check=False
    )
    seconds = time.monotonic() - start
    print(f"{name}: {'ok' if done.returncode == 0 else 'FAILED'} ({seconds:.1f} s)", flush=True)
    return Outcome(name, done.returncode == 0, seconds)


def run_tests(
    name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> Outcome:
    """Run pytest and read the counts from its report."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        command = (*PYTEST, f"--junitxml={report}", *arguments)
        outcome = run(name, command, environment)
        counts = count(report)
    return Outcome(name, outcome.ok and counts.passed > 0, outcome.seconds, counts)


def count(report: Path) -> Counts:
    """Counts of a JUnit report; nothing passed when there is none."""
    try:
        suites = ET.parse(report).getroot().iter("testsuite")  # noqa: S314 - pytest's own file
    except (OSError, ET.ParseError):
        return Counts(failed=1)
    total = Counts()
    for suite in suites:
        failed = int(suite.get("failures", "0")) + int(suite.get("errors", "0"))
        skipped = int(suite.get("skipped", "0"))
        total += Counts(int(suite.get("tests", "0")) - failed - skipped, failed, skipped)
    return total


def close(outcomes: Sequence[Outcome]) -> int:
    """Print the table and the sum; return the exit code."""
    print(f"\n{'check':<22}{'result':<10}{'seconds':>8}  tests")
    for outcome in outcomes:
        result = "left out" if outcome.left_out else "ok" if outcome.ok else "FAILED"
        detail = outcome.left_out or (str(outcome.counts) if outcome.counts else "")
        print(f"{outcome.name:<22}{result:<10}{outcome.seconds:>8.1f}  {detail}".rstrip())
    print(f"{'together':<32}{sum(outcome.seconds for outcome in outcomes):>8.1f}\n")
    total = sum((outcome.counts or Counts() for outcome in outcomes), Counts())
    ok = all(outcome.ok for outcome in outcomes)
    if not ok:
        failed = ", ".join(outcome.name for outcome in outcomes if not outcome.ok)
        print(f"FAILED: {failed}")
    print(total, flush=True)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
