"""Answers to an agent that speaks HTTP/2: one stream for each exchange (RFC 9113)."""

from __future__ import annotations

from typing import Final

from interceptor.flow.asking import Asking
from interceptor.flow.context import FlowContext
from interceptor.flow.exchange import Exchange
from interceptor.flow.grpc_body import is_grpc
from interceptor.flow.http2_lane import BACKLOG, http2_limits
from interceptor.flow.lanes import Lanes
from interceptor.flow.refusal import grpc_status, refusal
from interceptor.flow.steps import Step, ToClient
from interceptor.verdict import Reason, Verdict
from interceptor.wire.http1 import Field, Framing, ResponseHead
from interceptor.wire.http2 import AgentHttp2, Code

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


def misdirected(verdict: Verdict) -> int:
    """Return the status for another scheme, host or port than the connection's, else 0.

    A client may have coalesced names on one connection: 421 has it open another (RFC 9110 sections
    7.4 and 15.5.20).
    """
    return _MISDIRECTED if verdict.reason is Reason.NAME_MISMATCH else 0


class AgentStream:
    """What a stream has besides its exchange."""

    __slots__ = ("early", "early_flow", "ended", "exchange", "owed", "request_over", "trailers")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.early = bytearray()
        """Content that came before the exchange could use it."""
        self.early_flow = 0
        """Its size under flow control: the window is not given back yet."""
        self.trailers: tuple[Field, ...] = ()
        self.request_over = False
        self.owed = 0
        """Window to give back once upstream can take more."""
        self.ended = False
        """The response was ended together with its head."""


class Http2Answers:
    """The answering half of a connection: `interceptor.flow.sides.AgentSide`.

    Attributes:
        steps: where steps go, in order; the owner takes them out.
    """

    __slots__ = (
        *("_codec", "_context", "_done", "_draining", "_held", "_idle_deadline", "_lanes", "_now"),
        *("_owing", "_parked", "_streams", "steps"),
    )

    def __init__(
        self, context: FlowContext, steps: list[Step], now: float, *, prior_knowledge: bool
    ) -> None:
        """Begin; with `prior_knowledge`, upstreams are spoken to as the agent speaks to us."""
        self._context = context
        self.steps = steps
        self._codec = AgentHttp2(http2_limits(context.limits), now)
        self._lanes = Lanes(steps, context, prior_knowledge=prior_knowledge)
        self._streams: dict[int, AgentStream] = {}
        # Streams whose content waits for upstream; whose window is owed; whose response is held.
        self._parked: dict[int, AgentStream] = {}
        self._owing: dict[int, AgentStream] = {}
        self._held: dict[int, Asking] = {}
        # Responses that are complete but for the agent's window, with the time they still have.
        self._draining: dict[int, float] = {}
        self._done = False
        self._now = now
        self._idle_deadline = now + context.limits.header_seconds

    def _flush(self) -> None:
        if not self._done:
            data = self._codec.outgoing()
            if data:
                self.steps.append(ToClient(data))

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
        status = misdirected(verdict)
        head, content = refusal(
            verdict,
            request.target,
            self._context.origin.flow,
            status=status,
            grpc=is_grpc(request.head, web=False),
            reply=exchange.reply,
        )
        stream = self._forget(exchange.stream, now)
        over = exchange.uploaded or (stream is not None and stream.request_over)
        self._refuse(exchange.stream, head, content, request.head.method)
        self._end(exchange.stream, uploaded=over)

    def _refuse(self, number: int, head: ResponseHead, content: bytes, method: str) -> None:
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

    def _forget(self, number: int, now: float) -> AgentStream | None:
        """A stream is over on our side: nothing is owed to it or kept for it."""
        self._draining.pop(number, None)
        stream = self._streams.pop(number, None)
        if stream is None:
            return None
        self._parked.pop(number, None)
        self._owing.pop(number, None)
        self._held.pop(number, None)
        owed = stream.owed + stream.early_flow
        if owed:
            self._codec.acknowledge(number, owed)
        if not self._streams:
            self._idle_deadline = now + self._context.limits.idle_seconds
        return stream
