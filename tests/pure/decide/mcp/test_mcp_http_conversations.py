"""All conversations of `tests/conversations` over HTTP: attacks stop, honest ones pass unchanged.

Answers come on the POST that has asked, as a document or as a stream by turns; what a server says
of its own comes on the stream that each session has open. Here, as the scanners are made already.
"""

from __future__ import annotations

import json
from typing import Any, cast

from interceptor.decide.judge import Judge
from interceptor.flow.mcp import Conversations
from interceptor.policy.schema import Addresses, Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.injection.scanner import InjectionScanner
from tests.conversation import Conversation, ScriptedJudge, get
from tests.conversations import Talk, Turn, load
from tests.mcp_http_talk import BOTH, HOST, Seen, chunked, document, stream

TALKS = load()
SPEAKS_FIRST = {"a2a-answer-nobody-asked-for"}
"""Over HTTP nobody speaks who was not asked."""


class Client:
    """A client of several servers, each at a path of its own, and what it has seen."""

    def __init__(self, talk: Talk, scanner: Scanner, inbound: InjectionScanner) -> None:
        policy = Policy(addresses=Addresses(allow=("192.0.2.0/24",)))
        self.judge = Judge(policy, scanner, b"k" * 16, inbound)
        self.judge.tick(1000.0)
        self.conversations = Conversations(self.judge)
        self.agents = talk.protocol == "a2a"
        self.posts: dict[tuple[str, Any], Conversation] = {}
        self.streams: dict[str, Conversation] = {}
        self.connections: list[Conversation] = []
        self.unheard: set[tuple[str, Any]] = set()
        self.streamed = False

    def connect(self) -> Conversation:
        judge = cast("ScriptedJudge", self.judge)
        talk = Conversation(judge=judge, conversations=self.conversations)
        self.connections.append(talk)
        return talk

    def say(self, turn: Turn, data: bytes) -> None:
        message = turn.message if isinstance(turn.message, dict) else {}
        fields = BOTH
        if not self.agents and message.get("method") != "initialize":
            fields += f"Mcp-Session-Id: {turn.server}\r\n".encode()
        head = b"POST /%b HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n%b\r\n"
        head %= (turn.server.encode(), HOST.encode(), len(data), fields)
        talk = self.connect().say(head + data)
        if isinstance(turn.message, list):
            message = turn.message[0]
        key = (turn.server, message.get("id"))
        if not talk.open:
            self.unheard.add(key)
        elif "method" in message and "id" in message:
            self.posts[key] = talk
            self.streamed = not self.streamed
            if self.streamed or self.agents:
                session = (f"Mcp-Session-Id: {turn.server}",)
                talk.reply(stream(b": begun\n\n", fields=session, end=False))
        else:
            talk.reply(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    def hear(self, turn: Turn, data: bytes) -> None:
        message = turn.message if isinstance(turn.message, dict) else {}
        if isinstance(turn.message, list):
            message = turn.message[0]
        key = (turn.server, message.get("id"))
        event = b"data: " + data + b"\n\n"
        if "method" not in message and key in self.unheard:
            return
        talk = self.posts.get(key) if "method" not in message else None
        if talk is None and not message:  # junk: in the place of an answer
            talk = next(reversed(self.posts.values()), None)
        if talk is None:
            if self.agents:
                return
            if turn.server not in self.streams:
                session = f"Mcp-Session-Id: {turn.server}\r\n".encode()
                self.streams[turn.server] = self.connect().say(
                    get(f"/{turn.server}", extra=session)
                )
                self.streams[turn.server].reply(stream(end=False))
            self.streams[turn.server].reply(chunked(event))
        elif talk.received:
            talk.reply(chunked(event))
            if not self.agents:
                talk.reply(b"0\r\n\r\n")
                self.posts.pop(key, None)
        else:
            talk.reply(document(data, f"Mcp-Session-Id: {turn.server}"))
            self.posts.pop(key, None)

    @property
    def reasons(self) -> list[str]:
        return [reason for talk in self.connections for reason in talk.blocks]

    @property
    def sent(self) -> bytes:
        return b"\n".join(talk.sent for talk in self.connections)

    @property
    def received(self) -> bytes:
        return b"\n".join(talk.received for talk in self.connections)


def data_of(turn: Turn) -> bytes:
    if isinstance(turn.message, bytes):
        return turn.message
    return json.dumps(turn.message, ensure_ascii=False, separators=(",", ":")).encode()


def drive(talk: Talk, scanner: Scanner, inbound: InjectionScanner) -> Client:
    client = Client(talk, scanner, inbound)
    for turn in talk.turns:
        (client.say if turn.side == "client" else client.hear)(turn, data_of(turn))
    return client


def test_every_attack_is_stopped_for_its_reason(
    scanner: Scanner, inbound: InjectionScanner
) -> None:
    wrong = []
    driven = 0
    for talk in TALKS:
        if not talk.stopped or talk.name in SPEAKS_FIRST:
            continue
        driven += 1
        client = drive(talk, scanner, inbound)
        through = client.sent + client.received
        if talk.stopped not in client.reasons or (talk.harm and talk.harm.encode() in through):
            wrong.append((talk.name, talk.stopped, client.reasons))
    assert not wrong, "\n".join(map(str, wrong))
    assert driven >= 60


def test_no_honest_conversation_is_disturbed(scanner: Scanner, inbound: InjectionScanner) -> None:
    wrong: list[Any] = []
    driven = 0
    for talk in TALKS:
        if talk.stopped:
            continue
        driven += 1
        client = drive(talk, scanner, inbound)
        if client.reasons:
            wrong.append((talk.name, client.reasons))
        for turn in talk.turns:
            said = data_of(turn)
            side = client.sent if turn.side == "client" else client.received
            # Events are written so that no client ends a line within them.
            escaped = said.replace("\u2028".encode(), b"\\u2028")
            if said not in side and escaped not in side:
                wrong.append((talk.name, turn))
    assert not wrong, "\n".join(map(str, wrong))
    assert driven >= 60
    assert Seen(drive(TALKS[-1], scanner, inbound).connections[0]).status in (200, 202)
