"""HTTP/2 with the agent: many streams, an exchange for each (RFC 9113)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from interceptor.flow.asking import Asking
from interceptor.flow.context import FlowContext, Identity, Successor
from interceptor.flow.exchange import Exchange
from interceptor.flow.grpc_body import is_grpc
from interceptor.flow.http2_lane import BACKLOG, http2_limits
from interceptor.flow.lanes import Lanes
from interceptor.flow.refusal import grpc_status, refusal
from interceptor.flow.request import Request, read_target
from interceptor.flow.states import Phase
from interceptor.flow.steps import Close, Record, Step, ToClient
from interceptor.model import Kind
from interceptor.verdict import Reason, Verdict
from interceptor.wire.http1 import Field, Framing, HttpError, RequestHead, ResponseHead
from interceptor.wire.http2 import (
    AgentHttp2,
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
"""Streams have deadlines of their own; they are looked at so often, in seconds."""
_CONTINUE: Final = ResponseHead(
    status=100,
    phrase=b"Continue",
    minor=1,
    fields=(),
    framing=Framing.NONE,
    length=0,
    keep_alive=True,
    connection=frozenset(),
)
_MISDIRECTED: Final = 421


class _Stream:
    """What a stream has besides its exchange."""

    __slots__ = ("early", "ended", "exchange", "owed", "request_over", "trailers")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.early: deque[Data] = deque()
        """Content that came before the exchange could use it; its window is not given back."""
        self.trailers: tuple[Field, ...] = ()
        self.request_over = False
        self.owed = 0
        """Window to give back once upstream can take more."""
        self.ended = False
        """The response was ended together with its head."""


class Http2Connection:
    """See `interceptor.flow.speaker.Speaker` and `interceptor.flow.sides.AgentSide`.

    Attributes:
        steps: where steps go, in order; the owner takes them out.
        exchange: number of the last exchange.
        successor: always None; CONNECT is not relayed inside HTTP/2.
    """

    successor: Successor | None = None

    __slots__ = (
        *("_codec", "_context", "_done", "_draining", "_held", "_idle_deadline", "_identity"),
        *("_lanes", "_leaving", "_now", "_owing", "_parked", "_streams", "_tick", "exchange"),
        "steps",
    )

    def __init__(
        self, context: FlowContext, identity: Identity, steps: list[Step], exchange: int, now: float
    ) -> None:
        self._context = context
        self._identity = identity
        self.steps = steps
        self.exchange = exchange
        self._codec = AgentHttp2(http2_limits(context.limits), now)
        self._lanes = Lanes(steps, context.limits, prior_knowledge=identity.scheme == "http")
        self._streams: dict[int, _Stream] = {}
        # Streams whose content waits for upstream; whose window is owed; whose response is held.
        self._parked: dict[int, _Stream] = {}
        self._owing: dict[int, _Stream] = {}
        self._held: dict[int, Asking] = {}
        # Responses that are complete but for the agent's window, with the time they still have.
        self._draining: dict[int, float] = {}
        self._leaving = self._done = False
        self._now = now
        self._tick = now
        self._idle_deadline = now + context.limits.header_seconds
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
            else:
                stream.early.append(event)
                self._use(stream, now)
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
        self._streams[event.stream] = stream = _Stream(exchange)
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
        head, content = refusal(verdict, target, self._context.origin.flow, grpc=grpc)
        self._write_refusal(event.stream, head, content, event.head.method)
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

    def _use(self, stream: _Stream, now: float) -> None:
        """Give an exchange the content it can use now; what it cannot use is parked."""
        exchange = stream.exchange
        early = stream.early
        while exchange.wants_body and not exchange.uploaded:
            if early:
                event = early.popleft()
                end = stream.request_over and not early
                exchange.content(event.data, now, end=end, trailers=stream.trailers if end else ())
                if exchange.upstream_is_full:
                    stream.owed += event.flow
                    self._owing[event.stream] = stream
                else:
                    self._codec.acknowledge(event.stream, event.flow)
            elif stream.request_over:
                exchange.content(b"", now, end=True, trailers=stream.trailers)
            else:
                return
        if not exchange.over and not exchange.uploaded:
            self._parked[exchange.stream] = stream

    def _settle(self, now: float) -> None:
        """After each event: whatever waited for it goes on."""
        codec = self._codec
        self._lanes.settle(now)
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

    def _flush(self) -> None:
        if not self._done:
            data = self._codec.outgoing()
            if data:
                self.steps.append(ToClient(data))

    # -- what exchanges want of the agent's side -------------------------------------------------

    def open_lane(self, exchange: Asking, now: float, *, fresh: bool) -> None:
        """See `AgentSide`."""
        self._lanes.open(self._streams[exchange.stream].exchange, now, fresh=fresh)

    def close_lane(self, exchange: Asking) -> None:
        """See `AgentSide`."""
        self._lanes.close(exchange)

    def proceed(self, exchange: Asking) -> None:
        """See `AgentSide`."""
        self._codec.respond(exchange.stream, _CONTINUE, end=False)

    def answer(self, exchange: Asking, head: ResponseHead, *, end: bool) -> None:
        """See `AgentSide`."""
        stream = self._streams.get(exchange.stream)
        if stream is not None:
            stream.ended = end
            self._codec.respond(exchange.stream, head, end=end)

    def answer_whole(self, exchange: Asking, head: ResponseHead, content: bytes) -> None:
        """See `AgentSide`."""
        self.answer(exchange, head, end=not content)
        if content:
            self.answer_data(exchange, content)
            self.answer_end(exchange, ())

    def answer_data(self, exchange: Asking, data: bytes) -> None:
        """See `AgentSide`."""
        number = exchange.stream
        if number not in self._streams:
            return
        self._codec.data(number, data)
        if number not in self._held and self._codec.backlog(number) > BACKLOG:
            self._held[number] = exchange
            exchange.hold_upstream(hold=True)

    def answer_end(self, exchange: Asking, trailers: tuple[Field, ...]) -> None:
        """See `AgentSide`."""
        stream = self._streams.get(exchange.stream)
        if stream is not None and not stream.ended:
            self._codec.end(exchange.stream, trailers)

    def switch(self, exchange: Asking, head: ResponseHead) -> None:
        """See `AgentSide`; an upgrade does not exist in HTTP/2 (RFC 9113 section 8.6)."""
        raise NotImplementedError

    def channel_data(self, exchange: Asking, data: bytes) -> None:
        """See `AgentSide`; see `switch`."""
        raise NotImplementedError

    def refused(self, exchange: Asking, verdict: Verdict, now: float, *, close: bool) -> None:  # noqa: ARG002
        """See `AgentSide`."""
        request = exchange.request
        # A client may have coalesced names on one connection: it is told to open another.
        status = _MISDIRECTED if verdict.reason is Reason.NAME_MISMATCH else 0
        head, content = refusal(
            verdict,
            request.target,
            self._context.origin.flow,
            status=status,
            grpc=is_grpc(request.head, web=False),
        )
        stream = self._forget(exchange.stream, now)
        over = exchange.uploaded or (stream is not None and stream.request_over)
        self._write_refusal(exchange.stream, head, content, request.head.method)
        self._end(exchange.stream, uploaded=over)

    def _write_refusal(self, number: int, head: ResponseHead, content: bytes, method: str) -> None:
        if method == "HEAD":
            content = b""
        self._codec.respond(number, head, end=not content)
        if content:
            self._codec.data(number, content)
            self._codec.end(number, ())

    def cut(self, exchange: Asking, verdict: Verdict) -> None:
        """See `AgentSide`."""
        number = exchange.stream
        stream = self._forget(number, self._now)
        if stream is not None and not stream.ended and is_grpc(exchange.request.head, web=False):
            self._codec.end(number, tuple(grpc_status(verdict)))
            self._end(number, uploaded=exchange.uploaded or stream.request_over)
        else:
            self._flush()  # what came before it is the agent's
            self._codec.reset(number, Code.INTERNAL_ERROR)

    def over(self, exchange: Asking, now: float) -> None:
        """See `AgentSide`."""
        stream = self._forget(exchange.stream, now)
        over = exchange.uploaded or (stream is not None and stream.request_over)
        self._end(exchange.stream, uploaded=over)

    def _end(self, number: int, *, uploaded: bool) -> None:
        """A response was given as a whole; the rest of its request is of no use.

        The agent is told so when it has the response (RFC 9113 section 8.1).
        """
        if not uploaded:
            self._flush()
        if self._codec.backlog(number):
            self._draining[number] = self._now + self._context.limits.idle_seconds
        elif not uploaded:
            self._codec.reset(number, Code.NO_ERROR)

    def _forget(self, number: int, now: float) -> _Stream | None:
        """A stream is over on our side: nothing is owed to it or kept for it."""
        self._draining.pop(number, None)
        stream = self._streams.pop(number, None)
        if stream is None:
            return None
        self._parked.pop(number, None)
        self._owing.pop(number, None)
        self._held.pop(number, None)
        owed = stream.owed + sum(event.flow for event in stream.early)
        if owed:
            self._codec.acknowledge(number, owed)
        if not self._streams:
            self._idle_deadline = now + self._context.limits.idle_seconds
        return stream

    # -- upstream's side -------------------------------------------------------------------

    def resolved(self, addresses: tuple[str, ...], now: float, lane: int) -> None:
        """See `Speaker`."""
        self._upstream(lambda: self._lanes.resolved(addresses, now, lane), now)

    def connected(self, address: str, now: float, lane: int, *, reused: bool, alpn: str) -> None:
        """See `Speaker`."""
        self._upstream(
            lambda: self._lanes.connected(address, now, lane, reused=reused, alpn=alpn), now
        )

    def sealed(self, now: float, lane: int) -> None:
        """Never asked for."""

    def upstream_bytes(self, data: bytes, now: float, lane: int) -> None:
        """See `Speaker`."""
        self._upstream(lambda: self._lanes.feed(data, now, lane), now)

    def upstream_eof(self, now: float, lane: int) -> None:
        """See `Speaker`."""
        self._upstream(lambda: self._lanes.eof(now, lane), now)

    def upstream_failed(self, reason: Reason, detail: str, now: float, lane: int) -> None:
        """See `Speaker`."""
        self._upstream(lambda: self._lanes.failed(reason, detail, now, lane), now)

    def upstream_full(self, now: float, lane: int, *, full: bool) -> None:
        """See `Speaker`."""
        self._upstream(lambda: self._lanes.full(lane, full=full), now)

    def _upstream(self, work: Callable[[], None], now: float) -> None:
        self._now = now
        work()
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
        self._tick = now + _TICK
        for stream in list(self._streams.values()):
            if stream.exchange.deadline <= now and stream.exchange.phase is not Phase.OVER:
                stream.exchange.timer(now)
        for number in [n for n, deadline in self._draining.items() if deadline <= now]:
            del self._draining[number]
            self._codec.reset(number, Code.CANCEL)
            self._idle_deadline = now + self._context.limits.idle_seconds
        self._settle(now)

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
                self._write_refusal(number, head, content, exchange.request.head.method)
        self._streams.clear()
        self._codec.close(Code.NO_ERROR)
        self._flush()
        self._done = True
        self.steps.append(Close())

    def _close(self) -> None:
        if not self._done:
            self._done = True
            self.steps.append(Close())
