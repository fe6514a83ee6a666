"""The streams of an HTTP/2 connection and what we send on them, under flow control (RFC 9113)."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence
from typing import Final, NoReturn

from h2.exceptions import StreamClosedError
from hpack import HeaderTuple

from interceptor.verdict import Reason
from interceptor.wire.fields import Field, over_limit
from interceptor.wire.http2_engine import CLOSED_STREAMS, Engine
from interceptor.wire.http2_events import Code, Http2Error, Http2Limits
from interceptor.wire.http2_fields import trailer_pairs
from interceptor.wire.http2_flood import Flood, FloodGuard
from interceptor.wire.http2_hpack import FINAL, FieldDecoder, FieldEncoder, Pair

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SEND_SIZE: Final = 65_536
_GOAWAY: Final = struct.Struct(">HBBBLLL")


class Stream:
    """One open stream.

    Attributes:
        method: of the request.
        left: bytes of body still to come by Content-Length; None when it does not stand.
        answered: we have sent the response head, other than an informational one.
        received: the peer has ended its side.
        sent: we have ended ours.
        queue: data that waits to be sent.
        trailers: what ends our side once the queue is empty; None while more data may come.
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


class Http2Streams:
    """The sending half of both roles. Not used by itself."""

    _CLIENT: bool
    _REASON: Reason
    """Reason code of the peer's faults."""

    __slots__ = (
        *("_blocked", "_dead", "_decoder", "_dirty", "_encoder", "_gone", "_guard", "_h2"),
        *("_highest", "_limits", "_out", "_over", "_streams"),
    )

    def __init__(self, limits: Http2Limits, now: float) -> None:
        client = self._CLIENT
        self._limits = limits
        self._guard = FloodGuard(now)
        self._encoder = FieldEncoder()
        # Up to four times the limit a section is decoded, so that it costs its stream alone.
        self._decoder = FieldDecoder(4 * limits.header_bytes, client=client)
        self._h2 = Engine(limits, self._encoder, self._decoder, client=client)
        self._streams: dict[int, Stream] = {}
        self._dirty: dict[int, None] = {}  # streams with something to send
        self._blocked: dict[int, None] = {}  # streams that wait for the peer's windows
        self._dead: dict[int, None] = {}  # streams we reset, whose late frames are expected
        self._out = [self._h2.data_to_send()]  # SETTINGS come first
        self._highest = 0  # the stream that was opened last
        self._gone = False  # GOAWAY was sent or received
        self._over = False

    @property
    def open_streams(self) -> int:
        """Streams that are not over on both sides."""
        return len(self._streams)

    def data(self, stream: int, data: bytes) -> None:
        """Send `data` on a stream, as far as the peer's windows allow; the rest waits.

        This and the next three do nothing for a stream that is over.
        """
        record = self._streams.get(stream)
        if record is not None and data and not record.sent:
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

    def backlog(self, stream: int) -> int:
        """Bytes queued on a stream that the peer's windows do not let out now."""
        record = self._streams.get(stream)
        if record is None or not record.queue:
            return 0
        return max(0, len(record.queue) - max(0, self._h2.local_flow_control_window(stream)))

    def acknowledge(self, stream: int, size: int) -> None:
        """Give the peer `size` bytes of window back: as much as `Data.flow` said.

        Each `Data` is to be acknowledged once, on streams that are over too: the connection's
        window is shared.
        """
        if size:
            self._h2.acknowledge_received_data(size, stream)

    def close(self, code: int) -> None:
        """Send GOAWAY: no new streams are taken or opened; those that are open may complete."""
        if not self._over:
            self._goaway(code)
        self._gone = True

    def outgoing(self) -> bytes:
        """All bytes that may go to the peer now."""
        while self._dirty:
            # A frame of each in turn, so that no stream starves the others.
            for stream in tuple(self._dirty):
                self._send(stream)
        last = self._h2.data_to_send()
        if not self._out:
            return last
        self._out.append(last)
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _send_section(
        self, stream: int, pairs: Sequence[Pair], shape: list[HeaderTuple], *, end: bool
    ) -> None:
        self._encoder.pairs = pairs
        self._h2.send_headers(stream, shape, end_stream=end)

    def _send(self, stream: int) -> None:
        """Send one frame of a stream's queue, or its end."""
        record = self._streams[stream]
        h2 = self._h2
        queue = record.queue
        ending = record.trailers is not None
        if queue:
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
            h2.send_data(stream, bytes(queue), end_stream=ending and not record.trailers)
            queue.clear()
        elif ending and not record.trailers:
            h2.end_stream(stream)
        if record.trailers:
            self._send_section(stream, record.trailers, FINAL, end=True)
        del self._dirty[stream]
        if ending:
            self._sent(stream, record)

    def _sent(self, stream: int, record: Stream) -> None:
        record.sent = True
        if record.received:
            self._guard.completed += 1
            self._forget(stream)

    def _received(self, stream: int, record: Stream) -> None:
        record.received = True
        if record.sent:
            self._guard.completed += 1
            self._forget(stream)

    def _unblock(self, stream: int) -> None:
        """The peer's windows have changed: for one stream, or (0) for all."""
        if not stream:
            self._dirty.update(self._blocked)
            self._blocked.clear()
        elif stream in self._blocked:
            del self._blocked[stream]
            self._dirty[stream] = None

    def _drop(self, stream: int, code: int) -> None:
        """Give a stream up: RST_STREAM, and what still comes for it is passed over."""
        with contextlib.suppress(StreamClosedError):
            self._h2.reset_stream(stream, code)
        self._forget(stream)
        self._dead[stream] = None
        if len(self._dead) > CLOSED_STREAMS:
            del self._dead[next(iter(self._dead))]

    def _forget(self, stream: int) -> None:
        self._streams.pop(stream, None)
        self._dirty.pop(stream, None)
        self._blocked.pop(stream, None)

    def _goaway(self, code: int) -> None:
        last = 0 if self._CLIENT else self._highest
        self._out += (self._h2.data_to_send(), _GOAWAY.pack(0, 8, 7, 0, 0, last, code))

    def _stop(self) -> None:
        """The connection is over: nothing is sent but what is queued for it already."""
        self._over = True
        self._streams.clear()
        self._dirty.clear()
        self._blocked.clear()

    def _fail(self, code: Code, detail: str) -> NoReturn:
        """End the connection for the peer's fault."""
        self._goaway(code)
        self._stop()
        calm = code is Code.ENHANCE_YOUR_CALM
        raise Http2Error(over_limit(self._REASON) if calm else self._REASON, detail)

    def _spend(self, kind: Flood, now: float) -> None:
        if not self._guard.spend(kind, now):
            self._fail(Code.ENHANCE_YOUR_CALM, f"too many frames: {kind.name.lower()}")
