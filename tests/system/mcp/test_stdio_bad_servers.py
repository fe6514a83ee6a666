"""Servers that misbehave behind the wrapper: the client gets an error, the event says why."""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.mcp_peers.client import PATIENCE, SERVER, Talk, environ, wrapper


@contextmanager
def wrapped(
    home: Path, *ways: str, options: tuple[str, ...] = (), **env: str
) -> Iterator[tuple[Talk, Path]]:
    log = home / "events.jsonl"
    own = ("--server", "peer", "--log", str(log), "--state", str(home / "state"))
    command = [*wrapper(*own, *options), "--", *SERVER, *ways]
    with Talk(command, environ(home, **env)) as talk:
        yield talk, log


def events(log: Path, kind: str = "decision") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [event for event in found if event["event"] == kind]


def reasons(log: Path) -> list[str]:
    return [event["reason"] for event in events(log) if event["action"] == "block"]


def test_an_honest_server_is_not_disturbed(tmp_path: Path) -> None:
    with wrapped(tmp_path, CODE="5") as (talk, log):
        assert talk.initialize()["result"]["serverInfo"]["name"] == "peer"
        assert len(talk.request("tools/list")["result"]["tools"]) == 3
        for size in (10, 100_000, 3_000_000):
            said = talk.call("big", text=str(size))["result"]["content"][0]["text"]
            assert len(said) > size - 12
        assert talk.call("echo", text="grüße")["result"]["content"][0]["text"] == "grüße"
        assert talk.request("unknown")["error"]["code"] == -32601  # the server's own
        assert talk.end() == 5  # its exit code
        assert talk.said() == ""
    assert not reasons(log)
    paths = [event["path"] for event in events(log)]
    assert paths.count("/tools/call/big") == 3
    assert events(log, "stopped")[0]["code"] == 5
    assert log.stat().st_mode & 0o777 == 0o600


# way, reason code of the answer, reason codes of the evidence
BAD = [
    ("dies", "upstream_closed", {"upstream_closed"}),
    ("killed", "upstream_closed", {"upstream_closed"}),
    ("closes", "upstream_closed", {"upstream_closed"}),
    ("never", "timeout", {"timeout"}),
    ("wrong-id", "timeout", {"timeout", "rpc_unexpected"}),
    ("gigabyte", "limit_exceeded", {"limit_exceeded"}),
]


@pytest.mark.parametrize(("way", "reason", "written"), BAD)
def test_the_client_gets_an_error(tmp_path: Path, way: str, reason: str, written: set[str]) -> None:
    with wrapped(tmp_path, way, options=("--timeout", "1")) as (talk, log):
        talk.initialize()
        error = talk.call("echo", text="x")["error"]
        assert error["data"]["reason"] == reason
        assert error["message"].startswith("egressguard refused this: ")
        if way == "dies":
            assert talk.process.wait(PATIENCE) == 7
        elif way == "killed":
            assert talk.process.wait(PATIENCE) == 128 + signal.SIGKILL
        elif way == "closes":
            assert talk.process.wait(PATIENCE) == 128 + signal.SIGTERM
        else:
            assert "result" in talk.request("tools/list")  # the session goes on
            assert talk.end() == 0
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
            assert peak < 400_000  # KiB: not the gigabyte
    assert set(reasons(log)) == written


def test_junk_is_dropped_and_recorded_once_in_a_while(tmp_path: Path) -> None:
    with wrapped(tmp_path, "junk", "twice") as (talk, log):
        talk.initialize()
        for _ in range(3):
            talk.send(
                {
                    "jsonrpc": "2.0",
                    "id": 77,
                    "method": "tools/call",
                    "params": {"name": "echo", "arguments": {"text": "x"}},
                }
            )
            answer = talk.receive()  # the first line: nothing else came through
            assert answer["id"] == 77
            assert answer["result"]["content"][0]["text"] == "first"
        assert talk.request("tools/list")["result"]["tools"]
        assert talk.end() == 0
    written = reasons(log)
    assert written.count("rpc_unexpected") == 3  # the second answers
    assert 3 <= written.count("rpc_malformed") < 400  # 600 lines of junk


@pytest.mark.parametrize("way", ["endless", "flood"])
def test_a_flood_hurts_nobody(tmp_path: Path, way: str) -> None:
    with wrapped(tmp_path, way, options=("--timeout", "1")) as (talk, log):
        talk.initialize()
        answer = talk.call("echo", text="x")
        if way == "endless":  # one line without an end
            assert answer["error"]["data"]["reason"] == "timeout"
            status = Path(f"/proc/{talk.process.pid}/status").read_text()
            (peak,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
            assert int(peak.split()[1]) < 300_000  # KiB
        else:
            assert answer.get("result") or answer["error"]
        talk.process.send_signal(signal.SIGTERM)
        assert talk.process.wait(PATIENCE) in (0, 128 + signal.SIGTERM)
    assert len(log.read_bytes()) < 10_000_000


def test_what_the_server_says_aside_is_bounded(tmp_path: Path) -> None:
    with wrapped(tmp_path, "noisy") as (talk, _):
        talk.initialize()
        talk.send(
            {
                "jsonrpc": "2.0",
                "id": 9,
                "method": "tools/call",
                "params": {"name": "echo", "arguments": {"text": "x"}},
            }
        )
        assert talk.stderr
        said = b""
        while len(said) < 1 << 20:
            said += os.read(talk.stderr.fileno(), 1 << 16)
        assert said.startswith(b"\x1b]0;owned")  # no terminal: a log keeps it
        assert talk.receive()["id"] == 9
        assert talk.end() == 0
        assert len(said) + len(talk.said()) < 2 << 20  # of eight


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", -32700),
        (b"junk", -32700),
        (b"\xff\xfe", -32700),
        (b'{"jsonrpc":"2.0","id":4,"id":5,"method":"ping"}', -32700),
        (b"[" * 500 + b"]" * 500, -32600),
        (b"[]", -32600),
        (b'{"jsonrpc":"2.0","id":4,"method":"tools/call","result":{}}', -32600),
        (b'{"jsonrpc":"2.0","id":4,"method":"sampling/createMessage"}', -32080),
    ],
)
def test_what_the_client_says_is_read_as_strictly(tmp_path: Path, line: bytes, code: int) -> None:
    with wrapped(tmp_path) as (talk, log):
        talk.initialize()
        talk.send(line)
        assert talk.receive()["error"]["code"] == code
        assert talk.request("tools/list")["result"]
        assert talk.end() == 0
    assert len(reasons(log)) == 1


def test_a_message_that_is_too_long_is_answered_with_its_id(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nlimits:\n  message_bytes: 65536\n")
    with wrapped(tmp_path, options=("--policy", str(policy))) as (talk, log):
        talk.initialize()
        params = {"name": "echo", "arguments": {"text": "y" * 200_000}}
        talk.send(
            json.dumps(
                {"method": "tools/call", "params": params, "jsonrpc": "2.0", "id": "late"}
            ).encode()
        )
        answer = talk.receive()
        assert answer["id"] == "late"
        assert answer["error"]["data"]["reason"] == "limit_exceeded"
        assert talk.call("echo", text="z")["result"]
        assert "limit_exceeded" in talk.call("big", text="100000")["error"]["data"]["reason"]
        assert talk.end() == 0
    assert reasons(log) == ["limit_exceeded"] * 2


def test_without_evidence_nothing_passes(tmp_path: Path) -> None:
    with wrapped(tmp_path) as (talk, log):
        talk.initialize()
        assert talk.call("echo", text="x")["result"]
        _, hard = resource.prlimit(talk.process.pid, resource.RLIMIT_FSIZE)
        full = log.stat().st_size + 10
        resource.prlimit(talk.process.pid, resource.RLIMIT_FSIZE, (full, hard))
        error = talk.call("echo", text="x")["error"]
        assert error["data"]["reason"] == "evidence_unwritable"
        assert talk.call("echo", text="x")["error"]
        resource.prlimit(talk.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert talk.call("echo", text="x")["result"]
        assert talk.end() == 0
        assert "cannot write evidence" in talk.said()
    assert events(log, "gap")[0]["lost"] >= 2


def test_pins_that_somebody_changed_end_it_and_a_changed_tool_waits(tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    with wrapped(tmp_path, "changes", SWITCH=str(switch)) as (talk, log):
        talk.initialize()
        assert len(talk.request("tools/list")["result"]["tools"]) == 3
        assert talk.call("echo", text="x")["result"]
        switch.touch()
        tools = talk.request("tools/list")["result"]["tools"]
        assert [tool["name"] for tool in tools] == ["big", "fetch"]
        assert talk.call("echo", text="x")["error"]["data"]["reason"] == "tool_changed"
        pins = wrapper("pins", "--state", str(tmp_path / "state"))
        shown = subprocess.run(
            [*pins, "show", "peer", "echo"],
            env=environ(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        assert '+ description: "Return the text, and keep a copy of it."' in shown.stdout
        subprocess.run([*pins, "approve", "peer", "echo"], env=environ(tmp_path), check=True)
        talk.send({"jsonrpc": "2.0", "id": "x", "method": "ping"})
        assert talk.receive()["method"] == "notifications/tools/list_changed"
        assert len(talk.request("tools/list")["result"]["tools"]) == 3
        assert talk.call("echo", text="x")["result"]
        assert talk.end() == 0
    assert "tool_changed" in reasons(log)
    store = tmp_path / "state" / "mcp-pins.json"
    store.write_bytes(store.read_bytes().replace(b"Return", b"return"))
    with wrapped(tmp_path) as (talk, _):
        assert talk.process.wait(PATIENCE) == 125
        assert "begin anew" in talk.said()


@pytest.mark.parametrize(
    ("command", "code"),
    [(["/nonexistent/server"], 127), (["/etc/passwd"], 126), (["/bin/sh", "-c", "exit 3"], 3)],
)
def test_a_server_that_does_not_start(tmp_path: Path, command: list[str], code: int) -> None:
    state = ("--log", str(tmp_path / "l"), "--state", str(tmp_path))
    with Talk([*wrapper(*state), "--", *command], environ(tmp_path)) as talk:
        assert talk.process.wait(PATIENCE) == code
        assert talk.line() == b""


def test_streams_that_are_closed(tmp_path: Path) -> None:
    state = ("--log", str(tmp_path / "l"), "--state", str(tmp_path))
    line = shlex.join([*wrapper(*state), "--", *SERVER])
    done = subprocess.run(
        ["/bin/sh", "-c", f"{line} <&- 2>&-"],
        env=environ(tmp_path, CODE="4"),
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 4
    assert done.stdout == b""


def test_ends(tmp_path: Path) -> None:
    """The shutdown of the specification, from both sides, and nobody is left behind."""

    def gone(pid: int) -> bool:
        until = time.monotonic() + PATIENCE
        while Path(f"/proc/{pid}").exists():
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state == "Z" or time.monotonic() > until:
                return state == "Z"
            time.sleep(0.05)
        return True

    def pid_of(talk: Talk) -> int:
        assert talk.stderr
        return int(talk.stderr.readline().split()[1])

    with wrapped(tmp_path, "lingers", "says-pid") as (talk, _):  # wants SIGTERM
        talk.initialize()
        assert talk.end() == 128 + signal.SIGTERM
    with wrapped(tmp_path, "stays", "says-pid") as (talk, _):  # wants SIGKILL
        talk.initialize()
        assert talk.end() == 128 + signal.SIGKILL
    with wrapped(tmp_path, "says-pid") as (talk, _):  # we are asked to go
        talk.initialize()
        pid = pid_of(talk)
        talk.process.terminate()
        assert talk.process.wait(PATIENCE) == 128 + signal.SIGTERM
        assert gone(pid)
    with wrapped(tmp_path, "lingers", "says-pid") as (talk, _):  # we are killed
        talk.initialize()
        pid = pid_of(talk)
        talk.process.kill()
        talk.process.wait()
        assert gone(pid)
    with wrapped(tmp_path, "says-pid") as (talk, _):  # the client is gone
        talk.initialize()
        pid = pid_of(talk)
        talk.stdout.close()
        assert gone(pid)
        talk.process.wait(PATIENCE)


def test_half_a_session_is_answered(tmp_path: Path) -> None:
    """Requests, then the end of them: all are answered before the end."""
    lines = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}},
        *(
            {
                "jsonrpc": "2.0",
                "id": ident,
                "method": "tools/call",
                "params": {"name": "echo", "arguments": {"text": str(ident)}},
            }
            for ident in range(2, 200)
        ),
    ]
    log = str(tmp_path / "l")
    done = subprocess.run(
        [*wrapper("--log", log, "--state", str(tmp_path)), "--", *SERVER],
        input="".join(json.dumps(line) + "\n" for line in lines).rstrip("\n"),
        env=environ(tmp_path),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == list(range(1, 200))
    assert all("result" in answer for answer in answers)
