"""What an HTTP/2 peer sends, in either role: frames cut, screened, and turned into events.

hyper-h2 moves the states. What it does not check, or answers by ending the connection where a
stream would do, is here: frames are screened one by one before it sees them, header sections are
read by `http2_fields`, floods are counted, and GOAWAY leaves open streams alone.
"""

from __future__ import annotations

import struct
from typing import Final

from h2.events import DataReceived, StreamReset, TrailersReceived
from h2.events import Event as H2Event
from h2.exceptions import ProtocolError

from interceptor.verdict import Reason
from interceptor.wire.fields import HttpError, over_limit
from interceptor.wire.http2_events import (
    Broken,
    Code,
    Data,
    Ended,
    Event,
    GoneAway,
    Http2Error,
    Http2Limits,
    Reset,
)
from interceptor.wire.http2_fields import read_trailers
from interceptor.wire.http2_flood import Flood
from interceptor.wire.http2_streams import FRAME_SIZE, PREFACE, Http2Streams

_HEADER: Final = struct.Struct(">HBBBL")
_SETTING: Final = struct.Struct(">HL")
_PONG: Final = b"\x00\x00\x08\x06\x01\x00\x00\x00\x00"
_STREAM_MASK: Final = 2**31 - 1
_CONTINUATIONS: Final = 32
_SETTINGS_SIZE: Final = 6 * 64
_TRAILER_COUNT: Final = 64
_KNOWN_SETTINGS: Final = frozenset((1, 2, 3, 4, 5, 6))

_DATA, _HEADERS, _PRIORITY, _RST_STREAM, _SETTINGS = 0, 1, 2, 3, 4
_PUSH_PROMISE, _PING, _GONE, _WINDOW_UPDATE, _CONTINUATION = 5, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITIZED = 1, 1, 4, 8, 32
_SIZES: Final = {_PRIORITY: 5, _RST_STREAM: 4, _PING: 8, _WINDOW_UPDATE: 4}
_ON_STREAM: Final = frozenset((_DATA, _HEADERS, _PRIORITY, _RST_STREAM, _CONTINUATION))
_ON_CONNECTION: Final = frozenset((_SETTINGS, _PING, _GONE))
_OPENED: Final = frozenset((_DATA, _HEADERS, _RST_STREAM, _WINDOW_UPDATE))


class Http2Connection(Http2Streams):
    """The receiving half of both roles, on top of the sending one. Not used by itself."""

    __slots__ = ("_buffer", "_greeting", "_now", "_section", "_settled")

    def __init__(self, limits: Http2Limits, now: float) -> None:
        """Begin a connection at `now`, in seconds; our preface is in `outgoing`."""
        super().__init__(limits, now)
        self._now = now
        self._buffer = b""
        self._greeting = not self._CLIENT  # the client's preface has not come
        self._settled = False  # the first SETTINGS have come
        # A header block of several frames: stream, flags, and its fragments so far.
        self._section: tuple[int, int, list[bytes]] | None = None

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
                self._frame(kind, flags, stream & _STREAM_MASK, data[at:stop], events)
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

    def _frame(self, kind: int, flags: int, stream: int, frame: bytes, events: list[Event]) -> None:
        """Screen one whole frame and act on it."""
        if self._section is not None:
            self._continue(kind, flags, stream, frame, events)
            return
        if not self._settled:
            if kind != _SETTINGS or flags & _ACK:
                self._fail(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._settled = True
        if kind in _SIZES and len(frame) - 9 != _SIZES[kind]:
            self._fail(Code.FRAME_SIZE_ERROR, "a frame has another size than its type")
        if stream == 0:
            if kind in _ON_STREAM:
                self._fail(Code.PROTOCOL_ERROR, "a stream's frame without a stream")
        elif kind in _ON_CONNECTION:
            self._fail(Code.PROTOCOL_ERROR, "a connection's frame on a stream")
        elif stream & 1 == 0 and kind in _OPENED:
            self._fail(Code.PROTOCOL_ERROR, "a stream that was never promised")
        if kind == _DATA:
            self._on_data(flags, stream, frame, events)
        elif kind == _HEADERS:
            if flags & (_END_HEADERS | _PADDED | _PRIORITIZED) == _END_HEADERS:
                self._on_section(stream, flags, frame, events)
            else:
                self._begin(stream, flags, frame, events)
        elif kind == _WINDOW_UPDATE:
            self._on_window(stream, frame, events)
        elif kind == _RST_STREAM:
            self._on_reset(stream, frame, events)
        elif kind == _SETTINGS:
            self._on_settings(flags, frame)
        elif kind == _PING:
            self._spend(Flood.PINGS, self._now)
            if not flags & _ACK:
                self._out += (self._h2.data_to_send(), _PONG, frame[9:])
        elif kind == _GONE:
            self._on_goaway(frame, events)
        elif kind in (_PUSH_PROMISE, _CONTINUATION):
            self._fail(Code.PROTOCOL_ERROR, "a push, or a continuation of nothing")
        else:  # PRIORITY is advice that is not taken; unknown types are ignored (section 5.5)
            self._spend(Flood.OTHER, self._now)
            if kind == _PRIORITY and _dependency(frame, 9) == stream:
                self._fail(Code.PROTOCOL_ERROR, "a stream depends on itself")

    # -- header sections -------------------------------------------------------------------

    def _begin(self, stream: int, flags: int, frame: bytes, events: list[Event]) -> None:
        """Take the first frame of a header block apart: padding, priority, fragment."""
        at = 9
        end = len(frame)
        if flags & _PADDED:
            if end == 9:
                self._fail(Code.FRAME_SIZE_ERROR, "a frame without its padding length")
            at += 1
            end -= frame[9]
        if flags & _PRIORITIZED:
            if end >= at + 5 and _dependency(frame, at) == stream:
                self._fail(Code.PROTOCOL_ERROR, "a stream depends on itself")
            at += 5
        if end < at:
            self._fail(Code.PROTOCOL_ERROR, "padding or priority beyond the end of a frame")
        if flags & _END_HEADERS:
            self._assembled(stream, flags, frame[at:end], events)
        else:
            self._section = (stream, flags, [frame[at:end]])

    def _continue(
        self, kind: int, flags: int, stream: int, frame: bytes, events: list[Event]
    ) -> None:
        """Take a frame while a header block is open: nothing else may come between."""
        assert self._section is not None  # noqa: S101
        opened, first, parts = self._section
        if kind != _CONTINUATION or stream != opened:
            self._fail(Code.PROTOCOL_ERROR, "another frame within a header block")
        parts.append(frame[9:])
        if len(parts) > _CONTINUATIONS or sum(map(len, parts)) > 2 * self._limits.header_bytes:
            self._fail(Code.ENHANCE_YOUR_CALM, "a header block is too long")
        if flags & _END_HEADERS:
            self._section = None
            self._assembled(stream, first, b"".join(parts), events)

    def _assembled(self, stream: int, flags: int, block: bytes, events: list[Event]) -> None:
        size = len(block)
        kept = _END_HEADERS | flags & _END_STREAM
        header = _HEADER.pack(size >> 8, size & 0xFF, _HEADERS, kept, stream)
        self._on_section(stream, kept, header + block, events)

    def _on_section(self, stream: int, flags: int, frame: bytes, events: list[Event]) -> None:
        """A whole header block: a head, trailers, or late for a stream that is over."""
        end = bool(flags & _END_STREAM)
        self._decoder.ending = end
        if stream in self._dead:
            self._spend(Flood.OTHER, self._now)
            self._quietly(frame)
            return
        got = self._receive(frame)
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

    def _on_data(self, flags: int, stream: int, frame: bytes, events: list[Event]) -> None:
        if stream in self._dead:
            self._quietly(frame)
            return
        record = self._streams.get(stream)
        got = self._receive(frame)
        if record is None:
            self._spend(Flood.OTHER, self._now)  # the stream is over; hyper-h2 has answered it
            return
        event = got[0]
        if not isinstance(event, DataReceived):
            self._break(stream, Code.STREAM_CLOSED, "data after the end", events)
            return
        data = event.data or b""
        flow = event.flow_controlled_length or 0
        end = bool(flags & _END_STREAM)
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

    def _on_window(self, stream: int, frame: bytes, events: list[Event]) -> None:
        self._spend(Flood.WINDOWS, self._now)
        if int.from_bytes(frame[9:13], "big") & _STREAM_MASK == 0:
            if stream not in self._streams:
                self._fail(Code.PROTOCOL_ERROR, "a window update of nothing")
            self._break(stream, Code.PROTOCOL_ERROR, "a window update of nothing", events)
            return
        got = self._receive(frame)
        if got and got[0].__class__ is StreamReset:
            detail = "a flow-control window is too large"
            self._break(stream, Code.FLOW_CONTROL_ERROR, detail, events)
            return
        self._unblock(stream)

    def _on_reset(self, stream: int, frame: bytes, events: list[Event]) -> None:
        if stream > self._highest:
            self._fail(Code.PROTOCOL_ERROR, "a reset of an idle stream")
        if stream not in self._streams:
            self._spend(Flood.OTHER, self._now)
            return
        self._spend(Flood.RESETS, self._now)
        self._receive(frame)
        self._forget(stream)
        events.append(Reset(stream, int.from_bytes(frame[9:13], "big")))

    def _on_settings(self, flags: int, frame: bytes) -> None:
        self._spend(Flood.SETTINGS, self._now)
        size = len(frame) - 9
        if size % 6 or (flags & _ACK and size):
            self._fail(Code.FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
        if size > _SETTINGS_SIZE:
            self._fail(Code.ENHANCE_YOUR_CALM, "too many settings")
        if flags & _ACK:
            return
        pairs = _SETTING.iter_unpack(frame[9:])
        # Unknown settings are ignored (RFC 9113 section 6.5.2): hyper-h2 would keep each.
        body = b"".join([_SETTING.pack(*pair) for pair in pairs if pair[0] in _KNOWN_SETTINGS])
        self._receive(_HEADER.pack(len(body) >> 8, len(body) & 0xFF, _SETTINGS, 0, 0) + body)
        self._unblock(0)

    def _on_goaway(self, frame: bytes, events: list[Event]) -> None:
        if len(frame) < 17:
            self._fail(Code.FRAME_SIZE_ERROR, "GOAWAY of a wrong size")
        self._spend(Flood.OTHER, self._now)
        last = int.from_bytes(frame[9:13], "big") & _STREAM_MASK
        # Not for hyper-h2, which would send nothing more: open streams go on (section 6.8).
        self._gone = True
        events.append(GoneAway(int.from_bytes(frame[13:17], "big"), last))
        if self._CLIENT:
            for stream in [stream for stream in self._streams if stream > last]:
                self._drop(stream, Code.CANCEL)
                events.append(Reset(stream, Code.REFUSED_STREAM))

    # -- hyper-h2 --------------------------------------------------------------------------

    def _receive(self, frame: bytes) -> list[H2Event]:
        """Let hyper-h2 act on a frame; it queues GOAWAY before it raises."""
        try:
            return self._h2.receive_data(frame)
        except ProtocolError as error:
            code = Code(error.error_code)
            self._stop()
            calm = code is Code.ENHANCE_YOUR_CALM
            reason: Reason = over_limit(self._REASON) if calm else self._REASON
            detail = f"HTTP/2 connection error {code.name.lower()}"
            raise Http2Error(reason, detail) from None

    def _quietly(self, frame: bytes) -> None:
        """A late frame for a stream that we reset: of the answer only window updates are sent.

        hyper-h2 would answer each with another RST_STREAM.
        """
        self._out.append(self._h2.data_to_send())
        self._receive(frame)
        answer = self._h2.data_to_send()
        for at in range(0, len(answer), 13):
            if answer[at + 3] == _WINDOW_UPDATE:
                self._out.append(answer[at : at + 13])

    def _break(
        self,
        stream: int,
        code: Code,
        detail: str,
        events: list[Event],
        reason: Reason | None = None,
    ) -> None:
        """A stream error of the peer's making. It counts as one of its resets (CVE-2025-8671)."""
        self._drop(stream, code)
        events.append(Broken(stream, reason or self._REASON, detail))
        self._spend(Flood.RESETS, self._now)


def _dependency(frame: bytes, at: int) -> int:
    return int.from_bytes(frame[at : at + 4], "big") & _STREAM_MASK
