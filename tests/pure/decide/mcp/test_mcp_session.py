"""What is remembered of one agent is bounded: a server too many is refused, earlier ones stay."""

from __future__ import annotations

import json

import pytest

from interceptor.decide.a2a import A2aConversation
from interceptor.decide.judge import Judge
from interceptor.decide.mcp import session as module
from interceptor.decide.mcp.conversation import Conversation
from interceptor.decide.mcp.pins import PinBook
from interceptor.decide.mcp.session import SERVERS, Session
from interceptor.model import Target
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.verdict import Reason

PING = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode()
PLACE = Target("https", "mcp.example.com", 443)


def test_servers_are_counted() -> None:
    session = Session()
    for number in range(SERVERS):
        assert not session.full(f"s{number}")
        session.server(f"s{number}")
    assert session.full("another")
    assert not session.full("s0")
    assert session.server("s0") is session.server("s0")
    another = session.server("another")
    assert session.server("another") is not another  # of which nothing is remembered
    assert len(session.others("s0")) == SERVERS - 1


def test_a_server_too_many(
    scanner: Scanner, inbound: InjectionScanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SERVERS", 2)
    judge, session, pins = Judge(Policy(), scanner, b"k" * 16, inbound), Session(), PinBook()

    def begin(name: str, kind: type[Conversation] = Conversation) -> Conversation:
        return kind(judge, PLACE, server=name, pins=pins, session=session)

    first, second = begin("a"), begin("b", A2aConversation)
    third, agent = begin("c"), begin("d", A2aConversation)
    for one in (first, begin("a")):
        assert one.from_client(PING, 1.0).forward == PING
    assert isinstance(second, A2aConversation)
    assert isinstance(agent, A2aConversation)
    assert second.said({}, 1.0) is None
    verdict = agent.said({}, 1.0)
    assert verdict is not None
    assert verdict.reason is Reason.LIMIT_EXCEEDED
    for one in (third, agent):
        ruling = one.from_client(PING, 1.0)
        assert ruling.forward is None
        assert ruling.answer is not None
        assert json.loads(ruling.answer)["error"]["data"]["reason"] == "limit_exceeded"
        assert one.from_server(PING, 1.0).forward is None
