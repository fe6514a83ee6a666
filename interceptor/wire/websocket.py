"""WebSocket messages of one direction, read strictly and written afresh (RFC 6455, RFC 7692).

A message comes out whole: fragments joined, unmasked, inflated. Everything the RFC forbids ends
the connection, since a lenient receiver behind us could read it in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from interceptor.verdict import Reason
from interceptor.wire.websocket_close import (
    PROTOCOL_ERROR,
    TOO_BIG,
    WebSocketError,
    check_close,
    close_payload,
)
from interceptor.wire.websocket_deflate import Inflater
from interceptor.wire.websocket_frames import (
    CLOSE,
    FIN,
    MASKED,
    MAX_CONTROL,
    RSV1,
    TEXT,
    Utf8,
    mask_payload,
    read_length,
    write_frame,
)

_OPCODES: Final = frozenset((0, 1, 2, 8, 9, 10))


class Message(msgspec.Struct, frozen=True, gc=False):
    """A text or binary message, or a control frame."""

    opcode: int
    payload: bytes
    """What the receiver's application reads."""
    wire: bytes
    """The payload as it travelled: the same, or deflated."""
    deflated: bool = False
    frame: int = 0
    """Payload bytes of the largest frame it came in; 0 when it came in one."""


class MessageReader:
    """Reads one direction of a connection, in any pieces, in memory of one message."""

    __slots__ = (
        *("_deflated", "_fault", "_fin", "_fragmented", "_in_frame", "_inflater", "_largest"),
        *("_left", "_limit", "_mask", "_masked", "_opcode", "_plain", "_rest", "_size", "_utf8"),
        "_wire",
    )

    def __init__(
        self, *, masked: bool, limit: int, fault: Reason, inflater: Inflater | None = None
    ) -> None:
        """Begin a direction.

        Args:
            masked: frames must be masked (they come from a client); else they must not be.
            limit: most bytes of a message.
            fault: reason code of an error: whose fault it is.
            inflater: for permessage-deflate, where it was agreed upon.
        """
        self._masked = MASKED if masked else 0
        self._limit = limit
        self._fault = fault
        self._inflater = inflater
        self._utf8 = Utf8(fault)
        self._rest = b""
        self._wire = bytearray()
        self._plain = bytearray()
        self._opcode = 0  # of the message in progress; 0: none
        self._size = self._largest = self._left = 0
        self._mask = b""
        self._deflated = False
        self._fragmented = False  # a fragment of the message in progress has come
        self._in_frame = self._fin = False

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take the next bytes; give the messages and control frames they complete, in order.

        A close frame is the last thing that a peer may say: whoever gets one stops reading.

        Raises:
            WebSocketError: after the messages before the fault were given.
        """
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at = 0
        end = len(data)
        while True:
            if not self._in_frame:
                if end - at < 2:
                    break
                first = data[at]
                length_size = self._flags(data, at, first)
                if length_size is None:
                    break
                length, size = length_size
                start = at + size + (4 if self._masked else 0)
                if start > end:
                    break
                mask = data[start - 4 : start] if self._masked else b""
                if first & 8:
                    if end - start < length:
                        break
                    at = start + length
                    yield self._control(first & 15, data[start:at], mask)
                    continue
                at = start
                self._begin(first, length, mask)
            take = min(self._left, end - at)
            piece = data[at : at + take]
            at += take
            if self._left > take:
                self._piece(piece)
                self._left -= take
                return
            message = self._frame_end(piece)
            if message is not None:
                yield message
        self._rest = data[at:]

    def _flags(self, data: bytes, at: int, first: int) -> tuple[int, int] | None:
        """Check the start of a frame; return its length and the length's size."""
        opcode = first & 15
        second = data[at + 1]
        if second & MASKED != self._masked:
            raise self._error("a frame that is masked and must not be, or the other way round")
        if opcode not in _OPCODES:
            raise self._error("a frame of a reserved kind")
        rsv = first & 0x70
        if rsv and (rsv != RSV1 or self._inflater is None or opcode in (0, 8, 9, 10)):
            raise self._error("a reserved bit of a frame is set")
        short = second & 0x7F
        if opcode & 8:
            if short > MAX_CONTROL or not first & FIN:
                raise self._error("a control frame that is long or fragmented")
            return short, 2
        if (opcode == 0) is not self._fragmented:
            raise self._error("a fragment out of order")
        found = read_length(data, at, short, self._fault)
        if found is not None and self._size + found[0] > self._limit:
            detail = f"a message over {self._limit} bytes"
            raise WebSocketError(TOO_BIG, Reason.LIMIT_EXCEEDED, detail)
        return found

    def _begin(self, first: int, length: int, mask: bytes) -> None:
        """Begin the payload of a data frame."""
        if first & 15:
            self._opcode = first & 15
            self._deflated = bool(first & RSV1)
        self._fin = bool(first & FIN)
        self._in_frame = True
        self._left = length
        self._mask = mask
        self._size += length
        self._largest = max(self._largest, length)

    def _piece(self, piece: bytes) -> None:
        """Take a part of a frame's payload that is not the message's last."""
        wire, plain = self._read(piece)
        if self._mask:
            turn = len(piece) & 3
            self._mask = self._mask[turn:] + self._mask[:turn]
        if self._opcode == TEXT:
            self._utf8.check(plain, final=False)
        self._wire += wire
        if self._deflated:
            self._plain += plain

    def _read(self, piece: bytes) -> tuple[bytes, bytes]:
        wire = mask_payload(piece, self._mask) if self._mask else piece
        if not self._deflated:
            return wire, wire
        assert self._inflater is not None  # noqa: S101
        return wire, self._inflater.feed(wire) if wire else b""

    def _frame_end(self, piece: bytes) -> Message | None:
        """Take the last part of a frame's payload; return the message it completes."""
        self._in_frame = False
        if not self._fin:
            self._fragmented = True
            self._piece(piece)
            return None
        wire, plain = self._read(piece)
        if self._deflated:
            assert self._inflater is not None  # noqa: S101
            self._inflater.finish()
        if self._opcode == TEXT:
            self._utf8.check(plain, final=True)
        if self._wire:
            self._wire += wire
            wire = bytes(self._wire)
            if self._deflated:
                self._plain += plain
                plain = bytes(self._plain)
            else:
                plain = wire
            self._wire = bytearray()
            self._plain = bytearray()
        frame = self._largest if self._fragmented else 0
        self._fragmented = False
        self._size = self._largest = 0
        return Message(self._opcode, plain, wire, self._deflated, frame)

    def _control(self, opcode: int, payload: bytes, mask: bytes) -> Message:
        if mask:
            payload = mask_payload(payload, mask)
        if opcode == CLOSE:
            check_close(payload, self._fault)
        return Message(opcode, payload, payload)

    def _error(self, detail: str) -> WebSocketError:
        return WebSocketError(PROTOCOL_ERROR, self._fault, detail)


class MessageWriter:
    """Writes messages and control frames for one side."""

    __slots__ = ("_mask",)

    def __init__(self, mask: Callable[[], bytes] | None) -> None:
        """Begin; `mask` gives four fresh random bytes for each frame to a server, else None."""
        self._mask = mask

    def write(self, message: Message) -> bytes:
        """Write `message` as it travelled: deflated or not, in frames no larger than it came in."""
        flags = message.opcode | RSV1 if message.deflated else message.opcode
        wire = message.wire
        size = message.frame
        if not size or len(wire) <= size:
            return write_frame(flags | FIN, wire, self._mask() if self._mask else b"")
        frames = []
        for at in range(0, len(wire), size):
            last = at + size >= len(wire)
            mask = self._mask() if self._mask else b""
            frames.append(write_frame(flags | FIN if last else flags, wire[at : at + size], mask))
            flags = 0
        return b"".join(frames)

    def close(self, code: int, reason: str = "") -> bytes:
        """Write a close frame of ours."""
        mask = self._mask() if self._mask else b""
        return write_frame(CLOSE | FIN, close_payload(code, reason), mask)
