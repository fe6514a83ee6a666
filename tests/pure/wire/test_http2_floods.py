"""Floods are refused, and ordinary heavy use is not one."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import pytest
from hpack import Encoder

from interceptor.verdict import Reason
from interceptor.wire.http1 import Framing, RequestHead, ResponseHead
from interceptor.wire.http2 import (
    AgentHttp2,
    Answered,
    Broken,
    Code,
    Data,
    Ended,
    Http2Error,
    Http2Limits,
    Reset,
    Started,
    UpstreamHttp2,
)
from tests.http2_bytes import (
    CONTINUATION,
    DATA,
    GET,
    HEADERS,
    PADDED,
    POST,
    PREFACE,
    PRIORITY,
    SETTINGS,
    data,
    frame,
    gone,
    headers,
    ping,
    reset,
    settings,
    split,
    window,
)

NO_BODY = ResponseHead(200, b"", 1, (), Framing.LENGTH, 0, True, frozenset())
STREAMING = ResponseHead(200, b"", 1, (), Framing.CHUNKED, 0, True, frozenset())


def greeted(limits: Http2Limits | None = None) -> AgentHttp2:
    agent = AgentHttp2(limits or Http2Limits(), 0.0)
    agent.feed(PREFACE + settings(), 0.0)
    agent.outgoing()
    return agent


def fall(
    agent: AgentHttp2, frames: Iterator[bytes], *, each: float, most: int
) -> tuple[int, Http2Error | None, int]:
    """Feed frames, one every `each` seconds; how many it took, the error, and bytes answered."""
    now = 0.0
    answered = 0
    for count in range(most):
        now += each
        try:
            agent.feed(next(frames), now)
        except Http2Error as error:
            assert gone(split(agent.outgoing())) == Code.ENHANCE_YOUR_CALM
            return count, error, answered
        answered += len(agent.outgoing())
    return most, None, answered


def rapid_reset() -> Iterator[bytes]:
    stream = 1
    while True:
        yield headers(stream) + reset(stream)
        stream += 2


def induced_resets() -> Iterator[bytes]:
    """CVE-2025-8671: the server is made to reset, by messages that are malformed."""
    stream = 1
    while True:
        yield headers(stream, POST, end=False) + window(stream, 0)
        stream += 2


def malformed() -> Iterator[bytes]:
    stream = 1
    while True:
        yield headers(stream, [(b"x", b"y")])
        stream += 2


def forever(sent: bytes) -> Callable[[], Iterator[bytes]]:
    def frames() -> Iterator[bytes]:
        yield headers(1, POST, end=False) + sent
        while True:
            yield sent

    return frames


FLOODS: dict[str, Callable[[], Iterator[bytes]]] = {
    "rapid reset": rapid_reset,
    "induced resets": induced_resets,
    "malformed requests": malformed,
    "SETTINGS": forever(settings((4, 65_535))),
    "SETTINGS, empty": forever(settings()),
    "SETTINGS ACK": forever(frame(SETTINGS, 1, 0)),
    "PING": forever(ping()),
    "PING ACK": forever(ping(flags=1)),
    "PRIORITY": forever(frame(PRIORITY, 0, 7, struct.pack(">LB", 5, 1))),
    "unknown frames": forever(frame(0x77, 0, 0)),
    "WINDOW_UPDATE": forever(window(0, 1)),
    "WINDOW_UPDATE on a stream": forever(window(1, 1)),
    "empty DATA": forever(data(1, b"")),
    "DATA of padding alone": forever(frame(DATA, PADDED, 1, b"\x05" + bytes(5))),
    "RST_STREAM of a closed stream": forever(reset(1)),
    "GOAWAY": forever(frame(7, 0, 0, bytes(8))),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_floods_are_refused(flood: str) -> None:
    count, error, answered = fall(greeted(), FLOODS[flood](), each=0.0001, most=50_000)
    assert error is not None
    assert error.reason is Reason.LIMIT_EXCEEDED
    assert count < 5000
    assert answered < 100_000


@pytest.mark.parametrize("flood", FLOODS)
def test_the_same_frames_at_leisure_are_not(flood: str) -> None:
    count = 1000
    assert fall(greeted(), FLOODS[flood](), each=1.0, most=count)[:2] == (count, None)


def test_frames_for_streams_that_are_over_are_counted() -> None:
    agent = greeted()
    agent.feed(headers(1, POST, end=False) + reset(1), 0.0)
    late = iter(lambda: data(1, b"x"), b"")
    assert fall(agent, late, each=0.0, most=50_000)[0] < 5000
    agent = greeted()
    agent.feed(headers(1, POST, end=False), 0.0)
    agent.reset(1, Code.CANCEL)
    late = iter(lambda: headers(1), b"")
    assert fall(agent, late, each=0.0, most=50_000)[0] < 5000


def test_streams_beyond_the_limit_again_and_again() -> None:
    agent = greeted(Http2Limits(streams=1))
    agent.feed(headers(1), 0.0)
    more = (headers(stream) for stream in range(3, 10**6, 2))
    count, error, _ = fall(agent, more, each=0.0001, most=50_000)
    assert error is not None
    assert count < 1000
    assert agent.open_streams == 0


# -- header blocks ---------------------------------------------------------------------------


def refused(sent: bytes, limits: Http2Limits | None = None) -> Code:
    agent = greeted(limits)
    with pytest.raises(Http2Error) as caught:
        agent.feed(sent, 0.0)
    code = gone(split(agent.outgoing()))
    assert code is not None
    expected = {
        Code.ENHANCE_YOUR_CALM: Reason.LIMIT_EXCEEDED,
        Code.COMPRESSION_ERROR: Reason.HTTP_MALFORMED,
    }
    assert caught.value.reason is expected[Code(code)]
    return Code(code)


def test_continuations() -> None:
    first = frame(HEADERS, 1, 1, b"\x00\x01a\x01b")
    assert refused(first + frame(CONTINUATION, 0, 1) * 40) is Code.ENHANCE_YOUR_CALM
    filler = frame(CONTINUATION, 0, 1, bytes(16_384))
    assert refused(first + filler * 9) is Code.ENHANCE_YOUR_CALM
    small = Http2Limits(header_bytes=4096)
    assert refused(first + filler, small) is Code.ENHANCE_YOUR_CALM


def test_a_large_head_in_continuations_passes() -> None:
    agent = greeted()
    block = b"".join(Encoder().encode([pair], huffman=False) for pair in GET)
    value = b"v" * 60_000
    block += b"\x00\x01x" + b"\x7f" + b"\xe1\xd3\x03" + value
    pieces = [block[at : at + 4000] for at in range(0, len(block), 4000)]
    sent = frame(HEADERS, 1, 1, pieces[0])
    for number, piece in enumerate(pieces[1:], 2):
        sent += frame(CONTINUATION, 4 if number == len(pieces) else 0, 1, piece)
    (event,) = agent.feed(sent, 0.0)
    assert isinstance(event, Started)
    assert event.head.fields[-1] == (b"x", b"x", value)


def test_an_hpack_bomb() -> None:
    entry = b"\x40\x01x\x7f\xa1\x1e" + b"a" * 4000
    bomb = entry + b"\xbe" * 12_000  # 12 KB that would be 48 MB
    assert len(bomb) <= 16_384
    assert refused(frame(HEADERS, 5, 1, bomb)) is Code.ENHANCE_YOUR_CALM
    # Up to four times the limit it costs the stream alone, and the table stays right.
    agent = greeted(Http2Limits(header_bytes=16_384))
    (event,) = agent.feed(frame(HEADERS, 5, 1, entry + b"\xbe" * 8), 0.0)
    assert event == Broken(1, Reason.LIMIT_EXCEEDED, "a header section over 16384 bytes")
    (event,) = agent.feed(frame(HEADERS, 5, 3, b"\x82\x84\x87\x41\x01a\xbf"), 0.0)
    assert isinstance(event, Started)
    assert event.head.fields == ((b"x", b"x", b"a" * 4000),)


def test_table_size_updates_alone() -> None:
    assert refused(frame(HEADERS, 5, 1, b"\x20" * 16_384)) is Code.COMPRESSION_ERROR


def test_nothing_grows_with_what_the_peer_allows() -> None:
    agent = greeted(Http2Limits(streams=10))
    agent.feed(settings((1, 2**32 - 1), (6, 2**32 - 1)), 0.0)
    for number in range(2000):
        stream = 2 * number + 1
        agent.feed(headers(stream), 0.0)
        field = (b"x", b"x", b"%d" % number)
        head = ResponseHead(200, b"", 1, (field,), Framing.NONE, 0, True, frozenset())
        agent.respond(stream, head, end=True)
        assert len(agent.outgoing()) < 60
    assert not agent._encoder.header_table.dynamic_entries
    assert len(agent._h2.streams) <= 10
    assert len(agent._h2._closed_streams) <= 1024


# -- ordinary heavy use ----------------------------------------------------------------------


def test_ten_thousand_requests_in_a_row() -> None:
    agent = greeted()
    for number in range(10_000):
        stream = 2 * number + 1
        events = agent.feed(headers(stream) + window(0, 100) * 2, 0.0)
        assert [type(event) for event in events] == [Started]
        agent.respond(stream, NO_BODY, end=True)
        agent.outgoing()
    assert agent.open_streams == 0


def test_a_thousand_cancelled_streams_in_a_minute() -> None:
    agent = greeted()
    for number in range(1000):
        stream = 2 * number + 1
        events = agent.feed(headers(stream) + reset(stream), number * 0.06)
        assert [type(event) for event in events] == [Started, Reset]


def test_hedged_requests_half_of_them_cancelled() -> None:
    agent = greeted()
    for number in range(5000):
        first, second = 4 * number + 1, 4 * number + 3
        agent.feed(headers(first) + headers(second), 0.0)
        agent.respond(first, NO_BODY, end=True)
        agent.outgoing()
        agent.feed(reset(second), 0.0)


def test_a_page_of_a_browser_is_left() -> None:
    agent = greeted()
    for number in range(100):
        agent.feed(headers(2 * number + 1), 0.0)
    for number in range(100):
        agent.feed(reset(2 * number + 1), 0.1)
    assert agent.open_streams == 0


def test_a_grpc_stream_with_pings_and_window_updates() -> None:
    agent = greeted()
    agent.feed(headers(1, POST, end=False), 0.0)
    agent.respond(1, STREAMING, end=False)
    agent.outgoing()
    for number in range(20_000):  # within a second: a message each way, a ping for each
        now = number / 20_000
        events = agent.feed(data(1, b"\0\0\0\0\x05hello") + ping() + window(1, 10), now)
        (event,) = events
        assert isinstance(event, Data)
        agent.acknowledge(1, event.flow)
        agent.data(1, b"\0\0\0\0\x05world")
        kinds = [item.kind for item in split(agent.outgoing()) if item.kind == DATA]
        assert len(kinds) == 1
        agent.feed(window(0, 10), now)


def test_an_idle_connection_with_keepalive_pings() -> None:
    agent = greeted()
    for number in range(10_000):
        agent.feed(ping(), number * 10.0)
        assert len(agent.outgoing()) == 17


def test_a_download_with_an_update_for_each_frame() -> None:
    agent = greeted()
    agent.feed(headers(1), 0.0)
    agent.respond(1, STREAMING, end=False)
    for _ in range(10_000):
        agent.data(1, bytes(1000))
        assert agent.backlog(1) == 0
        sent = agent.outgoing()
        assert len(sent) >= 1000
        agent.feed(window(1, 1000) + window(0, 1000), 0.0)


def test_upstream_is_held_to_the_same() -> None:
    upstream = UpstreamHttp2(Http2Limits(), 0.0)
    upstream.feed(settings(), 0.0)
    with pytest.raises(Http2Error) as caught:
        upstream.feed(ping() * 2000, 0.0)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED
    assert gone(split(upstream.outgoing()[len(PREFACE) :])) == Code.ENHANCE_YOUR_CALM
    upstream = UpstreamHttp2(Http2Limits(), 0.0)
    upstream.feed(settings(), 0.0)
    none = frozenset[bytes]()
    head = RequestHead(
        method="GET",
        target=b"/",
        minor=1,
        fields=(),
        framing=Framing.NONE,
        length=0,
        host=b"a.example",
        keep_alive=True,
        expects_continue=False,
        raw=b"",
        connection=none,
        upgrade=None,
        codings=None,
    )
    for number in range(3000):
        stream = upstream.request(head, b"/", b"a.example", "https", end=True)
        assert stream == 2 * number + 1
        answer = headers(stream, [(b":status", b"200")], end=False) + data(stream, b"x", end=True)
        events = upstream.feed(answer + window(0, 1) + ping(), 0.0)
        assert [type(event) for event in events] == [Answered, Data, Ended]
        upstream.acknowledge(stream, 1)
        upstream.outgoing()
    assert upstream.room
