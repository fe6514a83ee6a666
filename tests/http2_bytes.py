"""HTTP/2 written by hand, so that tests can say what no client library would (RFC 9113)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hpack import Encoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(5, 10)
END_STREAM, END_HEADERS, PADDED, PRIORITIZED, ACK = 1, 4, 8, 32, 1

Pairs = Sequence[tuple[bytes, bytes]]

GET: Pairs = (
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"api.example.com"),
    (b":path", b"/"),
)
POST: Pairs = ((b":method", b"POST"), *GET[1:])


class Frame(NamedTuple):
    """A frame, taken apart."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return struct.pack(">HBBBL", size >> 8, size & 0xFF, kind, flags, stream) + payload


def split(data: bytes) -> list[Frame]:
    """Take a byte stream of whole frames apart."""
    frames = []
    while data:
        size = int.from_bytes(data[:3], "big")
        assert len(data) >= 9 + size
        stream = int.from_bytes(data[5:9], "big")
        frames.append(Frame(data[3], data[4], stream, data[9 : 9 + size]))
        data = data[9 + size :]
    return frames


def block(pairs: Pairs) -> bytes:
    """A header block of literals without indexing: the same at any time."""
    out = b""
    for name, value in pairs:
        out += b"\x00" + _string(name) + _string(value)
    return out


def packed(pairs: Pairs) -> bytes:
    """The first header block as a client library compresses it."""
    return Encoder().encode(list(pairs))


def _string(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes((len(text),)) + text
    size = len(text) - 127
    out = b"\x7f"
    while size >= 128:
        out += bytes((size & 127 | 128,))
        size >>= 7
    return out + bytes((size,)) + text


def headers(stream: int, pairs: Pairs = GET, *, end: bool = True) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(pairs))


def data(stream: int, payload: bytes, *, end: bool = False) -> bytes:
    return frame(DATA, END_STREAM if end else 0, stream, payload)


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", *pair) for pair in pairs))


def window(stream: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">L", size))


def reset(stream: int, code: int = 8) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">L", code))


def ping(payload: bytes = b"12345678", flags: int = 0) -> bytes:
    return frame(PING, flags, 0, payload)


def goaway(last: int = 0, code: int = 0) -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">LL", last, code))


def resets(frames: Iterable[Frame]) -> list[tuple[int, int]]:
    """Streams that were reset, with the code."""
    return [
        (item.stream, int.from_bytes(item.payload, "big"))
        for item in frames
        if item.kind == RST_STREAM
    ]


def gone(frames: Iterable[Frame]) -> int | None:
    """Error code of the GOAWAY, if there is one."""
    codes = [int.from_bytes(item.payload[4:8], "big") for item in frames if item.kind == GOAWAY]
    assert len(codes) < 2
    return codes[0] if codes else None
