"""Play the escape suite, as root: `python -m tests.escape [--write-docs]`."""

from __future__ import annotations

import argparse
import sys
import time

import msgspec

from netns.escapes import report
from tests.escape import documentation
from tests.escape.scenes import SCENES
from tests.escape.stage import LabStage, missing


def main() -> int:
    """Play, show, write; exit code 1 when an attempt was not held."""
    parser = argparse.ArgumentParser(prog="python -m tests.escape", description=__doc__)
    parser.add_argument("--write-docs", action="store_true", help="write docs/escape-matrix.md")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--failed", action="store_true", help="only attempts that were not held")
    parser.add_argument("--quick", action="store_true", help="without violence to our processes")
    asked = parser.parse_args()
    if reason := missing():
        sys.stderr.write(f"no escape suite here: {reason}\n")
        return 125
    begin = time.monotonic()
    with LabStage() as stage:
        results = list(stage.play_all())
        lines = report.lines(results)
        if not asked.quick:
            lines += [scene(stage) for scene in SCENES]
        faults = stage.faults
    lines.sort(key=lambda line: line.row)
    about = report.backend(results)
    shown = [line for line in lines if line.verdict in report.FAILED] if asked.failed else lines
    passed = report.passed(lines) and not faults
    if asked.json:
        answer = {"passed": passed, "about": about, "faults": faults, "attempts": shown}
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    else:
        from rich.console import Console

        report.show(Console(), lines, about, shown)
        for fault in faults:
            print(f"fault: {fault}")
        print(f"{time.monotonic() - begin:.0f} s")
    if asked.write_docs:
        documentation.write(lines, about)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
