"""One sample: a second or a few of load on one subject."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.machine import BenchError
from tests.bench.subjects import Subject
from tests.lab import Lab
from tests.lab.nginx import NAME
from tests.lab.world import DEV_WORK, STATE

CONNECTIONS = 16
_INSIDE = Path(__file__).with_name("inside")
_MEGABYTE = 1024**2
_PYTHON = "/usr/bin/python3"
_WRK = re.compile(r"^\s*([0-9]+) requests in ([0-9.]+)(ms|s|m),", re.MULTILINE)
_FAULT = re.compile(r"^\s*(Socket errors:.*|Non-2xx.*)$", re.MULTILINE)
_DELAY = re.compile(r"^\s*(50|99)%\s+([0-9.]+)(us|ms|s)$", re.MULTILINE)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_POST = """wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{work}/{name}", "rb")
wrk.body = file:read("*a")
file:close()
"""


@dataclass(frozen=True)
class Sample:
    """What one measurement gave."""

    rate: float
    """Requests, connections or megabytes a second."""
    cpu: float = 0.0
    """CPU seconds of the proxy for each of them."""
    median: float = 0.0
    """Median delay of a request in seconds, where it was taken."""
    slow: float = 0.0
    """The 99th percentile of it."""


@dataclass(frozen=True)
class Measure:
    """A kind of load."""

    name: str
    unit: str
    take: Callable[[Subject, int], Sample]


def furnish(lab: Lab) -> None:
    """Put files for the clients into the lab user's working directory."""
    files = {
        "handshakes.py": (_INSIDE / "handshakes.py").read_bytes(),
        "1k.json": text(1024),
        "1m.json": text(_MEGABYTE),
        "100m.json": text(_MEGABYTE) * 100,
        "post-1k.lua": _POST.format(work=DEV_WORK, name="1k.json").encode(),
        "post-1m.lua": _POST.format(work=DEV_WORK, name="1m.json").encode(),
    }
    for name, content in files.items():
        path = lab.path(f"{DEV_WORK}/{name}")
        path.write_bytes(content)
        path.chmod(0o644)


def text(size: int) -> bytes:
    """JSON of exactly `size` bytes, as an agent might send it: prose, numbers, a little code."""
    said = (
        "The test in tests/unit/test_cart.py fails since the last change: the total of order 1042 "
        "is 17.50 and not 19.99. I think that the discount is taken twice, once in cart.total() "
        "and once more in checkout(); please look at both and mend the one that is wrong. "
    )
    start, end = '{"model": "large", "messages": [{"role": "user", "content": "', '"}]}'
    room = size - len(start) - len(end)
    return (start + (said * (room // len(said) + 1))[:room] + end).encode()


def requests(subject: Subject, path: str, options: str, seconds: int) -> Sample:
    """Load with wrk."""
    before = subject.cpu()
    out = subject.shell.run(
        f"wrk -t 1 -d {seconds} --timeout 30 --latency {options} {subject.url}{path}",
        seconds + 60,
    )
    cpu = subject.cpu() - before
    found = _WRK.search(out)
    if found is None or _FAULT.search(out) or int(found[1]) == 0:
        raise BenchError(f"{subject.name}: wrk failed:\n{out}")
    count, taken = int(found[1]), float(found[2]) * _UNITS[found[3]]
    delays = {p: float(value) * _UNITS[unit] for p, value, unit in _DELAY.findall(out)}
    return Sample(count / taken, cpu / count, delays.get("50", 0.0), delays.get("99", 0.0))


def get_small(subject: Subject, seconds: int) -> Sample:
    """1 KB GET, keep-alive."""
    return requests(subject, "/1k", f"-c {CONNECTIONS}", seconds)


def post_small(subject: Subject, seconds: int) -> Sample:
    """1 KB POST of JSON, answered by 1 KB, keep-alive."""
    script = f"-s {DEV_WORK}/post-1k.lua"
    return requests(subject, "/post", f"-c {CONNECTIONS} {script}", seconds)


def handshakes(subject: Subject, seconds: int) -> Sample:
    """A new connection, with a full handshake, for every 1 KB GET."""
    parts = urlsplit(subject.url)
    before = subject.cpu()
    out = subject.shell.run(
        f"{_PYTHON} -I {DEV_WORK}/handshakes.py {parts.hostname} {parts.port or 443} {NAME} "
        f"{seconds}",
        seconds + 60,
    )
    cpu = subject.cpu() - before
    count, taken = int(out.split()[0]), float(out.split()[1])
    return Sample(count / taken, cpu / count)


def download_medium(subject: Subject, seconds: int) -> Sample:
    """1 MB GET, keep-alive, four at a time; in MB/s."""
    return requests(subject, "/1m", "-c 4", seconds)


def upload_medium(subject: Subject, seconds: int) -> Sample:
    """1 MB POST of JSON, keep-alive, four at a time; in MB/s."""
    return requests(subject, "/post", f"-c 4 -s {DEV_WORK}/post-1m.lua", seconds)


def download_large(subject: Subject, seconds: int) -> Sample:
    """100 MB GET; in MB/s."""
    return _transfer(subject, f"{subject.url}/100m", "size_download", 100)


def upload_large(subject: Subject, seconds: int) -> Sample:
    """100 MB POST of JSON; in MB/s."""
    return _transfer(
        subject,
        f"-X POST -H Expect: -T {DEV_WORK}/100m.json {subject.url}/post",
        "size_upload",
        100,
    )


def _transfer(subject: Subject, what: str, counted: str, megabytes: int) -> Sample:
    before = subject.cpu()
    out = subject.shell.run(
        f"curl -ksSf --http1.1 -o /dev/null -w '%{{{counted}}} %{{time_total}} "
        f"%{{time_appconnect}}\\n' {what}",
        120,
    )
    cpu = subject.cpu() - before
    size, total, connected = out.split()
    if int(size) != megabytes * _MEGABYTE:
        raise BenchError(f"{subject.name}: {size} bytes of {megabytes} MB were carried")
    return Sample(megabytes / (float(total) - float(connected)), cpu / megabytes)


def memory(subject: Subject, lab: Lab) -> dict[str, int]:
    """Largest resident size in bytes of the proxy while it carries 1 MB, and 1 GB, each way."""
    large = lab.path(f"{DEV_WORK}/1g")
    served = lab.path(f"{STATE}/nginx/files/1g")
    for path in (large, served):
        with path.open("wb") as file:
            file.truncate(1024 * _MEGABYTE)  # sparse: it takes no memory
        path.chmod(0o644)
    get, post = subject.url, f"{subject.url}/post"
    peaks = {}
    for name, what, counted, megabytes in (
        ("download 1 MB", f"{get}/1m", "size_download", 1),
        ("download 1 GB", f"{get}/1g", "size_download", 1024),
        ("upload 1 MB", f"-X POST -H Expect: -T {DEV_WORK}/1m.json {post}", "size_upload", 1),
        ("upload 1 GB", f"-X POST -H Expect: -T {DEV_WORK}/1g {post}", "size_upload", 1024),
    ):
        subject.forget_peak()
        _transfer(subject, what, counted, megabytes)
        peaks[name] = subject.peak()
    large.unlink()
    served.unlink()
    return peaks


MEASURES = (
    Measure("1 KB GET, keep-alive", "requests/s", get_small),
    Measure("1 KB POST, keep-alive", "requests/s", post_small),
    Measure("1 KB GET, new connection each", "connections/s", handshakes),
    Measure("1 MB download, keep-alive", "MB/s", download_medium),
    Measure("1 MB upload, keep-alive", "MB/s", upload_medium),
    Measure("100 MB download", "MB/s", download_large),
    Measure("100 MB upload", "MB/s", upload_large),
)
