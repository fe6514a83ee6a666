"""HTTP/1.1 exchanges over one connection from the agent: request, verdict, response; again.

The order of steps is the promise: an allowing `Record` precedes `Resolve`, which precedes `Dial`,
which precedes `ToUpstream`. Everything that leaves is written from what was parsed.
"""

from __future__ import annotations

from typing import Final

from interceptor.flow.intake import Intake
from interceptor.flow.refusal import refusal, status_of
from interceptor.flow.response import Response
from interceptor.flow.states import Phase, check
from interceptor.flow.steps import (
    Close,
    Dial,
    EndUpstream,
    Finished,
    Record,
    Resolve,
    ToClient,
    ToUpstream,
)
from interceptor.model import Kind, Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire.http1 import Framing, HttpError, RequestHead, is_idempotent
from interceptor.wire.http1_body import BodyReader

_DRAIN_LIMIT: Final = 1 << 20


class HttpConnection(Intake):
    """A connection that speaks HTTP/1.1: judged requests out, responses back."""

    __slots__ = ()

    def timer(self, now: float) -> None:
        """`deadline` has passed."""
        if self.phase is Phase.HEAD and not self._incoming and self.exchange:
            self._close()  # an idle connection
        elif self.phase in (Phase.HEAD, Phase.HOLD, Phase.DRAIN):
            verdict = self._context.judge.refuse(Reason.TIMEOUT, "the request did not complete")
            self._refuse(verdict, self._request_target(), now, close=True)
        elif self.phase in (Phase.ASK, Phase.RELAY):
            self.upstream_failed(Reason.TIMEOUT, "upstream was silent for too long", now, 0)

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
        self._explain(verdict, self._request_target(), close=True)
        self.phase = Phase.CLOSED
        self.steps.append(Close())

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

    def _refuse(self, verdict: Verdict, target: Target, now: float, *, close: bool = False) -> None:
        """Record a block and answer it. The connection is kept where its state is certain."""
        self._record(verdict, target)
        self._answer(verdict, target, now, close=close)

    def _answer(self, verdict: Verdict, target: Target, now: float, *, close: bool) -> None:
        head = self._request.head if self._request is not None else None
        unread = self._unread(head)
        close = close or head is None or not head.keep_alive or unread > _DRAIN_LIMIT
        self._explain(verdict, target, close=close)
        if close:
            self._close()
        elif unread:
            self.phase = check(self.phase, Phase.DRAIN)
        else:
            self._next(now)

    def _explain(self, verdict: Verdict, target: Target, *, close: bool) -> None:
        """Answer with the reason; without a body where the request was a HEAD."""
        body = self._request is None or self._request.head.method != "HEAD"
        flow = self._context.origin.flow
        self.steps.append(ToClient(refusal(verdict, target, flow, close=close, body=body)))

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
        self._explain(verdict, self._request.target, close=True)
        self._close()

    # -- upstream's side -------------------------------------------------------------------

    def resolved(self, addresses: tuple[str, ...], now: float, lane: int) -> None:  # noqa: ARG002
        """The host's addresses, before any is dialled: all are judged."""
        if self.phase is not Phase.ASK:
            return
        assert self._request is not None  # noqa: S101
        target = self._request.target
        verdict, literals = self._context.judge.addresses(target, addresses)
        if not verdict.allowed:
            self._refuse(verdict, target, now, close=self._upload is not None)
            self._advance(now)
            return
        self.steps.append(Dial(target, literals))

    def connected(
        self,
        address: str,
        now: float,
        lane: int,  # noqa: ARG002
        *,
        reused: bool,
        alpn: str,  # noqa: ARG002
    ) -> None:
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
            self.steps.append(ToUpstream(head + upload.held_body()))
        else:
            out = upload.stream(self._context.judge, request.target) + upload.finish_stream()
            self._after_stream(upload, head + out, now)
            if self.phase is Phase.RELAY:
                self._advance(now)

    def upstream_bytes(self, data: bytes, now: float, lane: int) -> None:
        """Take bytes from upstream."""
        response = self._response
        if self.phase is not Phase.RELAY or response is None:
            return
        self.deadline = now + self._context.limits.idle_seconds
        upload_done = self._upload is None or self._upload.done
        try:
            out = response.feed(data, close=not upload_done)
        except HttpError as error:
            self.upstream_failed(error.reason, error.detail, now, lane)
            return
        self._respond(response, out, now)

    def upstream_eof(self, now: float, lane: int) -> None:
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
            self.upstream_failed(
                Reason.UPSTREAM_CLOSED, "upstream closed without answering", now, lane
            )
            return
        try:
            out = response.eof()
        except HttpError as error:
            self.upstream_failed(error.reason, error.detail, now, lane)
            return
        self._respond(response, out, now)

    def upstream_full(self, now: float, lane: int, *, full: bool) -> None:  # noqa: ARG002
        """The agent is not read while upstream cannot take more."""
        self._full = full

    def sealed(self, now: float, lane: int) -> None:
        """Never asked for."""

    def _respond(self, response: Response, out: bytes, now: float) -> None:
        if out:
            self.steps.append(ToClient(out))
        if response.done:
            self._end_exchange(now)

    def upstream_failed(self, reason: Reason, detail: str, now: float, lane: int) -> None:  # noqa: ARG002
        """No address, no connection, a bad certificate, or a connection that broke."""
        if self.phase not in (Phase.ASK, Phase.RELAY) or self._request is None:
            return
        started = self._response is not None and self._response.started
        self._finish_event(now, 0 if started else status_of(reason), reason)
        # Also while a dial is under way: what it brings later must not meet the next request.
        self.steps.append(EndUpstream(reusable=False))
        if started:
            # The agent must see that the response is cut: neither a last chunk nor a clean end.
            self._close(reset=True)
            return
        verdict = self._context.judge.refuse(reason, detail)
        keep = self.phase is Phase.ASK and self._upload is None and self._request.head.keep_alive
        self._explain(verdict, self._request.target, close=not keep)
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
