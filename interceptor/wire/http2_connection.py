"""What an HTTP/2 peer sends, in either role: frames cut, screened, and turned into events.

hyper-h2 moves the states. What it does not check, or answers by ending the connection where a
stream would do, is here: frames are screened one by one before it sees them, header sections are
read by `http2_fields`, floods are counted, and GOAWAY leaves open streams alone.
"""

from __future__ import annotations

import struct
from typing import Final

from h2.events import DataReceived, StreamReset, TrailersReceived
from h2.exceptions import ProtocolError

from interceptor.wire.fields import HttpError
from interceptor.wire.http2_control import ACK, Http2Control, number31
from interceptor.wire.http2_engine import FRAME_SIZE
from interceptor.wire.http2_events import (
    Code,
    Data,
    Ended,
    Event,
    Http2Error,
    Http2Limits,
)
from interceptor.wire.http2_fields import read_trailers
from interceptor.wire.http2_flood import Flood
from interceptor.wire.http2_streams import PREFACE

_HEADER: Final = struct.Struct(">HBBBL")
_PONG: Final = b"\x00\x00\x08\x06\x01\x00\x00\x00\x00"
_STREAM_MASK: Final = 2**31 - 1
_CONTINUATIONS: Final = 32
_TRAILER_COUNT: Final = 64

_DATA, _HEADERS, _PRIORITY, _RST_STREAM, _SETTINGS = 0, 1, 2, 3, 4
_PUSH_PROMISE, _PING, _GONE, _WINDOW_UPDATE, _CONTINUATION = 5, 6, 7, 8, 9
_END_STREAM, _END_HEADERS, _PADDED, _PRIORITIZED = 1, 4, 8, 32
_SIZES: Final = {_PRIORITY: 5, _RST_STREAM: 4, _PING: 8, _WINDOW_UPDATE: 4}
_ON_STREAM: Final = frozenset((_DATA, _HEADERS, _PRIORITY, _RST_STREAM, _CONTINUATION))
_ON_CONNECTION: Final = frozenset((_SETTINGS, _PING, _GONE))
_OPENED: Final = frozenset((_DATA, _HEADERS, _RST_STREAM, _WINDOW_UPDATE))


class Http2Connection(Http2Control):
    """The receiving half of both roles. Not used by itself."""

    __slots__ = ("_buffer", "_greeting", "_section", "_settled")

    def __init__(self, limits: Http2Limits, now: float) -> None:
        """Begin a connection at `now`, in seconds; our preface is in `outgoing`."""
        super().__init__(limits, now)
        self._buffer = b""
        self._greeting = not self._CLIENT  # the client's preface has not come
        self._settled = False  # the first SETTINGS have come
        # A header block of several frames: stream, END_STREAM, and its fragments so far.
        self._section: tuple[int, bool, list[bytes]] | None = None

    def feed(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the peer at `now`, in seconds; return what they mean.

        Raises:
            Http2Error: the connection is over; what came before that is in its `events`.
        """
        events: list[Event] = []
        if self._over:
            return events
        self._now = now
        if self._buffer:
            data = self._buffer + data
        at = 0
        end = len(data)
        try:
            if self._greeting:
                at = self._greet(data)
            while end - at >= 9 and not self._greeting:
                high, low, kind, flags, stream = _HEADER.unpack_from(data, at)
                size = high << 8 | low
                if size > FRAME_SIZE:
                    self._fail(Code.FRAME_SIZE_ERROR, "a frame is too large")
                stop = at + 9 + size
                if stop > end:
                    break
                self._frame(kind, flags, stream & _STREAM_MASK, data[at + 9 : stop], events)
                at = stop
        except Http2Error as error:
            error.events = events
            raise
        self._buffer = data[at:]
        return events

    def _greet(self, data: bytes) -> int:
        """Check the client's connection preface (RFC 9113 section 3.4)."""
        part = data[: len(PREFACE)]
        if not PREFACE.startswith(part):
            self._fail(Code.PROTOCOL_ERROR, "the connection preface is malformed")
        if len(part) < len(PREFACE):
            return 0
        self._greeting = False
        return len(PREFACE)

    def _frame(
        self, kind: int, flags: int, stream: int, payload: bytes, events: list[Event]
    ) -> None:
        """Screen one whole frame and act on it."""
        if self._section is not None:
            self._continue(kind, flags, stream, payload, events)
            return
        if not self._settled:
            if kind != _SETTINGS or flags & ACK:
                self._fail(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._settled = True
        if kind in _SIZES and len(payload) != _SIZES[kind]:
            self._fail(Code.FRAME_SIZE_ERROR, "a frame has another size than its type")
        if stream == 0:
            if kind in _ON_STREAM:
                self._fail(Code.PROTOCOL_ERROR, "a stream's frame without a stream")
        elif kind in _ON_CONNECTION:
            self._fail(Code.PROTOCOL_ERROR, "a connection's frame on a stream")
        elif stream & 1 == 0 and kind in _OPENED:
            self._fail(Code.PROTOCOL_ERROR, "a stream that was never promised")
        if kind == _DATA:
            self._on_data(flags, stream, payload, events)
        elif kind == _HEADERS:
            self._begin(flags, stream, payload, events)
        elif kind == _WINDOW_UPDATE:
            self._on_window(stream, payload, events)
        elif kind == _RST_STREAM:
            self._on_reset(stream, payload, events)
        elif kind == _SETTINGS:
            self._on_settings(flags, payload)
        elif kind == _PING:
            self._spend(Flood.PINGS, self._now)
            if not flags & ACK:
                self._out += (self._h2.data_to_send(), _PONG, payload)
        elif kind == _GONE:
            self._on_goaway(payload, events)
        elif kind in (_PUSH_PROMISE, _CONTINUATION):
            self._fail(Code.PROTOCOL_ERROR, "a push, or a continuation of nothing")
        else:  # PRIORITY is advice that is not taken; unknown types are ignored (section 5.5)
            self._spend(Flood.OTHER, self._now)
            if kind == _PRIORITY and number31(payload) == stream:
                self._fail(Code.PROTOCOL_ERROR, "a stream depends on itself")

    def _unpadded(self, payload: bytes) -> bytes:
        """Take the padding away; its length is the first byte (section 6.1)."""
        if not payload:
            self._fail(Code.FRAME_SIZE_ERROR, "a frame without its padding length")
        end = len(payload) - payload[0]
        if end < 1:
            self._fail(Code.PROTOCOL_ERROR, "padding beyond the end of a frame")
        return payload[1:end]

    # -- header sections -------------------------------------------------------------------

    def _begin(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        """Take the first frame of a header block apart: padding, priority, fragment."""
        if flags & _PADDED:
            payload = self._unpadded(payload)
        if flags & _PRIORITIZED:
            if len(payload) < 5:
                self._fail(Code.PROTOCOL_ERROR, "priority beyond the end of a frame")
            if number31(payload) == stream:
                self._fail(Code.PROTOCOL_ERROR, "a stream depends on itself")
            payload = payload[5:]
        if flags & _END_HEADERS:
            self._on_section(stream, payload, events, end=bool(flags & _END_STREAM))
        else:
            self._section = (stream, bool(flags & _END_STREAM), [payload])

    def _continue(
        self, kind: int, flags: int, stream: int, payload: bytes, events: list[Event]
    ) -> None:
        """Take a frame while a header block is open: nothing else may come between."""
        assert self._section is not None  # noqa: S101
        opened, end, parts = self._section
        if kind != _CONTINUATION or stream != opened:
            self._fail(Code.PROTOCOL_ERROR, "another frame within a header block")
        parts.append(payload)
        if len(parts) > _CONTINUATIONS or sum(map(len, parts)) > 2 * self._limits.header_bytes:
            self._fail(Code.ENHANCE_YOUR_CALM, "a header block is too long")
        if flags & _END_HEADERS:
            self._section = None
            self._on_section(stream, b"".join(parts), events, end=end)

    def _on_section(self, stream: int, block: bytes, events: list[Event], *, end: bool) -> None:
        """A whole header block: a head, trailers, or late for a stream that is over."""
        self._decoder.ending = end
        late = stream in self._dead
        if late:
            self._spend(Flood.OTHER, self._now)
            self._mute()
        try:
            got = self._h2.receive_section(stream, block, end=end)
        except ProtocolError as error:
            self._lost(error)
        if late:
            self._unmute()
            return
        if not got:
            self._spend(Flood.OTHER, self._now)  # late, and hyper-h2 has answered it
            return
        if got[0].__class__ is StreamReset:
            self._break(stream, Code.STREAM_CLOSED, "a header block after the end", events)
            return
        self._guard.work += 1
        try:
            if got[0].__class__ is TrailersReceived:
                self._on_trailers(stream, events)
            else:
                self._on_head(stream, events, end=end)
        except HttpError as error:
            self._break(stream, Code.PROTOCOL_ERROR, error.detail, events, error.reason)

    def _on_head(self, stream: int, events: list[Event], *, end: bool) -> None:
        """A head of this role's kind came on `stream`; raises HttpError when it is malformed."""
        raise NotImplementedError

    def _on_trailers(self, stream: int, events: list[Event]) -> None:
        record = self._streams[stream]
        size = self._limits.header_bytes
        fields = read_trailers(self._decoder.section, _TRAILER_COUNT, size, self._REASON)
        if record.left:
            raise HttpError(self._REASON, "the body is shorter than Content-Length")
        events.append(Ended(stream, fields))
        self._received(stream, record)

    # -- other frames ----------------------------------------------------------------------

    def _on_data(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        flow = len(payload)
        data = self._unpadded(payload) if flags & _PADDED else payload
        end = bool(flags & _END_STREAM)
        late = stream in self._dead
        if late:
            self._mute()
        try:
            got = self._h2.receive_body(stream, data, flow - len(data), end=end)
        except ProtocolError as error:
            self._lost(error)
        if late:
            self._unmute()
            return
        record = self._streams.get(stream)
        if record is None:
            self._spend(Flood.OTHER, self._now)  # the stream is over; hyper-h2 has answered it
            return
        if got[0].__class__ is not DataReceived:
            self._break(stream, Code.STREAM_CLOSED, "data after the end", events)
            return
        if record.left is not None:
            record.left -= len(data)
            if record.left < 0 or (end and record.left):
                self._h2.acknowledge_received_data(flow, stream)
                detail = "the body has another length than Content-Length"
                self._break(stream, Code.PROTOCOL_ERROR, detail, events)
                return
        if data:
            self._guard.work += 1
            events.append(Data(stream, data, flow))
        else:
            if flow:
                self._h2.acknowledge_received_data(flow, stream)
            if not end:
                self._spend(Flood.EMPTY, self._now)
        if end:
            events.append(Ended(stream, ()))
            self._received(stream, record)
