"""HTTP/1.1 with the agent: what it asks, heads and bodies read in their order."""

from __future__ import annotations

from typing import Final

from interceptor.flow.context import FlowContext, Identity, Successor
from interceptor.flow.exchange import Exchange
from interceptor.flow.http1_answers import Http1Answers, Turn
from interceptor.flow.http1_lane import Http1Lane
from interceptor.flow.http2_lane import Http2Link
from interceptor.flow.refusal import refusal
from interceptor.flow.request import Request, read_target
from interceptor.flow.states import Phase
from interceptor.flow.steps import Close, EndUpstream, Record, Step, ToClient
from interceptor.model import Kind
from interceptor.verdict import Reason
from interceptor.wire.http1 import (
    Framing,
    HttpError,
    RequestHead,
    read_request,
    write_response,
)
from interceptor.wire.http1_body import BodyReader

_ALPN: Final = ("http/1.1",)
_PENDING_LIMIT: Final = 65_536


class Http1Connection(Http1Answers):
    """See `interceptor.flow.speaker.Speaker` and `interceptor.flow.sides.AgentSide`.

    Attributes:
        steps: where steps go, in order; the owner takes them out.
        exchange: number of the current or last exchange.
        successor: what is inside, once CONNECT was answered.
    """

    __slots__ = ("_begun", "_identity", "exchange", "successor")

    def __init__(
        self, context: FlowContext, identity: Identity, steps: list[Step], exchange: int, now: float
    ) -> None:
        super().__init__(context, steps, now)
        self._identity = identity
        self._begun = False
        self.exchange = exchange
        self.successor: Successor | None = None

    # -- the agent's side ------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        """See `Speaker`."""
        if self._turn is Turn.BUSY and self._current is not None:
            return self._current.deadline
        return self._deadline

    @property
    def wants_client(self) -> bool:
        """See `Speaker`."""
        if self._turn is not Turn.BUSY or self._current is None:
            return self._turn is not Turn.LEFT
        # Read on, so that an agent that gives up is noticed, but keep little.
        return len(self._incoming) < _PENDING_LIMIT and not self._current.upstream_is_full

    def client_bytes(self, data: bytes, now: float) -> None:
        """See `Speaker`."""
        self._incoming = self._incoming + data if self._incoming else data
        self._advance(now)

    def client_eof(self, now: float) -> None:
        """The agent has ended its side; what was asked completely is still answered."""
        self._eof = True
        exchange = self._current
        if self._turn is not Turn.BUSY or exchange is None:
            self._close()
        elif exchange.phase is Phase.CHANNEL:
            exchange.client_ended(now)
        else:
            self._miss_content(exchange, now)

    def _miss_content(self, exchange: Exchange, now: float) -> None:
        """The agent has ended its side: a request that is not complete now never will be."""
        if not exchange.uploaded and (exchange.wants_body or not self._incoming):
            held = exchange.phase is Phase.HOLD
            exchange.gone(Reason.CLIENT_CLOSED, now)
            self._close(reset=not held)

    def client_lost(self, now: float) -> None:
        """See `Speaker`."""
        if self._current is not None:
            self._current.gone(Reason.CLIENT_CLOSED, now)
        self._turn = Turn.LEFT

    def _advance(self, now: float) -> None:
        while self._incoming:
            if self._turn is Turn.HEAD:
                if not self._read_head(now):
                    break
            elif self._turn is Turn.BUSY:
                if not self._read_on(now):
                    break
            elif self._turn is Turn.DRAIN:
                self._read_away(now)
            else:
                return
        if self._eof:
            if self._turn is not Turn.BUSY:
                self._close()
            elif self._current is not None:
                self._miss_content(self._current, now)

    def _read_head(self, now: float) -> bool:
        limits = self._context.limits
        self._current = None
        try:
            found = read_request(self._incoming, limits.header_bytes, limits.header_count)
            if found is None:
                # Empty lines are no beginning: old clients send one after a body (RFC 9112 2.2).
                if not self._begun and self._incoming.strip(b"\r\n"):
                    # Set once: a head that trickles in has no more time than one that stalls.
                    self._begun = True
                    self._deadline = now + limits.header_seconds
                return False
            head, used = found
            self._incoming = self._incoming[used:]
            self.exchange += 1
            self._begun = False
            request = read_target(head, self._context, self._identity, now)
        except HttpError as error:
            self._malformed(error)
            return True
        self._begin(head, request, now)
        return True

    def _begin(self, head: RequestHead, request: Request, now: float) -> None:
        if request.tunnel is not None and request.refused is None:
            self._end_link()  # it belongs to this connection's name, not to the one inside
            self.successor = Successor(request.tunnel, self._incoming)
            self._turn = Turn.LEFT
            self._incoming = b""
            self.steps.append(ToClient(b"HTTP/1.1 200 Connection established\r\n\r\n"))
            return
        self._turn = Turn.BUSY
        self._closes = not head.keep_alive
        self._reader = None
        if head.framing is not Framing.NONE:
            self._reader = BodyReader(head.framing, head.length, Reason.HTTP_MALFORMED)
        self._current = exchange = Exchange(self, self._context, request, self.exchange, now)
        try:
            exchange.begin(now)
        except HttpError as error:
            exchange.malformed(error, now)

    def _malformed(self, error: HttpError) -> None:
        """A head that is none: there is no exchange, and no next one."""
        verdict = self._context.judge.refuse(error.reason, error.detail)
        target = self._identity.target()
        self.steps.append(Record(verdict, target, Kind.HTTP_REQUEST, self.exchange))
        head, content = refusal(verdict, target, self._context.origin.flow)
        out = write_response(head, head.framing, close=True, method="GET")
        self.steps.append(ToClient(out + content))
        self._close()

    def _read_on(self, now: float) -> bool:
        """Give the exchange what is its own; False when it cannot use more now."""
        exchange, reader = self._current, self._reader
        assert exchange is not None  # noqa: S101
        if exchange.phase is Phase.CHANNEL:
            data, self._incoming = self._incoming, b""
            exchange.client_channel(data, now)
            return True
        usable = exchange.wants_body and reader is not None and not reader.done
        if reader is None or not usable:
            return False
        data, self._incoming = self._incoming, b""
        try:
            payload = reader.feed(data)
        except HttpError as error:
            exchange.malformed(error, now)
            return True
        end = reader.done
        if end:
            self._incoming, reader.rest = reader.rest, b""
        if payload or end:
            exchange.content(payload, now, end=end, trailers=reader.trailers)
        return True

    def _read_away(self, now: float) -> None:
        drain = self._drain
        assert drain is not None  # noqa: S101
        try:
            drain.feed(self._incoming)
        except HttpError:
            self._close()
            return
        self._incoming, drain.rest = drain.rest, b""
        if drain.done:
            self._next(now)

    # -- upstream's side -------------------------------------------------------------------

    def resolved(
        self,
        addresses: tuple[str, ...],
        now: float,
        lane: int,  # noqa: ARG002
        canonical: str = "",
    ) -> None:
        """See `Speaker`."""
        if self._current is not None:
            self._current.resolved(addresses, now, _ALPN, canonical)
            self._advance(now)

    def connected(self, address: str, now: float, lane: int, *, reused: bool, alpn: str) -> None:
        """See `Speaker`."""
        exchange = self._current
        if exchange is None or exchange.phase is not Phase.ASK:
            if self._link is None and (self._lane is None or self._lane.released):
                self.steps.append(EndUpstream(reusable=False, lane=lane))  # too late for anybody
            return
        limits = self._context.limits
        if alpn == "h2" and exchange.request.upgrade is not None:
            detail = "an upgrade, of a server that has HTTP/2 alone"
            exchange.failed(Reason.HTTP_UNSUPPORTED, detail, now)
        elif alpn == "h2":  # upstream takes nothing else
            target = exchange.request.target
            self._link = link = Http2Link(lane, target, address, self.steps, limits, now)
            exchange.connected(link.outlet(exchange), address, now, reused=reused)
            link.flush()
        else:
            self._lane = outlet = Http1Lane(lane, exchange, self.steps, limits)
            exchange.connected(outlet, address, now, reused=reused)
        if self._incoming:
            self._advance(now)

    def sealed(self, now: float, lane: int) -> None:
        """Never asked for."""

    def upstream_bytes(self, data: bytes, now: float, lane: int) -> None:  # noqa: ARG002
        """See `Speaker`."""
        if self._link is not None:
            self._link.feed(data, now)
        elif self._lane is not None:
            try:
                self._lane.feed(data, now)
            except HttpError as error:
                self._lane.exchange.failed(error.reason, error.detail, now)
        if self._incoming:
            self._advance(now)

    def upstream_eof(self, now: float, lane: int) -> None:  # noqa: ARG002
        """See `Speaker`."""
        link, self._link = self._link, None
        if link is not None:
            link.eof(now)
        elif self._lane is not None:
            try:
                self._lane.eof(now)
            except HttpError as error:
                self._lane.exchange.failed(error.reason, error.detail, now)
        self._advance(now)

    def upstream_failed(self, reason: Reason, detail: str, now: float, lane: int) -> None:  # noqa: ARG002
        """See `Speaker`."""
        link, self._link = self._link, None
        if link is not None:
            link.fail(reason, detail, now)
        elif self._current is not None:
            self._current.failed(reason, detail, now)
        self._advance(now)

    def upstream_full(self, now: float, lane: int, *, full: bool) -> None:  # noqa: ARG002
        """See `Speaker`: the agent is not read while upstream cannot take more."""
        connection = self._link if self._link is not None else self._lane
        if connection is not None:
            connection.full = full

    # -- ends ------------------------------------------------------------------------------

    def timer(self, now: float) -> None:
        """See `Speaker`."""
        exchange = self._current
        if self._turn is Turn.BUSY and exchange is not None:
            exchange.timer(now)
            self._advance(now)
        elif self._turn is Turn.HEAD and not self._begun and self.exchange:
            self._close()  # an idle connection
        elif self._turn is Turn.HEAD:
            self._malformed(HttpError(Reason.TIMEOUT, "the request did not complete"))
        elif self._turn is Turn.DRAIN:
            self._close()

    def unwritable(self) -> None:
        """See `Speaker`: nothing may go on."""
        self.steps.clear()
        exchange = self._current
        if (
            self._lane is not None
            or self._link is not None
            or (exchange is not None and exchange.phase is Phase.ASK)
        ):
            self.steps.append(EndUpstream(reusable=False))
        if exchange is None or exchange.started or self._turn is Turn.LEFT:
            self._turn = Turn.LEFT
            self.steps.append(Close(reset=True))
            return
        verdict = self._context.judge.refuse(
            Reason.EVIDENCE_UNWRITABLE, "the decision could not be recorded"
        )
        self._explain(exchange, verdict, close=True)
        self._turn = Turn.LEFT
        self.steps.append(Close())
