"""`scripts/bench gateway`: what many idle guests cost, what adding one takes, and a restart.

Needs root; every namespace is the gateway's own, and nothing is dialled.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from interceptor.gateway.client import Gateway, GatewayError
from interceptor.gateway.messages import Guest
from tests.bench.goals import Goal

GUESTS = 200
MEMORY, CPU, ADDED, REFUSES = 400.0, 1.0, 50.0, 1.0
"""MB of a worker, per cent of a core, milliseconds, seconds."""
_WAIT = 120.0


def main(arguments: Sequence[str]) -> int:
    """Measure, show, and say whether the goals are met."""
    parser = argparse.ArgumentParser(prog="scripts/bench gateway", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fifty guests, a short look")
    chosen = parser.parse_args(arguments)
    if os.geteuid():
        parser.error("needs root")
    count, seconds = (50, 5.0) if chosen.quick else (GUESTS, 20.0)
    with tempfile.TemporaryDirectory(prefix="egressguard-bench-") as folder:
        found = measure(Path(folder), count, seconds)
    for goal in found:
        print(f"{goal.name:46} {goal.wanted:>12} {goal.found:>12}  {'' if goal.met else 'MISSED'}")
    return 0 if all(goal.met for goal in found) else 1


def measure(folder: Path, count: int, seconds: float) -> list[Goal]:
    """Figures of one worker with `count` guests, idle for `seconds`."""
    service, _ = _start(folder)
    took: list[float] = []
    try:
        with _connect(folder) as gateway:
            for number in range(count):
                begin = time.perf_counter()
                guest = Guest(f"bench-{number}", evidence=str(folder / f"{number}.jsonl"))
                gateway.add(guest).close()
                took.append((time.perf_counter() - begin) * 1000)
            worker = gateway.status().workers[0].pid
            inside = gateway.enter("bench-0").namespace
        time.sleep(1.0)
        before, began = _cpu(worker), time.monotonic()
        time.sleep(seconds)
        share = (_cpu(worker) - before) / (time.monotonic() - began) * 100
        size = sum(map(_pss, [worker, *_others(service.pid, worker)])) / 1000
        dialler = subprocess.Popen(
            [sys.executable, "-c", _DIAL, str(inside)], stdout=subprocess.PIPE, pass_fds=[inside]
        )
        time.sleep(0.5)
        service.send_signal(signal.SIGKILL)
        gone = time.monotonic()
        service.wait()
        service, offline = _start(folder)
        serves = time.monotonic() - gone
        refuses = float(dialler.communicate(timeout=_WAIT)[0])
        os.close(inside)
        with _connect(folder) as gateway:
            for number in range(count):
                gateway.remove(f"bench-{number}")
    finally:
        service.terminate()
        service.wait()
    added = statistics.median(took)
    return [
        Goal(
            f"{count} idle guests, memory of worker and guard",
            f"<= {MEMORY:g} MB",
            f"{size:.0f} MB",
            size <= MEMORY,
        ),
        Goal(f"{count} idle guests, CPU", f"<= {CPU:g} %", f"{share:.2f} %", share <= CPU),
        Goal("adding one, median", f"<= {ADDED:g} ms", f"{added:.1f} ms", added <= ADDED),
        Goal(
            f"restart with {count} guests, refuses for",
            f"<= {REFUSES:g} s",
            f"{refuses:.2f} s",
            refuses <= REFUSES,
        ),
        Goal(
            f"restart with {count} guests, serves all after",
            f"<= {REFUSES:g} s",
            f"{serves:.2f} s",
            serves <= REFUSES and not offline,
        ),
    ]


_DIAL = """
import os, socket, sys, time
from netns import namespaces
namespaces.setns(int(sys.argv[1]), namespaces.Namespace.NET)
began = 0.0
while True:
    now = time.monotonic()
    with socket.socket() as end:
        if end.connect_ex(("203.0.113.9", 443)):
            began = began or now
        elif began:
            break
    time.sleep(0.002)
print(time.monotonic() - began)
"""
"""A guest's program that dials all the time: says for how many seconds it was refused."""


def _others(supervisor: int, worker: int) -> list[int]:
    """The supervisor's other children that live: its packet guard (and the store's holder)."""
    listed = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text("ascii").split()
    return [pid for pid in map(int, listed) if pid != worker and _pss(pid)]


def _start(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start it and wait until all guests are served; how many are offline comes back."""
    words = ["gateway", "run", "--workers", "1", "--run", str(folder / "run")]
    words += ["--state", str(folder / "state")]
    service = subprocess.Popen([sys.executable, "-m", "interceptor.cli.main", *words])
    end = time.monotonic() + _WAIT
    while time.monotonic() < end and service.poll() is None:
        with contextlib.suppress(GatewayError), _connect(folder) as gateway:
            return service, gateway.status().offline
        time.sleep(0.01)
    raise RuntimeError("the gateway does not come up")


def _connect(folder: Path) -> Gateway:
    return Gateway(folder / "run" / "gateway.sock")


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pss(pid: int) -> int:
    with contextlib.suppress(OSError):  # it has ended
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
