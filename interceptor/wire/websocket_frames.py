"""WebSocket frames as bytes: headers, masking and UTF-8 (RFC 6455 section 5)."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from struct import Struct
from typing import Final

from interceptor.verdict import Reason
from interceptor.wire.websocket_close import INVALID_DATA, PROTOCOL_ERROR, WebSocketError

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

FIN: Final = 0x80
RSV1: Final = 0x40
MASKED: Final = 0x80
MAX_CONTROL: Final = 125

_SHORT: Final = 1024  # below, one big integer is faster than four strided slices
_PIECE: Final = 1 << 18
_XOR: Final = tuple(bytes(byte ^ key for byte in range(256)) for key in range(256))
_H: Final = Struct(">BBH")
_Q: Final = Struct(">BBQ")


def mask_payload(data: bytes, mask: bytes) -> bytes:
    """Mask or unmask `data` with four bytes of mask (RFC 6455 section 5.3)."""
    size = len(data)
    if size <= _SHORT:
        key = int.from_bytes(mask * ((size + 3) >> 2), "little")
        return (int.from_bytes(data, "little") ^ key).to_bytes(size + 3 & ~3, "little")[:size]
    out = bytearray(size)
    for i in range(4):
        out[i::4] = data[i::4].translate(_XOR[mask[i]])
    return bytes(out)


def read_length(data: bytes, at: int, short: int, fault: Reason) -> tuple[int, int] | None:
    """Read the payload length of the frame at `at`, whose seven bits are `short`.

    Returns:
        The length, and how many bytes flags and length take; None when more bytes are needed.

    Raises:
        WebSocketError: a length in more bytes than it needs, or of 64 bits with the top one set.
    """
    if short < 126:
        return short, 2
    size, least = (4, 126) if short == 126 else (10, 65536)
    if len(data) - at < size:
        return None
    length = int.from_bytes(data[at + 2 : at + size], "big")
    if length < least or length >> 63:
        raise WebSocketError(PROTOCOL_ERROR, fault, "a payload length in a wrong form")
    return length, size


def write_frame(flags: int, payload: bytes, mask: bytes = b"") -> bytes:
    """Write one frame.

    Args:
        flags: first byte: FIN, RSV1 and the opcode.
        payload: not masked.
        mask: four bytes for a frame to a server, else empty.
    """
    size = len(payload)
    bit = MASKED if mask else 0
    if size < 126:
        head = bytes((flags, bit | size))
    elif size < 65536:
        head = _H.pack(flags, bit | 126, size)
    else:
        head = _Q.pack(flags, bit | 127, size)
    if mask:
        return b"".join((head, mask, mask_payload(payload, mask)))
    return head + payload


class Masks:
    """Masks for frames to a server, from a source of random bytes that is asked now and then."""

    __slots__ = ("_at", "_pool", "_random")

    def __init__(self, random: Callable[[int], bytes]) -> None:
        """Draw from `random`, which gives as many unpredictable bytes as it is asked for."""
        self._random = random
        self._pool = b""
        self._at = 0

    def __call__(self) -> bytes:
        """Return four bytes that were not given before."""
        at = self._at
        if at == len(self._pool):
            self._pool = self._random(256)
            at = 0
        self._at = at + 4
        return self._pool[at : at + 4]


class Utf8:
    """Checks UTF-8 piece by piece, and fails at the first byte that cannot belong."""

    __slots__ = ("_fault", "_rest")

    def __init__(self, fault: Reason) -> None:
        """Begin; `fault` is the reason code of an error."""
        self._fault = fault
        self._rest = b""

    def check(self, data: bytes, *, final: bool) -> None:
        """Check the next bytes of a text; `final` at its end, after which another may begin.

        Raises:
            WebSocketError: what came so far cannot become UTF-8.
        """
        rest = self._rest
        if not rest and data.isascii():
            return
        try:
            # Decoding makes a string of up to four times the size: so piece by piece.
            for at in range(0, len(data), _PIECE):
                piece = rest + data[at : at + _PIECE]
                rest = piece[codecs.utf_8_decode(piece)[1] :]
        except UnicodeDecodeError:
            raise self._error() from None
        # A surrogate is only noticed by its third byte there; its second gives it away.
        if rest and (final or (rest[0] == 0xED and rest[1:2] > b"\x9f")):
            raise self._error()
        self._rest = rest

    def _error(self) -> WebSocketError:
        return WebSocketError(INVALID_DATA, self._fault, "a text message that is not UTF-8")
