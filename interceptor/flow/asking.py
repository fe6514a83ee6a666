"""The asking half of an exchange: a request, its verdict, and its way to upstream.

The order of steps is the promise: an allowing `Record` precedes `Resolve`, which precedes `Dial`,
which precedes `ToUpstream`. Everything that leaves is written from what was parsed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from interceptor.flow.body import Body
from interceptor.flow.channel import Channel
from interceptor.flow.context import FlowContext
from interceptor.flow.inbound import Inbound
from interceptor.flow.refusal import status_of
from interceptor.flow.request import Request
from interceptor.flow.sides import AgentSide, Outlet
from interceptor.flow.states import Phase, check
from interceptor.flow.steps import Finished, Record
from interceptor.flow.upload import open_body
from interceptor.flow.way import dial, refused_again
from interceptor.model import Kind
from interceptor.verdict import Reason, Verdict
from interceptor.wire.http1 import Field, Framing, HttpError, ResponseHead

if TYPE_CHECKING:
    from interceptor.flow.mcp_exchange import RpcExchange

QUIET_SECONDS: Final = 0.1
"""A streaming body that stays quiet for so long is waiting for an answer: what the window holds
and has found clean goes on. A secret is still never completed, as the window remembers it."""
_HOLD_QUIET_SECONDS: Final = 1.0
"""The same for a body of unknown length that is still held to be judged whole."""


class Asking:
    """The asking half. `interceptor.flow.exchange` builds on it.

    Attributes:
        number: number within the flow, from 1.
        stream: id of the HTTP/2 stream, 0 in HTTP/1.
        lane: the upstream connection that it uses or has asked for.
        request: what was asked.
        body: the request's content; None when there is none.
        phase: where it stands.
        deadline: monotonic time at which `timer` should be called.
        started: the response's head was given to the agent.
        reply: content of a refusal in the request's own terms, JSON; empty: the usual one.
    """

    __slots__ = (
        *("_address", "_agent", "_body_deadline", "_channel", "_context", "_held_head"),
        *("_inbound", "_keeps", "_length_known", "_outlet", "_received", "_reused", "_rpc"),
        *("_since", "_status", "_tries", "body", "deadline", "lane", "number", "phase", "reply"),
        *("request", "started", "stream"),
    )

    def __init__(
        self,
        agent: AgentSide,
        context: FlowContext,
        request: Request,
        number: int,
        now: float,
        stream: int = 0,
    ) -> None:
        self._agent = agent
        self._context = context
        self.request = request
        self.number = number
        self.stream = stream
        self.lane = 0
        self.phase = Phase.BEGIN
        self.body: Body | None = None
        self.started = False
        self.deadline = now + context.limits.idle_seconds
        self._since = now
        self._body_deadline = 0.0
        self._outlet: Outlet | None = None
        self._inbound: Inbound | None = None
        self._held_head: ResponseHead | None = None
        self._length_known = False
        self._channel: Channel | None = None
        self._address = ""
        self._status = 0
        self._received = 0
        self._tries = 0
        self._reused = False
        self._rpc: RpcExchange | None = None
        self._keeps = False
        self.reply = b""

    # -- the agent's side ------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """True once nothing of it goes on anywhere."""
        return self.phase is Phase.OVER

    @property
    def uploaded(self) -> bool:
        """True when the agent has sent its whole request."""
        return self.body is None or self.body.done

    @property
    def wants_body(self) -> bool:
        """True while content of the request can be used."""
        return self.body is not None and (self.phase is Phase.HOLD or self.phase is Phase.RELAY)

    def begin(self, now: float) -> None:
        """Judge the head, at once where that decides.

        Raises:
            HttpError: the body cannot be read; the owner refuses.
        """
        request = self.request
        head = request.head
        if request.refused is not None:
            self.refuse(request.refused, now)
        elif head.framing is Framing.NONE:
            self._judge(b"", now)
        else:
            self._begin_body(now)

    def _begin_body(self, now: float) -> None:
        context, request = self._context, self.request
        head, limits = request.head, context.limits
        self.body = body = open_body(head, limits)
        long = head.framing is Framing.LENGTH and head.length > limits.body_hold
        if body.streaming:
            if head.framing is Framing.LENGTH and head.length == 0:
                body.end(())
            self._judge(b"", now)
            if head.expects_continue and not self.over:
                self._agent.proceed(self)
            return
        if head.expects_continue or long:
            # Head first: a refusal saves the agent from sending a body for nothing.
            verdict = request.judge(context.judge, b"")
            if not verdict.allowed:
                self.refuse(verdict, now)
                return
            if head.expects_continue:
                self._agent.proceed(self)
        self.phase = check(self.phase, Phase.HOLD)
        self._body_deadline = now + limits.body_seconds
        if head.framing is Framing.LENGTH and head.length == 0:
            body.end(())
            self._judge(b"", now)

    def content(self, data: bytes, now: float, *, end: bool, trailers: tuple[Field, ...]) -> None:
        """Take content of the request; `end` when that was all of it."""
        body = self.body
        assert body is not None  # noqa: S101
        try:
            if self.phase is Phase.HOLD:
                self._hold(body, data, now, end=end, trailers=trailers)
            elif self.phase is Phase.RELAY:
                self._stream(body, data, now, end=end, trailers=trailers)
        except HttpError as error:
            self.malformed(error, now)

    def _hold(
        self, body: Body, data: bytes, now: float, *, end: bool, trailers: tuple[Field, ...]
    ) -> None:
        limits = self._context.limits
        if data:
            body.hold(data)
        if end:
            body.end(trailers)
            self._judge(body.readable(), now)
        elif body.payload > limits.body_hold and not self._is_kept(body):
            # Too long to be judged whole: the head now, the body through the window.
            self._judge(b"", now)
        else:
            wait = limits.idle_seconds
            if self.request.head.framing is not Framing.LENGTH:
                wait = _HOLD_QUIET_SECONDS
            self.deadline = min(now + wait, self._body_deadline)

    def _is_kept(self, body: Body, *, quiet: bool = False) -> bool:
        """Tell whether a body is held on: a message of MCP is judged whole, or not at all.

        Args:
            body: which is long.
            quiet: it is not, but nothing more has come for a while.

        Raises:
            HttpError: LIMIT_EXCEEDED, it is too long for that.
        """
        conversations = self._context.conversations
        if not self._keeps and conversations is not None:
            begin = body.readable()
            self._keeps = conversations.keeps(self.request, begin, quiet=quiet)
        if self._keeps and body.payload > self._context.limits.message_bytes:
            raise HttpError(Reason.LIMIT_EXCEEDED, "a message over limits.message_bytes")
        return self._keeps

    def _stream(
        self, body: Body, data: bytes, now: float, *, end: bool, trailers: tuple[Field, ...]
    ) -> None:
        out = body.feed(data) if data else b""
        if end and body.verdict is None:
            body.end(trailers)
            out += body.finish()
        self._pass_on(body, out, now)

    def _pass_on(self, body: Body, out: bytes, now: float) -> None:
        """Send what the window has released, or cut where it has found something."""
        if body.verdict is not None:
            self._cut_request(body.verdict, now, body.kind)
            return
        assert self._outlet is not None  # noqa: S101
        if out:
            self._outlet.data(out)
        if body.done:
            self._outlet.end(body.trailers)
            self._note_passed(body)
        self.deadline = now + (QUIET_SECONDS if body.waiting else self._context.limits.idle_seconds)

    def _moved(self, now: float) -> None:
        """Upstream has said something. What the window holds of a body is still due in time."""
        if self.body is None or not self.body.waiting:
            self.deadline = now + self._context.limits.idle_seconds

    def _note_passed(self, body: Body) -> None:
        if body.findings:
            self._record(self._context.judge.passed(body.findings), body.kind)

    def malformed(self, error: HttpError, now: float) -> None:
        """The agent broke the protocol within this request."""
        verdict = self._context.judge.refuse(error.reason, error.detail)
        if self.phase is Phase.RELAY:
            self._cut_request(verdict, now, Kind.HTTP_REQUEST)
        elif self.phase is not Phase.OVER:
            if self._outlet is not None or self.phase is Phase.ASK:
                self._drop_lane()
            self.refuse(verdict, now, close=True)

    def gone(self, reason: Reason, now: float) -> None:
        """The agent has given this exchange up; whatever is open upstream must go too."""
        if self.phase is Phase.CHANNEL:
            self._end_channel(now, reason.value)
        elif self.phase in (Phase.ASK, Phase.RELAY):
            self._finish(now, 0, reason.value)
            self._drop_lane()
        if self.phase is not Phase.OVER:
            self.phase = check(self.phase, Phase.OVER)

    # -- judging ---------------------------------------------------------------------------

    def _judge(self, readable: bytes, now: float) -> None:
        """Judge head and body; the only way on to upstream."""
        judge, body = self._context.judge, self.body
        rpc: RpcExchange | None = None
        conversations = self._context.conversations
        if conversations is not None:
            self._rpc = rpc = conversations.exchange(self.request, readable, now)
        verdict = self.request.judge(judge, readable)
        if verdict.allowed and body is not None and body.done and body.trailers:
            trailers = judge.trailers(
                self.request.target, [(lower, value) for _, lower, value in body.trailers]
            )
            verdict = verdict if trailers.allowed else trailers
        kind = Kind.HTTP_REQUEST
        refused: Verdict | None = None
        reply = b""
        if not verdict.allowed:
            refused, reply = verdict, b"" if rpc is None else rpc.refused(verdict)
        elif rpc is not None:
            kind = rpc.kind
            refused, reply = self._converse(rpc, now)
        if refused is not None:
            self._record(refused, kind)
            stand_in = None if rpc is None else rpc.stand_in(reply)
            if stand_in is None:
                self.reply = reply
                self._answer(refused, now, close=False)
                return
            self._replace(stand_in)
            verdict = self.request.judge(judge, stand_in)
            if not verdict.allowed:  # not for what was said, then: for where it goes
                self.refuse(verdict, now)
                return
        self._record(verdict, Kind.HTTP_REQUEST)
        self._ask(now, fresh=False)

    def _converse(self, rpc: RpcExchange, now: float) -> tuple[Verdict | None, bytes]:
        """Judge a message as a part of its conversation: the refusal, and what answers it."""
        ruling = rpc.ask(now)
        verdict = ruling.verdict
        if verdict is not None and not verdict.allowed:
            return verdict, ruling.answer or b""
        if verdict is not None:
            self._record(verdict, rpc.kind)
        if rpc.forward is not None:
            self._replace(rpc.forward)
        return None, b""

    def _replace(self, content: bytes) -> None:
        """Say something else than the agent did."""
        request = self.request
        dropped = (b"content-encoding", b"content-length")
        request.head = msgspec.structs.replace(
            request.head,
            framing=Framing.LENGTH,
            length=len(content),
            codings=None,
            fields=tuple(field for field in request.head.fields if field[1] not in dropped),
        )

    def _record(self, verdict: Verdict, kind: Kind) -> None:
        self._agent.steps.append(Record(verdict, self.request.target, kind, self.number))

    def _ask(self, now: float, *, fresh: bool) -> None:
        self.phase = check(self.phase, Phase.ASK)
        self.deadline = now + self._context.limits.connect_seconds * 2
        self._agent.open_lane(self, now, fresh=fresh)

    def refuse(self, verdict: Verdict, now: float, *, close: bool = False) -> None:
        """Record a block and answer it."""
        self._record(verdict, Kind.HTTP_REQUEST)
        self._answer(verdict, now, close=close)

    def _answer(self, verdict: Verdict, now: float, *, close: bool) -> None:
        self._agent.refused(self, verdict, now, close=close)
        self.phase = check(self.phase, Phase.OVER)

    def _cut_request(self, verdict: Verdict, now: float, kind: Kind) -> None:
        """A late finding in a streaming body: upstream never gets the end of it."""
        self._record(verdict, kind)
        self._finish(now, status_of(verdict.reason), verdict.reason.value)
        self._drop_lane()
        self._end_visibly(verdict, now, close=True)

    def _end_visibly(self, verdict: Verdict, now: float, *, close: bool) -> None:
        """Explain, or where the response has begun, show that it is not complete."""
        if self.started:
            self._agent.cut(self, verdict)
            self.phase = check(self.phase, Phase.OVER)
        else:
            self._answer(verdict, now, close=close)

    # -- upstream's side -------------------------------------------------------------------

    def resolved(
        self, addresses: tuple[str, ...], now: float, alpn: tuple[str, ...], canonical: str = ""
    ) -> None:
        """The host's addresses, before any is dialled: all are judged, and what it is an alias of.

        Args:
            addresses: all of them.
            now: monotonic time.
            alpn: protocols to offer.
            canonical: last name of the alias chain; empty if the host is no alias.
        """
        if self.phase is not Phase.ASK:
            return
        target = self.request.target
        verdict, step = dial(self._context.judge, target, addresses, canonical, alpn, self.lane)
        if step is None:
            self._refuse_place(verdict, now)
            return
        self._agent.steps.append(step)

    def _refuse_place(self, verdict: Verdict, now: float) -> None:
        """Refuse the address or the alias behind a host that was allowed by its name."""
        self._finish(now, status_of(verdict.reason), verdict.reason.value)
        self._drop_lane()
        self.refuse(verdict, now)

    def connected(self, outlet: Outlet, address: str, now: float, *, reused: bool) -> None:
        """A connection to a judged address stands; what was allowed may leave."""
        if self.phase is not Phase.ASK:
            return
        self._outlet = outlet
        self._address = address
        refused = (
            refused_again(self._context.judge, self.request.target, address) if reused else None
        )
        if refused is not None:
            self._refuse_place(refused, now)
            return
        self._reused = reused
        self.phase = check(self.phase, Phase.RELAY)
        self.deadline = now + self._context.limits.idle_seconds
        request, body = self.request, self.body
        if body is None:
            outlet.request(request, b"", end=True)
        elif (
            body.done
            and not body.streaming
            and (body.payload <= self._context.limits.body_hold or self._rpc is not None)
        ):
            content = body.held_body()
            if self._rpc is not None and self._rpc.forward is not None:
                content = self._rpc.forward
            outlet.request(request, content, end=True, trailers=body.trailers)
        else:
            try:
                out = body.stream(self._context.judge, request.target)
                if body.done and body.verdict is None:
                    out += body.finish()
            except HttpError as error:
                self.malformed(error, now)
                return
            if body.verdict is None:
                outlet.request(request, b"", end=False)
            self._pass_on(body, out, now)

    @property
    def upstream_is_full(self) -> bool:
        """True while upstream does not take more of the request."""
        return self._outlet is not None and self._outlet.full

    def hold_upstream(self, *, hold: bool) -> None:
        """Take no more of the response than is under way, or go on."""
        if self._outlet is not None:
            self._outlet.hold(hold=hold)

    def failed(self, reason: Reason, detail: str, now: float) -> None:
        """No address, no connection, a bad certificate, or a connection that broke."""
        if self.phase is Phase.CHANNEL:
            self._end_channel(now, reason.value)
            self._agent.cut(self, self._context.judge.refuse(reason, detail))
            return
        if self.phase not in (Phase.ASK, Phase.RELAY):
            return
        asked = self.phase is Phase.ASK and self.body is None
        self._finish(now, 0 if self.started else status_of(reason), reason.value)
        # Also while a dial is under way: what it brings later must not meet the next request.
        self._drop_lane()
        self._end_visibly(self._context.judge.refuse(reason, detail), now, close=not asked)

    def _drop_lane(self) -> None:
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            outlet.release(complete=False)
        elif self.phase is Phase.ASK:
            self._agent.close_lane(self)

    # -- ends ------------------------------------------------------------------------------

    def _finish(self, now: float, status: int, reason: str) -> None:
        if self._rpc is not None:
            self._rpc.over(accepted=self._status == 202)
        channel = self._channel
        carrier = self.body if channel is None else channel
        self._agent.steps.append(
            Finished(
                exchange=self.number,
                status=self._status if self.started else status,
                sent=carrier.sent if carrier is not None else 0,
                received=self._received if channel is None else channel.received,
                address=self._address,
                seconds=max(0.0, now - self._since),
                reason=reason,
                host=self.request.target.host,
                port=self.request.target.port,
            )
        )

    # -- what the answering half does ------------------------------------------------------------

    def _end_channel(self, now: float, reason: str) -> None:
        raise NotImplementedError
