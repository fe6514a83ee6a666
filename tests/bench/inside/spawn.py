"""Start a program several times: wall time, or the memory of all its processes.

    python3 -I spawn.py time|memory TIMES PROGRAM ARGUMENTS...

Prints a JSON list: milliseconds, or {"pss": peak of the sum, "rss": largest process, "processes":
the sizes at the peak of the sum}, in bytes. PSS shares the pages that processes have in common
among them (proc(5), smaps_rollup), so that their sum is what the jail costs.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Measure one way or the other."""
    kind, times, *command = sys.argv[1:]
    measure = {"time": wall, "memory": memory}[kind]
    print(json.dumps([measure(command) for _ in range(int(times))]))


def wall(command: list[str]) -> float:
    """Milliseconds from fork to the end of a run."""
    begin = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    taken = (time.perf_counter() - begin) * 1000
    if done.returncode:
        sys.exit(done.stderr.decode("utf-8", "replace"))
    return taken


def memory(command: list[str]) -> dict[str, Any]:
    """Peaks of one run, looked at all the time; ours is the other core."""
    best: dict[str, int] = {}
    rss = 0
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=null, stdout=null) as program:
        while program.poll() is None:
            now: dict[str, int] = {}
            for pid in _family(program.pid):
                with contextlib.suppress(OSError, ValueError):
                    sizes = _sizes(pid)
                    now[f"{pid} {_name(pid)}"] = sizes["Pss"]
                    rss = max(rss, sizes["Rss"])
            if sum(now.values()) > sum(best.values()):
                best = now
    return {"pss": sum(best.values()), "rss": rss, "processes": best}


def _family(pid: int) -> list[int]:
    found, at = [pid], 0
    while at < len(found):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{found[at]}/task/{found[at]}/children").read_text("ascii")
            found += map(int, text.split())
        at += 1
    return found


def _sizes(pid: int) -> dict[str, int]:
    sizes = {"Pss": 0, "Rss": 0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        key, _, rest = line.partition(":")
        if key in sizes:
            sizes[key] = int(rest.split()[0]) * 1024
    return sizes


def _name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return os.fsdecode(os.path.basename(words[0]))  # noqa: PTH119


if __name__ == "__main__":
    main()
