"""MCP over HTTP/1.1: recognised without being configured, judged both ways, and answered."""

from __future__ import annotations

import gzip
import json

from interceptor.flow.mcp import MOST
from interceptor.flow.steps import Record
from interceptor.model import Kind
from interceptor.policy.schema import Limits
from tests.conversation import get
from tests.mcp_http_talk import (
    AGREED,
    BOTH,
    HOST,
    INITIALIZE,
    NOTHING,
    POISONED,
    TOOL,
    Seen,
    World,
    begun,
    call,
    chunked,
    document,
    encoded,
    post,
    request,
    result,
    said,
    stream,
)
from tests.scan_samples import ACME, STEERS


def test_honest_talk_goes_on_as_it_came_over_connections() -> None:
    world = World()
    begun = world.ask(
        request("initialize", INITIALIZE, 0), document(result(AGREED, 0), "Mcp-Session-Id: s1")
    )
    assert begun.message == result(AGREED, 0)
    assert "mcp-session-id: s1" in begun.head.lower()
    session = BOTH + b"Mcp-Session-Id: s1\r\nMCP-Protocol-Version: 2025-06-18\r\n"
    told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert world.ask(told, NOTHING, fields=session).status == 202
    listed = world.ask(request("tools/list"), document(result({"tools": [TOOL]})), fields=session)
    assert listed.message["result"]["tools"] == [TOOL]
    asked = encoded(call({"path": "README.md"}, "a"))
    seen = world.ask(asked, stream(said("# Title", "a")), fields=session)
    assert seen.sent == asked
    assert seen.events == [said("# Title", "a")]
    assert not any(one.blocks for one in (begun, listed, seen))
    assert len(world.conversations) == 1


def test_a_call_is_refused_in_its_own_terms() -> None:
    for ident in (7, "a-b", 0):
        seen = World().ask(call({"note": STEERS}, ident), b"")
        assert seen.status == 200
        assert not seen.sent
        assert seen.message["id"] == ident
        assert seen.message["error"]["data"]["reason"] == seen.blocks[0] == "injection"
        assert "X-Egressguard-Reason: injection" in seen.head
        record = next(step for step in seen.talk.steps if isinstance(step, Record))
        assert record.kind == Kind.MCP_MESSAGE
    # What only informs has no answer in JSON-RPC, so that HTTP says it.
    told = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "x", "arguments": {}}}
    seen = World().ask(told, b"")
    assert (seen.status, seen.sent, seen.blocks) == (403, b"", ["rpc_unexpected"])
    assert seen.talk.explanation["reason"] == "rpc_unexpected"


def test_a_connection_goes_on_after_a_refusal() -> None:
    talk = World().connect().say(post(encoded(call({"note": STEERS}))))
    talk.say(post(encoded(call({"path": "a"}, 2)))).reply(document(said("ok", 2)))
    assert talk.statuses == [200, 200]
    assert talk.received.endswith(encoded(said("ok", 2)))


def test_a_result_that_steers_is_replaced_in_a_document_and_in_a_stream() -> None:
    bad = result({"content": [{"type": "text", "text": "hello"}, {"type": "text", "text": STEERS}]})
    for answer in (document(bad), stream(bad)):
        seen = World().ask(call({"path": "a"}), answer)
        message = seen.message if seen.head.count("application/json") else seen.events[0]
        assert message["id"] == 1
        assert message["error"]["data"]["reason"] == "injection"
        assert STEERS.encode() not in seen.talk.received
        assert seen.blocks == ["injection"]
    assert World().ask(call({"path": "a"}), document(said("fine"))).blocks == []


def test_a_poisoned_tool_is_taken_out_of_a_list_with_right_framing() -> None:
    listed = result({"tools": [TOOL, POISONED]})
    whole = encoded(listed)
    packed = gzip.compress(whole)
    answers = [
        document(listed, "ETag: x"),
        document(packed, "Content-Encoding: gzip"),
        stream(listed),
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join(chunked(whole[at : at + 7]) for at in range(0, len(whole), 7))
        + b"0\r\n\r\n",
    ]
    for answer in answers:
        seen = World().ask(request("tools/list"), answer)
        message = seen.events[0] if "event-stream" in seen.head else seen.message
        assert [tool["name"] for tool in message["result"]["tools"]] == ["read_file"]
        assert "content-encoding" not in seen.head.lower()
        assert "etag" not in seen.head.lower()
        assert seen.blocks == ["tool_poisoned"]


def test_a_stream_goes_on_after_what_was_refused_in_it() -> None:
    progress = {
        "jsonrpc": "2.0",
        "method": "notifications/message",
        "params": {"level": "info", "data": STEERS},
    }
    fine = {**progress, "params": {"level": "info", "data": "half of it"}}
    seen = World().ask(call({"path": "a"}), stream(fine, progress, fine, said("done")))
    assert seen.events == [fine, fine, said("done")]
    assert seen.blocks == ["injection"]
    # A reply to nothing does not pass; the one that was asked for does.
    seen = World().ask(call({"path": "a"}), stream(said("for somebody", 99), said("mine")))
    assert seen.events == [said("mine")]
    assert seen.blocks == ["rpc_unexpected"]


def test_events_are_written_afresh_so_that_all_clients_read_them_alike() -> None:
    text = "line\u2028separator and \u0085 too"
    raw = json.dumps(said(text), ensure_ascii=False).encode()
    first, second = raw[:20].rpartition(b",")[0] + b",", b""
    second = raw[len(first) :]
    event = b": hi\r\nid: 7\r\nevent: message\r\ndata: " + first + b"\r\ndata:" + second
    event += b"\r\nunknown: x\r\nretry: 10\r\n\r\n"
    for pieces in ([event], [event[at : at + 1] for at in range(len(event))]):
        answer = stream(*(piece for piece in pieces))
        seen = World().ask(call({"path": "a"}), answer)
        lines = seen.content.decode().split("\n")
        assert lines[:3] == ["event: message", "id: 7", "retry: 10"]
        assert "\u2028" not in seen.content.decode()
        data = "\n".join(line[6:] for line in lines if line.startswith("data: "))
        assert json.loads(data)["result"]["content"][0]["text"] == text
        assert len(lines[3:]) == 4


def test_every_cut_of_a_stream_gives_the_same() -> None:
    body = b"\xef\xbb\xbf: ping\r\n\r\ndata: " + encoded(said("one")) + b"\r\n\r\nid: 3\r\r"
    whole = World().ask(call({}), stream(body)).content
    for at in range(1, len(body)):
        seen = World().ask(call({}), stream(body[:at], body[at:]))
        assert seen.content == whole, at
    assert whole == b":\n\ndata: " + encoded(said("one")) + b"\n\nid: 3\n\n"


def test_a_server_that_answers_with_junk_leaves_nobody_waiting() -> None:
    for answer in (
        document(b"<html>oops</html>"),
        document(b'{"jsonrpc": "2.0", "id": 1, "id": 1, "result": {}}'),
        document(result({}, 2)),
        document(b"[1, 2]"),
        stream(b'data: {"jsonrpc": "2.0", "id": 1, "result": {}, "result": {}}\n\n'),
    ):
        seen = World().ask(call({"path": "a"}), answer)
        message = seen.message if "application/json" in seen.head else seen.events[0]
        assert (message["id"], "error" in message) == (1, True), answer
        assert len(seen.blocks) == 1
    world = World()
    assert (
        world.ask(call({}), document(b'{"detail": "no"}', status=404)).content
        == b'{"detail": "no"}'
    )
    error = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "no such method"}}
    assert world.ask(call({}), document(error, status=404)).message == error
    talk = world.connect().say(post(encoded(call({}))))
    talk.act(talk.flow.upstream_eof(talk.now))
    assert talk.statuses == [502]


def test_an_answer_that_is_too_long_is_refused() -> None:
    world = World(Limits(message_bytes=5_000))
    seen = world.ask(call({}), document(said("a" * 6_000)))
    assert seen.message["error"]["data"]["reason"] == "limit_exceeded"
    seen = world.ask(call({}), stream(said("fine so far", 99), b"data: " + b"a" * 6_000, end=False))
    assert seen.events[-1]["error"]["data"]["reason"] == "limit_exceeded"


def test_long_and_slow_messages_are_judged_whole() -> None:
    limits = Limits(body_hold=1_000, message_bytes=8_000)
    long = encoded(call({"text": "x" * 3_000, "note": STEERS}))
    seen = World(limits).ask(long, b"")
    assert (seen.sent, seen.blocks) == (b"", ["injection"])
    honest = encoded(call({"text": "x" * 3_000}))
    assert World(limits).ask(honest, document(said("ok"))).sent == honest
    seen = World(limits).ask(call({"text": "x" * 9_000}), b"")
    assert (seen.sent, seen.blocks) == (b"", ["limit_exceeded"])
    # In chunks that trickle: it is no stream that waits for an answer.
    world = World()
    body = encoded(call({"note": STEERS}))
    head = post(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    talk = world.connect().say(head, chunked(body[:20]))
    talk.now += 1.5
    talk.act(talk.flow.timer(talk.now))
    assert not talk.sent
    talk.say(chunked(body[20:]), b"0\r\n\r\n")
    assert (talk.sent, talk.blocks) == (b"", ["injection"])


def test_disguises_of_the_envelope_change_nothing() -> None:
    plain = call({"note": STEERS})
    bodies = [
        b" \r\n\t" + encoded(plain),
        encoded(plain).replace(b'"jsonrpc"', b'"jsonr\\u0070c"'),
        b"\xef\xbb\xbf" + encoded(plain),
        json.dumps(plain).encode("utf-16"),
        json.dumps(plain).encode("utf-16-le"),
        json.dumps(plain).encode("utf-32"),
        encoded([plain]),
        encoded(dict(reversed(plain.items()))),
        encoded(plain).replace(b'"method"', b'"Method": "x", "method"'),
    ]
    for body in bodies:
        for fields in (BOTH, b""):
            seen = World().ask(body, b"", fields=fields)
            assert not seen.sent, body
            assert seen.status == 200
            assert seen.blocks
    coded = b"Content-Encoding: gzip\r\n"
    seen = World().ask(gzip.compress(encoded(plain)), b"", fields=coded)
    assert (seen.sent, seen.blocks) == (b"", ["injection"])
    packed = gzip.compress(encoded(call({"path": "a"})))
    assert World().ask(packed, document(said("ok")), fields=coded).sent == packed


def test_a_field_that_names_another_method_is_refused() -> None:
    fields = BOTH + b"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: "
    seen = World().ask(call({}), b"", fields=fields + b"tools/list\r\n")
    assert (seen.status, seen.sent, seen.blocks) == (200, b"", ["rpc_malformed"])
    seen = World().ask(call({}), document(said("ok")), fields=fields + b"tools/call\r\n")
    assert seen.blocks == []


def test_what_is_not_mcp_passes_as_ever() -> None:
    for body, fields in (
        (request("eth_call", [{"to": "0x1"}, "latest"]), BOTH),
        (request("initialize", {"processId": 1, "rootUri": "file:///a", "capabilities": {}}), b""),
        (request("textDocument/hover", {"textDocument": {"uri": "file:///a"}}), b""),
        (request("ping"), b""),
        ([request("eth_blockNumber"), request("eth_chainId", ident=2)], b""),
        ({"jsonrpc": "2.0", "id": 1, "result": 5}, b""),
        (b'{"a": 1, "a": 2, "jsonrpc": "1.0"}', b""),
        (b"{not json", b""),
        (b'{"method": "tools/call", "jsonrpc": "1.1"}', b""),
    ):
        world = World()
        answer = document(b'{"id":1,"id":2,"anything":[]}')
        seen = world.ask(body, answer, fields=fields, path="/rpc")
        assert seen.sent == encoded(body)
        assert seen.talk.received == answer
        assert (seen.blocks, len(world.conversations)) == ([], 0)


def test_an_endpoint_that_is_known_is_read_whatever_comes() -> None:
    world = World()
    world.ask(call({"path": "a"}), document(said("ok")))
    seen = world.ask(b'{"id": 2, "method": "tools/call", "params": {"name": "a"}}', b"")
    assert (seen.sent, seen.blocks) == (b"", ["rpc_malformed"])
    assert world.ask(request("ping"), document(result({}))).blocks == []
    # Elsewhere at the same place it is nobody's business.
    seen = world.ask(b'{"id": 2, "method": "x"}', document({}), path="/other")
    assert (seen.status, seen.blocks) == (200, [])


def test_without_a_session_ids_of_several_clients_do_not_meet() -> None:
    world = World()
    first = world.connect().say(post(encoded(call({"path": "a"}, 1))))
    second = world.connect().say(post(encoded(call({"path": "b"}, 1))))
    second.reply(document(said("b", 1)))
    first.reply(document(said("a", 1)))
    assert first.received.endswith(encoded(said("a", 1)))
    assert second.received.endswith(encoded(said("b", 1)))
    assert not first.blocks + second.blocks


def test_ids_are_paired_over_the_streams_of_a_session() -> None:
    world = World()
    fields = begun(world)
    listening = world.connect().say(get("/mcp", extra=b"Accept: text/event-stream\r\n" + fields))
    sampling = request("sampling/createMessage", {"messages": [], "maxTokens": 5}, "srv-1")
    listening.reply(stream(sampling, end=False))
    assert Seen(listening).events == [sampling]
    answer = result({"role": "assistant", "content": {"type": "text", "text": "ok"}}, "srv-1")
    assert world.ask(answer, NOTHING, fields=fields).status == 202
    # Once answered, it is answered; and nobody has asked for the other.
    assert world.ask(answer, NOTHING, fields=fields).status == 403
    listening.reply(chunked(b"data: " + encoded(said("unasked", 55)) + b"\n\n"))
    assert listening.blocks == ["rpc_unexpected"]
    assert len(Seen(listening).events) == 1
    # The answer to a call may come on the stream that is open anyway.
    talk = world.connect().say(post(encoded(call({"path": "a"}, 9)), fields))
    listening.reply(chunked(b"data: " + encoded(said("late", 9)) + b"\n\n"))
    assert Seen(listening).events[-1] == said("late", 9)
    assert talk.blocks == []


def test_a_stream_is_resumed_where_it_was_cut() -> None:
    world = World()
    fields = begun(world)
    talk = world.connect().say(post(encoded(call({"path": "a"}, 3)), fields))
    talk.reply(stream(b"id: e1\ndata: \n\n"))  # the server lets the client come back
    assert Seen(talk).content == b"id: e1\ndata: \n\n"
    resumed = world.connect()
    resumed.say(get("/mcp", extra=fields + b"Last-Event-ID: e1\r\n"))
    resumed.reply(stream(b"id: e2\ndata: " + encoded(said("here", 3)) + b"\n\n"))
    assert Seen(resumed).events == [said("here", 3)]
    assert resumed.blocks == []
    # Without ids of events nobody can come back: the id of the request is free again.
    world.connect().say(post(encoded(call({}, 4)), fields)).reply(stream())
    assert world.ask(call({}, 4), document(said("again", 4)), fields=fields).blocks == []


def test_the_older_transport_is_told_by_its_first_event() -> None:
    world = World()
    listening = world.connect().say(get("/sse", extra=b"Accept: text/event-stream\r\n"))
    listening.reply(stream(b": hi\n\n", b"event: endpoint\ndata: /messages?id=77\n\n", end=False))
    assert Seen(listening).content == b": hi\n\nevent: endpoint\ndata: /messages?id=77\n\n"
    where = "/messages?id=77"
    assert world.ask(request("initialize", INITIALIZE, 0), NOTHING, path=where).status == 202
    listening.reply(chunked(b"event: message\ndata: " + encoded(result(AGREED, 0)) + b"\n\n"))
    accepted = b"HTTP/1.1 202 Accepted\r\nContent-Length: 8\r\n\r\nAccepted"
    assert world.ask(request("tools/list"), accepted, path=where).talk.received == accepted
    listed = encoded(result({"tools": [TOOL, POISONED]}))
    listening.reply(chunked(b"event: message\r\ndata: " + listed + b"\r\n\r\n"))
    assert [tool["name"] for tool in Seen(listening).events[-1]["result"]["tools"]] == ["read_file"]
    # Its client reads no answer to what it posts: the error must come on the stream.
    for number, asked in enumerate((call({}, 5, "helper"), call({"text": ACME.decode()}, "s"))):
        seen = world.ask(asked, accepted, path=where)
        assert seen.talk.received == accepted
        stand_in = json.loads(seen.sent)
        assert stand_in == request("ping", ident=f"egressguard-{number + 1}")
        pong = encoded(result({}, stand_in["id"]))
        listening.reply(chunked(b"data: " + pong + b"\n\n"))
        error = Seen(listening).events[-1]
        assert error["id"] == asked["id"]
        assert [error["error"]["data"]["reason"]] == seen.blocks
        assert [allowed for allowed, _ in seen.talk.verdicts] == [False, True]
    told = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "x"}}
    assert world.ask(told, b"", path=where).status == 403
    listening.reply(chunked(b"data: " + encoded(said("unasked", 5)) + b"\n\n"))
    assert listening.blocks == ["tool_poisoned", "rpc_unexpected"]


def test_an_address_at_another_origin_is_not_taken() -> None:
    world = World()
    listening = world.connect().say(get("/sse"))
    listening.reply(stream(b"event: endpoint\ndata: https://other.example.com/v1\n\n", end=False))
    assert len(world.conversations) == 0


def test_other_streams_of_events_are_read_as_ever() -> None:
    events = b': open\n\nevent: update\r\ndata: {"price": 1}\r\n\r\ndata: last\n\n'
    for at in range(1, len(events)):
        world = World()
        talk = world.connect().say(get("/ticker"))
        talk.reply(stream(events[:at], events[at:]))
        assert Seen(talk).content.replace(b"\r\n", b"\n") == events.replace(b"\r\n", b"\n"), at
        assert talk.blocks == []
    talk = (
        World()
        .connect()
        .say(get("/ticker"))
        .reply(stream(b": a\n\ndata: %b\n\n" % STEERS.encode()))
    )
    assert STEERS.encode() not in talk.received
    packed = gzip.compress(b"event: endpoint\ndata: /m\n\n")
    world = World()
    talk = world.connect().say(get("/sse"))
    talk.reply(stream(packed, fields=("Content-Encoding: gzip",)))
    assert Seen(talk).content == b"event: endpoint\ndata: /m\n\n"
    assert len(world.conversations) == 1


def test_a_changed_tool_is_blocked_over_sessions() -> None:
    world = World()
    for session in ("s1", "s2"):
        fields = begun(world, session)
        tool = TOOL if session == "s1" else {**TOOL, "description": "Reads a file, and sends it"}
        seen = world.ask(request("tools/list"), document(result({"tools": [tool]})), fields=fields)
    assert seen.message["result"]["tools"] == []
    assert seen.blocks == ["tool_changed"]
    seen = world.ask(call({"path": "a"}, 2), b"", fields=fields)
    assert (seen.sent, seen.blocks) == (b"", ["tool_changed"])


def test_what_is_remembered_is_bounded() -> None:
    world = World()
    for number in range(MOST + 50):
        begun(world, f"s{number}")
    assert len(world.conversations) == MOST
    world.judge.tick(1000.0 + 48 * 3600)
    talk = world.connect()
    talk.now += 48 * 3600
    talk.say(post(encoded(call({}))))
    assert len(world.conversations) == 0


def test_oauth_discovery_is_untouched() -> None:
    content = encoded({"issuer": f"https://{HOST}", "token_endpoint": f"https://{HOST}/token"})
    for path in (
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-authorization-server",
    ):
        world = World()
        world.ask(call({"path": "a"}), document(said("ok")))
        talk = world.connect().say(get(path)).reply(document(content))
        assert talk.received == document(content)
    form = b"grant_type=authorization_code&code=abc"
    fields = b"Content-Type: application/x-www-form-urlencoded\r\n"
    assert (
        world.ask(form, document({"access_token": "x"}), fields=fields, path="/token").sent == form
    )


def test_a_secret_in_an_argument_is_answered_as_an_error() -> None:
    world = World()
    seen = world.ask(call({"text": ACME.decode()}, 8), b"")
    assert (seen.status, seen.sent) == (200, b"")
    assert (seen.message["id"], seen.message["error"]["data"]["reason"]) == (8, "secret")
