"""Agents and servers that are slow, greedy or hostile in HTTP/1.1: refused in time, never hung.

What is refused inside the jail has a positive control: the same program without the jail is
served by the lab's server, which waits for everybody.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.programs import Finished, Terminal

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

_POLICY = """
version: 1
limits:
  header_bytes: 8192
  header_count: 40
  header_seconds: 2
  idle_seconds: 3
  body_seconds: 4
  connect_seconds: 3
  connections: 20
"""
_AGENT = """
import json, socket, ssl, sys, time

def connect(tls=False, host="www.example.com"):
    end = socket.create_connection((host, 443 if tls else 80), 5)
    end.settimeout(30)
    if tls:
        end = ssl.create_default_context().wrap_socket(end, server_hostname=host)
    return end

def trickle(end, data, seconds):
    # One byte at a time, until the other side says something or goes.
    for byte in data:
        end.sendall(bytes((byte,)))
        end.settimeout(seconds)
        try:
            return end.recv(65536)
        except TimeoutError:
            pass
    end.settimeout(30)
    return end.recv(65536)

def rest(end, data=b""):
    try:
        while piece := end.recv(65536):
            data += piece
    except OSError as error:
        return data + type(error).__name__.encode()
    return data

def told(start, data):
    print(json.dumps({"seconds": time.monotonic() - start, "text": data.decode("latin-1")}))

def get(path, *fields):
    head = ["GET " + path + " HTTP/1.1", "Host: www.example.com", *fields, "", ""]
    return "\\r\\n".join(head).encode()

start = time.monotonic()
"""


@pytest.fixture
def policy(clean_lab: Lab) -> Iterator[str]:
    path = "/etc/short-limits.yaml"
    clean_lab.path(path).write_text(_POLICY, "utf-8")
    yield path
    clean_lab.path(path).unlink()


def _words(code: str) -> list[str]:
    return ["/usr/bin/python3", "-c", _AGENT + code]


def _jailed(lab: Lab, policy: str, code: str) -> tuple[dict[str, Any], Finished]:
    done = lab.jail(_words(code), "--policy", policy)
    assert done.returncode == 0, done.errors
    return json.loads(done.text), done


def _free(lab: Lab, code: str) -> dict[str, Any]:
    """The same program without the jail."""
    done = lab.run(_words(code), user="dev", timeout=60)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _blocks(done: Finished) -> list[str]:
    events = [e for e in done.events() if e["event"] == "decision" and e["action"] == "block"]
    return [event["reason"] for event in events]


def _nothing_arrived(lab: Lab) -> bool:
    return lab.oracle.records() == [] and lab.requests() == []


# -- slow agents -------------------------------------------------------------------------------

_SLOW_HEAD = """
end = connect(tls={tls})
end.sendall(b"GET /get ")
told(start, trickle(end, b"HTTP/1.1\\r\\nHost: www.example.com\\r\\n\\r\\n", 0.12))
"""
_SLOW_BODY = """
end = connect()
end.sendall(b"POST /upload HTTP/1.1\\r\\nHost: www.example.com\\r\\n{framing}\\r\\n\\r\\n")
told(start, trickle(end, b"{data}", {pause}))
"""


@pytest.mark.parametrize("tls", [False, True])
def test_a_trickled_head_is_refused_in_time(clean_lab: Lab, policy: str, tls: bool) -> None:
    code = _SLOW_HEAD.format(tls=tls)
    free = _free(clean_lab, code)
    assert free["text"].startswith("HTTP/1.1 200")
    assert free["seconds"] > 3
    assert len(clean_lab.requests()) == 1
    clean_lab.clear()
    told, done = _jailed(clean_lab, policy, code)
    assert told["text"].startswith("HTTP/1.1 504"), told
    assert 1.5 < told["seconds"] < 4
    assert _blocks(done) == ["timeout"]
    assert _nothing_arrived(clean_lab)


@pytest.mark.parametrize(
    ("framing", "data", "pause"),
    [
        ("Content-Length: 12", "note=1234567", 0.5),
        ("Transfer-Encoding: chunked", "c\\r\\nnote=1234567\\r\\n0\\r\\n\\r\\n", 0.25),
    ],
    ids=["length", "chunked"],
)
def test_a_trickled_body_is_refused_in_time(
    clean_lab: Lab, policy: str, framing: str, data: str, pause: float
) -> None:
    code = _SLOW_BODY.format(framing=framing, data=data, pause=pause)
    free = _free(clean_lab, code)
    assert free["text"].startswith("HTTP/1.1 200")
    assert free["seconds"] > 5
    assert clean_lab.requests()[0].body == b"note=1234567"
    for _ in range(3):
        clean_lab.clear()
        told, done = _jailed(clean_lab, policy, code)
        # A busy machine may send nothing for a second: then a body without a length streams.
        if told["text"].startswith("HTTP/1.1 504"):
            break
    assert told["text"].startswith("HTTP/1.1 504"), told
    assert 3 < told["seconds"] < 7
    assert "timeout" in _blocks(done)
    assert _nothing_arrived(clean_lab)


@pytest.mark.parametrize(
    "code", ["", 'end.sendall(get("/get"))\nwhile b"sha256" not in end.recv(65536): pass\n']
)
def test_a_connection_that_idles_is_closed(clean_lab: Lab, policy: str, code: str) -> None:
    code = f"end = connect()\n{code}told(start, rest(end))\n"
    told, done = _jailed(clean_lab, policy, code)
    assert told["text"] in ("", "ConnectionResetError")
    assert 1.5 < told["seconds"] < 6
    assert _blocks(done) == []  # nothing was asked for, or all of it was answered


_CROWD = """
slow = [connect() for _ in range(15)]
for end in slow:
    end.sendall(b"GET /")
answers = []
for number in range(10):
    begun = time.monotonic()
    end = connect(tls=number % 2 == 0)
    end.sendall(get("/get", "Connection: close"))
    assert rest(end).startswith(b"HTTP/1.1 200")
    answers.append(time.monotonic() - begun)
told(start, str(max(answers)).encode())
"""


def test_slow_connections_do_not_slow_the_others(clean_lab: Lab, policy: str) -> None:
    told, _ = _jailed(clean_lab, policy, _CROWD)
    assert float(told["text"]) < 1
    assert len(clean_lab.requests()) == 10


_MANY = """
time.sleep(2.5)  # connections of the self-test linger for two seconds
ends, served = [], 0
for _ in range(30):
    try:
        ends.append(connect())
    except OSError:
        pass  # reset before connect() had returned
for end in ends:
    end.settimeout(1)
    try:
        end.sendall(get("/get"))
        served += end.recv(65536).startswith(b"HTTP/1.1 200")
    except OSError:
        pass
for end in ends:
    end.close()
time.sleep(0.3)
end = connect()
end.sendall(get("/get"))
again = end.recv(65536)[9:12].decode()
told(start, f"{served} {again}".encode())
"""


def test_connections_have_a_limit_and_those_that_end_are_replaced(
    clean_lab: Lab, policy: str
) -> None:
    assert _free(clean_lab, _MANY)["text"] == "30 200"
    clean_lab.clear()
    told, done = _jailed(clean_lab, policy, _MANY)
    assert told["text"] == "20 200"
    assert set(_blocks(done)) == {"limit_exceeded"}
    assert len(_blocks(done)) >= 10
    assert len(clean_lab.requests()) == 21


# -- greedy agents -----------------------------------------------------------------------------

_FLOODS = {
    "many fields": 'get("/get", *["X-A: b"] * 100)',
    "long field": 'get("/get", "X-A: " + "a" * 20000)',
    "long target": 'get("/get?" + "a" * 20000)',
    "endless head": 'get("/get")[:-2] + b"X-A: b\\r\\n" * 20000',
    "chunk extensions": 'b"POST /upload HTTP/1.1\\r\\nHost: www.example.com\\r\\n'
    'Transfer-Encoding: chunked\\r\\n\\r\\n" + (b"1;" + b"e" * 900 + b"\\r\\nx\\r\\n") * 100'
    ' + b"0\\r\\n\\r\\n"',
    "trailers": 'b"POST /upload HTTP/1.1\\r\\nHost: www.example.com\\r\\n'
    'Transfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n" + b"X-A: b\\r\\n" * 100 + b"\\r\\n"',
}


@pytest.mark.parametrize("case", _FLOODS)
def test_a_flood_is_refused_at_once(clean_lab: Lab, policy: str, case: str) -> None:
    code = f"end = connect()\nend.sendall({_FLOODS[case]})\ntold(start, end.recv(65536))\n"
    if case != "endless head":
        assert _free(clean_lab, code)["text"].startswith("HTTP/1.1 200")
        clean_lab.clear()
    told, done = _jailed(clean_lab, policy, code)
    assert told["text"].startswith("HTTP/1.1 403"), told
    assert told["seconds"] < 1.5
    assert _blocks(done) == ["limit_exceeded"]
    assert _nothing_arrived(clean_lab)


_SMUGGLED = {
    "both framings": ["Content-Length: 6", "Transfer-Encoding: chunked"],
    "space before the colon": ["Transfer-Encoding : chunked"],
    "capital X": ["Transfer-Encoding: xchunked"],
    "lengths": ["Content-Length: 0", "Content-Length: 5"],
    "length": ["Content-Length: 0x0"],
    "folded": ["X-A: b", " Transfer-Encoding: chunked"],
}


@pytest.mark.parametrize("case", _SMUGGLED)
def test_a_smuggled_request_never_arrives(clean_lab: Lab, policy: str, case: str) -> None:
    fields = "\\r\\n".join(_SMUGGLED[case])
    code = (
        "end = connect()\n"
        f'end.sendall(b"POST /upload HTTP/1.1\\r\\nHost: www.example.com\\r\\n{fields}\\r\\n\\r\\n'
        '0\\r\\n\\r\\n" + get("/hidden"))\n'
        "told(start, rest(end))\n"
    )
    told, done = _jailed(clean_lab, policy, code)
    assert told["text"].startswith("HTTP/1.1 400"), told
    assert told["text"].count("HTTP/1.1") == 1
    assert _blocks(done) == ["http_malformed"]
    assert _nothing_arrived(clean_lab)


def test_without_the_jail_a_smuggled_request_arrives(clean_lab: Lab) -> None:
    """Positive control: the lab's server reads both framings as chunks, and what follows."""
    _free(
        clean_lab,
        "end = connect()\n"
        'end.sendall(b"POST /upload HTTP/1.1\\r\\nHost: www.example.com\\r\\n'
        "Content-Length: 6\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n"
        '" + get("/hidden", "Connection: close"))\n'
        "told(start, rest(end))\n",
    )
    assert [request.target for request in clean_lab.requests()] == ["/upload", "/hidden"]


_TINY = """
end = connect()
end.sendall(b"POST /upload HTTP/1.1\\r\\nHost: www.example.com\\r\\n")
end.sendall(b"Transfer-Encoding: chunked\\r\\n\\r\\n")
end.sendall(b"1\\r\\nx\\r\\n" * 200000 + b"0\\r\\n\\r\\n")
told(start, end.recv(65536))
"""


def test_a_body_of_single_byte_chunks_arrives_joined(clean_lab: Lab, policy: str) -> None:
    told, _ = _jailed(clean_lab, policy, _TINY)
    assert told["text"].startswith("HTTP/1.1 200")
    assert told["seconds"] < 3
    assert clean_lab.requests()[0].body == b"x" * 200_000


# -- slow readers and servers ------------------------------------------------------------------

_DEAF = """
end = socket.socket()
end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
end.connect(("www.example.com", 80))
end.sendall(get("/bytes/300000000"))
time.sleep(2)
begun = time.monotonic()
other = connect()
other.sendall(get("/get", "Connection: close"))
assert rest(other).startswith(b"HTTP/1.1 200")
told(start, str(time.monotonic() - begun).encode())
"""


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


def test_an_agent_that_does_not_read_fills_no_memory(clean_lab: Lab) -> None:
    peaks = []
    for code in (_DEAF.replace("300000000", "1"), _DEAF):
        with clean_lab.start_jail(_words(code)) as program:
            peaks.append(_peak(clean_lab, program))
            out, err = program.communicate()
        assert program.returncode == 0, err
        assert float(json.loads(out)["text"]) < 1
    assert peaks[1] - peaks[0] < 16 * 1024, peaks


def test_a_silent_server_is_a_gateway_timeout(clean_lab: Lab, policy: str) -> None:
    code = 'end = connect()\nend.sendall(get("/slow?seconds=6"))\ntold(start, end.recv(65536))\n'
    assert _free(clean_lab, code)["text"].startswith("HTTP/1.1 200")
    told, done = _jailed(clean_lab, policy, code)
    assert told["text"].startswith("HTTP/1.1 504"), told
    assert 2.5 < told["seconds"] < 5
    assert "timeout" in json.dumps(done.events())
