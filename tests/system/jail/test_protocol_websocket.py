"""WebSocket with real clients and a real server: honest talk passes, a secret in it does not.

Each test runs outside the jail too: the positive control.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab import Lab, daemons
from tests.lab.agents import need, node, python, run, secret
from tests.lab.daemon import Daemon

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

both_ways = pytest.mark.parametrize("jailed", [False, True], ids=["outside", "jailed"])
deflate = pytest.mark.parametrize("deflate", [True, False], ids=["deflate", "plain"])

CLIENTS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "websockets": lambda plan: python("websocket_talk.py", "websockets", plan),
    "aiohttp": lambda plan: python("websocket_talk.py", "aiohttp", plan),
    "ws": lambda plan: node("websocket_talk.cjs", "ws", plan),
    "undici": lambda plan: node("websocket_talk.cjs", "undici", plan),
}
PLACES = {
    "443": "wss://ws.example.com/echo",
    "no extension": "wss://ws.example.com:8443/echo",
    "in clear": "ws://ws.example.com/echo",
}
_OPENED = "hosts:\n  allow: ['ws.example.com:8443']\n"


@pytest.fixture
def server(clean_lab: Lab) -> Iterator[Daemon]:
    need(daemons.missing("websocket"))
    daemon = daemons.websocket(clean_lab)
    daemon.clear()
    yield daemon
    assert clean_lab.oracle.records() == []


@both_ways
@deflate
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("client", CLIENTS)
def test_talk(
    clean_lab: Lab, server: Daemon, client: str, place: str, deflate: bool, jailed: bool
) -> None:
    if client == "undici" and not deflate:
        pytest.skip("it always offers the extension")
    sent = ["hello", "grüße, 世界", {"hex": "00ff10"}, {"fill": 200_000}, "last"]
    plan = {"url": PLACES[place], "send": sent, "deflate": deflate}
    ran = run(clean_lab, CLIENTS[client](plan), jailed=jailed, policy=_OPENED)
    found = ran.json()
    texts = [answer.get("text", answer.get("hex", "")[:6]) for answer in found["answers"]]
    assert texts == ["hello", "grüße, 世界", "00ff10", "000000", "last"], (found, ran.errors)
    assert found["answers"][3]["sha256"] == hashlib.sha256(bytes(200_000)).hexdigest()
    assert found["code"] == 1000
    assert server.wait_for('"closed": 1000')
    if not deflate or place == "no extension":
        assert found["extensions"] == []
    if not jailed and deflate and place != "no extension":
        assert found["extensions"]


@both_ways
@pytest.mark.parametrize("client", ["websockets", "ws"])
def test_fragments_and_bursts(clean_lab: Lab, server: Daemon, client: str, jailed: bool) -> None:
    burst = [f"message {number}" for number in range(200)]
    plan = {"url": PLACES["443"], "send": [{"parts": ["one", "two", "three"]}, {"burst": burst}]}
    found = run(clean_lab, CLIENTS[client](plan), jailed=jailed).json()
    assert [answer["text"] for answer in found["answers"]] == ["onetwothree", *burst]


@both_ways
def test_messages_come_one_by_one(clean_lab: Lab, server: Daemon, jailed: bool) -> None:
    plan = {"url": PLACES["443"], "send": ["ticks 4 0.25"], "answers": 4}
    found = run(clean_lab, CLIENTS["websockets"](plan), jailed=jailed).json()
    sent = [json.loads(answer["text"])["sent"] for answer in found["answers"]]
    assert len(sent) == 4
    for number in range(3):
        assert found["answers"][number]["at"] < sent[number + 1]


@both_ways
@pytest.mark.parametrize("client", ["websockets", "ws", "undici"])
def test_the_server_s_close_comes_through(
    clean_lab: Lab, server: Daemon, client: str, jailed: bool
) -> None:
    plan = {"url": PLACES["443"], "send": ["hello", "close 4001 bye", "never"]}
    found = run(clean_lab, CLIENTS[client](plan), jailed=jailed).json()
    assert (found["code"], found["reason"]) == (4001, "bye")
    assert len(found["answers"]) == 1


def _with_secret() -> dict[str, Any]:
    key = secret()
    return {
        "text": [f"note={key}"],
        "json": [json.dumps({"note": {"deep": [key]}})],
        "binary": [{"hex": b"\0\1note=".hex() + key.encode().hex()}],
        "two frames": [{"parts": ["note=" + key[:10], key[10:]]}],
        "two messages": ["note=" + key[:10], key[10:]],
        "many messages": ["note=" + key[:4], *key[4:]],
        "a burst": [{"burst": ["one", "two", f"note={key}", "four"]}],
        "hex": ["note=" + key.encode().hex()],
    }


@both_ways
@deflate
@pytest.mark.parametrize("case", sorted(_with_secret()))
@pytest.mark.parametrize("client", ["websockets", "ws"])
def test_secret(
    clean_lab: Lab, server: Daemon, client: str, case: str, deflate: bool, jailed: bool
) -> None:
    steps = _with_secret()[case]
    plan = {"url": PLACES["443"], "send": ["hello", *steps, "after"], "deflate": deflate}
    ran = run(clean_lab, CLIENTS[client](plan), jailed=jailed)
    found = ran.json()
    if not jailed:
        assert found["code"] == 1000
        assert found["answers"][-1]["text"] == "after"
        return
    assert found["answers"][0]["text"] == "hello", (found, ran.errors)
    assert found["code"] == 1008, found
    told = "".join(record.get("text", "") + record.get("binary", "") for record in server.records())
    key = secret()
    for form in (key, key.encode().hex()):
        assert form not in told
        assert form[:-1] not in told or case == "many messages"
    assert "after" not in told
    # Cut over messages it is a split one.
    assert {event["reason"] for event in ran.blocks()} <= {"secret", "split_secret"}
    assert ran.blocks()
    assert key not in json.dumps(ran.evidence) + ran.errors


HANDSHAKES = {
    "query": {"url": "wss://ws.example.com/echo?note=SECRET"},
    "header": {"url": "wss://ws.example.com/echo", "headers": {"X-Note": "SECRET"}},
    "subprotocol": {
        "url": "wss://ws.example.com/echo",
        "headers": {"Sec-WebSocket-Protocol": "SECRET"},
    },
}


@both_ways
@pytest.mark.parametrize("case", HANDSHAKES)
@pytest.mark.parametrize("client", ["websockets", "ws"])
def test_secret_in_the_handshake(
    clean_lab: Lab, server: Daemon, client: str, case: str, jailed: bool
) -> None:
    plan = json.loads(json.dumps(HANDSHAKES[case]).replace("SECRET", secret()))
    ran = run(clean_lab, CLIENTS[client]({**plan, "send": ["hello"]}), jailed=jailed)
    found = ran.json()
    if not jailed:
        assert secret() in server.log()
        return
    assert found["status"] == 403, (found, ran.errors)
    assert server.records() == []
    assert clean_lab.dials() == []
    assert [event["reason"] for event in ran.blocks()] == ["secret"]


@both_ways
def test_a_server_that_speaks_no_websocket(clean_lab: Lab, server: Daemon, jailed: bool) -> None:
    plan = {"url": "wss://api.example.com/get", "send": ["hello"]}
    found = run(clean_lab, CLIENTS["websockets"](plan), jailed=jailed).json()
    assert found["status"] == 200
    assert found["answers"] == []
