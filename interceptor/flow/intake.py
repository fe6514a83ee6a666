"""The agent's half of an HTTP/1.1 connection: heads and bodies, read in order, none too much.

What becomes of a request is decided in `interceptor.flow.exchange`, which builds on this.
"""

from __future__ import annotations

from typing import Final

from interceptor.flow.context import FlowContext, Identity, Successor
from interceptor.flow.request import Request, read_target
from interceptor.flow.response import Response
from interceptor.flow.states import Phase, check
from interceptor.flow.steps import Step, ToClient, ToUpstream
from interceptor.flow.upload import Upload
from interceptor.model import Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire.http1 import Framing, HttpError, RequestHead, read_request
from interceptor.wire.http1_body import BodyReader

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_PENDING_LIMIT: Final = 65_536


class Intake:
    """The reading half. Bytes and events in; steps are appended to `steps`.

    Attributes:
        steps: where steps go, in order; the owner takes them out.
        phase: where the connection stands.
        successor: what is inside, once CONNECT was answered.
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
        *("_retried", "_started", "_upload", "deadline", "exchange", "phase", "steps"),
        *("_drain", "_full", "_reused", "successor"),
    )

    def __init__(
        self, context: FlowContext, identity: Identity, steps: list[Step], exchange: int, now: float
    ) -> None:
        self._context = context
        self._identity = identity
        self.steps = steps
        self.phase = Phase.HEAD
        self.successor: Successor | None = None
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
        self._full = False

    # -- the agent's side ------------------------------------------------------------------

    @property
    def wants_client(self) -> bool:
        """False while more bytes from the agent could not be used and would only pile up."""
        if self._full:
            return False
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
            self.successor = Successor(request.tunnel, self._incoming)
            self.phase = check(self.phase, Phase.TUNNEL)
            self._incoming = b""
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

    def _malformed(self, error: HttpError, now: float) -> None:
        verdict = self._context.judge.refuse(error.reason, error.detail)
        self._refuse(verdict, self._request_target(), now, close=True)

    # -- what the other half decides -----------------------------------------------------------

    def _record(self, verdict: Verdict, target: Target) -> None:
        raise NotImplementedError

    def _judge(self, body: bytes, now: float) -> None:
        raise NotImplementedError

    def _refuse(self, verdict: Verdict, target: Target, now: float, *, close: bool = False) -> None:
        raise NotImplementedError

    def _cut(self, verdict: Verdict, now: float) -> None:
        raise NotImplementedError

    def _abort(self, reason: Reason, now: float) -> None:
        raise NotImplementedError

    def _end_exchange(self, now: float) -> None:
        raise NotImplementedError

    def _next(self, now: float) -> None:
        raise NotImplementedError

    def _close(self, *, reset: bool = False) -> None:
        raise NotImplementedError
