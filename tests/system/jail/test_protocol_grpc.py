"""gRPC with real grpcio on both sides: four kinds of call, in clear and in TLS, with compression.

Each test runs outside the jail too: the positive control.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import Lab, daemons, world
from tests.lab.agents import need, python, run, secret
from tests.lab.daemon import Daemon

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

both_ways = pytest.mark.parametrize("jailed", [False, True], ids=["outside", "jailed"])
compressed = pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])

_OPENED = "hosts:\n  allow: ['grpc.example.com:50051']\n"
CALLS: dict[str, dict[str, Any]] = {
    "unary": {"kind": "unary", "messages": ["hello"]},
    "client_stream": {"kind": "client_stream", "messages": ["one", "two", "three"]},
    "server_stream": {"kind": "server_stream", "messages": ["word*3"]},
    "bidi": {"kind": "bidi", "messages": ["one", "two", "three"]},
}


@pytest.fixture
def server(clean_lab: Lab) -> Iterator[Daemon]:
    need(daemons.missing("grpc"))
    daemon = daemons.grpc(clean_lab)
    daemon.clear()
    yield daemon
    assert clean_lab.oracle.records() == []


def _calls(
    lab: Lab, calls: list[dict[str, Any]], *, jailed: bool, place: str = "443", **plan: object
) -> tuple[list[dict[str, Any]], Any]:
    target = f"grpc.example.com:{place}"
    words = python("grpc_calls.py", target, {"calls": calls, "secure": place == "443", **plan})
    ran = run(lab, words, jailed=jailed, policy=_OPENED if place == "50051" else "")
    return ran.json(), ran


@both_ways
@compressed
@pytest.mark.parametrize("place", ["443", "80", "50051"])
def test_every_kind_of_call(
    clean_lab: Lab, server: Daemon, place: str, compress: bool, jailed: bool
) -> None:
    calls = [{**call, "metadata": [("x-note", "honest")]} for call in CALLS.values()]
    found, ran = _calls(clean_lab, calls, jailed=jailed, place=place, compress=compress)
    assert [call["code"] for call in found] == ["OK"] * 4, (found, ran.blocks())
    unary, client_stream, server_stream, bidi = found
    assert unary["answers"] == ["echo:hello"]
    assert client_stream["answers"] == ["one+two+three"]
    assert [text.partition("@")[0] for text in server_stream["answers"]] == [
        *("word0", "word1", "word2")
    ]
    assert bidi["answers"] == ["echo:one", "echo:two", "echo:three"]
    assert [call["initial"]["lab-kind"] for call in found] == list(CALLS)
    assert all("lab-sent" in call["trailing"] for call in found)
    seen = [record for record in server.records() if "call" in record]
    assert all(["x-note", "honest"] in record["metadata"] for record in seen)


@both_ways
def test_answers_come_one_by_one(clean_lab: Lab, server: Daemon, jailed: bool) -> None:
    (call,), _ = _calls(
        clean_lab, [{"kind": "server_stream", "messages": ["word*4"]}], jailed=jailed
    )
    sent = [float(text.partition("@")[2]) for text in call["answers"]]
    assert len(sent) == 4
    for number in range(3):
        assert call["arrived"][number] < sent[number + 1]


@both_ways
def test_a_status_comes_through(clean_lab: Lab, server: Daemon, jailed: bool) -> None:
    (call,), _ = _calls(clean_lab, [{"kind": "unary", "messages": ["fail"]}], jailed=jailed)
    assert (call["code"], call["details"]) == ("FAILED_PRECONDITION", "as you wish: 100% ü")


@both_ways
def test_large_messages(clean_lab: Lab, server: Daemon, jailed: bool) -> None:
    calls = [{"kind": "unary", "messages": ["y" * 100_000]}]
    (call,), _ = _calls(clean_lab, calls, jailed=jailed)
    assert call["code"] == "OK"
    assert call["answers"] == ["echo:" + "y" * 100_000]


def _with_secret() -> dict[str, dict[str, Any]]:
    key = secret()
    return {
        "unary": {"kind": "unary", "messages": [f"note={key}"]},
        "metadata": {"kind": "unary", "messages": ["m"], "metadata": [("x-note", f"note={key}")]},
        "client_stream": {"kind": "client_stream", "messages": ["one", f"note={key}", "three"]},
        "server_stream": {"kind": "server_stream", "messages": [f"note={key} *2"]},
        "bidi": {"kind": "bidi", "messages": ["one", "two", f"note={key}", "four"]},
        "cut over two": {"kind": "bidi", "messages": ["one", "note=" + key[:9], key[9:]]},
    }


def _told(server: Daemon) -> str:
    """All that the server was told, in one text."""
    return "".join(
        record.get("message", "") + json.dumps(record.get("metadata", ""))
        for record in server.records()
    )


@both_ways
@compressed
@pytest.mark.parametrize("place", ["443", "80"])
@pytest.mark.parametrize("case", sorted(_with_secret()))
def test_secret(
    clean_lab: Lab, server: Daemon, case: str, place: str, compress: bool, jailed: bool
) -> None:
    call = _with_secret()[case]
    (found,), ran = _calls(clean_lab, [call], jailed=jailed, place=place, compress=compress)
    told = "".join(record.get("message", "") for record in server.records())
    if not jailed:
        assert found["code"] == "OK"
        assert secret() in _told(server) + told
        return
    assert found["code"] == "PERMISSION_DENIED", (found, ran.errors)
    assert "secret" in found["details"]
    assert secret() not in _told(server)
    assert secret() not in told  # nor over two messages
    assert [event["reason"] for event in ran.blocks()] == ["secret"]
    assert secret() not in json.dumps(ran.evidence)
    if call["kind"] == "bidi":  # what came before was sent, and answered
        assert found["answers"][0] == "echo:one"
    else:  # refused before anything was sent, or sent to an end that never came
        assert found["answers"] == []


def test_one_bad_call_takes_nothing_from_the_others(clean_lab: Lab, server: Daemon) -> None:
    good, bad = CALLS["unary"], _with_secret()["unary"]
    found, ran = _calls(clean_lab, [good, bad, good, bad, good], jailed=True)
    denied = "PERMISSION_DENIED"
    assert [call["code"] for call in found] == ["OK", denied, "OK", denied, "OK"], ran.errors
    assert len([record for record in server.records() if "call" in record]) == 3


def test_a_port_that_is_not_opened(clean_lab: Lab, server: Daemon) -> None:
    calls = [{"kind": "unary", "messages": ["hello"], "timeout": 5}]
    target = "grpc.example.com:50051"
    words = python("grpc_calls.py", target, {"calls": calls, "secure": False})
    ran = run(clean_lab, words, jailed=True)
    (found,) = ran.json()
    assert found["code"] in ("PERMISSION_DENIED", "UNAVAILABLE", "DEADLINE_EXCEEDED")
    assert clean_lab.dials(port=50051) == []
    assert "port_not_allowed" in {event["reason"] for event in ran.blocks()}
    assert not {entry.destination for entry in clean_lab.dials()} & set(world.GRPC)
