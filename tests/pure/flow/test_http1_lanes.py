"""HTTP/1.1 with the agent and what is upstream: one lane after the other, or an HTTP/2 link."""

from __future__ import annotations

import gzip
import re
import time
from typing import Any, cast

import pytest

from interceptor.decide.judge import Judge
from interceptor.flow.inbound_events import Events, Sse
from interceptor.flow.steps import Close, EndUpstream, Finished, Resolve, ToUpstream
from interceptor.model import Target
from interceptor.policy.schema import Limits
from interceptor.verdict import Action, Reason, Verdict
from interceptor.wire.http1 import chunk
from interceptor.wire.http2 import Ended, Http2Limits, Started
from tests import http2_bytes as raw
from tests.conversation import OK, ScriptedJudge, get, post
from tests.flow_world import Lane, NewPeer, OldPeer, World, memory
from tests.http2_talk import field, respond
from tests.websocket_bytes import Frame, write

UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
CHUNKED = b"POST / HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n"


def up(world: World, alpn: str = "h2") -> Lane:
    """Bring the one lane up."""
    lane = world.lanes[0]
    world.resolved(lane)
    world.connected(lane, alpn)
    return lane


def answer(world: World, lane: Lane, content: bytes = b"ok") -> None:
    """Answer the last request of an HTTP/2 link."""
    assert isinstance(lane.peer, NewPeer)
    stream = max(lane.peer.streams)
    lane.peer.codec.respond(stream, respond(), end=False)
    lane.peer.codec.data(stream, content)
    lane.peer.codec.end(stream, ())
    world.deliver(lane)


def statuses(world: World) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", world.received)]


# -- an upstream that has HTTP/2 alone -------------------------------------------------------------


def test_requests_follow_each_other_on_one_link() -> None:
    world = World()
    world.client(get("/1"))
    lane = up(world)
    answer(world, lane)
    for number in range(2, 5):
        world.client(post(b"x" * number) if number % 2 else get(f"/{number}"))
        answer(world, lane)
    assert statuses(world) == [200] * 4
    assert isinstance(lane.peer, NewPeer)
    assert len(lane.peer.streams) == 4
    assert sum(isinstance(step, Resolve) for step in world.steps) == 1


def test_a_link_that_went_away_is_ended_before_another_is_asked_for() -> None:
    world = World()
    world.client(get("/1"))
    lane = up(world)
    answer(world, lane)
    lane.say += raw.goaway(1)
    world.deliver(lane)
    world.client(get("/2"))
    assert world.lanes[0] is not lane
    answer(world, up(world))
    assert statuses(world) == [200, 200]


def test_a_link_that_went_away_with_the_request_on_it() -> None:
    world = World()
    world.client(get("/1"))
    lane = up(world)
    lane.say += raw.goaway(0)
    world.deliver(lane)
    answer(world, up(world))
    assert statuses(world) == [200]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_link_that_ends_as_it_is_used_again(method: str) -> None:
    world = World()
    world.client(get("/1"))
    lane = up(world)
    answer(world, lane)
    world.client(get("/2") if method == "GET" else post(b"x"))
    world.upstream_eof(lane)
    if method == "GET":
        answer(world, up(world))
        assert statuses(world) == [200, 200]
    else:
        assert statuses(world) == [200, 502]
        assert not world.lanes
        world.client(get("/3"))
        assert world.closed is not None or world.lanes


def test_a_link_that_ends_between_requests() -> None:
    world = World()
    world.client(get("/1"))
    lane = up(world)
    answer(world, lane)
    world.upstream_eof(lane)
    assert not world.lanes
    world.client(get("/2"))
    answer(world, up(world, "h2"))
    assert statuses(world) == [200, 200]


def test_a_link_stays_behind_when_a_tunnel_begins() -> None:
    world = World()
    world.client(get("/1"))
    answer(world, up(world))
    world.client(b"CONNECT api.example.com:80 HTTP/1.1\r\nHost: api.example.com:80\r\n\r\n")
    assert not world.lanes
    world.client(get("/2"))
    answer(world, up(world))
    assert world.received.count(b"ok") == 2


def test_a_link_serves_the_host_it_was_dialled_for_and_no_other() -> None:
    world = World()
    world.client(get("/1"))
    answer(world, up(world))
    world.client(get("http://other.example.com/2", host="other.example.com"))
    lane = world.lanes[0]
    assert lane.waits == "resolve"
    resolves = [step.target.host for step in world.steps if isinstance(step, Resolve)]
    assert resolves == ["api.example.com", "other.example.com"]


@pytest.mark.parametrize("linked", [False, True])
def test_a_websocket_has_no_way_through_a_link(*, linked: bool) -> None:
    world = World()
    if linked:
        world.client(get("/1"))
        answer(world, up(world))
    world.client(get("/ws", extra=UPGRADE))
    lane = up(world)
    assert isinstance(lane.peer, NewPeer)
    assert not lane.peer.streams
    assert statuses(world)[-1] == 403
    assert b"http_unsupported" in world.received
    assert not world.lanes


def test_a_long_upload_to_a_link_is_read_as_it_is_taken() -> None:
    limits = Http2Limits(window=65_535, connection_window=65_535)
    world = World(limits=Limits(body_hold=1000), upstream_limits=limits)
    world.client(post(b"y" * 3_000_000)[:2000])
    lane = up(world)
    assert isinstance(lane.peer, NewPeer)
    lane.peer.reads = False
    left = len(post(b"y" * 3_000_000)) - 2000
    held = 0
    for _ in range(1000):
        if world.flow.wants_client and left:
            piece = b"y" * min(65_536, left)
            world.client(piece)
            left -= len(piece)
            assert memory(world.flow) < 500_000
        else:
            held += 1
            lane.peer.read_on()
            world.deliver(lane)
    assert held > 20
    assert lane.peer.streams[1].body == b"y" * 3_000_000
    answer(world, lane)
    assert statuses(world) == [200]


def test_a_response_of_a_link_in_the_terms_of_http1() -> None:
    world = World()
    world.client(get("/1"))
    lane = up(world)
    assert isinstance(lane.peer, NewPeer)
    codec = lane.peer.codec
    codec.respond(1, respond(103, (field("link", "x"),), body=False), end=False)
    codec.respond(1, respond(fields=(field("x-a", "b"),)), end=False)
    codec.data(1, b"abc")
    codec.end(1, (field("x-sum", "7"),))
    world.deliver(lane)
    assert world.received == (
        b"HTTP/1.1 200 \r\nx-a: b\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n"
    )


def test_an_http10_client_of_a_link_gets_the_end_as_the_end() -> None:
    world = World()
    world.client(b"GET / HTTP/1.0\r\nHost: api.example.com\r\n\r\n")
    answer(world, up(world))
    assert world.received.endswith(b"Connection: close\r\n\r\nok")
    assert world.closed is not None


# -- one lane after the other ----------------------------------------------------------------------


def test_a_lane_that_was_full_at_its_end_does_not_stop_the_next_request() -> None:
    world = World()
    world.client(post(b"x" * 1000))
    lane = up(world, "http/1.1")
    world.full(lane, full=True)
    reads = [world.flow.wants_client]
    lane.say += OK
    world.deliver(lane)
    assert EndUpstream(reusable=True) in world.steps
    assert [*reads, world.flow.wants_client] == [False, True]
    world.client(get("/2"))
    assert world.lanes


def test_pipelined_requests_are_answered_though_the_agent_has_ended_its_side() -> None:
    world = World()
    world.client(get("/1") + get("/2") + get("/3"))
    world.client_eof()
    for _ in range(3):
        lane = up(world, "http/1.1")
        lane.say += OK
        world.deliver(lane)
    assert statuses(world) == [200, 200, 200]
    assert world.closed is not None


def test_a_half_request_behind_a_whole_one_is_not_waited_for() -> None:
    world = World()
    world.client(get("/1") + b"GET /2 HTTP/1.1\r\nHo")
    world.client_eof()
    lane = up(world, "http/1.1")
    lane.say += OK
    world.deliver(lane)
    assert statuses(world) == [200]
    assert world.closed is not None


def test_a_body_that_was_complete_at_the_agents_end_is_sent() -> None:
    world = World(limits=Limits(body_hold=1000))
    world.client(CHUNKED + chunk(b"x" * 1500))
    world.client(chunk(b"y" * 500) + b"0\r\n\r\n")  # waits for the dial
    world.client_eof()
    lane = up(world, "http/1.1")
    assert isinstance(lane.peer, OldPeer)
    assert lane.peer.requests[0].complete
    assert lane.peer.requests[0].body == b"x" * 1500 + b"y" * 500
    lane.say += OK
    world.deliver(lane)
    assert statuses(world) == [200]


def test_a_body_that_was_not_complete_is_given_up() -> None:
    world = World(limits=Limits(body_hold=1000))
    world.client(CHUNKED + chunk(b"x" * 1500))
    world.client(chunk(b"y" * 500))
    world.client_eof()
    lane = up(world, "http/1.1")
    assert isinstance(lane.peer, OldPeer)
    assert not lane.peer.requests[0].complete
    assert not world.lanes
    assert world.closed is not None
    assert [step.reason for step in world.finished.values()] == ["client_closed"]


def test_a_body_that_is_held_when_the_agent_ends_closes_gently() -> None:
    world = World()
    world.client(CHUNKED + chunk(b"x"))
    world.client_eof()
    assert world.closed == Close(reset=False)


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
def test_a_held_body_that_turns_out_to_be_bad_leaves_nothing_of_the_request(alpn: str) -> None:
    world = World(limits=Limits(body_hold=1000))
    world.client(CHUNKED + chunk(b"x" * 1500 + b"SECRET"))
    lane = up(world, alpn)
    assert isinstance(lane.peer, OldPeer | NewPeer)
    assert not lane.peer.requests
    assert statuses(world) == [403]


def test_grpc_web_without_content_is_a_whole_request() -> None:
    world = World()
    kind = b"Content-Type: application/grpc-web+proto\r\nExpect: 100-continue\r\n"
    world.client(post(b"", kind))
    lane = up(world)
    assert isinstance(lane.peer, NewPeer)
    assert lane.peer.streams[1].complete
    answer(world, lane)
    assert statuses(world) == [100, 200]
    assert not world.over


def test_a_connection_that_comes_too_late_is_given_back() -> None:
    world = World()
    world.client(get("/1"))
    lane = world.lanes[0]
    world.failed(lane)
    steps = world.flow.connected("192.0.2.1", world.now, 0, reused=False)
    assert steps == [EndUpstream(reusable=False)]


def test_what_upstream_says_does_not_keep_back_what_the_agent_has_said() -> None:
    world = World(limits=Limits(body_hold=1000))
    world.client(CHUNKED + chunk(b"x" * 1500))
    lane = up(world, "http/1.1")
    world.client(chunk(b"and this"))
    lane.say += b"HTTP/1.1 200 OK\r\n\r\n"
    for _ in range(5):
        lane.say += b"tick"
        world.deliver(lane)
        world.wait(0.05)
    assert isinstance(lane.peer, OldPeer)
    assert lane.peer.requests[0].body.endswith(b"and this")


def test_an_address_that_is_refused_ends_the_exchange_that_was_allowed() -> None:
    world = World()
    world.client(get("/1"))
    world.resolved(world.lanes[0], "10.0.0.1")
    assert [step.reason for step in world.finished.values()] == ["address_private"]
    assert [step.status for step in world.finished.values()] == [403]


def test_the_last_frame_of_a_websocket_reaches_upstream_before_the_end() -> None:
    world = World()
    world.client(get("/ws", extra=UPGRADE))
    lane = up(world, "http/1.1")
    lane.say += (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )
    assert isinstance(lane.peer, OldPeer)
    lane.peer.switched = True
    world.deliver(lane)
    lane.say += write(Frame(8, b"\x03\xe8"), masked=False)
    world.deliver(lane)
    world.client(write(Frame(8, b"\x03\xe8"), masked=True))
    sent = [type(step) for step in world.steps[-4:]]
    assert sent == [ToUpstream, Finished, EndUpstream, Close]
    assert EndUpstream(reusable=False, gently=True) in world.steps


@pytest.mark.parametrize("events", [Started, Ended])
def test_events_are_told_apart(events: type) -> None:
    """The peer of these tests sees what upstreams see."""
    peer = NewPeer(Http2Limits(), 0.0)
    found = peer.take(raw.PREFACE + raw.settings() + raw.headers(1, raw.POST, end=False), 0.0)
    found += peer.take(raw.data(1, b"x", end=True), 0.0)
    assert any(isinstance(event, events) for event in found)


# -- the end of a stream in its own terms ----------------------------------------------------------


class BadWords(ScriptedJudge):
    """Blocks what comes back with INJECT in it."""

    def inbound_window(self, where: str, target: Target, *, apart: bool = True) -> BadWords:
        return self

    blocks = True

    def judge(self, piece: bytes) -> Verdict | None:
        found = b"INJECT" in piece
        return Verdict(Action.BLOCK, Reason.INJECTION, "scripted") if found else None


def stream(minor: int, said: bytes, method: str = "GET") -> World:
    world = World(judge=BadWords())
    world.client(b"%b / HTTP/1.%d\r\nHost: api.example.com\r\n\r\n" % (method.encode(), minor))
    lane = up(world, "http/1.1")
    for at in range(0, len(said), 7):
        lane.say += said[at : at + 7]
        world.deliver(lane)
    return world


EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def test_a_stream_of_events_ends_with_an_event_that_says_why() -> None:
    world = stream(1, EVENTS + b"\r\ndata: one\n\ndata: INJECT\n\ndata: three\n\n")
    assert b"data: one\n\n" in world.received
    assert b"event: error\ndata: {" in world.received
    assert world.received.endswith(b"0\r\n\r\n")
    assert b"INJECT" not in world.received
    assert b"three" not in world.received
    assert [step.reason for step in world.finished.values()] == ["injection"]
    assert not world.over  # the connection goes on


def test_for_an_http10_client_the_end_is_the_end() -> None:
    world = stream(0, EVENTS + b"\r\ndata: one\n\ndata: INJECT\n\n")
    assert b"data: one\n\nevent: error\ndata: {" in world.received
    assert world.closed == Close(reset=False)


@pytest.mark.parametrize("fields", [b"Content-Length: 5000\r\n", b"Content-Encoding: gzip\r\n"])
def test_what_has_no_such_terms_is_seen_to_be_cut(fields: bytes) -> None:
    content = b"data: one\n\n" + b"data: " + b"z" * 200 + b"\n\n" + b"data: INJECT\n\n"
    if b"gzip" in fields:
        content = gzip.compress(b"data: one\n\n", 0)[:-8] + b"damage" * 9
    world = stream(1, EVENTS + fields + b"\r\n" + content)
    assert b"event: error" not in world.received
    assert world.closed == Close(reset=True) or statuses(world) == [403]
    assert b"INJECT" not in world.received


def test_a_head_alone_has_nothing_that_could_steer() -> None:
    world = stream(1, EVENTS + b"Content-Length: 9\r\n\r\n", "HEAD")
    assert statuses(world) == [200]
    assert not world.over


def test_an_event_in_tiny_pieces_costs_no_more_than_its_bytes() -> None:
    judge, window = cast("Judge", BadWords()), cast("Any", BadWords())
    inbound = Events(judge, cast("Any", None), window, Sse(), (), Limits())
    began = time.process_time()
    for _ in range(50_000):
        assert inbound.feed(b"data: twenty bytes..") == b""
    assert len(inbound.feed(b"end\n\n")) == 1_000_005
    assert time.process_time() - began < 1.0  # measured 0.03; 4 when each piece is a copy of all
