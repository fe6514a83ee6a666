"""MCP over HTTP without sockets: an agent, its connections, and what is remembered of it."""

from __future__ import annotations

import json
from typing import Any, cast

from interceptor.decide.judge import Judge
from interceptor.flow.mcp import Conversations
from interceptor.policy.schema import Addresses, Limits, Policy
from interceptor.scan.engine import Scanner
from tests.conversation import Conversation, ScriptedJudge
from tests.scan_samples import STEERS, sample_injections, sample_rules

SCANNER = Scanner.build(sample_rules(), None)
INJECTIONS = sample_injections()
BOTH = b"Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"
HOST = "api.example.com"
INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "c", "version": "1"},
}
AGREED = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "s", "version": "1"},
}
TOOL: dict[str, Any] = {
    "name": "read_file",
    "description": "Reads a file",
    "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}},
}
POISONED = {**TOOL, "name": "helper", "description": STEERS}


class World:
    """An agent, whose connections come and go, and what is remembered of it."""

    def __init__(self, limits: Limits | None = None) -> None:
        policy = Policy(limits=limits or Limits(), addresses=Addresses(allow=("192.0.2.0/24",)))
        self.limits = policy.limits
        self.judge = Judge(policy, SCANNER, b"k" * 16, INJECTIONS)
        self.judge.tick(1000.0)
        self.conversations = Conversations(self.judge)

    def connect(self) -> Conversation:
        judge = cast("ScriptedJudge", self.judge)
        return Conversation(judge=judge, limits=self.limits, conversations=self.conversations)

    def ask(self, message: Any, answer: bytes, *, fields: bytes = BOTH, path: str = "/mcp") -> Seen:
        """One exchange on a connection of its own."""
        whole = post(encoded(message), fields, path)
        talk = self.connect().say(*(whole[at : at + 4096] for at in range(0, len(whole), 4096)))
        if talk.open:
            talk.reply(answer)
        return Seen(talk)


class Seen:
    """What came of an exchange."""

    def __init__(self, talk: Conversation) -> None:
        self.talk = talk
        head, _, self.content = talk.received.partition(b"\r\n\r\n")
        self.head = head.decode()
        if "chunked" in self.head:
            self.content = unchunked(self.content)
        self.sent = talk.sent.partition(b"\r\n\r\n")[2]
        self.blocks = talk.blocks

    @property
    def status(self) -> int:
        return self.talk.statuses[0] if self.talk.statuses else 0

    @property
    def message(self) -> Any:
        assert f"Content-Length: {len(self.content)}" in self.head
        return json.loads(self.content)

    @property
    def events(self) -> list[Any]:
        assert self.content.endswith(b"\n\n")
        lines = self.content.decode().split("\n")
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def encoded(message: Any) -> bytes:
    return message if isinstance(message, bytes) else json.dumps(message).encode()


def request(method: str, params: Any = None, ident: Any = 1) -> dict[str, Any]:
    found = {"jsonrpc": "2.0", "id": ident, "method": method}
    return found if params is None else {**found, "params": params}


def call(arguments: Any, ident: Any = 1, name: str = "read_file") -> dict[str, Any]:
    return request("tools/call", {"name": name, "arguments": arguments}, ident)


def result(value: Any, ident: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": ident, "result": value}


def said(text: str, ident: Any = 1) -> dict[str, Any]:
    return result({"content": [{"type": "text", "text": text}]}, ident)


def post(body: bytes, fields: bytes = BOTH, path: str = "/mcp") -> bytes:
    head = b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n%b\r\n"
    return head % (path.encode(), HOST.encode(), len(body), fields) + body


def document(message: Any, *fields: str, status: int = 200) -> bytes:
    content = encoded(message)
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", *fields]
    lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def stream(*events: Any, fields: tuple[str, ...] = (), end: bool = True) -> bytes:
    lines = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", *fields]
    lines.append("Transfer-Encoding: chunked")
    out = "\r\n".join(lines).encode() + b"\r\n\r\n"
    for event in events:
        out += chunked(event if isinstance(event, bytes) else b"data: " + encoded(event) + b"\n\n")
    return out + (b"0\r\n\r\n" if end else b"")


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def unchunked(content: bytes) -> bytes:
    text = b""
    while content:
        size, _, content = content.partition(b"\r\n")
        text += content[: int(size, 16)]
        content = content[int(size, 16) + 2 :]
    return text


NOTHING = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


def begun(world: World, session: str = "s1") -> bytes:
    world.ask(
        request("initialize", INITIALIZE, 0),
        document(result(AGREED, 0), f"Mcp-Session-Id: {session}"),
    )
    return BOTH + f"Mcp-Session-Id: {session}\r\n".encode()
