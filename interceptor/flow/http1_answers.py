"""Answers to an agent that speaks HTTP/1.1: one exchange after the other."""

from __future__ import annotations

import enum
from typing import Final

from interceptor.flow.asking import Asking
from interceptor.flow.context import FlowContext
from interceptor.flow.exchange import Exchange
from interceptor.flow.http1_lane import Http1Lane
from interceptor.flow.http2_lane import Http2Link
from interceptor.flow.refusal import refusal
from interceptor.flow.states import Phase
from interceptor.flow.steps import Close, EndUpstream, Step, ToClient
from interceptor.flow.way import ask
from interceptor.verdict import Verdict
from interceptor.wire.http1 import (
    Field,
    Framing,
    ResponseHead,
    chunk,
    write_response,
    write_switch,
    write_trailers,
)
from interceptor.wire.http1_body import BodyReader

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_DRAIN_LIMIT: Final = 1 << 20


class Turn(enum.Enum):
    """What the connection is doing."""

    HEAD = "waiting for a request, or within its head"
    BUSY = "an exchange is under way"
    DRAIN = "refused; reading the rest of the body away so that the connection can be kept"
    LEFT = "what follows belongs to somebody else, or nothing follows"

    __hash__ = object.__hash__


class Http1Answers:
    """The answering half of a connection: `interceptor.flow.sides.AgentSide`.

    Attributes:
        steps: where steps go, in order; the owner takes them out.
    """

    __slots__ = (
        *("_chunked", "_closes", "_context", "_current", "_deadline", "_drain", "_eof"),
        *("_incoming", "_lane", "_link", "_reader", "_turn", "steps"),
    )

    def __init__(self, context: FlowContext, steps: list[Step], now: float) -> None:
        self._context = context
        self.steps = steps
        self._turn = Turn.HEAD
        self._deadline = now + context.limits.header_seconds
        self._incoming = b""
        self._eof = False
        self._current: Exchange | None = None
        self._reader: BodyReader | None = None
        self._drain: BodyReader | None = None
        self._lane: Http1Lane | None = None
        self._link: Http2Link | None = None
        self._chunked = self._closes = False

    def open_lane(self, exchange: Asking, now: float, *, fresh: bool) -> None:
        """See `AgentSide`."""
        link, current = self._link, self._current
        if link is not None and current is not None:
            request = exchange.request
            if link.room and link.serves(request.target) and request.upgrade is None:
                current.connected(link.outlet(current), link.address, now, reused=True)
                return
            self._end_link()
        self.steps.append(ask(self._context.judge, exchange.request.target, fresh=fresh))

    def close_lane(self, exchange: Asking) -> None:  # noqa: ARG002
        """See `AgentSide`."""
        self.steps.append(EndUpstream(reusable=False))

    def proceed(self, exchange: Asking) -> None:  # noqa: ARG002
        """See `AgentSide`."""
        self.steps.append(ToClient(_CONTINUE))

    def answer(self, exchange: Asking, head: ResponseHead, *, end: bool) -> None:  # noqa: ARG002
        """See `AgentSide`."""
        self.steps.append(ToClient(self._answer_head(exchange, head)))

    def answer_whole(self, exchange: Asking, head: ResponseHead, content: bytes) -> None:
        """See `AgentSide`."""
        self.steps.append(ToClient(self._answer_head(exchange, head) + content))

    def _answer_head(self, exchange: Asking, head: ResponseHead) -> bytes:
        request = exchange.request.head
        framing = head.framing
        if framing in (Framing.CHUNKED, Framing.CLOSE):
            # HTTP/1.0 knows no chunks; for HTTP/1.1 they keep the agent's connection usable.
            framing = Framing.CHUNKED if request.minor else Framing.CLOSE
        self._chunked = framing is Framing.CHUNKED
        if framing is Framing.CLOSE or not exchange.uploaded:
            self._closes = True
        persist = not request.minor and not self._closes
        return write_response(
            head, framing, close=self._closes, method=request.method, persist=persist
        )

    def answer_data(self, exchange: Asking, data: bytes) -> None:  # noqa: ARG002
        """See `AgentSide`."""
        self.steps.append(ToClient(chunk(data) if self._chunked else data))

    def answer_end(self, exchange: Asking, trailers: tuple[Field, ...]) -> None:  # noqa: ARG002
        """See `AgentSide`."""
        if self._chunked:
            self.steps.append(ToClient(write_trailers(trailers)))

    def switch(self, exchange: Asking, head: ResponseHead) -> None:  # noqa: ARG002
        """See `AgentSide`."""
        self._closes = True  # what follows is no HTTP, nor ever will be again
        self.steps.append(ToClient(write_switch(head)))

    def channel_data(self, exchange: Asking, data: bytes) -> None:  # noqa: ARG002
        """See `AgentSide`."""
        self.steps.append(ToClient(data))

    def refused(self, exchange: Asking, verdict: Verdict, now: float, *, close: bool) -> None:
        """See `AgentSide`. The connection is kept where its state is certain."""
        unread = self._unread(exchange)
        close = close or self._closes or unread > _DRAIN_LIMIT
        close = close or (self._eof and not self._incoming)
        self._explain(exchange, verdict, close=close)
        if close:
            self._close()
        elif unread:
            self._turn = Turn.DRAIN
            self._drain = self._reader
            self._deadline = now + self._context.limits.idle_seconds
        else:
            self._next(now)

    def _explain(self, exchange: Asking, verdict: Verdict, *, close: bool) -> None:
        """Answer with the reason; without a body where the request was a HEAD."""
        method = exchange.request.head.method
        target, flow = exchange.request.target, self._context.origin.flow
        head, content = refusal(verdict, target, flow, reply=exchange.reply)
        persist = not exchange.request.head.minor and not close
        out = write_response(head, head.framing, close=close, method=method, persist=persist)
        self.steps.append(ToClient(out if method == "HEAD" else out + content))

    def _unread(self, exchange: Asking) -> int:
        """Bytes of the request body still to come: what must be drained; very many if unknown."""
        reader, head = self._reader, exchange.request.head
        if reader is None or reader.done:
            return 0
        if head.expects_continue and exchange.phase is Phase.BEGIN:
            return _DRAIN_LIMIT + 1  # whether the body will be sent is not known
        if head.framing is not Framing.LENGTH:
            return _DRAIN_LIMIT + 1
        return head.length - (exchange.body.payload if exchange.body is not None else 0)

    def cut(self, exchange: Asking, verdict: Verdict) -> None:  # noqa: ARG002
        """See `AgentSide`: neither a last chunk nor a clean end."""
        self._close(reset=True)

    def over(self, exchange: Asking, now: float) -> None:
        """See `AgentSide`."""
        if self._closes or not exchange.uploaded or (self._eof and not self._incoming):
            self._close()
        else:
            self._next(now)

    def _next(self, now: float) -> None:
        self._turn = Turn.HEAD
        self._reader = self._drain = None
        self._lane = None
        self._deadline = now + self._context.limits.idle_seconds

    def _close(self, *, reset: bool = False) -> None:
        if self._turn is not Turn.LEFT:
            self._turn = Turn.LEFT
            self._end_link()
            self.steps.append(Close(reset=reset))

    def _end_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.end()
