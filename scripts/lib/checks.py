"""Run every check, show a table, and close with the sum of the tests.

`scripts/test` prepares the environment and runs this. What needs no lab runs side by side, as many
processes as there are processors; the lab's tests follow, one process more, each with a lab of its
own. Arguments go to pytest, which then runs alone. tests/README.md says what the tiers are.
"""

from __future__ import annotations

import itertools
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "--durations=5", "--durations-min=5")
FILES_OF_A_JOB = 10
"""Test files that one process runs: starting one takes a second."""
LAB = "lab"
LAB_FILES_OF_A_JOB = 3
"""A lab takes some seconds to start."""
LAB_ENVIRONMENT = {"EGRESSGUARD_REQUIRE_LAB": "1"}
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
class Job:
    """One process."""

    tier: str
    name: str
    command: tuple[str, ...]
    tests: bool = True


@dataclass(frozen=True)
class Outcome:
    """What became of a job, or of all jobs of a tier."""

    name: str
    ok: bool
    seconds: float = 0.0
    counts: Counts | None = None
    left_out: str = ""
    output: str = ""


def main(arguments: Sequence[str]) -> int:
    """Run the checks; 0 when all passed and at least one test ran."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="egressguard-checks-") as kept:
        # What scanners compile is kept for all of the processes.
        shared = {"EGRESSGUARD_TEST_CACHE": kept}
        if arguments:
            lab = LAB_ENVIRONMENT if os.geteuid() == 0 else {}
            job = Job("pytest", "pytest", (*PYTEST, *arguments))
            return close([run(job, {**shared, **lab}, through=True)], begin)
        outcomes = side_by_side(list(jobs()), shared)
        if os.geteuid() == 0:
            labs = (os.cpu_count() or 1) + 1  # a lab waits for half of its time
            outcomes += side_by_side(list(lab_jobs()), {**shared, **LAB_ENVIRONMENT}, labs)
        else:
            outcomes.append(Outcome(LAB, ok=True, left_out=LAB_SKIPPED))
        return close(outcomes, begin)


def jobs() -> Iterator[Job]:
    """What runs side by side: the long ones first."""
    yield Job("mypy --strict", "mypy", ("-m", "mypy"), tests=False)
    yield Job("ruff check", "ruff check", ("-m", "ruff", "check", "--quiet", "."), tests=False)
    yield Job(
        "ruff format",
        "ruff format",
        ("-m", "ruff", "format", "--check", "--quiet", "."),
        tests=False,
    )
    yield from _tests("matrix", sorted(ROOT.glob("tests/matrix/test_*.py")), 1)
    files = sorted(ROOT.glob("tests/pure/**/test_*.py"))
    folders = {
        folder: list(group) for folder, group in itertools.groupby(files, lambda file: file.parent)
    }
    for found in sorted(folders.values(), key=len, reverse=True):
        yield from _tests("pure", found, FILES_OF_A_JOB)
    # These start programs, which wait more than they work.
    yield Job("programs", "tests/system", (*PYTEST, "-q", "tests/system", "-m", "not lab"))


def lab_jobs() -> Iterator[Job]:
    """What runs in labs: those of jails first, which are the long ones."""
    files = [
        file
        for file in sorted(ROOT.glob("tests/system/**/test_*.py"))
        if "mark.lab" in file.read_text("utf-8")
    ]
    jails = [file for file in files if file.parent.name in {"jail", "escape"}]
    others = [file for file in files if file not in jails]
    yield from _tests(LAB, jails, LAB_FILES_OF_A_JOB, "-m", "lab")
    yield from _tests(LAB, others, LAB_FILES_OF_A_JOB, "-m", "lab")


def _tests(tier: str, files: Sequence[Path], most: int, *options: str) -> Iterator[Job]:
    """Deal out the files of a folder, in turn so that no job gets all of the long ones."""
    count = -(-len(files) // most)
    for number in range(count):
        names = [str(file.relative_to(ROOT)) for file in files[number::count]]
        folder = "tests/system" if tier == LAB else str(files[0].parent.relative_to(ROOT))
        name = folder if count == 1 else names[0] if most == 1 else f"{folder} {number + 1}"
        yield Job(tier, name, (*PYTEST, "-q", *options, *names))


def side_by_side(
    todo: Sequence[Job], environment: Mapping[str, str], most: int = 0
) -> list[Outcome]:
    """Run jobs, `most` at a time; print a line for each, and all it said where it failed.

    0: as many as there are processors. Returns one outcome for each tier, in the order in which
    tiers occur; seconds are of work.
    """
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in todo:
        waiting.put(job)
    found: dict[str, list[Outcome]] = {job.tier: [] for job in todo}
    printing = threading.Lock()
    done = itertools.count(1)

    def work() -> None:
        while True:
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            outcome = run(job, environment, through=False)
            with printing:
                found[job.tier].append(outcome)
                _print_line(next(done), len(todo), job, outcome)

    threads = [threading.Thread(target=work) for _ in range(most or os.cpu_count() or 1)]
    print(f"{len(todo)} jobs, {len(threads)} at a time", flush=True)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [_together(tier, outcomes) for tier, outcomes in found.items()]


def _print_line(number: int, of: int, job: Job, outcome: Outcome) -> None:
    result = str(outcome.counts) if outcome.counts else "ok" if outcome.ok else "FAILED"
    name = job.name if job.name.startswith("tests") else job.tier
    print(f"[{number:>2}/{of}] {name:<52}{outcome.seconds:>7.1f} s  {result}", flush=True)
    if not outcome.ok:
        print(f"\n--- {job.name}\n{outcome.output}\n--- end of {job.name}\n", flush=True)
        return
    for line in outcome.output.splitlines():
        if line.startswith("SKIPPED"):
            print(f"        {line}", flush=True)


def _together(tier: str, outcomes: Sequence[Outcome]) -> Outcome:
    counted = [outcome.counts for outcome in outcomes if outcome.counts is not None]
    return Outcome(
        tier,
        all(outcome.ok for outcome in outcomes),
        sum(outcome.seconds for outcome in outcomes),
        sum(counted, Counts()) if counted else None,
    )


def run(job: Job, environment: Mapping[str, str], *, through: bool) -> Outcome:
    """Run a job.

    Args:
        job: what to run.
        environment: variables besides those of this process.
        through: let its output through instead of keeping it.
    """
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        command = [sys.executable, *job.command, *([f"--junitxml={report}"] if job.tests else [])]
        if through:
            print(f"\n--- {job.name}", flush=True)
        start = time.monotonic()
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=None if through else subprocess.PIPE,
            stderr=None if through else subprocess.STDOUT,
            stdin=None if through else subprocess.DEVNULL,
            check=False,
        )
        seconds = time.monotonic() - start
        counts = count(report) if job.tests else None
    ok = done.returncode == 0 and (counts is None or counts.passed > 0)
    output = "" if through else done.stdout.decode("utf-8", "replace")
    return Outcome(job.tier, ok, seconds, counts, output=output)


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


def close(outcomes: Sequence[Outcome], begin: float) -> int:
    """Print the table and the sum; return the exit code."""
    print(f"\n{'check':<16}{'result':<10}{'work, s':>8}  tests")
    for outcome in outcomes:
        result = "left out" if outcome.left_out else "ok" if outcome.ok else "FAILED"
        detail = outcome.left_out or (str(outcome.counts) if outcome.counts else "")
        print(f"{outcome.name:<16}{result:<10}{outcome.seconds:>8.1f}  {detail}".rstrip())
    print(f"{'time passed':<26}{time.monotonic() - begin:>8.1f}\n")
    total = sum((outcome.counts or Counts() for outcome in outcomes), Counts())
    ok = all(outcome.ok for outcome in outcomes)
    if not ok:
        failed = ", ".join(outcome.name for outcome in outcomes if not outcome.ok)
        print(f"FAILED: {failed}")
    print(total, flush=True)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
