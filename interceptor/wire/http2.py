"""HTTP/2 in both roles (RFC 9113): bytes in, events out; strict, and bounded against floods."""

from __future__ import annotations

from interceptor.verdict import Reason
from interceptor.wire.http1 import Framing, RequestHead, ResponseHead
from interceptor.wire.http2_connection import Http2Connection
from interceptor.wire.http2_events import (
    Answered,
    Broken,
    Code,
    Data,
    Ended,
    Event,
    GoneAway,
    Http2Error,
    Http2Limits,
    Reset,
    Started,
)
from interceptor.wire.http2_fields import (
    read_request,
    read_response,
    request_pairs,
    response_pairs,
)
from interceptor.wire.http2_flood import Flood
from interceptor.wire.http2_hpack import FINAL, INFORMATIONAL, REQUEST
from interceptor.wire.http2_streams import Stream

__all__ = [
    "AgentHttp2",
    "Answered",
    "Broken",
    "Code",
    "Data",
    "Ended",
    "Event",
    "GoneAway",
    "Http2Error",
    "Http2Limits",
    "Reset",
    "Started",
    "UpstreamHttp2",
]

_LAST_STREAM = 2**31 - 1
_UNTOLD = 100
"""Streams opened at once before the peer has told its limit (RFC 9113 section 6.5.2)."""


class AgentHttp2(Http2Connection):
    """The server's role: the agent's requests in, our responses out."""

    _CLIENT = False
    _REASON = Reason.HTTP_MALFORMED

    __slots__ = ()

    def respond(self, stream: int, head: ResponseHead, *, end: bool) -> None:
        """Send a response head; 1xx other than 101 too, with `end` False. Ignored once it is over.

        Fields that end at this hop are dropped; Content-Length is written where framing is LENGTH.
        """
        record = self._streams.get(stream)
        if record is None or record.sent:
            return
        assert not record.answered  # noqa: S101
        record.answered = head.status >= 200
        shape = FINAL if record.answered else INFORMATIONAL
        self._send_section(stream, response_pairs(head, record.method), shape, end=end)
        if end:
            self._sent(stream, record)

    def _on_head(self, stream: int, events: list[Event], *, end: bool) -> None:
        self._highest = stream
        if self._gone or len(self._streams) >= self._limits.streams:
            self._drop(stream, Code.REFUSED_STREAM)
            self._spend(Flood.RESETS, self._now)
            return
        limits = self._limits
        head, scheme = read_request(
            self._decoder.section, limits.header_count, limits.header_bytes, end=end
        )
        left = head.length if head.framing is Framing.LENGTH else None
        self._streams[stream] = Stream(head.method, left, received=end, sent=False)
        events.append(Started(stream, head, end, scheme))


class UpstreamHttp2(Http2Connection):
    """The client's role: requests that were allowed out, upstream's responses in."""

    _CLIENT = True
    _REASON = Reason.UPSTREAM_MALFORMED

    __slots__ = ()

    @property
    def room(self) -> bool:
        """Whether another request may be made on this connection now."""
        if self._over or self._gone or self._highest >= _LAST_STREAM:
            return False
        allowed = self._h2.remote_settings.max_concurrent_streams if self._settled else _UNTOLD
        return len(self._streams) < min(allowed, self._limits.streams)

    def request(
        self, head: RequestHead, path: bytes, authority: bytes, scheme: str, *, end: bool
    ) -> int:
        """Send a request head; return its stream. Only where there is `room`.

        Fields that end at this hop and Host are dropped; `te: trailers` is kept.
        """
        assert self.room  # noqa: S101
        stream = self._h2.get_next_available_stream_id()
        self._send_section(stream, request_pairs(head, path, authority, scheme), REQUEST, end=end)
        self._highest = stream
        self._guard.work += 1
        self._streams[stream] = Stream(head.method, None, received=False, sent=end)
        return stream

    def _on_head(self, stream: int, events: list[Event], *, end: bool) -> None:
        record = self._streams.get(stream)
        if record is None:
            return
        limits = self._limits
        head = read_response(
            self._decoder.section, record.method, limits.header_count, limits.header_bytes, end=end
        )
        if head.status >= 200:
            if head.framing is Framing.NONE:
                record.left = 0
            elif head.framing is Framing.LENGTH:
                record.left = head.length
        events.append(Answered(stream, head, end))
        if end:
            self._received(stream, record)
