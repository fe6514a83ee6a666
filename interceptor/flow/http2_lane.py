"""Requests to upstream in HTTP/2: one connection, a stream for each exchange (RFC 9113)."""

from __future__ import annotations

from typing import Final

from interceptor.flow.exchange import Exchange
from interceptor.flow.request import Request
from interceptor.flow.steps import EndUpstream, Step, ToUpstream
from interceptor.model import Target
from interceptor.policy.schema import Limits
from interceptor.verdict import Reason
from interceptor.wire.http1 import Field, HttpError
from interceptor.wire.http2 import (
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
    UpstreamHttp2,
)

BACKLOG: Final = 65_536
"""Bytes that may wait for the peer's window on one stream before its source is held."""
_INTERIM_LIMIT: Final = 16


def http2_limits(limits: Limits) -> Http2Limits:
    """Give the codec's share of the policy's limits."""
    return Http2Limits(
        header_bytes=limits.header_bytes,
        header_count=limits.header_count,
        streams=limits.streams,
    )


class Http2Link:
    """One connection to upstream that carries many exchanges of one flow.

    Attributes:
        lane: number of the connection within the flow.
        address: the judged literal that was dialled.
        usable: new exchanges may be opened, now or once there is room.
        ended: its `EndUpstream` was given; nothing more is sent.
        wants_http1: upstream has said that it takes what was asked in HTTP/1.1 alone.
        full: the connection's send buffer is full.
    """

    __slots__ = (
        *("_codec", "_outlets", "_steps", "_target", "address", "ended", "full", "lane"),
        *("usable", "wants_http1"),
    )

    def __init__(
        self,
        lane: int,
        target: Target,
        address: str,
        steps: list[Step],
        limits: Limits,
        now: float,
    ) -> None:
        """Begin, on a lane that was dialled for `target`."""
        self.lane = lane
        self._target = target
        self.address = address
        self.usable = True
        self.ended = self.wants_http1 = self.full = False
        self._steps = steps
        self._codec = UpstreamHttp2(http2_limits(limits), now)
        self._outlets: dict[int, Http2Outlet] = {}

    @property
    def room(self) -> bool:
        """True while another stream may be opened."""
        return self.usable and self._codec.room

    def serves(self, target: Target) -> bool:
        """Whether the connection was judged, dialled and verified for the host of `target`."""
        mine = self._target
        return (mine.host, mine.port, mine.scheme) == (target.host, target.port, target.scheme)

    def outlet(self, exchange: Exchange) -> Http2Outlet:
        """Make the way out for an exchange."""
        return Http2Outlet(self, exchange)

    def flush(self) -> None:
        """Send what the codec has to say."""
        data = self._codec.outgoing()
        if data and not self.ended:
            self._steps.append(ToUpstream(data, self.lane))

    def feed(self, data: bytes, now: float) -> None:
        """Take bytes from upstream. Afterwards the link may have `ended`."""
        if self.ended:
            return
        try:
            events = self._codec.feed(data, now)
        except Http2Error as error:
            for event in error.events:
                self._take(event, now)
            self.flush()
            self.fail(Reason.UPSTREAM_MALFORMED, error.detail, now)
            return
        for event in events:
            self._take(event, now)
        self.flush()
        self._end_if_done()

    def _take(self, event: Event, now: float) -> None:
        if isinstance(event, GoneAway):
            self.usable = False  # the codec tells each stream that was not begun with
        elif not isinstance(event, Started):  # which servers are told only
            outlet = self._outlets.get(event.stream)
            if outlet is not None:
                try:
                    outlet.take(event, now)
                except HttpError as error:
                    outlet.exchange.failed(error.reason, error.detail, now)
            elif type(event) is Data:
                self._codec.acknowledge(event.stream, event.flow)

    def eof(self, now: float) -> None:
        """Upstream has ended its side: whatever is open was cut."""
        for exchange in self.end():
            exchange.upstream_ended(now)

    def fail(self, reason: Reason, detail: str, now: float) -> None:
        """The connection is of no use any more."""
        for exchange in self.end():
            exchange.failed(reason, detail, now)

    def end(self) -> list[Exchange]:
        """End the lane, once; give the exchanges that were under way.

        It is ended before they are told, as what they ask for then may be a lane of this number.
        """
        self.usable = False
        if self.ended:
            return []
        self.ended = True
        self._steps.append(EndUpstream(reusable=False, lane=self.lane))
        return [outlet.exchange for outlet in self._outlets.values()]

    def _end_if_done(self) -> None:
        """A link that takes no new streams ends with its last one."""
        if not self.usable and not self._outlets:
            self.end()

    # -- for its outlets ---------------------------------------------------------------------

    @property
    def codec(self) -> UpstreamHttp2:
        """The connection's state."""
        return self._codec

    def enter(self, stream: int, outlet: Http2Outlet) -> None:
        """An exchange has got its stream."""
        self._outlets[stream] = outlet

    def leave(self, stream: int) -> None:
        """An exchange is over."""
        self._outlets.pop(stream, None)
        self._end_if_done()


class Http2Outlet:
    """One exchange on a link. See `interceptor.flow.sides.Outlet`."""

    __slots__ = (
        *("_held", "_interim", "_link", "_owed", "_released", "_stream", "_whole"),
        *("exchange", "touched"),
    )

    def __init__(self, link: Http2Link, exchange: Exchange) -> None:
        self._link = link
        self.exchange = exchange
        self._stream = 0
        self._owed = 0
        self._held = False
        self._interim = 0
        self._whole = False
        """The response is complete, or upstream has reset the stream: it need not be told."""
        self._released = False
        self.touched = False

    @property
    def full(self) -> bool:
        """See `Outlet`."""
        return self._link.full or self._link.codec.backlog(self._stream) > BACKLOG

    def hold(self, *, hold: bool) -> None:
        """See `Outlet`: window is given back only for what was passed on."""
        self._held = hold
        if not hold and self._owed:
            owed, self._owed = self._owed, 0
            self._link.codec.acknowledge(self._stream, owed)
            self._link.flush()

    def request(
        self, request: Request, body: bytes, *, end: bool, trailers: tuple[Field, ...] = ()
    ) -> None:
        """See `Outlet`."""
        link = self._link
        bare = end and not body and not trailers
        self._stream = link.codec.request(
            request.head, request.path, request.authority, request.target.scheme, end=bare
        )
        link.enter(self._stream, self)
        if body:
            link.codec.data(self._stream, body)
        if end and not bare:
            link.codec.end(self._stream, trailers)
        link.flush()

    def data(self, data: bytes) -> None:
        """See `Outlet`."""
        self._link.codec.data(self._stream, data)
        self._link.flush()

    def end(self, trailers: tuple[Field, ...]) -> None:
        """See `Outlet`."""
        self._link.codec.end(self._stream, trailers)
        self._link.flush()

    def silent(self) -> None:
        """See `Outlet`: what follows is not to wait as long on a connection that may be dead."""
        if not self.touched:
            self._link.usable = False

    def channel_data(self, data: bytes) -> None:
        """See `Outlet`; an upgrade does not exist in HTTP/2 (RFC 9113 section 8.6)."""
        raise NotImplementedError

    def release(self, *, complete: bool) -> None:
        """See `Outlet`."""
        link = self._link
        self._released = True
        if self._owed:
            link.codec.acknowledge(self._stream, self._owed)
        if not complete or not self._whole:
            link.codec.reset(self._stream, Code.CANCEL)
            link.flush()
        link.leave(self._stream)

    def take(self, event: Answered | Data | Ended | Reset | Broken, now: float) -> None:
        """Take an event of this stream.

        Raises:
            HttpError: UPSTREAM_MALFORMED.
        """
        exchange = self.exchange
        if type(event) is Data:
            exchange.response_data(event.data, now)
            if self._held and not self._released:
                self._owed += event.flow
            else:
                self._link.codec.acknowledge(event.stream, event.flow)
        elif type(event) is Answered:
            self._answer(event, now)
        elif type(event) is Ended:
            self._whole = True
            exchange.response_end(event.trailers, now)
        elif type(event) is Reset:
            self._reset(event, now)
        elif type(event) is Broken:
            self._whole = True
            raise HttpError(Reason.UPSTREAM_MALFORMED, event.detail)

    def _answer(self, event: Answered, now: float) -> None:
        if event.head.status < 200:
            self._interim += 1
            if self._interim > _INTERIM_LIMIT:
                raise HttpError(Reason.UPSTREAM_MALFORMED, "interim responses without end")
            return
        self.touched = True
        self._whole = event.end
        self.exchange.response_head(event.head, now, end=event.end)
        if event.end:
            self.exchange.response_end((), now)

    def _reset(self, event: Reset, now: float) -> None:
        self._whole = True
        if event.code == Code.HTTP_1_1_REQUIRED:
            self._link.wants_http1 = True
            self._link.usable = False
        if event.code in (Code.REFUSED_STREAM, Code.HTTP_1_1_REQUIRED) and not self.touched:
            self.exchange.upstream_refused(now)
        else:
            detail = f"upstream reset the stream with code {event.code}"
            self.exchange.failed(Reason.UPSTREAM_CLOSED, detail, now)
