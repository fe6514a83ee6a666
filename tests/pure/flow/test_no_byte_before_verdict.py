"""No byte before a verdict, at every cut of the input.

What the agent sends is cut after each of its bytes, and fed in small reads. Nothing is resolved,
dialled or sent before the unit is whole and judged; what leaves then is the same at every cut.
`tests.flow_world` refuses any step that precedes an allowing record of its own exchange.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import msgspec
import pytest

from interceptor.flow.steps import Dial, Record, Resolve, ToUpstream
from interceptor.policy.schema import Limits
from interceptor.wire.http1 import chunk
from tests import http2_bytes as raw
from tests.conversation import get, post
from tests.flow_world import NewPeer, OldPeer, World
from tests.http2_talk import client_hello
from tests.websocket_bytes import Frame, write

CHUNKED = b"POST / HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n"
OPENING = raw.PREFACE + raw.settings()
UPGRADE = get(
    "/ws",
    extra=b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
CALL: raw.Pairs = (*raw.POST, (b"content-type", b"application/grpc"), (b"te", b"trailers"))
SMALL = Limits(body_hold=8)


def grpc(text: bytes) -> bytes:
    return b"\0" + len(text).to_bytes(4) + text


def padded(stream: int, text: bytes, *, end: bool) -> bytes:
    payload = bytes((7,)) + text + bytes(7)
    return raw.frame(raw.DATA, raw.PADDED | (raw.END_STREAM if end else 0), stream, payload)


def split_headers(stream: int, pairs: raw.Pairs, *, end: bool) -> bytes:
    """A header block over three frames."""
    text = raw.block(pairs)
    flags = raw.END_STREAM if end else 0
    return (
        raw.frame(raw.HEADERS, flags, stream, text[:9])
        + raw.frame(raw.CONTINUATION, 0, stream, text[9:30])
        + raw.frame(raw.CONTINUATION, raw.END_HEADERS, stream, text[30:])
    )


def _with(pairs: raw.Pairs, name: bytes, value: bytes) -> raw.Pairs:
    return tuple((n, value if n == name else v) for n, v in pairs)


class Case(msgspec.Struct, frozen=True):
    """What the agent sends: `before` is fed first, then `text`, cut; `verdict` is where the unit
    is whole."""

    text: bytes
    verdict: int
    """Bytes of `text` with which it can be judged."""
    allowed: bool
    http2: bool = False


def _old(text: bytes, *, allowed: bool = False, verdict: int | None = None) -> Case:
    return Case(text, len(text) if verdict is None else verdict, allowed)


def _new(text: bytes, *, allowed: bool = False, verdict: int | None = None) -> Case:
    start = len(OPENING)
    whole = len(text) if verdict is None else verdict
    return Case(OPENING + text, start + whole, allowed, http2=True)


SECRET_PATH = _with(raw.GET, b":path", b"/?k=SECRET")
CASES = {
    "h1 get": _old(get("/a?b"), allowed=True),
    "h1 target": _old(get("/?k=SECRET")),
    "h1 field": _old(get("/", extra=b"X: SECRET\r\n")),
    "h1 body": _old(post(b"clean text"), allowed=True),
    "h1 secret body": _old(post(b"a SECRET b")),
    "h1 chunks": _old(CHUNKED + chunk(b"clean ") + chunk(b"text") + b"0\r\n\r\n", allowed=True),
    "h1 secret chunks": _old(CHUNKED + chunk(b"a SEC") + chunk(b"RET b") + b"0\r\n\r\n"),
    "h1 secret trailer": _old(CHUNKED + chunk(b"text") + b"0\r\nX-T: SECRET\r\n\r\n"),
    "h1 pipelined": _old(get("/a") + get("/b"), allowed=True, verdict=len(get("/a"))),
    "h2 get": _new(raw.headers(1), allowed=True),
    "h2 continued": _new(split_headers(1, raw.GET, end=True), allowed=True),
    "h2 target": _new(raw.headers(1, SECRET_PATH)),
    "h2 continued target": _new(split_headers(1, SECRET_PATH, end=True)),
    "h2 field": _new(raw.headers(1, (*raw.GET, (b"x", b"SECRET")))),
    "h2 crumbs": _new(raw.headers(1, (*raw.GET, (b"cookie", b"a=SECRET"), (b"cookie", b"b=1")))),
    "h2 body": _new(
        raw.headers(1, raw.POST, end=False)
        + padded(1, b"clean ", end=False)
        + raw.data(1, b"text", end=True),
        allowed=True,
    ),
    "h2 secret body": _new(
        raw.headers(1, raw.POST, end=False)
        + padded(1, b"a SEC", end=False)
        + padded(1, b"RET b", end=True),
    ),
    "h2 secret trailer": _new(
        raw.headers(1, raw.POST, end=False)
        + raw.data(1, b"text")
        + raw.headers(1, ((b"x-t", b"SECRET"),)),
    ),
    "h2 call": _new(
        raw.headers(1, CALL, end=False) + raw.data(1, grpc(b"clean")),
        allowed=True,
        verdict=len(raw.headers(1, CALL, end=False)),
    ),
    "h2 secret call": _new(raw.headers(1, (*CALL, (b"x", b"SECRET")), end=False)),
}


def begin(case: Case, limits: Limits | None = None) -> World:
    """A world whose agent is inside of TLS already, as h2 clients mostly are."""
    world = World(port=443, limits=limits)
    world.client(client_hello("api.example.com", ["h2"] if case.http2 else ["http/1.1"]))
    assert world.terminated == ["api.example.com"]
    return world


def reached(world: World) -> bool:
    """Whether anything was done outside."""
    return any(isinstance(step, Resolve | Dial | ToUpstream) for step in world.steps)


def bring_up(world: World, alpn: str) -> None:
    for lane in list(world.lanes.values()):
        if lane.waits == "resolve":
            world.resolved(lane)
        if lane.waits == "dial":
            world.connected(lane, alpn)


@pytest.mark.parametrize("name", CASES)
def test_at_every_cut_nothing_happens_before_the_verdict(name: str) -> None:
    case = CASES[name]
    for cut in range(len(case.text) + 1):
        world = begin(case)
        world.client(case.text[:cut])
        assert reached(world) is (case.allowed and cut >= case.verdict), cut
        if cut < case.verdict:
            assert not any(isinstance(step, Record) for step in world.steps), cut
        world.client(case.text[cut:])
        assert reached(world) is case.allowed
        assert bool(world.blocked) is not case.allowed


@functools.cache
def _whole(name: str, size: int, alpn: str) -> bytes:
    """Everything upstream gets when the text comes in reads of `size` bytes."""
    case = CASES[name]
    world = begin(case)
    for at in range(0, len(case.text), size):
        world.client(case.text[at : at + size])
        bring_up(world, alpn)
    out = b""
    for lane in world.lanes.values():
        peer = lane.peer
        if isinstance(peer, OldPeer):
            out += peer.raw
        elif isinstance(peer, NewPeer):
            out += b"".join(seen.head + seen.body for seen in peer.requests)
    return out


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.allowed])
def test_what_leaves_is_the_same_in_reads_of_any_size(name: str, alpn: str) -> None:
    whole = _whole(name, 1 << 20, alpn)
    assert b"api.example.com" in whole
    for size in (1, 2, 3, 5, 7, 11):
        said = _whole(name, size, alpn)
        if b"Transfer-Encoding: chunked" in whole and size < len(whole):
            said, whole = said.partition(b"\r\n\r\n")[0], whole.partition(b"\r\n\r\n")[0]
        assert said == whole, size


# -- what streams ----------------------------------------------------------------------------------


MESSAGES = [b"one", b"", b"a longer one", b"tail", b"a SEC"]


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_of_a_call_whole_messages_leave(alpn: str, size: int) -> None:
    head = OPENING + raw.headers(1, CALL, end=False)
    framed = b"".join(grpc(text) for text in MESSAGES)
    cuts = [framed[at : at + 4] for at in range(0, len(framed), 4)]
    frames = [raw.data(1, piece) for piece in cuts]
    frame_ends = list(itertools.accumulate(map(len, frames)))
    text = b"".join(frames)
    world = begin(CASES["h2 call"])
    world.client(head)
    bring_up(world, alpn)
    peer = next(iter(world.lanes.values())).peer
    assert peer is not None
    ends = [0, *itertools.accumulate(5 + len(message) for message in MESSAGES)]
    for at in range(0, len(text), size):
        world.client(text[at : at + size])
        whole = sum(end <= at + size for end in frame_ends)
        came = len(b"".join(cuts[:whole]))
        body = peer.requests[0].body
        assert len(body) == max(end for end in ends if end <= came)
        assert framed.startswith(body)
    world.client(raw.data(1, grpc(b"RET"), end=True))
    assert world.blocked
    assert peer.requests[0].body == framed
    assert not peer.requests[0].complete


FRAMES = [
    Frame(1, b"hello"),
    Frame(2, b"a", fin=False),
    Frame(9, b"ping"),
    Frame(0, b"b", fin=False),
    Frame(0, b"c" * 200),
    Frame(1, b"a SEC"),
    Frame(1, b"RET b"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_of_a_websocket_whole_messages_leave(size: int) -> None:
    world = World(port=80)
    world.client(UPGRADE)
    bring_up(world, "http/1.1")
    lane = world.lanes[0]
    assert isinstance(lane.peer, OldPeer)
    lane.peer.switched = True
    lane.say += SWITCH
    world.deliver(lane)
    ends = []
    text = b""
    for frame in FRAMES:
        text += write(frame, masked=True)
        ends.append(len(text))
    for at in range(0, len(text), size):
        world.client(text[at : at + size])
        came = min(at + size, len(text))
        said = lane.peer.requests[0].said
        assert (b"hello" in said) is (came >= ends[0])
        assert (b"ab" + b"c" * 200 in said) is (came >= ends[4])
        assert (b"a SEC" in said) is (came >= ends[5])
        assert b"RET" not in said
    assert world.blocked
    assert world.closed is not None


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 64])
@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
def test_a_body_that_streams_leaves_behind_the_window(alpn: str, size: int, *, http2: bool) -> None:
    plain = b"x" * 300 + b"SEC" + b"RET" + b"y" * 100
    if http2:
        pieces = [raw.data(1, plain[at : at + 9]) for at in range(0, len(plain), 9)]
        text = OPENING + raw.headers(1, raw.POST, end=False) + b"".join(pieces)
        text += raw.data(1, b"", end=True)
    else:
        text = post(plain)
    world = begin(CASES["h2 call" if http2 else "h1 get"], SMALL)
    peer = None
    for at in range(0, len(text), size):
        world.client(text[at : at + size])
        bring_up(world, alpn)
        for lane in world.lanes.values():
            peer = lane.peer
    assert world.blocked
    assert peer is not None
    seen = peer.requests[0]
    assert seen.body  # it streamed
    assert plain.startswith(seen.body)
    assert b"SECRET" not in seen.body
    assert not seen.complete


def test_the_control_of_these_tests() -> None:
    """The world refuses what they look for."""
    world = World(port=80)
    world.client(get("/a"))
    step = next(step for step in world.steps if isinstance(step, Resolve))
    other = msgspec.structs.replace(step.target, path="/never-judged")
    bad: list[Callable[[], None]] = [
        lambda: world._perform(Resolve(other, lane=1)),
        lambda: world._perform(ToUpstream(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
        lambda: world._perform(Dial(step.target, ("192.0.2.1",))),
    ]
    for attempt in bad:
        with pytest.raises(AssertionError):
            attempt()
