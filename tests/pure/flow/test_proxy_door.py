"""The door of the explicit proxy, and the flow behind it."""

from __future__ import annotations

import base64
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.decide.judge import Judge
from interceptor.flow.context import Door, FlowContext
from interceptor.flow.proxy_door import Admitted, ProxyDoor, Turned
from interceptor.flow.steps import Close, Dial, Record, Resolve, Step, ToClient, ToUpstream
from interceptor.flow.tcp_flow import TcpFlow
from interceptor.model import Origin, Target
from interceptor.policy.schema import Limits
from interceptor.verdict import Action, Reason, Verdict
from interceptor.wire.heads import RequestHead
from interceptor.wire.proxy_credentials import Credential, credential
from tests.conversation import ScriptedJudge

TOKENS = {b"word-of-one": "one", b"word-of-two": "two"}
HERE = Target("tcp", "127.0.0.1", 8888)


def find(given: Credential | None) -> str | None:
    if given is None:
        return None
    name = TOKENS.get(given.token)
    return name if given.name in ("", name) else None


def field(user: bytes, word: bytes) -> bytes:
    return b"Proxy-Authorization: Basic " + base64.b64encode(user + b":" + word) + b"\r\n"


def connect(*fields: bytes) -> bytes:
    head = b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n"
    return head + b"".join(fields) + b"\r\n"


def socks(user: bytes, word: bytes) -> bytes:
    asked = b"\x05\x01\x00\x03\x09a.example\x00\x50"
    words = bytes((len(user),)) + user + bytes((len(word),)) + word
    return b"\x05\x02\x00\x02" + b"\x01" + words + asked


def at(data: bytes, size: int) -> tuple[Admitted[str] | Turned | None, bytes]:
    """What becomes of `data` in pieces of `size` bytes, and what was answered meanwhile."""
    door = ProxyDoor(find, Limits(), HERE)
    said = b""
    for start in range(0, len(data), size):
        outcome = door.feed(data[start : start + size])
        said += door.reply
        door.reply = b""
        if outcome is not None:
            if isinstance(outcome, Admitted):
                rest = outcome.rest + data[start + size :]
                return Admitted(outcome.agent, rest, outcome.skip), said
            return outcome, said
    return None, said


@pytest.mark.parametrize("size", [1, 3, 4096])
def test_agents_come_in_with_all_their_bytes(size: int) -> None:
    for data, agent in (
        (connect(field(b"one", b"word-of-one")) + b"more", "one"),
        (connect(b"Proxy-Authorization: Bearer word-of-two\r\n"), "two"),
        (b"\r\n" + connect(field(b"two", b"word-of-two")), "two"),
    ):
        assert at(data, size) == (Admitted(agent, data), b"")
    data = socks(b"one", b"word-of-one") + b"more"
    rest = b"\x05\x01\x00" + data[data.index(b"\x05\x01\x00\x03") :]
    assert at(data, size) == (Admitted("one", rest, 2), b"\x05\x02\x01\x00")


@pytest.mark.parametrize("size", [1, 4096])
def test_strangers_are_told_how_to_come_in(size: int) -> None:
    for data in (
        connect(),
        connect(field(b"one", b"word-of-two")),
        connect(field(b"one", b"")),
        connect(field(b"one", b"word-of-one"), field(b"one", b"word-of-one")),
        b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8888\r\n\r\n",
    ):
        outcome, _ = at(data, size)
        assert isinstance(outcome, Turned)
        assert outcome.verdict.reason is Reason.PROXY_UNAUTHORIZED
        assert outcome.reply.startswith(b"HTTP/1.1 407 Proxy Authentication Required\r\n")
        assert outcome.reply.count(b"\r\nProxy-Authenticate: ") == 2
        assert b"word-of" not in outcome.reply
    outcome, _ = at(connect().replace(b"CONNECT a.example:443", b"HEAD http://a.example/"), size)
    assert isinstance(outcome, Turned)
    assert outcome.reply.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"\x16\x03\x01\x02\x00\x01", b""),
        (b"SSH-2.0-x\r\n", b"HTTP/1.1 400 "),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HTTP/1.1 400 "),
        (b"\x05\x01\x00", b"\x05\xff"),
        (b"\x05\x01\x02\x02", b"\x01\x01"),
        (socks(b"one", b"word-of-two"), b"\x01\x01"),
        (b"\x04\x01\x00\x50\x0b\x00\x00\x01one\x00", b""),
    ],
)
def test_what_cannot_prove_anything_is_turned_away(data: bytes, reply: bytes) -> None:
    outcome, _ = at(data, 1)
    assert isinstance(outcome, Turned)
    assert outcome.reply.startswith(reply)
    assert bool(outcome.reply) == bool(reply)


@given(st.binary(max_size=120), st.integers(1, 7))
def test_no_bytes_come_in_without_a_word(data: bytes, size: int) -> None:
    outcome, _ = at(data, size)
    assert not isinstance(outcome, Admitted)


# -- behind the door ----------------------------------------------------------------------------


class Behind:
    """A flow of the agent `one`."""

    def __init__(self, origin: str = "127.0.0.1") -> None:
        self.judge = ScriptedJudge()
        refused = Verdict(Action.BLOCK, Reason.NO_NAME, "proxy", "this is a proxy")
        context = FlowContext(
            Origin("proxy", "f1", origin, 8888, "", "one"),
            cast("Judge", self.judge),
            Limits(),
            lambda _address, _now: "",
            door=Door(refused, self.admits),
        )
        self.flow = TcpFlow(context, 0.0)
        self.steps: list[Step] = list(self.flow.begin(0.0))

    def admits(self, head: RequestHead) -> bool:
        return find(credential(head)) == "one"

    def feed(self, data: bytes) -> list[Step]:
        found = list(self.flow.client_bytes(data, 0.1))
        self.steps += found
        return found


def records(steps: list[Step]) -> list[tuple[str, str]]:
    return [
        (str(step.verdict.reason), step.target.host) for step in steps if isinstance(step, Record)
    ]


def test_the_tunnel_is_answered_and_its_inside_is_the_identity() -> None:
    behind = Behind()
    (step,) = behind.feed(connect(field(b"one", b"word-of-one")))
    assert isinstance(step, ToClient)
    assert step.data.startswith(b"HTTP/1.1 200 ")
    steps = behind.feed(b"GET / HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
    assert ("allowed", "a.example") in records(steps)


def test_a_request_for_the_proxy_itself_goes_nowhere() -> None:
    for origin in ("127.0.0.1", "11.0.0.1"):
        behind = Behind(origin)
        good = field(b"one", b"word-of-one")
        steps = behind.feed(
            b"GET / HTTP/1.1\r\nHost: " + origin.encode() + b":8888\r\n" + good + b"\r\n"
        )
        assert records(steps) == [("no_name", origin)]
        assert not any(isinstance(step, Resolve | Dial | ToUpstream) for step in steps)


def test_each_request_of_a_connection_needs_the_credential_of_its_agent() -> None:
    first = b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n"
    for wrong in (b"", field(b"two", b"word-of-two"), field(b"one", b"other")):
        steps = Behind().feed(first + wrong + b"\r\n")
        assert records(steps) == [("proxy_unauthorized", "a.example")]
        assert not any(isinstance(step, Resolve | Dial | ToUpstream) for step in steps)
        said = b"".join(step.data for step in steps if isinstance(step, ToClient))
        assert said.startswith(b"HTTP/1.1 407 ")
        assert b"\r\nProxy-Authenticate: Basic " in said
        steps = Behind().feed(connect(wrong))
        assert records(steps) == [("proxy_unauthorized", "a.example")]
        assert not any(isinstance(step, ToClient) and b" 200 " in step.data for step in steps)


def test_the_credential_is_neither_judged_nor_sent() -> None:
    behind = Behind()
    word = base64.b64encode(b"one:word-of-one")
    good = field(b"one", b"word-of-one")
    steps = behind.feed(b"GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n" + good + b"\r\n")
    assert records(steps) == [("allowed", "a.example")]
    steps += behind.flow.resolved(("11.0.0.9",), 0.2)
    steps += behind.flow.connected("11.0.0.9", 0.3, reused=False)
    sent = b"".join(step.data for step in steps if isinstance(step, ToUpstream))
    assert sent.startswith(b"GET /x HTTP/1.1\r\nHost: a.example\r\n")
    assert word not in sent
    assert word not in repr(behind.judge.__dict__).encode()


def test_who_only_looks_whether_we_are_there_is_not_recorded() -> None:
    behind = Behind()
    assert records(list(behind.flow.client_eof(0.1))) == []
    behind = Behind()
    assert behind.flow.deadline >= Limits().header_seconds
    steps = list(behind.flow.timer(behind.flow.deadline))
    assert [type(step) for step in steps] == [Close]
