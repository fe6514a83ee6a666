"""One request to upstream and its response, in HTTP/1.1, over one lane."""

from __future__ import annotations

from typing import Final

from interceptor.flow.exchange import Exchange
from interceptor.flow.request import Request
from interceptor.flow.steps import EndUpstream, HoldUpstream, Step, ToUpstream
from interceptor.policy.schema import Limits
from interceptor.verdict import Reason
from interceptor.wire.http1 import (
    Field,
    Framing,
    HttpError,
    chunk,
    read_response,
    write_trailers,
)
from interceptor.wire.http1_body import BodyReader

_JOINED: Final = 8192
"""Bodies up to this size go in one write with their head; longer ones are not copied for it."""
_INTERIM_LIMIT: Final = 16
"""Interim responses before a final one; more are a way to keep us busy."""


class Http1Lane:
    """See `interceptor.flow.sides.Outlet`.

    Attributes:
        exchange: the one that it serves.
        touched: upstream has sent at least one byte.
        full: upstream's send buffer is full.
        released: it serves nobody any more.
    """

    __slots__ = (
        *("_body", "_buffer", "_chunked", "_interim", "_limits", "_method", "_number"),
        *("_opened", "_reusable", "_steps", "_switched", "exchange", "full", "released"),
        "touched",
    )

    def __init__(
        self,
        number: int,
        exchange: Exchange,
        steps: list[Step],
        limits: Limits,
        opened: dict[int, Http1Lane] | None = None,
    ) -> None:
        """Serve `exchange` on lane `number`; once released, it takes itself out of `opened`."""
        self._number = number
        self.exchange = exchange
        self._steps = steps
        self._limits = limits
        self._opened = opened
        self._method = exchange.request.head.method
        self._chunked = False
        self._buffer = b""
        self._body: BodyReader | None = None
        self._interim = 0
        self._reusable = False
        self._switched = False
        self.touched = self.full = self.released = False

    # -- out -------------------------------------------------------------------------------

    def request(
        self, request: Request, body: bytes, *, end: bool, trailers: tuple[Field, ...] = ()
    ) -> None:
        """See `Outlet`."""
        out = request.wire_head()
        if request.head.framing is Framing.CHUNKED:
            self._chunked = True
            out += chunk(body)
            if end:
                out += write_trailers(trailers)
        elif len(body) < _JOINED:
            out += body
        else:
            self._steps.append(ToUpstream(out, self._number))
            out = body
        self._steps.append(ToUpstream(out, self._number))

    def data(self, data: bytes) -> None:
        """See `Outlet`."""
        self._steps.append(ToUpstream(chunk(data) if self._chunked else data, self._number))

    def end(self, trailers: tuple[Field, ...]) -> None:
        """See `Outlet`."""
        if self._chunked:
            self._steps.append(ToUpstream(write_trailers(trailers), self._number))

    def silent(self) -> None:
        """See `Outlet`: nobody else uses the connection."""

    def channel_data(self, data: bytes) -> None:
        """See `Outlet`."""
        self._steps.append(ToUpstream(data, self._number))

    def release(self, *, complete: bool) -> None:
        """See `Outlet`."""
        self.released = True
        if self._opened is not None:
            del self._opened[self._number]
        # Of an upgraded connection whole messages were sent, the last one a close frame.
        self._steps.append(EndUpstream(self._reusable and complete, self._number, self._switched))

    def hold(self, *, hold: bool) -> None:
        """See `Outlet`."""
        self._steps.append(HoldUpstream(hold, self._number))

    # -- back ------------------------------------------------------------------------------

    def feed(self, data: bytes, now: float) -> None:
        """Take bytes from upstream.

        Raises:
            HttpError: UPSTREAM_MALFORMED.
        """
        if self.released:
            return
        self.touched = True
        exchange, body = self.exchange, self._body
        if self._switched:
            exchange.channel_bytes(data, now)
            return
        if body is None:
            self._buffer = self._buffer + data if self._buffer else data
            body = self._read_head(now)
            if body is None:
                return
            data, self._buffer = self._buffer, b""
        payload = body.feed(data) if data else b""
        if payload:
            exchange.response_data(payload, now)
        if body.done:
            self._end(body, now)

    def _read_head(self, now: float) -> BodyReader | None:
        limits = self._limits
        while True:
            found = read_response(
                self._buffer, self._method, limits.header_bytes, limits.header_count
            )
            if found is None:
                return None
            head, used = found
            if (
                head.framing is Framing.LENGTH
                and len(self._buffer) - used == head.length
                and head.status >= 200
            ):
                self._reusable = head.keep_alive
                if self.exchange.whole_response(head, self._buffer[used:], now):
                    return None
            self._buffer = self._buffer[used:]
            if head.status == 101:
                rest, self._buffer = self._buffer, b""
                self.exchange.switched(head, now)
                self._switched = True
                if rest:
                    self.exchange.channel_bytes(rest, now)
                return None
            if head.status >= 200:
                break
            self._interim += 1
            if self._interim > _INTERIM_LIMIT:
                raise HttpError(Reason.UPSTREAM_MALFORMED, "interim responses without end")
        self._reusable = head.keep_alive
        self._body = body = BodyReader(head.framing, head.length, Reason.UPSTREAM_MALFORMED)
        self.exchange.response_head(head, now, end=body.done)
        return body

    def _end(self, body: BodyReader, now: float) -> None:
        if body.rest:
            # Bytes that answer nothing: never taken for the next response.
            self._reusable = False
            body.rest = b""
        self.exchange.response_end(body.trailers, now)

    def eof(self, now: float) -> None:
        """Upstream has ended its side.

        Raises:
            HttpError: when the response was not complete.
        """
        self._reusable = False
        if self.released:
            return
        if self._switched:
            self.exchange.channel_ended(now)
        elif self._body is None:
            self.exchange.upstream_ended(now)
        else:
            self._body.eof()
            self._end(self._body, now)
