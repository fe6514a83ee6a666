"""Constant memory: whatever a peer sends without end, a flow keeps little, or ends it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interceptor.model import Target
from interceptor.policy.schema import Limits
from interceptor.verdict import Verdict
from interceptor.wire.http1 import chunk
from interceptor.wire.http2 import Http2Limits
from tests import http2_bytes as raw
from tests.conversation import ScriptedJudge, get, post
from tests.flow_world import NewPeer, OldPeer, World, memory
from tests.http2_talk import Http2Talk, ask, client_hello, respond, silent
from tests.websocket_bytes import Frame, write

LIMITS = Limits(body_hold=100_000, message_bytes=200_000, decoded_bytes=1_000_000)
MUCH = 20_000_000
READ = 65_536
LITTLE = 1_500_000
CHUNKED = b"POST / HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n"
CALL = (*raw.POST, (b"content-type", b"application/grpc"))
UPGRADE = get(
    "/ws",
    extra=b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


class Forgetful(ScriptedJudge):
    """Judges each message by itself, so that it keeps nothing."""

    def message_window(self, target: Target, where: str) -> Forgetful:  # type: ignore[override]
        return self

    def copy(self) -> Forgetful:
        return self

    def judge(self, message: bytes) -> Verdict | None:
        return None


def old() -> World:
    return World(limits=LIMITS, judge=Forgetful())


def new() -> World:
    world = World(port=443, limits=LIMITS)
    world.client(client_hello("api.example.com", ["h2"]))
    world.client(raw.PREFACE + raw.settings())
    return world


def up(world: World, alpn: str = "http/1.1") -> None:
    lane = world.lanes[0]
    world.resolved(lane)
    world.connected(lane, alpn)


def opened(head: bytes, alpn: str = "http/1.1") -> World:
    world = old()
    world.client(head)
    up(world, alpn)
    return world


def stuck(head: bytes) -> World:
    world = opened(head)
    world.full(world.lanes[0], full=True)
    return world


def switched() -> World:
    world = opened(UPGRADE)
    lane = world.lanes[0]
    assert isinstance(lane.peer, OldPeer)
    lane.peer.switched = True
    lane.say += SWITCH
    world.deliver(lane)
    return world


def streaming(head: bytes, alpn: str = "http/1.1") -> World:
    """A body that is beyond what is held, to an upstream that takes it."""
    world = old()
    world.client(head + chunk(b"y" * 150_000))
    up(world, alpn)
    return world


def asked(pairs: raw.Pairs, *, end: bool) -> World:
    world = new()
    world.client(raw.headers(1, pairs, end=end))
    return world


HEAD = post(b"y" * MUCH)[:-MUCH]
FLOODS: dict[str, tuple[Callable[[], World], bytes]] = {
    "a head without end": (old, b"GET /" + b"a" * READ),
    "fields without end": (old, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 9000),
    "requests behind one that waits": (lambda: opened(get("/")), get("/") * 900),
    "requests behind one that is dialled": (old, get("/") * 900),
    "a body for an upstream that is full": (lambda: stuck(HEAD + b"y" * 100_001), b"y" * READ),
    "a body to be dialled for": (old, HEAD + b"y" * READ),
    "chunks": (lambda: streaming(CHUNKED), chunk(b"y" * READ)),
    "tiny chunks": (lambda: streaming(CHUNKED), chunk(b"y") * 9000),
    "tiny chunks to HTTP/2": (lambda: streaming(CHUNKED, "h2"), chunk(b"y") * 9000),
    "trailers": (lambda: streaming(CHUNKED), b"0\r\n" + b"A: b\r\n" * 9000),
    "a chunk line": (lambda: streaming(CHUNKED), b"1;" + b"x" * READ),
    "a message without end": (
        switched,
        write(Frame(1, b"y" * READ, fin=False), masked=True)
        + write(Frame(0, b"y" * READ, fin=False), masked=True) * 20,
    ),
    "messages": (switched, write(Frame(1, b"y" * 2000), masked=True) * 30),
    "pings": (switched, write(Frame(9, b"y" * 100), masked=True) * 100),
    "what no protocol begins with": (old, b"\x00" * READ),
    "half a TLS record": (old, b"\x16\x03\x01\x40\x00\x01\x00\xff\xff\x03\x03" + b"z" * READ),
    "a preface and nothing known": (new, b"\0\x40\0\xff\0\0\0\0\0" + bytes(16_384)),
    "h2 pings": (new, raw.ping() * 3000),
    "h2 settings": (new, raw.settings((3, 100)) * 3000),
    "h2 a block without end": (
        new,
        raw.frame(raw.HEADERS, 0, 1, b"\0" * 100) + raw.frame(9, 0, 1, b"\0" * 10_000) * 9,
    ),
    "h2 content to be dialled for": (lambda: asked(CALL, end=False), raw.data(1, b"y" * 16_000)),
    "h2 content in tiny frames": (lambda: asked(CALL, end=False), raw.data(1, b"y") * 3000),
    "h2 streams": (
        new,
        b"".join(raw.headers(number) for number in range(1, 1999, 2)),
    ),
    "h2 streams with content": (
        new,
        b"".join(raw.headers(n, CALL, end=False) + raw.data(n, b"y" * 9) for n in range(1, 999, 2)),
    ),
    "h2 resets": (new, b"".join(raw.headers(n) + raw.reset(n) for n in range(1, 1999, 2))),
}


@pytest.mark.parametrize("name", FLOODS)
def test_what_an_agent_sends_without_end(name: str) -> None:
    begin, flood = FLOODS[name]
    world = begin()
    sent = 0
    while sent < MUCH and not world.over and world.flow.wants_client:
        world.client(flood[:READ])
        for at in range(READ, len(flood), READ):
            world.client(flood[at : at + READ])
        sent += len(flood)
        world.received = b""
        world.steps.clear()
        for lane in world.lanes.values():
            if isinstance(lane.peer, OldPeer):
                lane.peer.raw = lane.peer._buffer = b""
                for seen in lane.peer.requests:
                    seen.body = b""
        assert memory(world.flow) < LITTLE
        if sent > 10 * len(flood) and sent > 500_000 and memory(world.flow) < READ:
            break  # it goes on like this


UPSTREAM: dict[str, bytes] = {
    "a head without end": b"HTTP/1.1 200 OK\r\nA: " + b"z" * READ,
    "interim responses": b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" * 2000,
    "a chunk line": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"z" * READ,
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 9000,
    "content": b"HTTP/1.1 200 OK\r\n\r\n" + b"z" * READ,
    "an event": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + b"z" * READ,
    "more than the length": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + b"z" * READ,
    "more behind an empty one": b"HTTP/1.1 204 OK\r\n\r\n" + b"z" * READ,
}


@pytest.mark.parametrize("name", UPSTREAM)
def test_what_an_upstream_sends_without_end(name: str) -> None:
    world = opened(get("/"))
    lane = world.lanes[0]
    said = UPSTREAM[name]
    for at in range(0, len(said), READ):
        lane.say += said[at : at + READ]
        world.deliver(lane)
    for _ in range(60):
        lane.say += said[-READ:]
        world.deliver(lane)
        world.received = b""
        assert memory(world.flow) < LITTLE


def test_an_upstream_of_http2_that_only_pings() -> None:
    world = opened(get("/"), "h2")
    lane = world.lanes[0]
    assert isinstance(lane.peer, NewPeer)
    for _ in range(50):
        lane.say += raw.ping() * 1000
        world.deliver(lane)
        assert memory(world.flow) < LITTLE
    assert 0 not in world.lanes


def test_a_slow_agent_of_http2_and_a_quick_upstream_of_http1() -> None:
    talk = Http2Talk(
        old=lambda _: b"",
        tls=True,
        agent_limits=Http2Limits(window=65_535, connection_window=65_535),
    )
    talk.reads = False
    for number in range(20):
        talk.ask(ask(f"/{number}"))
        talk.act(talk.flow.upstream_bytes(b"HTTP/1.1 200 OK\r\n\r\n", talk.now, number))
        for _ in range(50):
            if number not in talk.held:
                talk.act(talk.flow.upstream_bytes(b"z" * READ, talk.now, number))
    assert len(talk.held) == 20
    assert memory(talk.flow) < 20 * 3 * READ


def test_a_slow_agent_of_http2_and_a_quick_upstream_of_http2() -> None:
    talk = Http2Talk(
        serve=silent,
        agent_limits=Http2Limits(window=65_535, connection_window=65_535),
    )
    talk.reads = False
    for number in range(20):
        talk.ask(ask(f"/{number}"))
    site = talk.sites[0]
    for stream in range(1, 40, 2):
        site.codec.respond(stream, respond(), end=False)
        site.codec.data(stream, b"z" * 1_000_000)
    for _ in range(50):
        talk.reply(site)
    # What each stream may have waiting, and upstream's window for the whole connection.
    assert memory(talk.flow) < 20 * 65_536 + 1_048_576 + LITTLE / 2
