"""What is measured other than throughput: delay at low load, idle connections, event streams."""

from __future__ import annotations

import datetime as dt
import json
import statistics
import subprocess
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from interceptor.tls.authority import Authority
from tests.bench.machine import CLIENT_CORE, BenchError, say
from tests.bench.subjects import Subject
from tests.lab import Lab
from tests.lab.nginx import NAME, PLACE
from tests.lab.world import DEV_WORK

RATE = 150
"""Requests a second that are low load."""
IDLE = 1000
"""Connections that are kept open."""
STREAMS = 200
EVENTS_A_SECOND = 10
"""Of each stream."""
_PYTHON = "/usr/bin/python3"


def delays(subjects: Sequence[Subject], rounds: int, seconds: int) -> dict[str, list[float]]:
    """Microseconds of every request at low load, for each subject; measured in turn."""
    found: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for turn in range(1, rounds + 1):
        say(f"delay at {RATE} requests a second, round {turn} of {rounds}")
        for subject in subjects:
            out = _inside(subject, "pace.py", RATE, seconds, timeout=seconds + 30)
            found[subject.name] += json.loads(out)
    return found


def idle(subject: Subject, lab: Lab) -> dict[str, int]:
    """Bytes of the proxy's resident size before and with `IDLE` open connections."""
    say(f"{IDLE} idle connections")
    _inside(subject, "pace.py", 1000, 1)
    before = subject.resident()
    ready = lab.path(f"{DEV_WORK}/ready")
    host, port = _place(subject)
    program = f"{_PYTHON} -I {DEV_WORK}/idle.py {host} {port} {NAME} {IDLE} {DEV_WORK}/ready"
    try:
        pid = subject.shell.run(
            f"({program} > {DEV_WORK}/idle.log 2>&1 & p=$!; "
            f"while [ ! -e {DEV_WORK}/ready ]; do sleep 0.1; "
            f"kill -0 $p || {{ cat {DEV_WORK}/idle.log; exit 1; }}; done; echo $p)",
            120,
        )
        time.sleep(1)
        after = subject.resident()
        subject.shell.run(f"kill {int(pid)}; sleep 0.2")
    finally:
        ready.unlink(missing_ok=True)
    return {"before": before, "after": after, "connections": IDLE}


def events(subjects: Sequence[Subject], lab: Lab, seconds: int) -> dict[str, dict[str, Any]]:
    """How late the events of `STREAMS` streams came, for each subject."""
    server = lab.popen(
        [
            *(_PYTHON, "-I", f"{DEV_WORK}/events_server.py", f"{PLACE}/events"),
            str(EVENTS_A_SECOND),
        ],
        where="internet",
        cpu=CLIENT_CORE,
        stdout=None,
        stderr=None,
    )
    try:
        end = time.monotonic() + 10
        while not lab.path(f"{PLACE}/events").exists():
            if server.poll() is not None or time.monotonic() > end:
                raise BenchError("the server of events did not start")
            time.sleep(0.05)
        found = {}
        for subject in subjects:
            say(f"{STREAMS} event streams, {subject.name}")
            out = _inside(subject, "events.py", STREAMS, seconds, timeout=seconds + 60)
            found[subject.name] = json.loads(out)
    finally:
        server.kill()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            raise BenchError("the server of events does not end") from None
        lab.path(f"{PLACE}/events").unlink(missing_ok=True)
    return found


def leaves(count: int = 300) -> dict[str, float]:
    """Microseconds: a leaf signed, a server context with a new leaf, and a remembered one."""
    authority = Authority("bench", dt.datetime.now(dt.UTC))
    names = [f"host-{number}.example.com" for number in range(count)]
    clock = time.perf_counter
    signed, made, kept = [], [], []
    for name in names:
        begin = clock()
        authority.leaf(name)
        middle = clock()
        authority.server_context(name, ("http/1.1",))
        end = clock()
        authority.server_context(name, ("http/1.1",))
        signed.append(middle - begin)
        made.append(end - middle)
        kept.append(clock() - end)
    figures = {"leaf": signed, "context": made, "again": kept}
    return {name: statistics.median(taken) * 1e6 for name, taken in figures.items()}


def _place(subject: Subject) -> tuple[str, int]:
    parts = urlsplit(subject.url)
    return parts.hostname or "", parts.port or 443


def _inside(subject: Subject, program: str, *arguments: object, timeout: float = 60.0) -> str:
    """Output of one of our programs beside the subject's client."""
    host, port = _place(subject)
    words = " ".join(map(str, arguments))
    command = f"{_PYTHON} -I {DEV_WORK}/{program} {host} {port} {NAME} {words}"
    return subject.shell.run(command, timeout)
