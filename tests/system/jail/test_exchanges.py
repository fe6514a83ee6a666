"""HTTP through the jail: framings, streams, large bodies in constant memory."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.programs import Terminal

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

_MEGABYTES = 200
_CURL = ["curl", "-sS", "--max-time", "60"]
_PIPELINE = """
import socket, ssl, sys
context = ssl.create_default_context()
raw = socket.create_connection(("www.example.com", 443), 5)
end = context.wrap_socket(raw, server_hostname="www.example.com")
request = "GET /bytes/{} HTTP/1.1\\r\\nHost: www.example.com\\r\\n{}\\r\\n"
sizes = [3, 100000, 0, 5, 70000]
text = "".join(request.format(size, "") for size in sizes[:-1])
end.sendall((text + request.format(sizes[-1], "Connection: close\\r\\n")).encode())
data = b""
while piece := end.recv(65536):
    data += piece
for size in sizes:
    head, _, data = data.partition(b"\\r\\n\\r\\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    assert b"content-length: %d" % size in head.lower(), head
    data = data[size:]
assert data == b"", data
print("in order")
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-I", "https://www.example.com/head-ok"], "HTTP/1.1 200"),
        (["-d", "a=b", "https://www.example.com/echo"], '"size": 3'),
        (["-X", "PUT", "-d", "a=b", "https://www.example.com/echo"], '"method": "PUT"'),
        (["-X", "DELETE", "https://www.example.com/echo"], '"method": "DELETE"'),
        (["--compressed", "https://www.example.com/gzip"], '"target": "/gzip"'),
        (["-L", "https://www.example.com/redirect?to=/get"], '"target": "/get"'),
        (["https://www.example.com/stream/100"], "line 99\n"),
        (["https://www.example.com/close-delimited"], "until close 2\n"),
        (["https://www.example.com/trailers"], "with trailers"),
        (["https://www.example.com/early-hints"], "after the hints"),
        (["-i", "https://www.example.com/status/204"], "HTTP/1.1 204"),
        (["-i", "https://www.example.com/status/304"], "HTTP/1.1 304"),
        (["-H", "Transfer-Encoding: chunked", "-d", "abcd", "https://www.example.com/echo"],
         '"size": 4'),
        (["-H", "Expect: 100-continue", "-d", "abcd", "https://www.example.com/echo"],
         '"size": 4'),
        (["--http1.0", "https://www.example.com/get"], '"method": "GET"'),
        (["http://www.example.com/stream/3"], "line 2\n"),
    ],
)  # fmt: skip
def test_exchange(clean_lab: Lab, words: list[str], expected: str) -> None:
    done = clean_lab.jail([*_CURL, *words])
    assert done.returncode == 0, done.errors
    assert expected in done.text
    assert clean_lab.oracle.records() == []


def test_keep_alive_uses_one_connection_on_both_sides(clean_lab: Lab) -> None:
    urls = [f"https://www.example.com/bytes/{size}" for size in (1, 2, 3, 4)]
    done = clean_lab.jail([*_CURL, "-o", "/dev/null", "-w", "%{num_connects}\n", *_outputs(urls)])
    assert done.text.split() == ["1", "0", "0", "0"], done.errors
    assert len({request.connection for request in clean_lab.requests()}) == 1


def _outputs(urls: list[str]) -> Iterator[str]:
    yield urls[0]
    for url in urls[1:]:
        yield from ("-o", "/dev/null", url)


def test_pipelined_requests_are_answered_in_order(clean_lab: Lab) -> None:
    done = clean_lab.jail(["/usr/bin/python3", "-c", _PIPELINE])
    assert done.text == "in order\n", done.errors
    assert len(clean_lab.requests()) == 5


def test_100_continue_is_end_to_end(clean_lab: Lab) -> None:
    """curl asks before a large body; the server's refusal arrives before the body leaves."""
    send = "head -c 3000000 /dev/zero | curl -sS -i -m 20 -T - -H 'Expect: 100-continue' "
    done = clean_lab.jail(["sh", "-c", send + "https://www.example.com/upload"])
    assert '"size": 3000000' in done.text, done.errors
    done = clean_lab.jail(["sh", "-c", send + "https://www.example.com/expect-refused"])
    assert "417" in done.text, done.errors


def test_early_response_reaches_the_agent(clean_lab: Lab) -> None:
    send = "head -c 50000000 /dev/zero | curl -sS -m 20 -w '%{http_code}' -H 'Expect:' -T - "
    done = clean_lab.jail(["sh", "-c", send + "https://www.example.com/early-response"])
    assert done.text.endswith("413"), (done.text, done.errors)


def test_server_sent_events_are_not_held_back(clean_lab: Lab) -> None:
    code = (
        "import time, urllib.request\n"
        "stream = urllib.request.urlopen('https://www.example.com/sse?n=3&interval=0.7')\n"
        "for line in stream:\n"
        "    if line.startswith(b'data'): print(time.monotonic(), line.decode().strip())\n"
    )
    done = clean_lab.jail(["/usr/bin/python3", "-c", code])
    rows = [line.split(" ", 1) for line in done.text.splitlines()]
    assert [row[1] for row in rows] == ["data: event 0", "data: event 1", "data: event 2"]
    assert float(rows[2][0]) - float(rows[0][0]) > 1.0


def _peak(lab: Lab, program: Terminal) -> int:
    """Largest peak resident set (kB) of any process of ours, while `program` runs."""
    peak = 0
    while program.poll() is None:
        for process in lab.processes():
            if "interceptor.cli.main" in process.command:
                try:
                    status = Path(f"/proc/{process.pid}/status").read_text("ascii")
                except OSError:
                    continue
                rows = dict(row.split(":", 1) for row in status.splitlines())
                peak = max(peak, int(rows.get("VmHWM", "0").split()[0]))
        time.sleep(0.1)
    return peak


@pytest.mark.parametrize("direction", ["upload", "chunked upload", "download"])
def test_large_bodies_take_constant_memory(clean_lab: Lab, direction: str) -> None:
    def command(megabytes: int) -> str:
        size = megabytes * 1024 * 1024
        if direction == "download":
            return f"curl -sS https://www.example.com/bytes/{size} | wc -c"
        data = f"head -c {size} /dev/zero"
        if direction == "upload":
            data += " > /tmp/body && curl -sS -T /tmp/body -H 'Expect:'"
        else:
            data += " | curl -sS -T - -H 'Expect:'"
        return data + " https://www.example.com/upload"

    peaks = []
    for megabytes in (1, _MEGABYTES):
        with clean_lab.start_jail(["sh", "-c", command(megabytes)]) as program:
            peaks.append(_peak(clean_lab, program))
            out, err = program.communicate()
        assert program.returncode == 0, err
        size = megabytes * 1024 * 1024
        shown = int(out) if direction == "download" else json.loads(out)["size"]
        assert shown == size
    print(f"{direction}: peak {peaks[0]} kB at 1 MB, {peaks[1]} kB at {_MEGABYTES} MB")
    assert peaks[1] - peaks[0] < 16 * 1024
