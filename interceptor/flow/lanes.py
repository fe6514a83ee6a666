"""The upstream connections of an agent's connection that asks for many things at once.

The first is dialled with both versions of HTTP on offer. Where upstream takes HTTP/2, all exchanges
share it; where not, each gets a connection of its own, as HTTP/1.1 has one exchange at a time.
"""

from __future__ import annotations

from typing import Final

from interceptor.flow.asking import Asking
from interceptor.flow.exchange import Exchange
from interceptor.flow.http1_lane import Http1Lane
from interceptor.flow.http2_lane import Http2Link
from interceptor.flow.states import Phase
from interceptor.flow.steps import EndUpstream, Resolve, Step
from interceptor.policy.schema import Limits
from interceptor.verdict import Reason
from interceptor.wire.http1 import HttpError

_EITHER: Final = ("h2", "http/1.1")
_OLD: Final = ("http/1.1",)


class Lanes:
    """The lanes of one connection."""

    __slots__ = (
        *("_asked", "_limits", "_link", "_next", "_old", "_opened", "_prior_knowledge"),
        *("_steps", "_waiting"),
    )

    def __init__(self, steps: list[Step], limits: Limits, *, prior_knowledge: bool) -> None:
        """Append to `steps`. With `prior_knowledge`, HTTP/2 is spoken without TLS, unasked."""
        self._steps = steps
        self._limits = limits
        self._prior_knowledge = prior_knowledge
        self._asked: dict[int, Exchange] = {}
        self._opened: dict[int, Http1Lane] = {}
        self._link: Http2Link | None = None
        self._old = False
        self._waiting: list[Exchange] = []
        self._next = 0

    def open(self, exchange: Exchange, now: float, *, fresh: bool) -> None:
        """Find a way for an exchange that was allowed."""
        link = self._link
        if link is not None and link.usable:
            exchange.lane = link.lane
            if link.room:
                exchange.connected(link.outlet(exchange), link.address, now, reused=True)
            else:
                self._waiting.append(exchange)
        elif self._old or not self._asked:
            self._ask(exchange, fresh=fresh or not self._old)
        else:
            self._waiting.append(exchange)  # for what the first one finds out

    def _ask(self, exchange: Exchange, *, fresh: bool) -> None:
        exchange.lane = self._next
        self._next += 1
        self._asked[exchange.lane] = exchange
        self._steps.append(Resolve(exchange.request.target, fresh, exchange.lane))

    def close(self, exchange: Asking) -> None:
        """Give up what `open` has asked for."""
        if exchange in self._waiting:
            self._waiting.remove(exchange)
        elif self._asked.get(exchange.lane) is exchange:
            del self._asked[exchange.lane]
            self._steps.append(EndUpstream(reusable=False, lane=exchange.lane))
            self._ask_for_waiting()

    def _ask_for_waiting(self) -> None:
        """Whoever had asked for all has gone: the next one asks."""
        if self._waiting and not self._asked and (self._link is None or not self._link.usable):
            self._ask(self._waiting.pop(0), fresh=True)

    def resolved(self, addresses: tuple[str, ...], now: float, lane: int) -> None:
        """See `Speaker`."""
        exchange = self._asked.get(lane)
        if exchange is not None:
            exchange.resolved(addresses, now, _OLD if self._old else _EITHER)

    def connected(self, address: str, now: float, lane: int, *, reused: bool, alpn: str) -> None:
        """See `Speaker`."""
        exchange = self._asked.pop(lane, None)
        if exchange is None:
            self._steps.append(EndUpstream(reusable=False, lane=lane))
            return
        if alpn == "h2" or self._prior_knowledge:
            self._link = link = Http2Link(lane, address, self._steps, self._limits, now)
            exchange.connected(link.outlet(exchange), address, now, reused=reused)
            link.flush()
            self._admit(now)
            return
        self._old = True
        self._opened[lane] = outlet = Http1Lane(lane, exchange, self._steps, self._limits)
        exchange.connected(outlet, address, now, reused=reused)
        waiting, self._waiting = self._waiting, []
        for other in waiting:
            if other.phase is Phase.ASK:
                self._ask(other, fresh=False)

    def _admit(self, now: float) -> None:
        """Open streams for those who waited, as far as there is room."""
        link = self._link
        while self._waiting and link is not None and link.room:
            other = self._waiting.pop(0)
            if other.phase is Phase.ASK:
                other.lane = link.lane
                other.connected(link.outlet(other), link.address, now, reused=True)

    def feed(self, data: bytes, now: float, lane: int) -> None:
        """See `Speaker`."""
        link = self._link
        if link is not None and link.lane == lane:
            try:
                link.feed(data, now)
            except HttpError as error:
                self._link = None
                link.fail(error.reason, error.detail, now)
            self._admit(now)
            if not link.usable and link.idle and self._link is link:
                self._link = None
                self._steps.append(EndUpstream(reusable=False, lane=lane))
            self._ask_for_waiting()
            return
        outlet = self._opened.get(lane)
        if outlet is not None:
            try:
                outlet.feed(data, now)
            except HttpError as error:
                outlet.exchange.failed(error.reason, error.detail, now)
            self._drop_ended(lane, outlet)

    def eof(self, now: float, lane: int) -> None:
        """See `Speaker`."""
        link = self._link
        if link is not None and link.lane == lane:
            self._link = None
            link.eof(now)
            self._ask_for_waiting()
            return
        outlet = self._opened.get(lane)
        if outlet is not None:
            try:
                outlet.eof(now)
            except HttpError as error:
                outlet.exchange.failed(error.reason, error.detail, now)
            self._drop_ended(lane, outlet)

    def _drop_ended(self, lane: int, outlet: Http1Lane) -> None:
        if outlet.released:
            self._opened.pop(lane, None)

    def failed(self, reason: Reason, detail: str, now: float, lane: int) -> None:
        """See `Speaker`."""
        exchange = self._asked.pop(lane, None)
        if exchange is not None:
            self._steps.append(EndUpstream(reusable=False, lane=lane))
            exchange.failed(reason, detail, now)
            # The others would find the same: they are told at once instead of one by one.
            waiting, self._waiting = self._waiting, []
            for other in waiting:
                other.failed(reason, detail, now)

    def full(self, lane: int, *, full: bool) -> None:
        """See `Speaker`."""
        outlet = self._opened.get(lane)
        if outlet is not None:
            outlet.full = full
        elif self._link is not None and self._link.lane == lane:
            self._link.full = full
