"""MCP on other ways than HTTP/1.1: HTTP/2, one session over both, and WebSockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from interceptor.flow.channel import Passed
from interceptor.flow.websocket import WebSocketChannel
from interceptor.model import Kind, Target
from interceptor.wire.http1 import Field
from interceptor.wire.http2 import Data, Ended, Event, Started
from interceptor.wire.websocket_deflate import Deflate
from tests.http2_talk import Answer, Http2Talk, Site, ask, field, respond
from tests.mcp_http_talk import (
    AGREED,
    INITIALIZE,
    POISONED,
    TOOL,
    World,
    begun,
    call,
    document,
    encoded,
    request,
    result,
    said,
)
from tests.scan_samples import STEERS
from tests.websocket_bytes import TEXT, Deflater, Frame, read, write

Said = Callable[[Any], tuple[Sequence[Field], bytes]]
JSON = [field("content-type", "application/json")]
EVENTS = [field("content-type", "text/event-stream")]


def http2(world: World, serve: Said, *, tls: bool = True) -> Http2Talk:
    """An agent and a server that speak HTTP/2; `serve` gives fields and content for a message."""
    asked: dict[int, bytes] = {}

    def answer(site: Site, event: Event) -> None:
        if isinstance(event, Started):
            asked[event.stream] = b""
        elif isinstance(event, Data):
            asked[event.stream] += event.data
        elif isinstance(event, Ended):
            fields, content = serve(json.loads(asked[event.stream]))
            site.codec.respond(event.stream, respond(fields=fields), end=False)
            site.codec.data(event.stream, content)
            site.codec.end(event.stream, ())

    judge, conversations = world.judge, world.conversations
    return Http2Talk(serve=answer, tls=tls, judge=judge, conversations=conversations)


def say(talk: Http2Talk, message: Any, *fields: Field) -> Answer:
    body = encoded(message)
    return talk.answers[
        talk.ask(ask("/mcp", "POST", fields=[*JSON, *fields], length=len(body)), body)
    ]


def test_http2_carries_the_same_judgement() -> None:
    def serve(message: Any) -> tuple[Sequence[Field], bytes]:
        listed = result({"tools": [TOOL, POISONED]}, message["id"])
        if message["method"] == "tools/list":
            return [*JSON, field("content-length", str(len(encoded(listed))))], encoded(listed)
        return EVENTS, b"data: " + encoded(said(STEERS, message["id"])) + b"\n\n"

    talk = http2(World(), serve)
    answer = say(talk, request("tools/list", ident="l"))
    tools = json.loads(answer.content)["result"]["tools"]
    assert [tool["name"] for tool in tools] == ["read_file"]
    assert answer.value("content-length") == str(len(answer.content))
    assert answer.ended
    refused = say(talk, call({"note": STEERS}, "r"))
    assert (refused.status, json.loads(refused.content)["id"]) == (200, "r")
    assert refused.value("x-egressguard-reason") == "injection"
    cut = say(talk, call({"path": "a"}, "c"))
    assert json.loads(cut.content.partition(b"data: ")[2])["error"]["data"]["reason"] == "injection"
    told = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "x"}}
    assert say(talk, told).status == 403
    assert talk.blocks == ["tool_poisoned", "injection", "injection", "rpc_unexpected"]
    assert STEERS.encode() not in talk.content


def test_one_session_over_both_versions_of_http() -> None:
    world = World()
    fields = begun(world, "s9")
    poisoned = document(result({"tools": [TOOL, POISONED]}))
    assert world.ask(request("tools/list"), poisoned, fields=fields).blocks == ["tool_poisoned"]
    talk = http2(world, lambda message: (JSON, encoded(said("ok", message["id"]))), tls=False)
    answer = say(talk, call({}, 2), field("mcp-session-id", "s9"))
    assert json.loads(answer.content) == said("ok", 2)
    answer = say(talk, call({}, 3, "helper"), field("mcp-session-id", "s9"))
    assert json.loads(answer.content)["error"]["data"]["reason"] == "tool_poisoned"
    assert len(world.conversations) == 1


class Socket:
    """An agent and a server with a WebSocket between them."""

    def __init__(self, agreed: Deflate | None = None) -> None:
        self.world = World()
        target = Target("https", "ws.example.com", 443, "GET", "/mcp")
        judge, limits = self.world.judge, self.world.limits
        rpc = self.world.conversations.socket(target)
        inbound = judge.inbound_window("ws_message", target)
        self.channel = WebSocketChannel(
            judge, target, limits, lambda size: b"m" * size, agreed, inbound, rpc
        )
        self.reasons: list[str] = []
        self.over = False

    def took(self, passed: Passed) -> tuple[list[Frame], list[Frame]]:
        self.reasons += [verdict.reason.value for verdict, _ in passed.records]
        self.over = passed.over
        assert all(kind is Kind.MCP_MESSAGE for _, kind in passed.records)
        return read(passed.to_upstream, masked=True), read(passed.to_client, masked=False)

    def say(self, message: Any) -> tuple[list[Any], list[Any]]:
        frame = message if isinstance(message, Frame) else Frame(TEXT, encoded(message))
        return _decoded(self.took(self.channel.from_client(write(frame, masked=True))))

    def reply(self, message: Any) -> tuple[list[Any], list[Any]]:
        frame = message if isinstance(message, Frame) else Frame(TEXT, encoded(message))
        return _decoded(self.took(self.channel.from_upstream(write(frame, masked=False))))


def _decoded(both: tuple[list[Frame], list[Frame]]) -> tuple[list[Any], list[Any]]:
    out, back = both
    assert not any(frame.rsv for frame in out + back)
    return [json.loads(one.payload) for one in out], [json.loads(one.payload) for one in back]


def test_a_socket_is_a_conversation_from_its_first_message() -> None:
    socket = Socket()
    first = request("initialize", INITIALIZE, 0)
    assert socket.say(first) == ([first], [])
    assert socket.reply(result(AGREED, 0)) == ([], [result(AGREED, 0)])
    out, back = socket.say(call({"note": STEERS}, 1))
    assert (out, back[0]["id"], back[0]["error"]["data"]["reason"]) == ([], 1, "injection")
    asked = request("tools/list", ident=2)
    assert socket.say(asked) == ([asked], [])
    _, back = socket.reply(result({"tools": [TOOL, POISONED]}, 2))
    assert back == [result({"tools": [TOOL]}, 2)]
    assert socket.reply(said("unasked", 77)) == ([], [])
    # What a server asks and may not is answered in the agent's place.
    sampling = request(
        "sampling/createMessage",
        {"messages": [{"role": "user", "content": {"type": "text", "text": STEERS}}]},
        "s",
    )
    out, back = socket.reply(sampling)
    assert (out[0]["id"], "error" in out[0], back) == ("s", True, [])
    assert socket.reasons == ["injection", "tool_poisoned", "rpc_unexpected", "injection"]
    assert not socket.over


def test_what_is_deflated_is_read_and_goes_on_plain() -> None:
    socket = Socket(Deflate())
    packed = Deflater()
    first = request("initialize", INITIALIZE, 0)
    out, _ = socket.say(Frame(TEXT, packed(encoded(first)), rsv=4))
    assert out == [first]
    bad = Frame(TEXT, packed(encoded(call({"note": STEERS}, 1))), rsv=4)
    assert socket.say(bad)[0] == []
    good = call({"note": "fine"}, 2)
    assert socket.say(Frame(TEXT, packed(encoded(good)), rsv=4))[0] == [good]


def test_other_sockets_are_as_ever() -> None:
    socket = Socket()
    hello = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
    assert socket.say(hello) == ([hello], [])
    twice = b'{"jsonrpc":"2.0","id":1,"id":2,"result":"0x1"}'
    _, back = socket.took(socket.channel.from_upstream(write(Frame(TEXT, twice), masked=False)))
    assert back == [Frame(TEXT, twice)]
    assert socket.reasons == []
