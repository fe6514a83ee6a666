"""HTTP/2 with the agent: what it asks, on many streams, an exchange for each (RFC 9113)."""

from __future__ import annotations

from typing import Final

from interceptor.flow.context import FlowContext, Identity, Successor
from interceptor.flow.exchange import Exchange
from interceptor.flow.grpc_body import is_grpc
from interceptor.flow.http2_answers import AgentStream, Http2Answers, misdirected
from interceptor.flow.http2_lane import BACKLOG
from interceptor.flow.refusal import refusal
from interceptor.flow.request import Request, read_target
from interceptor.flow.states import Phase
from interceptor.flow.steps import Close, Record, Step
from interceptor.model import Kind
from interceptor.verdict import Reason
from interceptor.wire.http1 import HttpError, RequestHead
from interceptor.wire.http2 import (
    Broken,
    Code,
    Data,
    Ended,
    Event,
    GoneAway,
    Http2Error,
    Reset,
    Started,
)

_TICK: Final = 0.1
_LONG_TICK: Final = 5.0
"""Streams have deadlines of their own. They are looked at when the next is due, within these
bounds, in seconds."""


class Http2Connection(Http2Answers):
    """See `interceptor.flow.speaker.Speaker` and `interceptor.flow.sides.AgentSide`.

    Attributes:
        steps: where steps go, in order; the owner takes them out.
        exchange: number of the last exchange.
        successor: always None; CONNECT is not relayed inside HTTP/2.
    """

    successor: Successor | None = None

    __slots__ = ("_identity", "_leaving", "_tick", "exchange")

    def __init__(
        self, context: FlowContext, identity: Identity, steps: list[Step], exchange: int, now: float
    ) -> None:
        super().__init__(context, steps, now, prior_knowledge=identity.scheme == "http")
        self._identity = identity
        self._leaving = False
        self._tick = now
        self.exchange = exchange
        self._flush()  # SETTINGS come first, whatever becomes of the rest

    # -- the agent's side ------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        """See `Speaker`."""
        return self._tick if self._streams or self._draining else self._idle_deadline

    @property
    def wants_client(self) -> bool:
        """See `Speaker`: flow control holds each stream, so the connection is always read."""
        return not self._done

    def client_bytes(self, data: bytes, now: float) -> None:
        """See `Speaker`."""
        if self._done:
            return
        self._now = now
        try:
            events = self._codec.feed(data, now)
        except Http2Error as error:
            for event in error.events:
                self._take(event, now)
            self._broken(error, now)
            return
        for event in events:
            self._take(event, now)
        self._settle(now)

    def _take(self, event: Event, now: float) -> None:
        if type(event) is Started:
            self._start(event, now)
        elif type(event) is Data:
            stream = self._streams.get(event.stream)
            if stream is None:
                self._codec.acknowledge(event.stream, event.flow)
            elif stream.early or not stream.exchange.wants_body:
                stream.early += event.data
                stream.early_flow += event.flow
                self._parked[event.stream] = stream
            else:
                self._give(stream, event.data, event.flow, now)
        elif type(event) is Ended:
            stream = self._streams.get(event.stream)
            if stream is not None:
                stream.request_over = True
                stream.trailers = event.trailers
                self._use(stream, now)
        elif type(event) is Reset:
            stream = self._forget(event.stream, now)
            if stream is not None:
                stream.exchange.gone(Reason.CLIENT_CLOSED, now)
        elif type(event) is Broken:
            self._malformed(event, now)
        elif type(event) is GoneAway:
            self._leaving = True

    def _start(self, event: Started, now: float) -> None:
        head = event.head
        self.exchange += 1
        if not self._streams:
            self._tick = now + _TICK
        try:
            request = self._request(event, head, now)
        except HttpError as error:
            self._refuse_head(event, error)
            return
        exchange = Exchange(self, self._context, request, self.exchange, now, event.stream)
        self._streams[event.stream] = stream = AgentStream(exchange)
        stream.request_over = event.end
        try:
            exchange.begin(now)
        except HttpError as error:
            exchange.malformed(error, now)

    def _request(self, event: Started, head: RequestHead, now: float) -> Request:
        if head.method == "CONNECT":
            raise HttpError(Reason.HTTP_UNSUPPORTED, "CONNECT inside HTTP/2")
        if event.scheme != self._identity.scheme:
            raise HttpError(Reason.NAME_MISMATCH, "the request's scheme is another one")
        return read_target(head, self._context, self._identity, now)

    def _refuse_head(self, event: Started, error: HttpError) -> None:
        """A head that names no target we could judge: there is no exchange."""
        verdict = self._context.judge.refuse(error.reason, error.detail)
        target = self._identity.target()
        self.steps.append(Record(verdict, target, Kind.HTTP_REQUEST, self.exchange))
        grpc = is_grpc(event.head, web=False)
        flow = self._context.origin.flow
        status = misdirected(verdict)
        head, content = refusal(verdict, target, flow, status=status, grpc=grpc)
        self._refuse(event.stream, head, content, event.head.method)
        self._end(event.stream, uploaded=event.end)

    def _malformed(self, event: Broken, now: float) -> None:
        """The stream was reset already; what is known of it is recorded."""
        stream = self._forget(event.stream, now)
        verdict = self._context.judge.refuse(event.reason, event.detail)
        if stream is not None:
            exchange = stream.exchange
            target = exchange.request.target
            self.steps.append(Record(verdict, target, Kind.HTTP_REQUEST, exchange.number))
            exchange.gone(event.reason, now)
            return
        self.exchange += 1
        target = self._identity.target()
        self.steps.append(Record(verdict, target, Kind.HTTP_REQUEST, self.exchange))

    def _use(self, stream: AgentStream, now: float) -> None:
        """Give an exchange what has come and it can use now; what it cannot use is parked."""
        exchange = stream.exchange
        if exchange.wants_body and stream.early:
            data, flow = bytes(stream.early), stream.early_flow
            stream.early, stream.early_flow = bytearray(), 0
            self._give(stream, data, flow, now)
        if exchange.over or exchange.uploaded:
            return
        if not exchange.wants_body:
            self._parked[exchange.stream] = stream
        elif stream.request_over:
            exchange.content(b"", now, end=True, trailers=stream.trailers)

    def _give(self, stream: AgentStream, data: bytes, flow: int, now: float) -> None:
        """Give an exchange content; its window goes back at once if upstream can take more."""
        exchange = stream.exchange
        if not exchange.uploaded:
            exchange.content(data, now, end=False, trailers=())
            self._tick = min(self._tick, exchange.deadline)
        if exchange.upstream_is_full:
            stream.owed += flow
            self._owing[exchange.stream] = stream
        else:
            self._codec.acknowledge(exchange.stream, flow)

    def _settle(self, now: float) -> None:
        """After each event: whatever waited for it goes on."""
        codec = self._codec
        if self._lanes.settle(now):
            self._tick = min(self._tick, now + _TICK)
        if self._parked:
            parked, self._parked = self._parked, {}
            for stream in parked.values():
                self._use(stream, now)
        if self._owing:
            for number, stream in [*self._owing.items()]:
                if not stream.exchange.upstream_is_full:
                    del self._owing[number]
                    owed, stream.owed = stream.owed, 0
                    codec.acknowledge(number, owed)
        if self._held:
            for number in [n for n in self._held if codec.backlog(n) <= BACKLOG // 2]:
                self._held.pop(number).hold_upstream(hold=False)
        self._flush()
        if self._draining:
            for number in [n for n in self._draining if not codec.backlog(n)]:
                del self._draining[number]
                codec.reset(number, Code.NO_ERROR)  # unless the agent has ended its side, too
            self._flush()
        if self._leaving and not self._streams and not self._draining:
            self._close()

    def client_eof(self, now: float) -> None:
        """See `Speaker`."""
        self.client_lost(now)
        self._close()

    def client_lost(self, now: float) -> None:
        """See `Speaker`."""
        self._lanes.abandon()
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.exchange.gone(Reason.CLIENT_CLOSED, now)

    def _broken(self, error: Http2Error, now: float) -> None:
        """A connection error: everything on it is over (RFC 9113 section 5.4.1)."""
        verdict = self._context.judge.refuse(error.reason, error.detail)
        self.steps.append(Record(verdict, self._identity.target(), Kind.CONNECTION))
        self.client_lost(now)
        self._flush()
        self._close()

    # -- upstream's side -------------------------------------------------------------------

    def resolved(
        self, addresses: tuple[str, ...], now: float, lane: int, canonical: str = ""
    ) -> None:
        """See `Speaker`."""
        self._now = now
        self._lanes.resolved(addresses, now, lane, canonical)
        self._settle(now)

    def connected(self, address: str, now: float, lane: int, *, reused: bool, alpn: str) -> None:
        """See `Speaker`."""
        self._now = now
        self._tick = min(self._tick, now + _TICK)  # what an exchange holds is due soon
        self._lanes.connected(address, now, lane, reused=reused, alpn=alpn)
        self._settle(now)

    def sealed(self, now: float, lane: int) -> None:
        """Never asked for."""

    def upstream_bytes(self, data: bytes, now: float, lane: int) -> None:
        """See `Speaker`."""
        self._now = now
        self._lanes.feed(data, now, lane)
        self._settle(now)

    def upstream_eof(self, now: float, lane: int) -> None:
        """See `Speaker`."""
        self._now = now
        self._lanes.eof(now, lane)
        self._settle(now)

    def upstream_failed(self, reason: Reason, detail: str, now: float, lane: int) -> None:
        """See `Speaker`."""
        self._now = now
        self._lanes.failed(reason, detail, now, lane)
        self._settle(now)

    def upstream_full(self, now: float, lane: int, *, full: bool) -> None:
        """See `Speaker`."""
        self._lanes.full(lane, full=full)
        self._settle(now)

    # -- ends ------------------------------------------------------------------------------

    def timer(self, now: float) -> None:
        """See `Speaker`."""
        self._now = now
        if not self._streams and not self._draining:
            if now >= self._idle_deadline:
                self._codec.close(Code.NO_ERROR)
                self._flush()
                self._close()
            return
        for stream in list(self._streams.values()):
            if stream.exchange.deadline <= now and stream.exchange.phase is not Phase.OVER:
                stream.exchange.timer(now)
        for number in [n for n, deadline in self._draining.items() if deadline <= now]:
            del self._draining[number]
            self._codec.reset(number, Code.CANCEL)
            self._idle_deadline = now + self._context.limits.idle_seconds
        self._settle(now)
        due = min([stream.exchange.deadline for stream in self._streams.values()], default=now)
        self._tick = max(now + _TICK, min(due, now + _LONG_TICK))

    def unwritable(self) -> None:
        """See `Speaker`: nothing may go on."""
        self.steps.clear()
        verdict = self._context.judge.refuse(
            Reason.EVIDENCE_UNWRITABLE, "the decision could not be recorded"
        )
        for number, stream in self._streams.items():
            exchange = stream.exchange
            if exchange.started:
                self._codec.reset(number, Code.INTERNAL_ERROR)
            else:
                head, content = refusal(verdict, exchange.request.target, self._context.origin.flow)
                self._refuse(number, head, content, exchange.request.head.method)
        self._streams.clear()
        self._codec.close(Code.NO_ERROR)
        self._flush()
        self._done = True
        self.steps.append(Close())

    def _close(self) -> None:
        if not self._done:
            self._done = True
            self.steps.append(Close())
