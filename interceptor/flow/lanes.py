"""The upstream connections of an agent's connection that asks for many things at once.

The first is dialled with both versions of HTTP on offer. Where upstream takes HTTP/2, exchanges
share it, and another is dialled when it takes no more; where not, each exchange gets a connection
of its own, as HTTP/1.1 has one exchange at a time.
"""

from __future__ import annotations

from typing import Final

from interceptor.flow.asking import Asking
from interceptor.flow.context import FlowContext
from interceptor.flow.exchange import Exchange
from interceptor.flow.http1_lane import Http1Lane
from interceptor.flow.http2_lane import Http2Link
from interceptor.flow.steps import EndUpstream, Step
from interceptor.flow.way import ask
from interceptor.verdict import Reason
from interceptor.wire.http1 import HttpError

_EITHER: Final = ("h2", "http/1.1")
_OLD: Final = ("http/1.1",)


class Lanes:
    """The lanes of one connection. A number is never used twice."""

    __slots__ = (
        *("_asked", "_judge", "_limits", "_link", "_links", "_next", "_old", "_opened"),
        *("_prior_knowledge", "_steps", "_waiting"),
    )

    def __init__(self, steps: list[Step], context: FlowContext, *, prior_knowledge: bool) -> None:
        """Append to `steps`. With `prior_knowledge`, HTTP/2 is spoken without TLS, unasked."""
        self._judge = context.judge
        self._steps = steps
        self._limits = context.limits
        self._prior_knowledge = prior_knowledge
        self._asked: dict[int, Exchange] = {}
        self._opened: dict[int, Http1Lane] = {}
        self._links: dict[int, Http2Link] = {}
        self._link: Http2Link | None = None  # the newest
        self._old = False
        self._waiting: dict[Exchange, None] = {}
        self._next = 0

    def open(self, exchange: Exchange, now: float, *, fresh: bool) -> None:
        """Find a way for an exchange that was allowed."""
        link = self._with_room()
        if link is not None:
            _enter(link, exchange, now)
        elif self._old or not self._asked:
            self._ask(exchange, fresh=fresh or not self._old)
        else:
            self._waiting[exchange] = None  # for what the first one finds out

    def _with_room(self) -> Http2Link | None:
        link = self._link
        if link is None or link.room:
            return link
        if link.wants_http1:
            self._old = True
        return next((other for other in self._links.values() if other.room), None)

    def _ask(self, exchange: Exchange, *, fresh: bool) -> None:
        exchange.lane = self._next
        self._next += 1
        self._asked[exchange.lane] = exchange
        self._steps.append(
            ask(self._judge, exchange.request.target, fresh=fresh, lane=exchange.lane)
        )

    def close(self, exchange: Asking) -> None:
        """Give up what `open` has asked for; `settle` looks after those who wait for it."""
        for waiting in self._waiting:
            if waiting is exchange:
                del self._waiting[waiting]
                return
        if self._asked.get(exchange.lane) is exchange:
            del self._asked[exchange.lane]
            self._steps.append(EndUpstream(reusable=False, lane=exchange.lane))

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._waiting.clear()

    def settle(self, now: float) -> bool:
        """After each event: let those who wait in, as far as there is room, or ask for more.

        Returns True when somebody was let in.
        """
        entered = False
        for link in [link for link in self._links.values() if link.ended]:
            del self._links[link.lane]
            if self._link is link:
                self._link = next(iter(self._links.values()), None)
        while self._waiting:
            found = self._with_room()
            if found is None and self._asked and not self._old:
                break
            exchange = next(iter(self._waiting))
            del self._waiting[exchange]
            if found is not None:
                _enter(found, exchange, now)
                entered = True
            else:
                self._ask(exchange, fresh=not self._old)
        return entered

    # -- upstream's side -------------------------------------------------------------------

    def resolved(self, addresses: tuple[str, ...], now: float, lane: int, canonical: str) -> None:
        """See `Speaker`."""
        exchange = self._asked.get(lane)
        if exchange is not None:
            exchange.resolved(addresses, now, _OLD if self._old else _EITHER, canonical)

    def connected(self, address: str, now: float, lane: int, *, reused: bool, alpn: str) -> None:
        """See `Speaker`."""
        exchange = self._asked.pop(lane, None)
        if exchange is None:
            if lane not in self._links and lane not in self._opened:
                self._steps.append(EndUpstream(reusable=False, lane=lane))
        elif alpn == "h2" or (self._prior_knowledge and not self._old):
            target = exchange.request.target
            self._link = link = Http2Link(lane, target, address, self._steps, self._limits, now)
            self._links[lane] = link
            exchange.connected(link.outlet(exchange), address, now, reused=reused)
            link.flush()
        else:
            self._old = True
            self._opened[lane] = outlet = Http1Lane(
                lane, exchange, self._steps, self._limits, self._opened
            )
            exchange.connected(outlet, address, now, reused=reused)

    def feed(self, data: bytes, now: float, lane: int) -> None:
        """See `Speaker`."""
        link = self._links.get(lane)
        if link is not None:
            link.feed(data, now)
            return
        outlet = self._opened.get(lane)
        if outlet is not None:
            try:
                outlet.feed(data, now)
            except HttpError as error:
                outlet.exchange.failed(error.reason, error.detail, now)

    def eof(self, now: float, lane: int) -> None:
        """See `Speaker`."""
        link = self._links.get(lane)
        if link is not None:
            link.eof(now)
            return
        outlet = self._opened.get(lane)
        if outlet is not None:
            try:
                outlet.eof(now)
            except HttpError as error:
                outlet.exchange.failed(error.reason, error.detail, now)

    def failed(self, reason: Reason, detail: str, now: float, lane: int) -> None:
        """See `Speaker`."""
        exchange = self._asked.get(lane)
        if exchange is not None:
            exchange.failed(reason, detail, now)
            if not self._links:
                # The others would find the same: they are told at once instead of one by one.
                waiting, self._waiting = self._waiting, {}
                for other in waiting:
                    other.failed(reason, detail, now)
        elif lane in self._links:
            self._links[lane].fail(reason, detail, now)
        elif lane in self._opened:
            self._opened[lane].exchange.failed(reason, detail, now)

    def full(self, lane: int, *, full: bool) -> None:
        """See `Speaker`."""
        connection = self._opened.get(lane) or self._links.get(lane)
        if connection is not None:
            connection.full = full


def _enter(link: Http2Link, exchange: Exchange, now: float) -> None:
    exchange.lane = link.lane
    exchange.connected(link.outlet(exchange), link.address, now, reused=True)
