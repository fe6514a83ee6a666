"""Run `egressguard ARGUMENTS...` and say how long the supervisor spent on each stage of a jail.

    PYTHONPATH=... stages.py FILE jail ... -- true

Writes a JSON line to FILE: stage -> milliseconds that the supervisor was in it. What children do
beside it counts only as far as it waits for them.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

TAKEN: defaultdict[str, float] = defaultdict(float)


def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the time of each call to the stage's."""

    def call(*args: Any, **kwargs: Any) -> Any:
        begin = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            TAKEN[stage] += (time.perf_counter() - begin) * 1000

    return call


def main() -> None:
    """Mark the stages, run, write."""
    from interceptor.cli import main as program
    from interceptor.cli import supervisor
    from netns import enclosure, guard, witness

    supervisor._enclosure = timed("enclosure", supervisor._enclosure)
    supervisor._guard = timed("guard", supervisor._guard)
    for what, name, stage in (
        (enclosure.Enclosure, "start", "enclosure, seccomp and self-test"),
        (enclosure.Enclosure, "open_gate", "gate"),
        (guard.Guard, "ready", "guard ready"),
        (witness.Witness, "__init__", "witness"),
    ):
        setattr(what, name, timed(stage, getattr(what, name)))
    begin = time.perf_counter()
    try:
        sys.argv[:2] = ["egressguard"]
        program.main()
    finally:
        TAKEN["all"] = (time.perf_counter() - begin) * 1000
        with Path(OUT).open("a", encoding="ascii") as file:
            file.write(json.dumps(TAKEN) + "\n")


if __name__ == "__main__":
    OUT = sys.argv[1]
    main()
