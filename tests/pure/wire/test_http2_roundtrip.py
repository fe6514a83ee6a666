"""Both roles against each other and against hostile bytes: what goes in comes out."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.wire.http1 import Field, Framing, RequestHead, ResponseHead
from interceptor.wire.http2 import (
    AgentHttp2,
    Answered,
    Code,
    Data,
    Ended,
    Event,
    Http2Error,
    Http2Limits,
    Started,
    UpstreamHttp2,
)
from tests.http2_bytes import (
    DATA,
    GET,
    HEADERS,
    POST,
    PREFACE,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    data,
    frame,
    goaway,
    headers,
    ping,
    reset,
    split,
    window,
)
from tests.http2_bytes import settings as settings_frame

NAMES = st.from_regex(rb"x-[a-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True)
VALUES = st.one_of(
    st.just(b""),
    st.from_regex(rb"[!-~\x80-\xff]([\t -~\x80-\xff]{0,200}[!-~\x80-\xff])?", fullmatch=True),
)
SECTIONS = st.lists(st.tuples(NAMES, VALUES), max_size=8).map(
    lambda pairs: tuple((name, name, value) for name, value in pairs)
)
BODIES = st.lists(st.binary(max_size=300) | st.integers(1, 90_000).map(bytes), max_size=5)


class Message:
    """One message that goes one way."""

    def __init__(
        self,
        fields: tuple[Field, ...],
        body: list[bytes],
        trailers: tuple[Field, ...],
        told: bool,
    ) -> None:
        self.fields = fields
        self.body = body
        self.trailers = trailers
        self.length = sum(map(len, body))
        self.framing = Framing.LENGTH if told else Framing.CHUNKED

    def request(self, path: bytes) -> RequestHead:
        none = frozenset[bytes]()
        return RequestHead(
            method="POST",
            target=path,
            minor=1,
            fields=self.fields,
            framing=self.framing,
            length=self.length,
            host=b"a.example",
            keep_alive=True,
            expects_continue=False,
            raw=b"",
            connection=none,
            upgrade=None,
            codings=None,
        )

    def response(self) -> ResponseHead:
        none = frozenset[bytes]()
        return ResponseHead(200, b"", 1, self.fields, self.framing, self.length, True, none)


MESSAGES = st.builds(Message, SECTIONS, BODIES, SECTIONS, st.booleans())


class Windows:
    """Follows one direction of a connection and holds its flow control (section 6.9)."""

    def __init__(self, initial: int) -> None:
        self.initial = initial
        self.connection = 65_535
        self.streams: dict[int, int] = {}
        self.most = 16_384

    def sent(self, frames: list[Frame]) -> None:
        for item in frames:
            assert len(item.payload) <= self.most
            if item.kind == HEADERS:
                self.streams.setdefault(item.stream, self.initial)
            if item.kind == DATA:
                self.connection -= len(item.payload)
                self.streams[item.stream] -= len(item.payload)
                assert self.connection >= 0
                assert self.streams[item.stream] >= 0

    def given(self, frames: list[Frame]) -> None:
        for item in frames:
            if item.kind == WINDOW_UPDATE:
                size = int.from_bytes(item.payload, "big")
                if item.stream:
                    self.streams[item.stream] += size
                else:
                    self.connection += size


class Side:
    """What one side has got of each stream."""

    def __init__(self) -> None:
        self.heads: dict[int, RequestHead | ResponseHead] = {}
        self.bodies: dict[int, bytes] = {}
        self.trailers: dict[int, tuple[Field, ...]] = {}
        self.held: list[tuple[int, int]] = []

    def take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Started | Answered):
                self.heads[event.stream] = event.head
                assert not event.end
                self.bodies[event.stream] = b""
            elif isinstance(event, Data):
                assert event.data
                assert event.flow == len(event.data)
                self.bodies[event.stream] += event.data
                self.held.append((event.stream, event.flow))
            else:
                assert isinstance(event, Ended)
                self.trailers[event.stream] = event.trailers


def assert_came(side: Side, stream: int, message: Message) -> None:
    head = side.heads[stream]
    assert tuple(f for f in head.fields if f[1] != b"content-length") == message.fields
    assert (head.framing, head.length) == (
        message.framing,
        message.length if message.framing is Framing.LENGTH else 0,
    )
    assert side.bodies[stream] == b"".join(message.body)
    assert side.trailers[stream] == message.trailers


@settings(max_examples=80, deadline=None)
@given(
    requests=st.lists(st.tuples(MESSAGES, MESSAGES), min_size=1, max_size=6),
    sizes=st.tuples(st.sampled_from((65_535, 70_001, 262_140)), st.sampled_from((0, 1 << 20))),
    cut=st.integers(1, 40_000),
    draw=st.data(),
)
def test_what_goes_in_comes_out(
    requests: list[tuple[Message, Message]],
    sizes: tuple[int, int],
    cut: int,
    draw: st.DataObject,
) -> None:
    limits = Http2Limits(window=sizes[0], connection_window=sizes[1])
    agent = AgentHttp2(limits, 0.0)
    upstream = UpstreamHttp2(limits, 0.0)
    got_agent, got_upstream = Side(), Side()
    up, down = Windows(sizes[0]), Windows(sizes[0])
    # Both prefaces first, so that the followers know where frames begin.
    first_up, first_down = upstream.outgoing(), agent.outgoing()
    down.given(split(first_up[len(PREFACE) :]))
    up.given(split(first_down))
    got_agent.take(agent.feed(first_up, 0.0))
    got_upstream.take(upstream.feed(first_down, 0.0))
    todo: list[tuple[str, int]] = []
    for number, (request, _) in enumerate(requests):
        head = request.request(b"/%d" % number)
        stream = upstream.request(head, head.target, b"a.example", "https", end=False)
        assert stream == 2 * number + 1
        todo += [("up", stream)] * (len(request.body) + 1)
        todo += [("down", stream)] * (len(requests[number][1].body) + 2)
    order = iter(draw.draw(st.permutations(todo)))
    at = {"up": dict.fromkeys(range(1, 99, 2), 0), "down": dict.fromkeys(range(1, 99, 2), 0)}
    exhausted = False
    for _ in range(4000):
        step = next(order, None)
        if step is None:
            exhausted = True
        else:
            where, stream = step
            turn = at[where][stream]
            at[where][stream] += 1
            request, response = requests[stream // 2]
            if where == "up":
                if turn < len(request.body):
                    upstream.data(stream, request.body[turn])
                else:
                    upstream.end(stream, request.trailers)
            elif stream not in got_agent.heads:
                order = iter([*order, step])  # not there yet
                at[where][stream] -= 1
            elif turn == 0:
                agent.respond(stream, response.response(), end=False)
            elif turn <= len(response.body):
                agent.data(stream, response.body[turn - 1])
            else:
                agent.end(stream, response.trailers)
        sent_up, sent_down = upstream.outgoing(), agent.outgoing()
        frames_up, frames_down = split(sent_up), split(sent_down)
        up.sent(frames_up)
        down.sent(frames_down)
        for start in range(0, len(sent_up), cut):
            got_agent.take(agent.feed(sent_up[start : start + cut], 0.0))
        for start in range(0, len(sent_down), cut):
            got_upstream.take(upstream.feed(sent_down[start : start + cut], 0.0))
        down.given(frames_up)
        up.given(frames_down)
        for side, codec in ((got_agent, agent), (got_upstream, upstream)):
            # Some of what came is passed on now, the rest later.
            keep = 0 if exhausted else len(side.held) // 2
            while len(side.held) > keep:
                codec.acknowledge(*side.held.pop(0))
        if exhausted and not sent_up and not sent_down and not agent.open_streams:
            break
    for number, (request, response) in enumerate(requests):
        stream = 2 * number + 1
        assert_came(got_agent, stream, request)
        assert_came(got_upstream, stream, response)
        assert agent.backlog(stream) == upstream.backlog(stream) == 0
    assert agent.open_streams == upstream.open_streams == 0


def test_a_body_of_any_size_takes_no_more_than_the_windows() -> None:
    agent, upstream = AgentHttp2(Http2Limits(), 0.0), UpstreamHttp2(Http2Limits(), 0.0)
    agent.feed(upstream.outgoing(), 0.0)
    upstream.feed(agent.outgoing(), 0.0)
    message = Message((), [bytes(1 << 20)] * 16, (), told=True)
    stream = upstream.request(message.request(b"/"), b"/", b"a.example", "https", end=False)
    passed = 0
    for part in message.body:
        upstream.data(stream, part)
        while True:
            sent = upstream.outgoing()
            assert len(sent) < 1 << 19
            events = agent.feed(sent, 0.0)
            for event in events:
                if isinstance(event, Data):
                    agent.acknowledge(stream, event.flow)
                    passed += event.flow
            upstream.feed(agent.outgoing(), 0.0)
            if not sent:
                break
        assert upstream.backlog(stream) == 0
    upstream.end(stream, ())
    assert [type(event) for event in agent.feed(upstream.outgoing(), 0.0)] == [Ended]
    assert passed == message.length


# -- hostile bytes ---------------------------------------------------------------------------

FRAMES = st.one_of(
    st.builds(
        frame,
        st.integers(0, 12),
        st.integers(0, 255),
        st.integers(0, 6) | st.just(2**32 - 1),
        st.binary(max_size=40),
    ),
    st.builds(headers, st.integers(0, 6), st.sampled_from((GET, POST, [(b"x", b"y")]))),
    st.builds(lambda stream: headers(stream, POST, end=False), st.sampled_from((1, 3, 5))),
    st.builds(
        lambda stream, status: headers(stream, [(b":status", status)], end=False),
        st.sampled_from((1, 3, 5)),
        st.sampled_from((b"200", b"100", b"204")),
    ),
    st.builds(data, st.integers(0, 6), st.binary(max_size=20), end=st.booleans()),
    st.builds(window, st.integers(0, 6), st.sampled_from((0, 1, 100, 2**31 - 1))),
    st.builds(reset, st.integers(0, 6), st.integers(0, 20)),
    st.builds(
        lambda code, value: settings_frame((code, value)),
        st.integers(0, 9),
        st.sampled_from((0, 1, 2, 100, 16_384, 65_535, 2**31 - 1, 2**31)),
    ),
    st.builds(goaway, st.integers(0, 6)),
    st.builds(ping),
    st.binary(max_size=30),
)


def play(codec: AgentHttp2 | UpstreamHttp2, pieces: list[bytes]) -> tuple[str, bytes]:
    """Feed pieces; what was told, and what was sent."""
    told: list[Event] = []
    out = b""
    failed = ""
    for piece in pieces:
        try:
            told += codec.feed(piece, 0.0)
        except Http2Error as error:
            told += error.events
            assert not failed
            failed = f"{error.reason} {error.detail}"
    out += codec.outgoing()
    return f"{told} {failed}", out


@settings(max_examples=400, deadline=None)
@given(frames=st.lists(FRAMES, max_size=12), cut=st.integers(1, 50), client=st.booleans())
def test_only_http2_errors_and_the_same_however_it_is_cut(
    frames: list[bytes], cut: int, client: bool
) -> None:
    whole = settings_frame() + b"".join(frames)
    if not client:
        whole = PREFACE + whole
    results = []
    for size in (len(whole), cut):
        codec: AgentHttp2 | UpstreamHttp2
        if client:
            codec = UpstreamHttp2(Http2Limits(), 0.0)
            for _ in range(2):
                head = Message((), [], (), told=False).request(b"/")
                stream = codec.request(head, b"/", b"a.example", "https", end=False)
                codec.data(stream, b"some")
        else:
            codec = AgentHttp2(Http2Limits(), 0.0)
        assert codec.outgoing()
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        results.append(play(codec, pieces))
        # Whatever was left standing can be used without a crash.
        for number in (1, 3, 5):
            assert codec.backlog(number) == 0
            codec.data(number, b"")
            codec.reset(number, Code.CANCEL)
        codec.outgoing()
        assert codec.open_streams == 0
    assert results[0] == results[1]


@settings(max_examples=300, deadline=None)
@given(noise=st.binary(max_size=200), client=st.booleans())
def test_noise(noise: bytes, client: bool) -> None:
    codec = UpstreamHttp2(Http2Limits(), 0.0) if client else AgentHttp2(Http2Limits(), 0.0)
    with contextlib.suppress(Http2Error):
        codec.feed(noise, 0.0)
    assert codec.outgoing()


@settings(max_examples=300, deadline=None)
@given(block=st.binary(max_size=300))
def test_noise_as_a_header_block(block: bytes) -> None:
    codec = AgentHttp2(Http2Limits(), 0.0)
    with contextlib.suppress(Http2Error):
        codec.feed(PREFACE + settings_frame() + frame(HEADERS, 5, 1, block), 0.0)
    kinds = [item.kind for item in split(codec.outgoing())]
    assert kinds[0] == SETTINGS


@pytest.mark.parametrize("size", [1, 1000, 65_535])
def test_backlog_is_what_the_windows_hold_back(size: int) -> None:
    agent = AgentHttp2(Http2Limits(), 0.0)
    agent.feed(PREFACE + settings_frame((4, size)) + headers(1), 0.0)
    agent.respond(1, Message((), [], (), told=False).response(), end=False)
    body = 200_000
    agent.data(1, bytes(body))
    assert agent.backlog(1) == body - size
    agent.outgoing()
    assert agent.backlog(1) == body - size
    rounds = 0
    agent.feed(window(0, 1 << 20), 0.0)
    while agent.backlog(1):
        agent.feed(window(1, 10_000), 0.0)
        agent.outgoing()
        rounds += 1
    assert rounds == math.ceil((body - size) / 10_000)
