"""WebSocket frames for tests, written and read without the code under test."""

from __future__ import annotations

import zlib
from typing import NamedTuple

MASK = b"\x37\xfa\x21\x3d"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Frame(NamedTuple):
    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0


def xor(data: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


def write(frame: Frame, *, masked: bool, mask: bytes = MASK) -> bytes:
    """Bytes of a frame, valid or not."""
    size = len(frame.payload)
    short = size if size < 126 else 126 if size < 65536 else 127
    out = bytes(((frame.fin << 7) | (frame.rsv << 4) | frame.opcode, (masked << 7) | short))
    if short > 125:
        out += size.to_bytes(2 if short == 126 else 8, "big")
    if not masked:
        return out + frame.payload
    big = size > 100_000  # as fast as tests need it
    return out + (bytes(4) + frame.payload if big else mask + xor(frame.payload, mask))


def read(data: bytes, *, masked: bool) -> list[Frame]:
    """Whole frames; anything else than whole, well-masked frames is an assertion."""
    frames = []
    at = 0
    while at < len(data):
        first, second = data[at], data[at + 1]
        assert bool(second & 128) is masked
        size = second & 127
        at += 2
        if size > 125:
            width = 2 if size == 126 else 8
            size = int.from_bytes(data[at : at + width], "big")
            at += width
        mask = bytes(4)
        if masked:
            mask = data[at : at + 4]
            at += 4
        assert at + size <= len(data)
        payload = data[at : at + size]
        if masked:
            key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
            payload = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
        frames.append(Frame(first & 15, payload, bool(first & 128), first >> 4 & 7))
        at += size
    return frames


def deflate(data: bytes, bits: int = 15) -> bytes:
    """One message, deflated without context (RFC 7692 section 7.2.1)."""
    z = zlib.compressobj(6, zlib.DEFLATED, -bits)
    return (z.compress(data) + z.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


class Deflater:
    """Messages deflated with the context of those before."""

    def __init__(self, bits: int = 15) -> None:
        self._z = zlib.compressobj(6, zlib.DEFLATED, -bits)

    def __call__(self, data: bytes) -> bytes:
        out = self._z.compress(data) + self._z.flush(zlib.Z_SYNC_FLUSH)
        return out.removesuffix(b"\x00\x00\xff\xff")
