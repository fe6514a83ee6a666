"""All conversations of `tests/conversations` through the core: attacks stop, honest ones do not."""

from __future__ import annotations

import json
from typing import Any

from interceptor.decide.a2a import A2aConversation
from interceptor.decide.judge import Judge
from interceptor.decide.mcp.conversation import Conversation
from interceptor.decide.mcp.pins import PinBook
from interceptor.decide.mcp.session import Session
from interceptor.model import Target
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.injection.scanner import InjectionScanner
from tests.conversations import Talk, Turn, load

TALKS = load()


def data_of(turn: Turn) -> bytes:
    if isinstance(turn.message, bytes):
        return turn.message
    return json.dumps(turn.message, ensure_ascii=False, separators=(",", ":")).encode()


def drive(talk: Talk, judge: Judge) -> tuple[list[str], list[str], bytes]:
    """Return (reasons of refusals, rules of them, all that got through to the other side)."""
    session, pins = Session(), PinBook()
    servers: dict[str, Any] = {}
    reasons: list[str] = []
    rules: list[str] = []
    through = b""
    unheard: set[object] = set()
    for at, turn in enumerate(talk.turns):
        server = servers.get(turn.server)
        if server is None:
            kind = A2aConversation if talk.protocol == "a2a" else Conversation
            target = Target(
                "https" if talk.protocol == "a2a" else "stdio", f"{turn.server}.example", 443
            )
            server = kind(judge, target, server=turn.server, pins=pins, session=session)
            servers[turn.server] = server
        data = data_of(turn)
        ident = turn.message.get("id") if isinstance(turn.message, dict) else None
        method = isinstance(turn.message, dict) and "method" in turn.message
        if turn.side == "server" and not method and ident in unheard:
            continue  # it was never asked
        ruling = (server.from_client if turn.side == "client" else server.from_server)(
            data, float(at)
        )
        verdict = ruling.verdict
        if verdict is not None and not verdict.allowed:
            reasons.append(str(verdict.reason))
            rules.append(f"{verdict.rule} {verdict.detail}")
            if turn.side == "client" and method:
                assert ruling.forward is None
                unheard.add(ident)
        elif not talk.stopped:
            assert ruling.forward is data, (talk.name, at)
        through += ruling.forward or b""
    return reasons, rules, through


def judge_of(scanner: Scanner, inbound: InjectionScanner) -> Judge:
    return Judge(Policy(), scanner, b"k" * 16, inbound)


def test_there_are_enough_of_both() -> None:
    names = [talk.name for talk in TALKS]
    assert len(names) == len(set(names))
    assert sum(bool(talk.stopped) for talk in TALKS) >= 60
    assert sum(not talk.stopped for talk in TALKS) >= 60


def test_every_attack_is_stopped_for_its_reason(
    scanner: Scanner, inbound: InjectionScanner
) -> None:
    wrong = []
    for talk in TALKS:
        if talk.stopped:
            reasons, rules, through = drive(talk, judge_of(scanner, inbound))
            if talk.stopped not in reasons or (talk.harm and talk.harm.encode() in through):
                wrong.append((talk.name, talk.stopped, reasons, rules))
    assert not wrong, "\n".join(map(str, wrong))


def test_no_honest_conversation_is_disturbed(scanner: Scanner, inbound: InjectionScanner) -> None:
    wrong = []
    for talk in TALKS:
        if not talk.stopped:
            reasons, rules, _ = drive(talk, judge_of(scanner, inbound))
            if reasons:
                wrong.append((talk.name, reasons, rules))
    assert not wrong, "\n".join(map(str, wrong))
