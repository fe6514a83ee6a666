"""One sample: a second or a few of load on one subject.

No two requests are the same, nor are two answers: a counter stands in each target, and nginx puts
an id into each head. What a proxy remembers of the last exchange helps here as much as with agents.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.machine import BenchError
from tests.bench.subjects import Subject
from tests.lab import Lab
from tests.lab.nginx import PLACE, text
from tests.lab.world import DEV_WORK

CONNECTIONS = 16
BURST, BURSTS = 32, 4
"""New connections: so many at a time, from so many clients."""
STREAMS = 8
"""HTTP/2: streams at a time on each of four connections."""
_INSIDE = Path(__file__).with_name("inside")
_MEGABYTE = 1024**2
_WRK = re.compile(r"^\s*([0-9]+) requests in ([0-9.]+)(ms|s|m),", re.MULTILINE)
_FAULT = re.compile(r"^\s*(Socket errors:.*|Non-2xx.*)$", re.MULTILINE)
_DELAY = re.compile(r"^\s*(50|99)%\s+([0-9.]+)(us|ms|s)$", re.MULTILINE)
_H2LOAD = re.compile(r"^requests: .* ([0-9]+) succeeded, 0 failed", re.MULTILINE)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_GET = """local n = 0
request = function()
  n = n + 1
  return wrk.format("GET", "/1k?n=" .. n)
end
"""
_POST = """local file = io.open("{work}/1k.json", "rb")
local body = file:read("*a")
file:close()
local fields = {{["Content-Type"] = "application/json"}}
local n = 0
request = function()
  n = n + 1
  return wrk.format("POST", "/small?n=" .. n, fields, body)
end
"""
_POST_LARGE = """wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{work}/1m.json", "rb")
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
    other: float
    """The goal: this many times what mitmproxy does."""
    direct: float = 0.0
    """The goal: this part of what a direct connection does; 0 where it is no comparison."""
    http2: bool = False


def furnish(lab: Lab) -> None:
    """Put files for the clients into the lab user's working directory."""
    files = {
        "1k.json": text(1024),
        "1m.json": text(_MEGABYTE),
        "100m.json": text(_MEGABYTE) * 100,
        "get-1k.lua": _GET.encode(),
        "post-1k.lua": _POST.format(work=DEV_WORK).encode(),
        "post-1m.lua": _POST_LARGE.format(work=DEV_WORK).encode(),
        **{path.name: path.read_bytes() for path in _INSIDE.glob("*.py")},
    }
    for name, content in files.items():
        path = lab.path(f"{DEV_WORK}/{name}")
        path.write_bytes(content)
        path.chmod(0o644)


def requests(subject: Subject, what: str, connections: int, seconds: int) -> Sample:
    """Load with wrk; `what` is a path, or a script and a path."""
    before = subject.cpu()
    *script, path = what.split()
    options = f"-c {connections}" + "".join(f" -s {DEV_WORK}/{name}" for name in script)
    out = subject.shell.run(
        f"wrk -t 1 -d {seconds} --timeout 30 --latency {options} {subject.url}{path}",
        seconds + 60,
    )
    cpu = subject.cpu() - before
    found = _WRK.search(out)
    if found is None or _FAULT.search(out) or int(found[1]) == 0:
        raise BenchError(f"{subject.name}: wrk failed:\n{out[-800:]}")
    count, taken = int(found[1]), float(found[2]) * _UNITS[found[3]]
    delays = {p: float(value) * _UNITS[unit] for p, value, unit in _DELAY.findall(out)}
    return Sample(count / taken, cpu / count, delays.get("50", 0.0), delays.get("99", 0.0))


def get_small(subject: Subject, seconds: int) -> Sample:
    """1 KB GET, keep-alive."""
    return requests(subject, "get-1k.lua /", CONNECTIONS, seconds)


def post_small(subject: Subject, seconds: int) -> Sample:
    """1 KB POST of JSON, answered by 1 KB, keep-alive."""
    return requests(subject, "post-1k.lua /", CONNECTIONS, seconds)


def handshakes(subject: Subject, seconds: int) -> Sample:
    """A new connection, with a full handshake, for every 1 KB GET.

    Every connection of h2load has a TLS session of its own, so that none is resumed (wrk resumes).
    Several run at a time, as each makes all its connections at once and then waits for the last.
    """
    once = f"h2load --h1 -t 1 -n {BURST} -c {BURST} {subject.url}/1k || exit 1"
    loop = f"while [ $(date +%s%N) -lt $end ]; do {once}; done"
    before = subject.cpu()
    out = subject.shell.run(
        f"begin=$(date +%s%N); end=$((begin + {seconds}000000000)); "
        f"for i in $(seq {BURSTS}); do ({loop}) & done; wait; "
        "echo took $(($(date +%s%N) - begin)) ns",
        seconds + 60,
    )
    cpu = subject.cpu() - before
    count = _completed(subject, out)
    taken = int(out.rpartition("took ")[2].split()[0]) / 1e9
    return Sample(count / taken, cpu / count)


def get_streams(subject: Subject, seconds: int) -> Sample:
    """1 KB GET over HTTP/2."""
    subject.shell.run(
        f"i=0; while [ $i -lt 500 ]; do echo {subject.url}/1k?n=$i; i=$((i+1)); done > uris"
    )
    before = subject.cpu()
    out = subject.shell.run(
        f"h2load --npn-list=h2 -t 1 -c 4 -m {STREAMS} -D {seconds} -i uris", seconds + 60
    )
    cpu = subject.cpu() - before
    count = _completed(subject, out)
    return Sample(count / seconds, cpu / count)


def _completed(subject: Subject, out: str) -> int:
    """Requests of all runs of h2load, none of which may have failed."""
    done = [int(count) for count in _H2LOAD.findall(out)]
    if not sum(done) or len(done) != out.count("finished in"):
        raise BenchError(f"{subject.name}: h2load failed:\n{out[-800:]}")
    return sum(done)


def download_medium(subject: Subject, seconds: int) -> Sample:
    """1 MB GET, keep-alive, four at a time; in MB/s."""
    return requests(subject, "/1m", 4, seconds)


def upload_medium(subject: Subject, seconds: int) -> Sample:
    """1 MB POST of JSON, keep-alive, four at a time; in MB/s."""
    return requests(subject, "post-1m.lua /post", 4, seconds)


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
    served = lab.path(f"{PLACE}/files/1g")
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
    Measure("1 KB GET, keep-alive", "requests/s", get_small, 20, 0.10),
    Measure("1 KB POST, keep-alive", "requests/s", post_small, 20, 0.10),
    Measure("1 KB GET, new connection each", "connections/s", handshakes, 8),
    Measure("1 MB download, keep-alive", "MB/s", download_medium, 2.5, 0.20),
    Measure("1 MB upload, keep-alive", "MB/s", upload_medium, 2.5, 0.20),
    Measure("100 MB download", "MB/s", download_large, 2.5, 0.20),
    Measure("100 MB upload", "MB/s", upload_large, 2.5, 0.20),
    Measure("1 KB GET, HTTP/2", "requests/s", get_streams, 5, http2=True),
)
