"""HTTP/1.1 exchanges over one connection from the agent: request, verdict, response; again.

The order of steps is the promise: an allowing `Record` precedes `Resolve`, which precedes `Dial`,
which precedes `ToUpstream`. Everything that leaves is written from what was parsed.
"""

from __future__ import annotations

from typing import Final

from interceptor.flow.context import FlowContext, Identity
from interceptor.flow.refusal import refusal, status_of
from interceptor.flow.request import Request, read_target
from interceptor.flow.response import Response
from interceptor.flow.states import Phase, check
from interceptor.flow.steps import (
    Close,
    Dial,
    EndUpstream,
    Finished,
    Record,
    Resolve,
    Step,
    ToClient,
    ToUpstream,
)
from interceptor.flow.upload import Upload
from interceptor.model import Kind, Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire.http1 import Framing, HttpError, RequestHead, is_idempotent, read_request
from interceptor.wire.http1_body import BodyReader

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_DRAIN_LIMIT: Final = 1 << 20
_PENDING_LIMIT: Final = 65_536


class HttpConnection:
    """A connection that speaks HTTP/1.1. Bytes and events in; steps are appended to `steps`.

    Attributes:
        steps: where steps go, in order; the owner takes them out.
        phase: where the connection stands.
        tunnel: the identity inside, once CONNECT was answered.
        rest: bytes that belong to the tunnel.
        deadline: monotonic time at which `timer` should be called.
        exchange: number of the current exchange.
    """

    __slots__ = (
        *(
            "_address",
            "_begun",
            "_context",
            "_eof",
            "_identity",
            "_incoming",
            "_request",
            "_response",
        ),
        *("_retried", "_started", "_upload", "deadline", "exchange", "phase", "rest", "steps"),
        *("_drain", "_reused", "tunnel"),
    )

    def __init__(
        self, context: FlowContext, identity: Identity, steps: list[Step], exchange: int, now: float
    ) -> None:
        self._context = context
        self._identity = identity
        self.steps = steps
        self.phase = Phase.HEAD
        self.tunnel: Identity | None = None
        self.rest = b""
        self.exchange = exchange
        self.deadline = now + context.limits.header_seconds
        self._incoming = b""
        self._eof = False
        self._request: Request | None = None
        self._response: Response | None = None
        self._upload: Upload | None = None
        self._drain: BodyReader | None = None
        self._address = ""
        self._started = now
        self._begun = False
        self._retried = False
        self._reused = False

    # -- the agent's side ------------------------------------------------------------------

    @property
    def wants_client(self) -> bool:
        """False while more bytes from the agent could not be used and would only pile up."""
        if self.phase in (Phase.ASK, Phase.RELAY):
            # Read on, so that an agent that gives up is noticed, but keep little.
            return len(self._incoming) < _PENDING_LIMIT
        return self.phase is not Phase.CLOSED

    def client_bytes(self, data: bytes, now: float) -> None:
        """Take bytes from the agent."""
        self._incoming = self._incoming + data if self._incoming else data
        self._advance(now)

    def client_eof(self, now: float) -> None:
        """The agent has ended its side; what was asked completely is still answered."""
        self._eof = True
        upload = self._upload
        if self.phase in (Phase.HEAD, Phase.HOLD, Phase.DRAIN):
            self._close()
        elif upload is not None and not upload.done:
            self._abort(Reason.CLIENT_CLOSED, now)

    def client_lost(self, now: float) -> None:
        """The agent's connection is gone."""
        if self.phase in (Phase.ASK, Phase.RELAY):
            self._abort(Reason.CLIENT_CLOSED, now)
        elif self.phase is not Phase.CLOSED:
            self.phase = check(self.phase, Phase.CLOSED)

    def unwritable(self) -> None:
        """The evidence of the last `Record` could not be written: nothing may go on."""
        self.steps.clear()
        started = self._response is not None and self._response.started
        if self.phase in (Phase.ASK, Phase.RELAY):
            self.steps.append(EndUpstream(reusable=False))
        if started or self.phase is Phase.CLOSED:
            self.phase = Phase.CLOSED
            self.steps.append(Close(reset=True))
            return
        verdict = self._context.judge.refuse(
            Reason.EVIDENCE_UNWRITABLE, "the decision could not be recorded"
        )
        flow = self._context.origin.flow
        target = self._request_target()
        self.steps.append(ToClient(refusal(verdict, target, flow, close=True, body=True)))
        self.phase = Phase.CLOSED
        self.steps.append(Close())

    def timer(self, now: float) -> None:
        """`deadline` has passed."""
        if self.phase is Phase.HEAD and not self._incoming and self.exchange:
            self._close()  # an idle connection
        elif self.phase in (Phase.HEAD, Phase.HOLD, Phase.DRAIN):
            verdict = self._context.judge.refuse(Reason.TIMEOUT, "the request did not complete")
            self._refuse(verdict, self._request_target(), now, close=True)
        elif self.phase in (Phase.ASK, Phase.RELAY):
            self.upstream_failed(Reason.TIMEOUT, "upstream was silent for too long", now)

    def _request_target(self) -> Target:
        return self._request.target if self._request is not None else self._identity.target()

    def _advance(self, now: float) -> None:
        while self._incoming:
            if self.phase is Phase.HEAD:
                if not self._read_head(now):
                    return
            elif self.phase is Phase.HOLD:
                self._read_held(now)
            elif self.phase is Phase.RELAY and self._upload is not None and not self._upload.done:
                self._read_stream(now)
            elif self.phase is Phase.DRAIN:
                self._read_away(now)
            else:
                return

    def _read_head(self, now: float) -> bool:
        limits = self._context.limits
        try:
            found = read_request(self._incoming, limits.header_bytes, limits.header_count)
            if found is None:
                if not self._begun:
                    # Set once: a head that trickles in has no more time than one that stalls.
                    self._begun = True
                    self.deadline = now + limits.header_seconds
                return False
            head, used = found
            self._incoming = self._incoming[used:]
            self.exchange += 1
            self._started = now
            self._begun = False
            self.deadline = now + limits.idle_seconds
            self._request = None
            self._request = read_target(head, self._context, self._identity, now)
            self._begin(head, self._request, now)
        except HttpError as error:
            self._malformed(error, now)
        return True

    def _begin(self, head: RequestHead, request: Request, now: float) -> None:
        self._upload = None
        self._retried = False
        if request.refused is not None:
            self._refuse(request.refused, request.target, now)
        elif request.tunnel is not None:
            self.tunnel = request.tunnel
            self.phase = check(self.phase, Phase.TUNNEL)
            self.rest, self._incoming = self._incoming, b""
            self.steps.append(ToClient(b"HTTP/1.1 200 Connection established\r\n\r\n"))
        elif head.framing is Framing.NONE:
            self._judge(b"", now)
        else:
            self._begin_body(head, request, now)

    def _begin_body(self, head: RequestHead, request: Request, now: float) -> None:
        limits = self._context.limits
        self._upload = upload = Upload(head, limits)
        long = head.framing is Framing.LENGTH and head.length > limits.body_hold
        if head.expects_continue or long:
            # Head first: a refusal saves the agent from sending a body for nothing.
            verdict = request.judge(self._context.judge, b"")
            if not verdict.allowed:
                self._refuse(verdict, request.target, now)
                return
            if head.expects_continue:
                self.steps.append(ToClient(_CONTINUE))
        self.phase = check(self.phase, Phase.HOLD)
        if upload.done:  # Content-Length: 0
            self._judge(b"", now)

    def _read_held(self, now: float) -> None:
        upload, limits = self._upload, self._context.limits
        assert upload is not None  # noqa: S101
        self.deadline = now + limits.idle_seconds
        data, self._incoming = self._incoming, b""
        try:
            upload.hold(data)
            if upload.done:
                self._incoming = upload.reader.rest
                self._judge(upload.readable(), now)
            elif upload.payload > limits.body_hold:
                # Too long to be judged whole: the head now, the body through the window.
                self._judge(b"", now)
        except HttpError as error:
            self._malformed(error, now)

    def _read_stream(self, now: float) -> None:
        upload, limits = self._upload, self._context.limits
        assert upload is not None  # noqa: S101
        self.deadline = now + limits.idle_seconds
        data, self._incoming = self._incoming, b""
        try:
            out = upload.feed(data)
        except HttpError as error:
            self._cut(self._context.judge.refuse(error.reason, error.detail), now)
            return
        self._after_stream(upload, out, now)

    def _after_stream(self, upload: Upload, out: bytes, now: float) -> None:
        if upload.verdict is not None:
            self._cut(upload.verdict, now)
            return
        if out:
            self.steps.append(ToUpstream(out))
        if upload.done:
            if upload.findings and self._request is not None:
                passed = self._context.judge.passed(upload.findings)
                self._record(passed, self._request.target)
            self._incoming = upload.reader.rest
            self._end_exchange(now)

    def _read_away(self, now: float) -> None:
        drain = self._drain
        assert drain is not None  # noqa: S101
        try:
            drain.feed(self._incoming)
        except HttpError:
            self._close()
            return
        self._incoming = drain.rest
        if drain.done:
            self._drain = None
            self._next(now)

    # -- judging ---------------------------------------------------------------------------

    def _judge(self, body: bytes, now: float) -> None:
        """Judge head and body; the only way on to upstream."""
        request = self._request
        assert request is not None  # noqa: S101
        verdict = request.judge(self._context.judge, body)
        if verdict.allowed and self._upload is not None and self._upload.done:
            trailers = self._upload.judge_trailers(self._context.judge, request.target)
            verdict = trailers if trailers is not None and not trailers.allowed else verdict
        if not verdict.allowed:
            self._refuse(verdict, request.target, now)
            return
        self._record(verdict, request.target)
        self._ask(now, fresh=False)

    def _record(self, verdict: Verdict, target: Target) -> None:
        self.steps.append(Record(verdict, target, Kind.HTTP_REQUEST, self.exchange))

    def _ask(self, now: float, *, fresh: bool) -> None:
        assert self._request is not None  # noqa: S101
        self.phase = check(self.phase, Phase.ASK)
        self.deadline = now + self._context.limits.connect_seconds * 2
        self.steps.append(Resolve(self._request.target, fresh))

    def _malformed(self, error: HttpError, now: float) -> None:
        verdict = self._context.judge.refuse(error.reason, error.detail)
        self._refuse(verdict, self._request_target(), now, close=True)

    def _refuse(self, verdict: Verdict, target: Target, now: float, *, close: bool = False) -> None:
        """Record a block and answer it. The connection is kept where its state is certain."""
        self._record(verdict, target)
        self._answer(verdict, target, now, close=close)

    def _answer(self, verdict: Verdict, target: Target, now: float, *, close: bool) -> None:
        head = self._request.head if self._request is not None else None
        unread = self._unread(head)
        close = close or head is None or not head.keep_alive or unread > _DRAIN_LIMIT
        body = head is None or head.method != "HEAD"
        flow = self._context.origin.flow
        self.steps.append(ToClient(refusal(verdict, target, flow, close=close, body=body)))
        if close:
            self._close()
        elif unread:
            self.phase = check(self.phase, Phase.DRAIN)
        else:
            self._next(now)

    def _unread(self, head: RequestHead | None) -> int:
        """Bytes of the request body still to come: what must be drained; very many if unknown."""
        if head is None or head.framing is Framing.NONE:
            return 0
        upload = self._upload
        if head.expects_continue and self.phase is Phase.HEAD:
            return _DRAIN_LIMIT + 1  # whether the body will be sent is not known
        reader = upload.reader if upload is not None else _body_reader(head)
        if reader.done:
            return 0
        if head.framing is not Framing.LENGTH:
            return _DRAIN_LIMIT + 1
        self._drain = reader
        return head.length - (upload.payload if upload is not None else 0)

    def _cut(self, verdict: Verdict, now: float) -> None:
        """A late finding in a streaming body: upstream never gets the end of it."""
        assert self._request is not None  # noqa: S101
        self._record(verdict, self._request.target)
        answered = self._response is not None and self._response.started
        self._finish_event(now, 0 if answered else status_of(verdict.reason), verdict.reason)
        self.steps.append(EndUpstream(reusable=False))
        if answered:
            self._close(reset=True)
            return
        flow = self._context.origin.flow
        answer = refusal(verdict, self._request.target, flow, close=True, body=True)
        self.steps.append(ToClient(answer))
        self._close()

    # -- upstream's side -------------------------------------------------------------------

    def resolved(self, addresses: tuple[str, ...], now: float) -> None:
        """The host's addresses, before any is dialled: all are judged."""
        if self.phase is not Phase.ASK:
            return
        assert self._request is not None  # noqa: S101
        target = self._request.target
        verdict, literals = self._context.judge.addresses(target, addresses)
        if not verdict.allowed:
            self._refuse(verdict, target, now, close=self._upload is not None)
            return
        self.steps.append(Dial(target, literals))

    def connected(self, address: str, now: float, *, reused: bool) -> None:
        """A connection to a judged address stands; what was allowed may leave."""
        request, upload = self._request, self._upload
        if self.phase is not Phase.ASK or request is None:
            return
        self._address = address
        self._reused = reused
        self.phase = check(self.phase, Phase.RELAY)
        self.deadline = now + self._context.limits.idle_seconds
        self._response = Response(request.head, self._context.limits)
        head = request.wire_head()
        if upload is None:
            self.steps.append(ToUpstream(head))
        elif upload.done and upload.payload <= self._context.limits.body_hold:
            self.steps.append(ToUpstream(head + request.wire_body(upload)))
        else:
            out = upload.stream(self._context.judge, request.target) + upload.finish_stream()
            self._after_stream(upload, head + out, now)
            if self.phase is Phase.RELAY:
                self._advance(now)

    def upstream_bytes(self, data: bytes, now: float) -> None:
        """Take bytes from upstream."""
        response = self._response
        if self.phase is not Phase.RELAY or response is None:
            return
        self.deadline = now + self._context.limits.idle_seconds
        upload_done = self._upload is None or self._upload.done
        try:
            out = response.feed(data, close=not upload_done)
        except HttpError as error:
            self.upstream_failed(error.reason, error.detail, now)
            return
        if out:
            self.steps.append(ToClient(out))
        if response.done:
            self._end_exchange(now)

    def upstream_eof(self, now: float) -> None:
        """Upstream has ended its side."""
        response, request = self._response, self._request
        if self.phase is not Phase.RELAY or response is None or request is None:
            return
        if not response.touched:
            # A kept connection that upstream closed as we wrote: ask once more, if that is safe.
            whole = self._upload is None or not self._upload.streaming
            if self._reused and not self._retried and whole and is_idempotent(request.head.method):
                self._retried = True
                self.steps.append(EndUpstream(reusable=False))
                self._ask(now, fresh=True)
                return
            self.upstream_failed(Reason.UPSTREAM_CLOSED, "upstream closed without answering", now)
            return
        try:
            out = response.eof()
        except HttpError as error:
            self.upstream_failed(error.reason, error.detail, now)
            return
        if out:
            self.steps.append(ToClient(out))
        if response.done:
            self._end_exchange(now)

    def upstream_failed(self, reason: Reason, detail: str, now: float) -> None:
        """No address, no connection, a bad certificate, or a connection that broke."""
        if self.phase not in (Phase.ASK, Phase.RELAY) or self._request is None:
            return
        started = self._response is not None and self._response.started
        self._finish_event(now, 0 if started else status_of(reason), reason)
        if self.phase is Phase.RELAY:
            self.steps.append(EndUpstream(reusable=False))
        if started:
            # The agent must see that the response is cut: neither a last chunk nor a clean end.
            self._close(reset=True)
            return
        verdict = self._context.judge.refuse(reason, detail)
        flow, target = self._context.origin.flow, self._request.target
        keep = self.phase is Phase.ASK and self._upload is None and self._request.head.keep_alive
        body = self._request.head.method != "HEAD"
        self.steps.append(ToClient(refusal(verdict, target, flow, close=not keep, body=body)))
        if keep:
            self._next(now)
            self._advance(now)
        else:
            self._close()

    def _end_exchange(self, now: float) -> None:
        """Close the exchange once both directions are complete."""
        response, upload, request = self._response, self._upload, self._request
        if response is None or request is None or not response.done:
            return
        uploaded = upload is None or upload.done
        self._finish_event(now, response.status, None)
        self.steps.append(EndUpstream(reusable=response.reusable and uploaded))
        self._response = None
        if response.closes_client or not uploaded or self._eof:
            self._close()
        else:
            self._next(now)
            self._advance(now)

    # -- ends ------------------------------------------------------------------------------

    def _next(self, now: float) -> None:
        self.phase = check(self.phase, Phase.HEAD)
        self._request = self._upload = self._response = self._drain = None
        self._address = ""
        self._started = now
        self.deadline = now + self._context.limits.idle_seconds

    def _finish_event(self, now: float, status: int, reason: Reason | None) -> None:
        upload, response = self._upload, self._response
        self.steps.append(
            Finished(
                exchange=self.exchange,
                status=response.status if response is not None and response.started else status,
                sent=upload.sent if upload is not None else 0,
                received=response.received if response is not None else 0,
                address=self._address,
                seconds=max(0.0, now - self._started),
                reason=reason.value if reason is not None else "",
                host=self._request_target().host,
            )
        )

    def _abort(self, reason: Reason, now: float) -> None:
        self._finish_event(now, 0, reason)
        self.steps.append(EndUpstream(reusable=False))
        self._close(reset=True)

    def _close(self, *, reset: bool = False) -> None:
        if self.phase is not Phase.CLOSED:
            self.phase = check(self.phase, Phase.CLOSED)
            self.steps.append(Close(reset=reset))


def _body_reader(head: RequestHead) -> BodyReader:
    return BodyReader(head.framing, head.length, Reason.HTTP_MALFORMED)
