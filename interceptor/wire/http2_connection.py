"""An HTTP/2 connection in either role: frames screened, streams queued under flow control.

hyper-h2 keeps the states of streams, the windows and the settings. What it does not do, or does by
ending the connection, is done here: frames are cut out and screened one by one, header sections
are read by `http2_fields`, floods are counted by `http2_flood`, GOAWAY leaves open streams alone.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence
from typing import Final, NoReturn

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamReset, TrailersReceived
from h2.events import Event as H2Event
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings

from interceptor.verdict import Reason
from interceptor.wire.http1 import Field, HttpError
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
from interceptor.wire.http2_fields import Pair, read_trailers, trailer_pairs
from interceptor.wire.http2_flood import Flood, FloodGuard
from interceptor.wire.http2_hpack import FieldDecoder, FieldEncoder

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER: Final = struct.Struct(">HBBBL")
_GOAWAY: Final = struct.Struct(">HBBBLLL")
_PONG: Final = b"\x00\x00\x08\x06\x01\x00\x00\x00\x00"
_SETTING: Final = struct.Struct(">HL")
_FRAME_SIZE: Final = 16_384
_SEND_SIZE: Final = 65_536
_NO_LIMIT: Final = 2**31 - 1
# Frames of one header block, and streams given up whose late frames are expected.
_CONTINUATIONS: Final = 32
_DEAD: Final = 1024
_SETTINGS_SIZE: Final = 6 * 64
_TRAILER_COUNT: Final = 64
_KNOWN_SETTINGS: Final = frozenset((1, 2, 3, 4, 5, 6))

_DATA, _HEADERS, _PRIORITY, _RST_STREAM, _SETTINGS = 0, 1, 2, 3, 4
_PUSH_PROMISE, _PING, _GONE, _WINDOW_UPDATE, _CONTINUATION = 5, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITIZED = 1, 1, 4, 8, 32
_SIZES: Final = {_PRIORITY: 5, _RST_STREAM: 4, _PING: 8, _WINDOW_UPDATE: 4}
_ON_STREAM: Final = frozenset((_DATA, _HEADERS, _PRIORITY, _RST_STREAM, _CONTINUATION))
_ON_CONNECTION: Final = frozenset((_SETTINGS, _PING, _GONE))


class Stream:
    """One open stream.

    Attributes:
        method: of the request.
        left: bytes of body still to come by Content-Length; None when it does not stand.
        answered: the response head was sent or received, other than informational.
        received: the peer has ended its side.
        sent: we have ended ours.
        queue: data that waits for the peer's windows.
        trailers: what ends our side once the queue is empty; None while more may come.
    """

    __slots__ = ("answered", "left", "method", "queue", "received", "sent", "trailers")

    def __init__(self, method: str, left: int | None, *, received: bool, sent: bool) -> None:
        self.method = method
        self.left = left
        self.answered = False
        self.received = received
        self.sent = sent
        self.queue = bytearray()
        self.trailers: list[Pair] | None = None


class Http2Connection:
    """What both roles share. Not used by itself."""

    _CLIENT: bool
    _REASON: Reason

    __slots__ = (
        *("_blocked", "_buffer", "_dead", "_decoder", "_dirty", "_gone", "_greeting", "_guard"),
        *("_h2", "_highest", "_limits", "_out", "_over", "_section", "_settled", "_streams"),
    )

    def __init__(self, limits: Http2Limits, now: float) -> None:
        client = self._CLIENT
        h2 = H2Connection(
            H2Configuration(
                client_side=client,
                header_encoding=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
            )
        )
        values = {
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.MAX_CONCURRENT_STREAMS: 0 if client else limits.streams,
            SettingCodes.INITIAL_WINDOW_SIZE: limits.window,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.header_bytes,
        }
        h2.local_settings = Settings(client=client, initial_values=values)
        h2.initiate_connection()
        # The number of streams is held here, so that one too many costs that stream alone.
        values[SettingCodes.MAX_CONCURRENT_STREAMS] = _NO_LIMIT
        h2.local_settings = Settings(client=client, initial_values=values)
        if limits.connection_window > 65_535:
            h2.increment_flow_control_window(limits.connection_window - 65_535)
        h2.max_inbound_frame_size = 1 << 24  # sizes are screened here; blocks are put together
        h2.encoder = FieldEncoder()
        # Up to four times the limit a section is decoded, so that it costs its stream alone.
        h2.decoder = self._decoder = FieldDecoder(4 * limits.header_bytes, client=client)
        if not client:
            h2.receive_data(PREFACE)
        self._h2 = h2
        self._limits = limits
        self._guard = FloodGuard(now)
        self._streams: dict[int, Stream] = {}
        self._dead: dict[int, None] = {}
        self._dirty: dict[int, None] = {}
        self._blocked: dict[int, None] = {}
        self._buffer = b""
        self._out: list[bytes] = []
        self._greeting = not client  # the preface has not come
        self._settled = False  # the first SETTINGS have come
        # A header block of several frames: stream, flags, and its fragments so far.
        self._section: tuple[int, int, list[bytes]] | None = None
        self._highest = 0  # stream that either side opened last
        self._gone = False
        self._over = False

    # -- what the peer sends ---------------------------------------------------------------

    def feed(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the peer at `now`, in seconds; return what they mean.

        Raises:
            Http2Error: the connection is over; what it meant before that is in `events`.
        """
        events: list[Event] = []
        if self._over:
            return events
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
                if size > _FRAME_SIZE:
                    self._fail(Code.FRAME_SIZE_ERROR, "a frame is too large")
                stop = at + 9 + size
                if stop > end:
                    break
                self._frame(kind, flags, stream & _NO_LIMIT, data[at:stop], events, now)
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
        self, kind: int, flags: int, stream: int, frame: bytes, events: list[Event], now: float
    ) -> None:
        """Screen one whole frame and act on it."""
        if self._section is not None:
            self._continue(kind, flags, stream, frame, events, now)
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
        elif stream & 1 == 0 and kind in (_DATA, _HEADERS, _RST_STREAM, _WINDOW_UPDATE):
            self._fail(Code.PROTOCOL_ERROR, "a stream that was never promised")
        if kind == _DATA:
            self._on_data(flags, stream, frame, events, now)
        elif kind == _HEADERS:
            if flags & (_END_HEADERS | _PADDED | _PRIORITIZED) == _END_HEADERS:
                self._on_section(stream, flags, frame, events, now)
            else:
                self._begin(stream, flags, frame, events, now)
        elif kind == _WINDOW_UPDATE:
            self._on_window(stream, frame, events, now)
        elif kind == _RST_STREAM:
            self._on_reset(stream, frame, events, now)
        elif kind == _SETTINGS:
            self._on_settings(flags, frame, now)
        elif kind == _PING:
            self._spend(Flood.PINGS, now)
            if not flags & _ACK:
                self._out += (_PONG, frame[9:])
        elif kind == _GONE:
            self._on_goaway(frame, events)
        elif kind in (_PUSH_PROMISE, _CONTINUATION):
            self._fail(Code.PROTOCOL_ERROR, "a push, or a continuation of nothing")
        else:  # PRIORITY is advice that is not taken; unknown types are ignored (section 5.5)
            self._spend(Flood.OTHER, now)
            if kind == _PRIORITY and int.from_bytes(frame[9:13], "big") & _NO_LIMIT == stream:
                self._fail(Code.PROTOCOL_ERROR, "a stream depends on itself")

    def _begin(
        self, stream: int, flags: int, frame: bytes, events: list[Event], now: float
    ) -> None:
        """Take the first frame of a header block apart: padding, priority, fragment."""
        at = 9
        end = len(frame)
        if flags & _PADDED:
            if end == 9:
                self._fail(Code.FRAME_SIZE_ERROR, "a frame without its padding length")
            at += 1
            end -= frame[9]
        if flags & _PRIORITIZED:
            if end >= at + 4 and int.from_bytes(frame[at : at + 4], "big") & _NO_LIMIT == stream:
                self._fail(Code.PROTOCOL_ERROR, "a stream depends on itself")
            at += 5
        if end < at:
            self._fail(Code.PROTOCOL_ERROR, "padding or priority beyond the end of a frame")
        if flags & _END_HEADERS:
            self._assembled(stream, flags, frame[at:end], events, now)
        else:
            self._section = (stream, flags, [frame[at:end]])

    def _continue(
        self, kind: int, flags: int, stream: int, frame: bytes, events: list[Event], now: float
    ) -> None:
        """Take a frame while a header block is open: nothing else may come between."""
        assert self._section is not None  # noqa: S101
        opened, first, parts = self._section
        if kind != _CONTINUATION or stream != opened:
            self._fail(Code.PROTOCOL_ERROR, "another frame within a header block")
        parts.append(frame[9:])
        # A block is not longer than what it decodes to, save by a fraction (RFC 7541 section 5.2).
        if len(parts) > _CONTINUATIONS or sum(map(len, parts)) > 2 * self._limits.header_bytes:
            self._fail(Code.ENHANCE_YOUR_CALM, "a header block is too long")
        if flags & _END_HEADERS:
            self._section = None
            self._assembled(stream, first, b"".join(parts), events, now)

    def _assembled(
        self, stream: int, flags: int, block: bytes, events: list[Event], now: float
    ) -> None:
        size = len(block)
        kept = _END_HEADERS | flags & _END_STREAM
        header = _HEADER.pack(size >> 8, size & 0xFF, _HEADERS, kept, stream)
        self._on_section(stream, kept, header + block, events, now)

    def _on_section(
        self, stream: int, flags: int, frame: bytes, events: list[Event], now: float
    ) -> None:
        """A whole header block: a head, trailers, or late for a stream that is over."""
        if stream in self._dead:
            self._spend(Flood.OTHER, now)
            self._quietly(frame)
            return
        end = bool(flags & _END_STREAM)
        record = self._streams.get(stream)
        self._decoder.ending = end
        got = self._receive(frame)
        if not got:  # late, for a stream that hyper-h2 answered by itself
            self._spend(Flood.OTHER, now)
            return
        if got[0].__class__ is StreamReset:
            self._break(
                stream, Code.STREAM_CLOSED, None, "a header block after the end", events, now
            )
            return
        self._guard.work += 1
        try:
            if record is not None and isinstance(got[0], TrailersReceived):
                self._on_trailers(stream, record, events)
            else:
                self._on_head(stream, events, now, end=end)
        except HttpError as error:
            self._break(stream, Code.PROTOCOL_ERROR, error.reason, error.detail, events, now)

    def _on_trailers(self, stream: int, record: Stream, events: list[Event]) -> None:
        size = self._limits.header_bytes
        fields = read_trailers(self._decoder.fields, _TRAILER_COUNT, size, self._REASON)
        if record.left:
            raise HttpError(self._REASON, "the body is shorter than Content-Length")
        events.append(Ended(stream, fields))
        self._received(stream, record)

    def _on_head(self, stream: int, events: list[Event], now: float, *, end: bool) -> None:
        """A head of this role's kind came on `stream`; raises HttpError when it is malformed."""
        raise NotImplementedError

    def _on_data(
        self, flags: int, stream: int, frame: bytes, events: list[Event], now: float
    ) -> None:
        if stream in self._dead:
            self._quietly(frame)
            return
        end = bool(flags & _END_STREAM)
        record = self._streams.get(stream)
        got = self._receive(frame)
        if record is None:
            self._spend(Flood.OTHER, now)
            return
        event = got[0]
        if event.__class__ is not DataReceived:
            self._break(stream, Code.STREAM_CLOSED, None, "data after the end", events, now)
            return
        assert isinstance(event, DataReceived)  # noqa: S101
        data = event.data or b""
        flow = event.flow_controlled_length or 0
        size = len(data)
        if record.left is not None:
            record.left -= size
            if record.left < 0 or (end and record.left):
                self._h2.acknowledge_received_data(flow, stream)
                detail = "the body has another length than Content-Length"
                self._break(stream, Code.PROTOCOL_ERROR, None, detail, events, now)
                return
        if not record.answered and self._CLIENT:
            self._h2.acknowledge_received_data(flow, stream)
            self._break(stream, Code.PROTOCOL_ERROR, None, "data before the head", events, now)
            return
        if size:
            self._guard.work += 1
            events.append(Data(stream, data, flow))
        else:
            if flow:
                self._h2.acknowledge_received_data(flow, stream)
            if not end:
                self._spend(Flood.EMPTY, now)
        if end:
            events.append(Ended(stream, ()))
            self._received(stream, record)

    def _on_window(self, stream: int, frame: bytes, events: list[Event], now: float) -> None:
        self._spend(Flood.WINDOWS, now)
        if int.from_bytes(frame[9:13], "big") & _NO_LIMIT == 0:
            if stream not in self._streams:
                self._fail(Code.PROTOCOL_ERROR, "a window update of nothing")
            self._break(
                stream, Code.PROTOCOL_ERROR, None, "a window update of nothing", events, now
            )
            return
        for event in self._receive(frame):
            if event.__class__ is StreamReset:
                detail = "a flow-control window is too large"
                self._break(stream, Code.FLOW_CONTROL_ERROR, None, detail, events, now)
                return
        self._unblock(stream)

    def _on_reset(self, stream: int, frame: bytes, events: list[Event], now: float) -> None:
        if stream > self._highest:
            self._fail(Code.PROTOCOL_ERROR, "a reset of an idle stream")
        record = self._streams.get(stream)
        if record is None:
            self._spend(Flood.OTHER, now)
            return
        self._spend(Flood.RESETS, now)
        self._receive(frame)
        self._forget(stream)
        events.append(Reset(stream, int.from_bytes(frame[9:13], "big")))

    def _on_settings(self, flags: int, frame: bytes, now: float) -> None:
        self._spend(Flood.SETTINGS, now)
        size = len(frame) - 9
        if size % 6 or (flags & _ACK and size):
            self._fail(Code.FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
        if size > _SETTINGS_SIZE:
            self._fail(Code.ENHANCE_YOUR_CALM, "too many settings")
        if flags & _ACK:
            return
        # Unknown settings are ignored (RFC 9113 section 6.5.2): hyper-h2 would keep each.
        pairs = _SETTING.iter_unpack(frame[9:])
        body = b"".join([_SETTING.pack(*pair) for pair in pairs if pair[0] in _KNOWN_SETTINGS])
        self._receive(_HEADER.pack(0, len(body) & 0xFF, _SETTINGS, 0, 0) + body)
        self._unblock(0)

    def _on_goaway(self, frame: bytes, events: list[Event]) -> None:
        if len(frame) < 17:
            self._fail(Code.FRAME_SIZE_ERROR, "GOAWAY of a wrong size")
        last = int.from_bytes(frame[9:13], "big") & _NO_LIMIT
        # Not for hyper-h2, which would send nothing more: open streams go on (section 6.8).
        self._gone = True
        events.append(GoneAway(int.from_bytes(frame[13:17], "big"), last))
        if self._CLIENT:
            for stream in [stream for stream in self._streams if stream > last]:
                self._drop(stream, Code.CANCEL)
                events.append(Reset(stream, Code.REFUSED_STREAM))

    # -- streams and their ends ------------------------------------------------------------

    def _receive(self, frame: bytes) -> list[H2Event]:
        """Let hyper-h2 act on a frame."""
        try:
            return self._h2.receive_data(frame)
        except ProtocolError as error:
            code = int(error.error_code)
            calm = code == Code.ENHANCE_YOUR_CALM
            self._over = True
            self._forget_all()
            raise Http2Error(
                Reason.LIMIT_EXCEEDED if calm else self._REASON,
                f"HTTP/2 connection error {Code(code).name.lower()}",
            ) from None

    def _quietly(self, frame: bytes) -> None:
        """A late frame for a stream that we reset: kept out of the answer, but for the windows.

        hyper-h2 would answer each with another RST_STREAM.
        """
        self._out.append(self._h2.data_to_send())
        self._receive(frame)
        answer = self._h2.data_to_send()
        for at in range(0, len(answer), 13):
            if answer[at + 3] == _WINDOW_UPDATE:
                self._out.append(answer[at : at + 13])

    def _fail(self, code: Code, detail: str) -> NoReturn:
        """End the connection for the peer's fault."""
        self._goaway(code)
        self._over = True
        self._forget_all()
        calm = code is Code.ENHANCE_YOUR_CALM
        raise Http2Error(Reason.LIMIT_EXCEEDED if calm else self._REASON, detail)

    def _goaway(self, code: int) -> None:
        last = 0 if self._CLIENT else self._highest
        self._out.append(self._h2.data_to_send())
        self._out.append(_GOAWAY.pack(0, 8, _GONE, 0, 0, last, code))

    def _spend(self, kind: Flood, now: float) -> None:
        if not self._guard.spend(kind, now):
            self._fail(Code.ENHANCE_YOUR_CALM, f"too many frames: {kind.name.lower()}")

    def _break(
        self,
        stream: int,
        code: Code,
        reason: Reason | None,
        detail: str,
        events: list[Event],
        now: float,
    ) -> None:
        """A stream error of the peer's making. It counts as one of its resets (CVE-2025-8671)."""
        self._drop(stream, code)
        events.append(Broken(stream, reason or self._REASON, detail))
        self._spend(Flood.RESETS, now)

    def _drop(self, stream: int, code: int) -> None:
        """Give a stream up: RST_STREAM, and what still comes for it is passed over."""
        with contextlib.suppress(StreamClosedError):
            self._h2.reset_stream(stream, code)
        self._forget(stream)
        self._dead[stream] = None
        if len(self._dead) > _DEAD:
            del self._dead[next(iter(self._dead))]

    def _forget(self, stream: int) -> None:
        self._streams.pop(stream, None)
        self._dirty.pop(stream, None)
        self._blocked.pop(stream, None)

    def _forget_all(self) -> None:
        self._streams.clear()
        self._dirty.clear()
        self._blocked.clear()

    def _received(self, stream: int, record: Stream) -> None:
        record.received = True
        if record.sent:
            self._completed(stream)

    def _completed(self, stream: int) -> None:
        self._guard.completed += 1
        self._forget(stream)

    # -- what we send ----------------------------------------------------------------------

    @property
    def open_streams(self) -> int:
        """Streams that are not over on both sides."""
        return len(self._streams)

    def data(self, stream: int, data: bytes) -> None:
        """Send `data` on a stream as far as the peer's windows allow, the rest later."""
        record = self._streams.get(stream)
        if record is not None and data:
            assert record.trailers is None  # noqa: S101
            record.queue += data
            self._dirty[stream] = None

    def end(self, stream: int, trailers: Sequence[Field] = ()) -> None:
        """End our side of a stream after the queued data."""
        record = self._streams.get(stream)
        if record is not None and record.trailers is None and not record.sent:
            record.trailers = trailer_pairs(trailers)
            self._dirty[stream] = None

    def reset(self, stream: int, code: int) -> None:
        """Give a stream up at once; nothing more is told of it."""
        if stream in self._streams:
            self._drop(stream, code)

    def acknowledge(self, stream: int, size: int) -> None:
        """Give the peer `size` bytes of window back: as much as `Data.flow` said."""
        if size and not self._over:
            self._h2.acknowledge_received_data(size, stream)

    def backlog(self, stream: int) -> int:
        """Bytes queued on a stream that the peer's windows do not let out now."""
        record = self._streams.get(stream)
        if record is None or not record.queue:
            return 0
        room = max(0, self._h2.local_flow_control_window(stream))
        return max(0, len(record.queue) - room)

    def close(self, code: int) -> None:
        """Send GOAWAY: streams that are open may complete, no new ones are taken."""
        if not self._over and not self._gone:
            self._goaway(code)
        self._gone = True

    def outgoing(self) -> bytes:
        """Bytes for the peer: all that may go now."""
        while self._dirty:
            # A frame of each in turn, so that no stream starves the others.
            for stream in list(self._dirty):
                self._send(stream)
        last = self._h2.data_to_send()
        if not self._out:
            return last
        self._out.append(last)
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _send(self, stream: int) -> None:
        """Send one frame of a stream's queue, or its end."""
        record = self._streams[stream]
        queue = record.queue
        end = record.trailers is not None and not record.trailers
        if queue:
            h2 = self._h2
            size = min(h2.local_flow_control_window(stream), h2.max_outbound_frame_size, _SEND_SIZE)
            if size <= 0:
                del self._dirty[stream]
                self._blocked[stream] = None
                return
            self._guard.work += 1
            if size < len(queue):
                h2.send_data(stream, bytes(queue[:size]))
                del queue[:size]
                return
            h2.send_data(stream, bytes(queue), end_stream=end)
            queue.clear()
            if not end and record.trailers is not None:
                return
        elif end:
            self._h2.end_stream(stream)
        if record.trailers:
            self._h2.send_headers(stream, record.trailers, end_stream=True)
            end = True
        del self._dirty[stream]
        if end:
            record.sent = True
            if record.received:
                self._completed(stream)

    def _unblock(self, stream: int) -> None:
        """The peer's windows have changed: for one stream, or (0) for all."""
        if not stream:
            self._dirty.update(self._blocked)
            self._blocked.clear()
        elif stream in self._blocked:
            del self._blocked[stream]
            self._dirty[stream] = None
