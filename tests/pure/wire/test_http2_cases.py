"""The case list of h2spec re-made as a table: bytes sent to the server's role, and its answer.

Numbers are h2spec's: `generic/*`, `http2/<section of RFC 7540>` and `hpack/<section of RFC 7541>`.
Each case is fed whole, byte by byte, and with a PING after it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import pytest

from interceptor.verdict import Reason
from interceptor.wire.http1 import Framing, ResponseHead
from interceptor.wire.http2 import (
    AgentHttp2,
    Broken,
    Code,
    Data,
    Ended,
    Event,
    Http2Error,
    Http2Limits,
    Reset,
    Started,
)
from tests.http2_bytes import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GET,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    POST,
    PREFACE,
    PRIORITIZED,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    Pairs,
    block,
    data,
    frame,
    goaway,
    gone,
    headers,
    packed,
    ping,
    reset,
    resets,
    settings,
    split,
    window,
)

LIMITS = Http2Limits(header_bytes=16_384, header_count=50, streams=10)
HELLO = PREFACE + settings()

P, F, S, Z, R, C, K = (
    Code.PROTOCOL_ERROR,
    Code.FLOW_CONTROL_ERROR,
    Code.STREAM_CLOSED,
    Code.FRAME_SIZE_ERROR,
    Code.REFUSED_STREAM,
    Code.COMPRESSION_ERROR,
    Code.ENHANCE_YOUR_CALM,
)


class Ok(NamedTuple):
    """Accepted; `events` are the kinds of events, and no stream was reset."""

    events: str = ""


class Stream(NamedTuple):
    """A stream error on `stream`; the connection goes on."""

    code: Code
    stream: int = 1


class Connection(NamedTuple):
    """A connection error."""

    code: Code


Answer = Ok | Stream | Connection


def priority(stream: int, on: int) -> bytes:
    return frame(PRIORITY, 0, stream, struct.pack(">LB", on, 15))


def without(name: bytes) -> Pairs:
    return [pair for pair in GET if pair[0] != name]


def plus(*pairs: tuple[bytes, bytes]) -> Pairs:
    return [*GET, *pairs]


HALF = len(block(GET)) // 2
SPLIT = (block(GET)[:HALF], block(GET)[HALF:])
OPEN = headers(1, POST, end=False)
DONE = headers(1)
LENGTH = [*POST, (b"content-length", b"4")]
BIG = b"x" * 16_384

# ruff: noqa: E501
# fmt: off
CASES: dict[str, tuple[bytes, Answer]] = {
    # -- generic ---------------------------------------------------------------------------
    "generic/1 preface": (b"", Ok()),
    "generic/2.1 idle: PRIORITY": (priority(1, 0), Ok()),
    "generic/2.2 half-closed remote: WINDOW_UPDATE": (DONE + window(1, 100), Ok("Started")),
    "generic/2.3 half-closed remote: PRIORITY": (DONE + priority(1, 0), Ok("Started")),
    "generic/2.4 half-closed remote: RST_STREAM": (DONE + reset(1), Ok("Started Reset")),
    "generic/2.5 closed: PRIORITY": (OPEN + reset(1) + priority(1, 0), Ok("Started Reset")),
    "generic/2.6 closed: WINDOW_UPDATE": (OPEN + reset(1) + window(1, 1), Ok("Started Reset")),
    "generic/2.7 closed: RST_STREAM": (OPEN + reset(1) + reset(1), Ok("Started Reset")),
    "generic/3.1 DATA": (OPEN + data(1, b"test", end=True), Ok("Started Data Ended")),
    "generic/3.1 DATA, several": (
        OPEN + data(1, b"te") + data(1, b"st", end=True), Ok("Started Data Data Ended")),
    "generic/3.1 DATA, padded": (
        OPEN + frame(DATA, PADDED | END_STREAM, 1, b"\x03test\0\0\0"), Ok("Started Data Ended")),
    "generic/3.2 HEADERS": (DONE, Ok("Started")),
    "generic/3.2 HEADERS, padded": (
        frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, b"\x05" + block(GET) + bytes(5)),
        Ok("Started")),
    "generic/3.2 HEADERS, priority": (
        frame(HEADERS, END_STREAM | END_HEADERS | PRIORITIZED, 1, bytes(4) + b"\xff" + block(GET)),
        Ok("Started")),
    "generic/3.2 HEADERS, padded, priority": (
        frame(HEADERS, 0x2D, 1, b"\x02" + bytes(5) + block(GET) + bytes(2)), Ok("Started")),
    "generic/3.3 PRIORITY, exclusive": (priority(1, 0x80000000), Ok()),
    "generic/3.3 PRIORITY, another stream": (DONE + priority(3, 1), Ok("Started")),
    "generic/3.4 RST_STREAM": (OPEN + reset(1), Ok("Started Reset")),
    "generic/3.5 SETTINGS": (settings((3, 100), (4, 65535), (1, 4096), (5, 16384), (6, 1)), Ok()),
    "generic/3.7 PING": (ping(), Ok()),
    "generic/3.8 GOAWAY": (goaway(), Ok("GoneAway")),
    "generic/3.9 WINDOW_UPDATE": (window(0, 1) + DONE + window(1, 1), Ok("Started")),
    "generic/3.10 CONTINUATION": (
        frame(HEADERS, END_STREAM, 1, SPLIT[0]) + frame(CONTINUATION, END_HEADERS, 1, SPLIT[1]),
        Ok("Started")),
    "generic/4.1 GET": (DONE, Ok("Started")),
    "generic/4.2 HEAD": (headers(1, [(b":method", b"HEAD"), *GET[1:]]), Ok("Started")),
    "generic/4.3 POST": (OPEN + data(1, b"a", end=True), Ok("Started Data Ended")),
    "generic/4.4 POST with trailers": (
        OPEN + data(1, b"a") + headers(1, [(b"x-test", b"ok")]), Ok("Started Data Ended")),
    "generic/5 indexed and literal fields, Huffman": (
        frame(HEADERS, END_STREAM | END_HEADERS, 1, packed(plus((b"x-a", b"b"), (b"te", b"trailers")))),
        Ok("Started")),
    "generic/5 never indexed": (
        frame(HEADERS, 5, 1, block(GET) + b"\x10\x03x-a\x01b"), Ok("Started")),
    "generic/5 table size updates": (frame(HEADERS, 5, 1, b"\x20\x3f\x01" + block(GET)), Ok("Started")),
    # -- 4 frames --------------------------------------------------------------------------
    "http2/4.1.1 unknown type": (frame(0x16, 0, 0, b"x" * 8) + frame(0x16, 0, 1, b"x"), Ok()),
    "http2/4.1.2 undefined flags": (ping(flags=0x16), Ok()),
    "http2/4.1.3 reserved bit": (
        frame(PING, 0, 0x80000000, b"87654321") + frame(HEADERS, 5, 0x80000001, block(GET)), Ok("Started")),
    "http2/4.2.1 DATA of 2^14": (OPEN + data(1, BIG, end=True), Ok("Started Data Ended")),
    "http2/4.2.2 DATA too large": (OPEN + data(1, BIG + b"x"), Connection(Z)),
    "http2/4.2.3 HEADERS too large": (frame(HEADERS, 5, 1, BIG + b"x"), Connection(Z)),
    "http2/4.3.1 invalid block": (frame(HEADERS, 5, 1, b"\x40\x01\xff\xff\xff\xff"), Connection(C)),
    "http2/4.3.2 PRIORITY in a block": (frame(HEADERS, 1, 1, SPLIT[0]) + priority(1, 0), Connection(P)),
    "http2/4.3.3 HEADERS of another in a block": (
        frame(HEADERS, 1, 1, SPLIT[0]) + headers(3), Connection(P)),
    # -- 5.1 states ------------------------------------------------------------------------
    "http2/5.1.1 idle: DATA": (data(1, b"test", end=True), Connection(P)),
    "http2/5.1.2 idle: RST_STREAM": (reset(1), Connection(P)),
    "http2/5.1.3 idle: WINDOW_UPDATE": (window(1, 100), Connection(P)),
    "http2/5.1.4 idle: CONTINUATION": (frame(CONTINUATION, 4, 1, block(GET)), Connection(P)),
    "http2/5.1.5 half-closed remote: DATA": (DONE + data(1, b"test", end=True), Stream(S)),
    "http2/5.1.6 half-closed remote: HEADERS": (DONE + headers(1), Stream(S)),
    "http2/5.1.7 half-closed remote: CONTINUATION": (
        DONE + frame(CONTINUATION, 4, 1, block(GET)), Connection(P)),
    "http2/5.1.8 closed by RST_STREAM: DATA": (OPEN + reset(1) + data(1, b"test"), Stream(S)),
    "http2/5.1.9 closed by RST_STREAM: HEADERS": (OPEN + reset(1) + headers(1), Stream(S)),
    "http2/5.1.10 closed by RST_STREAM: CONTINUATION": (
        OPEN + reset(1) + frame(CONTINUATION, 4, 1, block(GET)), Connection(P)),
    "http2/5.1.1.1 even stream": (headers(2), Connection(P)),
    "http2/5.1.1.2 lower stream": (headers(5) + headers(3), Connection(P)),
    "http2/5.1.2.1 too many streams": (
        b"".join(headers(2 * n + 1, POST, end=False) for n in range(11)), Stream(R, 21)),
    "http2/5.3.1.1 HEADERS on itself": (
        frame(HEADERS, 0x25, 1, struct.pack(">LB", 1, 9) + block(GET)), Connection(P)),
    "http2/5.3.1.2 PRIORITY on itself": (priority(3, 3), Connection(P)),
    "http2/5.5.1 extension in a block": (
        frame(HEADERS, 1, 1, SPLIT[0]) + frame(0x16, 0, 0, b"x"), Connection(P)),
    # -- 6 frame definitions -----------------------------------------------------------------
    "http2/6.1.1 DATA on stream 0": (data(0, b"test"), Connection(P)),
    "http2/6.1.2 DATA not open": (OPEN + reset(1) + data(1, b"x"), Stream(S)),
    "http2/6.1.3 DATA, too much padding": (OPEN + frame(DATA, PADDED, 1, b"\x06test"), Connection(P)),
    "http2/6.1.4 DATA, padded without length": (OPEN + frame(DATA, PADDED, 1), Connection(Z)),
    "http2/6.2.1 HEADERS then PRIORITY": (frame(HEADERS, 0, 1, SPLIT[0]) + priority(1, 0), Connection(P)),
    "http2/6.2.3 HEADERS on stream 0": (headers(0), Connection(P)),
    "http2/6.2.4 HEADERS, too much padding": (
        frame(HEADERS, 0x0D, 1, b"\xff" + block(GET)), Connection(P)),
    "http2/6.2.5 HEADERS, padded without length": (frame(HEADERS, 0x0D, 1), Connection(Z)),
    "http2/6.2.6 HEADERS, priority cut short": (frame(HEADERS, 0x25, 1, bytes(4)), Connection(P)),
    "http2/6.3.1 PRIORITY on stream 0": (priority(0, 1), Connection(P)),
    "http2/6.3.2 PRIORITY of 4 bytes": (DONE + frame(PRIORITY, 0, 1, bytes(4)), Connection(Z)),
    "http2/6.4.1 RST_STREAM on stream 0": (reset(0), Connection(P)),
    "http2/6.4.2 RST_STREAM idle": (headers(1) + reset(3), Connection(P)),
    "http2/6.4.3 RST_STREAM of 3 bytes": (OPEN + frame(RST_STREAM, 0, 1, bytes(3)), Connection(Z)),
    "http2/6.5.1 SETTINGS ACK with payload": (frame(SETTINGS, ACK, 0, bytes(6)), Connection(Z)),
    "http2/6.5.2 SETTINGS on a stream": (frame(SETTINGS, 0, 1, bytes(6)), Connection(P)),
    "http2/6.5.3 SETTINGS of 3 bytes": (frame(SETTINGS, 0, 0, bytes(3)), Connection(Z)),
    "http2/6.5.2.1 ENABLE_PUSH 2": (settings((2, 2)), Connection(P)),
    "http2/6.5.2.2 INITIAL_WINDOW_SIZE": (settings((4, 2**31)), Connection(F)),
    "http2/6.5.2.3 MAX_FRAME_SIZE small": (settings((5, 16_383)), Connection(P)),
    "http2/6.5.2.4 MAX_FRAME_SIZE large": (settings((5, 2**24)), Connection(P)),
    "http2/6.5.2.5 unknown": (settings((0xFF, 1), (0xFFFE, 2)), Ok()),
    "http2/6.5.2 many": (settings(*((n % 256 + 10, n) for n in range(64))), Ok()),
    "http2/6.5.2 too many": (settings(*((n % 256 + 10, n) for n in range(65))), Connection(K)),
    "http2/6.7.2 PING ACK": (ping(flags=ACK), Ok()),
    "http2/6.7.3 PING on a stream": (frame(PING, 0, 1, bytes(8)), Connection(P)),
    "http2/6.7.4 PING of 6 bytes": (frame(PING, 0, 0, bytes(6)), Connection(Z)),
    "http2/6.8.1 GOAWAY on a stream": (frame(GOAWAY, 0, 1, bytes(8)), Connection(P)),
    "http2/6.8 GOAWAY of 7 bytes": (frame(GOAWAY, 0, 0, bytes(7)), Connection(Z)),
    "http2/6.9.1 WINDOW_UPDATE 0": (window(0, 0), Connection(P)),
    "http2/6.9.2 WINDOW_UPDATE 0 on a stream": (OPEN + window(1, 0), Stream(P)),
    "http2/6.9.3 WINDOW_UPDATE of 3 bytes": (frame(WINDOW_UPDATE, 0, 0, bytes(3)), Connection(Z)),
    "http2/6.9.1.2 windows over 2^31-1": (window(0, 2**31 - 1), Connection(F)),
    "http2/6.9.1.3 windows over 2^31-1 on a stream": (OPEN + window(1, 2**31 - 1), Stream(F)),
    "http2/6.9.2.3 INITIAL_WINDOW_SIZE pushes one over": (
        OPEN + window(1, 2**31 - 1 - 65535) + settings((4, 65536)), Connection(F)),
    "http2/6.10.1 CONTINUATION, several": (
        frame(HEADERS, 1, 1, SPLIT[0]) + frame(CONTINUATION, 0, 1, SPLIT[1][:3])
        + frame(CONTINUATION, 4, 1, SPLIT[1][3:]), Ok("Started")),
    "http2/6.10.2 CONTINUATION then DATA": (
        frame(HEADERS, 0, 1, SPLIT[0]) + frame(CONTINUATION, 0, 1) + data(1, b"x"), Connection(P)),
    "http2/6.10.3 CONTINUATION on stream 0": (
        frame(HEADERS, 1, 1, SPLIT[0]) + frame(CONTINUATION, 4, 0, SPLIT[1]), Connection(P)),
    "http2/6.10.4 CONTINUATION after END_HEADERS": (
        OPEN + frame(CONTINUATION, 4, 1, SPLIT[1]), Connection(P)),
    "http2/6.10.6 CONTINUATION after DATA": (
        OPEN + data(1, b"x") + frame(CONTINUATION, 4, 1, SPLIT[1]), Connection(P)),
    "http2/7.1 GOAWAY with an unknown code": (goaway(0, 0xFF), Ok("GoneAway")),
    "http2/7.2 RST_STREAM with an unknown code": (OPEN + reset(1, 0xFF), Ok("Started Reset")),
    # -- 8 messages --------------------------------------------------------------------------
    "http2/8.1.1 HEADERS without END_STREAM in the body": (
        OPEN + data(1, b"x") + headers(1, [(b"x-test", b"ok")], end=False), Connection(P)),
    "http2/8.1.2.1 upper case": (headers(1, plus((b"X-Test", b"ok"))), Stream(P)),
    "http2/8.1.2.1.1 unknown pseudo": (headers(1, [*GET, (b":test", b"ok")]), Stream(P)),
    "http2/8.1.2.1.2 response's pseudo": (headers(1, [*GET, (b":status", b"200")]), Stream(P)),
    "http2/8.1.2.1.3 pseudo in trailers": (
        OPEN + data(1, b"x") + headers(1, [(b":method", b"GET")]), Stream(P)),
    "http2/8.1.2.1.4 pseudo after regular": (headers(1, [(b"x-a", b"b"), *GET]), Stream(P)),
    "http2/8.1.2.2.1 connection": (headers(1, plus((b"connection", b"keep-alive"))), Stream(P)),
    "http2/8.1.2.2.2 te": (headers(1, plus((b"te", b"trailers, deflate"))), Stream(P)),
    "http2/8.1.2.3.1 empty path": (headers(1, [*without(b":path"), (b":path", b"")]), Stream(P)),
    "http2/8.1.2.3.2 no method": (headers(1, without(b":method")), Stream(P)),
    "http2/8.1.2.3.3 no scheme": (headers(1, without(b":scheme")), Stream(P)),
    "http2/8.1.2.3.4 no path": (headers(1, without(b":path")), Stream(P)),
    "http2/8.1.2.3.5 method twice": (headers(1, [*GET, GET[0]]), Stream(P)),
    "http2/8.1.2.3.6 scheme twice": (headers(1, [*GET, GET[1]]), Stream(P)),
    "http2/8.1.2.3.7 path twice": (headers(1, [*GET, GET[3]]), Stream(P)),
    "http2/8.1.2.6.1 length, one DATA": (
        headers(1, LENGTH, end=False) + data(1, b"tes", end=True), Stream(P)),
    "http2/8.1.2.6.2 length, several DATA": (
        headers(1, LENGTH, end=False) + data(1, b"te") + data(1, b"sts"), Stream(P)),
    "http2/8.1.2.6 length, no body": (headers(1, LENGTH), Stream(P)),
    "http2/8.1.2.6 length, trailers": (
        headers(1, LENGTH, end=False) + data(1, b"tes") + headers(1, [(b"a", b"b")]), Stream(P)),
    "http2/8.1.2.6 length, right": (
        headers(1, LENGTH, end=False) + data(1, b"te") + data(1, b"st") + headers(1, [(b"a", b"b")]),
        Ok("Started Data Data Ended")),
    "http2/8.2.1 PUSH_PROMISE": (
        frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">L", 2) + block(GET)), Connection(P)),
    # -- HPACK -------------------------------------------------------------------------------
    "hpack/2.3.3.1 index beyond the table": (frame(HEADERS, 5, 1, b"\xc6" + block(GET)), Connection(C)),
    "hpack/2.3.3.2 name index beyond the table": (
        frame(HEADERS, 5, 1, b"\x7f\x07\x01a" + block(GET)), Connection(C)),
    "hpack/4.2.1 size update at the end": (frame(HEADERS, 5, 1, block(GET) + b"\x20"), Connection(C)),
    "hpack/4.2 three size updates": (frame(HEADERS, 5, 1, b"\x20\x21\x22" + block(GET)), Connection(C)),
    "hpack/5.1 an endless integer": (
        frame(HEADERS, 5, 1, b"\xff" + b"\x80" * 9 + b"\x01" + block(GET)), Connection(C)),
    "hpack/5.1 an integer cut short": (frame(HEADERS, 5, 1, b"\xff\x80"), Connection(C)),
    "hpack/5.2.1 Huffman, padding over 7 bits": (
        frame(HEADERS, 5, 1, block(GET) + b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"),
        Connection(C)),
    "hpack/5.2.2 Huffman, padded with zeros": (
        frame(HEADERS, 5, 1, block(GET) + b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"),
        Connection(C)),
    "hpack/5.2.3 Huffman, EOS": (
        frame(HEADERS, 5, 1, block(GET) + b"\x00\x85\xf2\xb2\x4a\x87\xff\x84\xff\xff\xff\xfa"),
        Connection(C)),
    "hpack/5.2 a string cut short": (frame(HEADERS, 5, 1, block(GET) + b"\x00\x05abc"), Connection(C)),
    "hpack/5.2 a value cut short": (frame(HEADERS, 5, 1, block(GET) + b"\x00\x01a\x05bc"), Connection(C)),
    "hpack/6.1.1 index 0": (frame(HEADERS, 5, 1, b"\x80" + block(GET)), Connection(C)),
    "hpack/6.3.1 a table larger than told": (
        frame(HEADERS, 5, 1, b"\x3f\xe2\x1f" + block(GET)), Connection(C)),
}
# fmt: on


def drive(pieces: list[bytes]) -> tuple[list[Event], Http2Error | None, list[Frame]]:
    agent = AgentHttp2(LIMITS, 0.0)
    events: list[Event] = []
    out = b""
    failed: Http2Error | None = None
    for piece in pieces:
        try:
            events += agent.feed(piece, 0.0)
        except Http2Error as error:
            assert failed is None
            events += error.events
            failed = error
        out += agent.outgoing()
    return events, failed, split(out)


def check(answer: Answer, pieces: list[bytes]) -> list[Frame]:
    events, failed, frames = drive(pieces)
    told = resets(frames)
    if isinstance(answer, Connection):
        assert failed is not None
        assert gone(frames) == answer.code
        calm = answer.code is K
        assert failed.reason is (Reason.LIMIT_EXCEEDED if calm else Reason.HTTP_MALFORMED)
        return frames
    assert failed is None
    assert gone(frames) is None
    if isinstance(answer, Stream):
        assert told == [(answer.stream, answer.code)]
        broken = [event.stream for event in events if isinstance(event, Broken)]
        closed = [event.stream for event in events if isinstance(event, Reset)]
        assert broken == ([] if closed or answer.code is R else [answer.stream])
    else:
        assert told == []
        assert " ".join(type(event).__name__ for event in events) == answer.events
    return frames


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    sent, answer = CASES[case]
    whole = HELLO + sent
    once = check(answer, [whole])
    bytewise = check(answer, [bytes((byte,)) for byte in whole])
    assert once == bytewise
    after = check(answer, [whole + ping(b"trailing")])
    pong = Frame(PING, ACK, 0, b"trailing")
    assert (pong in after) is not isinstance(answer, Connection)


@pytest.mark.parametrize("at", range(len(PREFACE)))
def test_preface_is_refused_at_the_first_wrong_byte(at: int) -> None:
    wrong = PREFACE[:at] + bytes((PREFACE[at] ^ 1,))
    assert drive([wrong])[1] is not None
    assert drive([PREFACE[:at]])[1] is None


@pytest.mark.parametrize("first", [ping(), settings()[:4] + b"\x01" + settings()[5:], headers(1)])
def test_the_preface_ends_in_settings(first: bytes) -> None:  # http2/3.5.2
    _, failed, frames = drive([PREFACE + first])
    assert failed is not None
    assert gone(frames) == P


def test_ping_is_answered_and_settings_are_acknowledged() -> None:
    frames = drive([HELLO + ping(b"abcdefgh")])[2]
    assert frames[0].kind == SETTINGS
    assert Frame(PING, ACK, 0, b"abcdefgh") in frames
    assert Frame(SETTINGS, ACK, 0, b"") in frames


RESPONSE = ResponseHead(200, b"OK", 1, (), Framing.CHUNKED, 0, True, frozenset())


def opened(*, sent: bytes) -> AgentHttp2:
    agent = AgentHttp2(LIMITS, 0.0)
    agent.feed(PREFACE + sent, 0.0)
    agent.outgoing()
    return agent


def payloads(frames: list[Frame]) -> list[int]:
    return [len(item.payload) for item in frames if item.kind == DATA]


def test_the_peers_window_is_respected() -> None:  # http2/6.9.1.1, 6.5.3.1
    agent = opened(sent=settings((4, 100), (4, 1)) + headers(1))
    agent.respond(1, RESPONSE, end=False)
    agent.data(1, b"hello")
    assert payloads(split(agent.outgoing())) == [1]
    assert agent.backlog(1) == 4
    agent.feed(window(1, 2), 0.0)
    assert agent.backlog(1) == 2
    assert payloads(split(agent.outgoing())) == [2]
    agent.end(1, ())
    assert agent.outgoing() == b""
    agent.feed(window(1, 9), 0.0)
    assert split(agent.outgoing()) == [Frame(DATA, END_STREAM, 1, b"lo")]
    assert agent.open_streams == 0


def test_a_smaller_initial_window_makes_windows_negative() -> None:  # http2/6.9.2.1, 6.9.2.2
    agent = opened(sent=settings((4, 3)) + headers(1))
    agent.respond(1, RESPONSE, end=False)
    agent.data(1, b"abc")
    assert payloads(split(agent.outgoing())) == [3]
    agent.feed(settings((4, 1)), 0.0)
    agent.data(1, b"d")
    assert payloads(split(agent.outgoing())) == []
    assert agent.backlog(1) == 1
    agent.feed(window(1, 2), 0.0)
    assert payloads(split(agent.outgoing())) == []
    agent.feed(window(1, 1), 0.0)
    assert payloads(split(agent.outgoing())) == [1]


def test_a_larger_initial_window_lets_go() -> None:
    agent = opened(sent=settings((4, 0)) + headers(1) + headers(3))
    for stream in (1, 3):
        agent.respond(stream, RESPONSE, end=False)
        agent.data(stream, b"abc")
        agent.end(stream, ())
    assert payloads(split(agent.outgoing())) == []
    agent.feed(settings((4, 2)), 0.0)
    assert payloads(split(agent.outgoing())) == [2, 2]
    agent.feed(settings((4, 3)), 0.0)
    assert payloads(split(agent.outgoing())) == [1, 1]
    assert agent.open_streams == 0


@pytest.mark.parametrize("padding", [True, False])
def test_the_connections_window_is_given_back(padding: bool) -> None:
    """For what is never told: padding, and DATA beyond Content-Length."""
    agent = AgentHttp2(Http2Limits(connection_window=0), 0.0)  # 65 535, the default
    agent.feed(HELLO + headers(1, POST, end=False), 0.0)
    given = 0
    for number in range(300):
        stream = 2 * number + 3
        if padding:
            sent = frame(DATA, PADDED, 1, b"\xff" + bytes(255))
        else:
            sent = headers(stream, LENGTH, end=False) + data(stream, bytes(255))
        agent.feed(sent, float(number))
        given += sum(
            int.from_bytes(item.payload, "big")
            for item in split(agent.outgoing())
            if item.kind == WINDOW_UPDATE and item.stream == 0
        )
    assert given > 30_000


def test_a_stream_may_send_what_the_default_allows() -> None:
    agent = AgentHttp2(Http2Limits(window=1000), 0.0)
    sent = b"".join(data(1, bytes(size)) for size in (16_384, 16_384, 16_384, 16_383))
    events = agent.feed(HELLO + headers(1, POST, end=False) + sent, 0.0)
    assert [type(event) for event in events] == [Started, Data, Data, Data, Data]


def test_settings_that_nobody_knows_are_not_kept() -> None:
    agent = opened(sent=settings())
    before = len(agent._h2.remote_settings)
    for number in range(50):
        agent.feed(settings(*((100 + number * 50 + n, n) for n in range(50))), 0.0)
    assert len(agent._h2.remote_settings) == before


def test_the_peers_frame_size_is_respected() -> None:
    agent = opened(sent=settings((4, 100_000)) + window(0, 100_000) + headers(1))
    agent.respond(1, RESPONSE, end=False)
    agent.data(1, bytes(40_000))
    assert payloads(split(agent.outgoing())) == [16_384, 16_384, 7_232]
    agent.feed(settings((5, 2**24 - 1)), 0.0)
    agent.data(1, bytes(40_000))
    assert payloads(split(agent.outgoing())) == [40_000]


def test_streams_take_turns() -> None:
    agent = opened(sent=settings() + headers(1) + headers(3))
    for stream in (1, 3):
        agent.respond(stream, RESPONSE, end=False)
        agent.data(stream, bytes(60_000))
    sent = [item.stream for item in split(agent.outgoing()) if item.kind == DATA]
    assert sent == [1, 3, 1, 3]  # 65 535 bytes in all: the connection's window
    agent.reset(1, Code.CANCEL)
    agent.feed(window(0, 60_000), 0.0)
    assert {item.stream for item in split(agent.outgoing()) if item.kind == DATA} == {3}


def test_late_frames_of_a_stream_we_reset_are_passed_over() -> None:
    agent = opened(sent=settings() + headers(1, POST, end=False))
    agent.reset(1, Code.CANCEL)
    assert resets(split(agent.outgoing())) == [(1, Code.CANCEL)]
    for _ in range(100):  # more than the connection's window, if it were not given back
        assert agent.feed(data(1, BIG), 0.0) == []
    agent.feed(headers(1, [(b"x", b"y")]), 0.0)
    frames = split(agent.outgoing())
    assert {item.kind for item in frames} == {WINDOW_UPDATE}
    assert {item.stream for item in frames} == {0}
    # Its header block was decoded all the same: the table goes on.
    assert [type(event) for event in agent.feed(headers(3), 0.0)] == [Started]


def test_goaway_from_the_agent_leaves_its_streams_alone() -> None:
    agent = opened(sent=settings() + headers(1, POST, end=False) + goaway())
    agent.respond(1, RESPONSE, end=False)
    agent.data(1, b"x")
    events = agent.feed(data(1, b"y", end=True), 0.0)
    assert [type(event) for event in events] == [Data, Ended]
    agent.end(1, ())
    assert payloads(split(agent.outgoing())) == [1]


def test_our_goaway_lets_open_streams_complete_and_refuses_new_ones() -> None:
    agent = opened(sent=settings() + headers(1))
    agent.close(Code.NO_ERROR)
    frames = split(agent.outgoing())
    assert gone(frames) == Code.NO_ERROR
    assert frames[-1].payload[:4] == b"\0\0\0\x01"  # the last stream that is served
    assert agent.feed(headers(3), 0.0) == []
    agent.respond(1, RESPONSE, end=True)
    frames = split(agent.outgoing())
    assert resets(frames) == [(3, Code.REFUSED_STREAM)]
    assert any(item.kind == HEADERS and item.stream == 1 for item in frames)


def test_what_came_before_an_error_is_told() -> None:
    agent = AgentHttp2(LIMITS, 0.0)
    with pytest.raises(Http2Error) as caught:
        agent.feed(HELLO + headers(1) + ping()[:-1] + b"1" + frame(PING, 0, 0, b"short"), 0.0)
    assert [type(event) for event in caught.value.events] == [Started]
    assert agent.feed(headers(3), 0.0) == []
    agent.respond(1, RESPONSE, end=True)
    agent.data(1, b"x")
    agent.reset(1, 0)
    agent.acknowledge(1, LIMITS.connection_window)
    agent.close(0)
    frames = split(agent.outgoing())
    assert gone(frames) == Code.FRAME_SIZE_ERROR
    assert frames[-1].kind == GOAWAY
    assert agent.open_streams == 0
