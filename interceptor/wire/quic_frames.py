"""The frames of a client's QUIC Initial packets: its ClientHello, put together.

RFC 9000 sections 12.4 and 19. Browsers cut their hello into many pieces, shuffle them, and put
pings and padding between, so that nobody reads the name without reading all of it.
"""

from __future__ import annotations

import heapq
import re
from typing import Final

from interceptor.wire.quic import QuicError, varint
from interceptor.wire.tls_hello import ClientHello

MAX_HELLO: Final = 16_384
"""Most bytes of a ClientHello over QUIC; post-quantum ones have about 1 800."""
MAX_PIECES: Final = 256
"""Most pieces that wait for what comes before them."""
MAX_FRAMES: Final = 256
"""Most frames of one packet, runs of padding counted as one."""

_PADDING, _PING, _ACK, _ACK_ECN, _CRYPTO, _CLOSE = 0x00, 0x01, 0x02, 0x03, 0x06, 0x1C
_PADDING_RUN: Final = re.compile(rb"\0++")


class HelloStream:
    """The CRYPTO stream of one client's Initial packets, up to the end of its ClientHello."""

    __slots__ = ("_begun", "_pieces", "_waiting", "closed")

    def __init__(self) -> None:
        self.closed = False
        """True once the client itself has closed the connection."""
        self._begun = bytearray()  # the stream without holes
        self._pieces: list[tuple[int, bytes]] = []  # a heap of what comes after a hole
        self._waiting = 0  # bytes in it

    def feed(self, payload: bytes) -> None:
        """Take the frames of one Initial packet.

        Raises:
            QuicError: frames that have no place there, or a hello beyond the limits.
        """
        at = frames = 0
        while at < len(payload):
            frames += 1
            if frames > MAX_FRAMES:
                raise QuicError(f"more than {MAX_FRAMES} frames in a packet")
            padding = _PADDING_RUN.match(payload, at)
            if padding is not None:
                at = padding.end()
                continue
            kind, at = varint(payload, at)
            if kind == _CRYPTO:
                offset, at = varint(payload, at)
                size, at = varint(payload, at)
                if at + size > len(payload):
                    raise QuicError("a CRYPTO frame runs over its packet")
                self._piece(offset, payload[at : at + size])
                at += size
            elif kind in (_ACK, _ACK_ECN):
                at = _after_ack(payload, at, ecn=kind == _ACK_ECN)
            elif kind == _CLOSE:
                self.closed = True
                return
            elif kind != _PING:
                raise QuicError("a frame that Initial packets may not hold")

    def hello(self) -> ClientHello | None:
        """The ClientHello; None while bytes of it are missing.

        Raises:
            QuicError: the stream does not begin with a ClientHello, or with one too long.
            HelloError: it is one that cannot be read.
        """
        message = self.message()
        if message is None:
            return None
        # `tls_hello` reads records, as TCP carries them; one record holds MAX_HELLO bytes.
        return ClientHello.parse(b"\x16\x03\x01" + len(message).to_bytes(2) + message)

    def message(self) -> bytes | None:
        """The bytes of the ClientHello, handshake header included; None while some are missing.

        Raises:
            QuicError: as `hello`.
        """
        begun = self._begun
        if begun and begun[0] != 1:
            raise QuicError("the stream does not begin with a ClientHello")
        if len(begun) < 4:
            return None
        need = 4 + int.from_bytes(begun[1:4])
        if need > MAX_HELLO:
            raise QuicError(f"a ClientHello longer than {MAX_HELLO} bytes")
        return bytes(begun[:need]) if len(begun) >= need else None

    def _piece(self, offset: int, data: bytes) -> None:
        begun, pieces = self._begun, self._pieces
        if offset + len(data) > MAX_HELLO:
            raise QuicError(f"a ClientHello longer than {MAX_HELLO} bytes")
        if offset > len(begun):
            self._waiting += len(data)
            # Twice: what is sent again may overlap.
            if len(pieces) >= MAX_PIECES or self._waiting > 2 * MAX_HELLO:
                raise QuicError("too many pieces of a ClientHello wait for others")
            heapq.heappush(pieces, (offset, data))
            return
        begun += data[len(begun) - offset :]
        while pieces and pieces[0][0] <= len(begun):
            offset, data = heapq.heappop(pieces)
            self._waiting -= len(data)
            begun += data[len(begun) - offset :]


def _after_ack(payload: bytes, at: int, *, ecn: bool) -> int:
    """Where an ACK frame ends (RFC 9000 section 19.3)."""
    _, at = varint(payload, at)
    _, at = varint(payload, at)
    ranges, at = varint(payload, at)
    if ranges > MAX_FRAMES:
        raise QuicError("an ACK frame with too many ranges")
    for _ in range(1 + 2 * ranges + 3 * ecn):
        _, at = varint(payload, at)
    return at
