"""One exchange: a request, its verdict, and the response; in any version of HTTP."""

from __future__ import annotations

from typing import Final, cast

from interceptor.flow.asking import QUIET_SECONDS, Asking
from interceptor.flow.channel import Passed
from interceptor.flow.inbound import Inbound, is_clean, open_inbound
from interceptor.flow.refusal import explain, status_of
from interceptor.flow.states import Phase, check
from interceptor.model import Kind
from interceptor.verdict import Reason, Verdict
from interceptor.wire.http1 import Field, Framing, HttpError, ResponseHead, is_idempotent

_TRIES: Final = 3
"""Times that a request is made again which upstream says it has not begun with."""


class Exchange(Asking):
    """One exchange. Its owner calls it in the order in which things happen."""

    __slots__ = ()

    # -- upstream's answer -----------------------------------------------------------------

    def response_head(self, head: ResponseHead, now: float, *, end: bool = False) -> None:
        """Take the head of the final response; with `end`, `response_end` follows at once."""
        self._status = head.status
        self._moved(now)
        if head.framing is not Framing.NONE:
            self._length_known = head.framing is Framing.LENGTH
            self._inbound = inbound = self._read(head)
            if inbound is not None:
                if inbound.holds_head:
                    self._held_head = head  # until its content has passed once
                    return
                head = inbound.begin()
        self.started = True
        self._agent.answer(self, head, end=end)

    def _read(self, head: ResponseHead) -> Inbound | None:
        """Begin to read the response's content, as what it is."""
        context, request = self._context, self.request

        def otherwise(told: ResponseHead = head) -> Inbound | None:
            return open_inbound(context, request.target, told, self._tag)

        if self._rpc is not None:
            return self._rpc.inbound(head, context.limits, otherwise)
        if context.conversations is not None and request.head.method == "GET":
            return cast(
                "Inbound | None",
                context.conversations.stream(request, head, context.limits, otherwise),
            )
        return otherwise()

    def whole_response(self, head: ResponseHead, content: bytes, now: float) -> bool:
        """Take a response that is there as a whole, as most are; a seventh of a request's cost.

        Returns False, and nothing has happened, where it is to be taken in its parts.
        """
        if self._rpc is not None or not is_clean(
            self._context.judge, self.request.target, head, content
        ):
            return False
        self._status = head.status
        self._received = len(content)
        self.started = True
        self._agent.answer_whole(self, head, content)
        self._conclude(now)
        return True

    def response_data(self, data: bytes, now: float) -> None:
        """Take content of the response."""
        self._moved(now)
        inbound = self._inbound
        if inbound is not None:
            data = inbound.feed(data)
            if (inbound.noted or inbound.verdict is not None) and self._cut_response(inbound, now):
                return
            if inbound.waiting:
                self.deadline = min(self.deadline, now + inbound.patience)
            if not data:
                return
            self._begin_answer()
        self._received += len(data)
        self._agent.answer_data(self, data)

    def _paused(self, inbound: Inbound, now: float) -> None:
        """The response pauses, and its end is not known: what is held of it goes on."""
        data = inbound.flush()
        if (inbound.noted or inbound.verdict is not None) and self._cut_response(inbound, now):
            return
        waits = self.body is not None and self.body.waiting
        self.deadline = now + (QUIET_SECONDS if waits else self._context.limits.idle_seconds)
        if data:
            self._begin_answer()
            self._received += len(data)
            self._agent.answer_data(self, data)

    def response_end(self, trailers: tuple[Field, ...], now: float) -> None:
        """The response is complete; so is the exchange, even where the request is not."""
        if self.over:
            return
        inbound = self._inbound
        if inbound is not None:
            data = inbound.finish()
            if (inbound.noted or inbound.verdict is not None) and self._cut_response(inbound, now):
                return
            self._begin_answer()
            if data:
                self._received += len(data)
                self._agent.answer_data(self, data)
        self._agent.answer_end(self, trailers)
        self._conclude(now)

    def _conclude(self, now: float) -> None:
        """The agent has the whole response."""
        self._finish(now, self._status, "")
        self.phase = check(self.phase, Phase.OVER)
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            outlet.release(complete=self.uploaded)
        self._agent.over(self, now)

    def _begin_answer(self) -> None:
        head, self._held_head = self._held_head, None
        if head is not None:
            self.started = True
            inbound = self._inbound
            head = head if inbound is None else inbound.begin()
            self._agent.answer(self, head, end=False)

    def _cut_response(self, inbound: Inbound, now: float) -> bool:
        """Record what was found in the response; cut it, and return True, where that blocks."""
        rpc = self._rpc
        kind = Kind.HTTP_RESPONSE if rpc is None else rpc.kind
        for noted in inbound.noted:
            self._record(noted, kind)
            self._came_back(noted, seen=noted.allowed)
        inbound.noted.clear()
        verdict = inbound.verdict
        if verdict is None:
            return False
        if rpc is not None and not self.started:
            self.reply = rpc.refused(verdict)
        self._record(verdict, kind)
        self._came_back(verdict, seen=self.started)
        farewell = None
        if self.started and not self._length_known:
            flow = self._context.origin.flow
            farewell = inbound.farewell(explain(verdict, self.request.target, flow))
        self._finish(now, status_of(verdict.reason), verdict.reason.value)
        self._drop_lane()
        if farewell is None:
            self._end_visibly(verdict, now, close=not self.uploaded)
            return True
        self._agent.answer_data(self, farewell)
        self._agent.answer_end(self, ())
        self.phase = check(self.phase, Phase.OVER)
        self._agent.over(self, now)
        return True

    def _came_back(self, verdict: Verdict, *, seen: bool) -> None:
        """Tell the judge what was found in content, and whether the agent has some of it."""
        flow = self._context.origin.flow
        self._context.judge.came_back(verdict, self.request.target, flow, seen=seen)

    def _tag(self) -> str:
        """Give a tag for marks on this response, which its sender cannot foresee."""
        flow = self._context.origin.flow
        return self._context.judge.tag(f"{flow}/{self.number}")

    def upstream_refused(self, now: float) -> None:
        """Upstream says that it has not begun with the request (RFC 9113 section 8.7)."""
        if not self._again(now, tries=_TRIES):
            self.failed(Reason.UPSTREAM_CLOSED, "upstream did not take the request", now)

    def upstream_ended(self, now: float) -> None:
        """Upstream closed before it had answered completely."""
        outlet = self._outlet
        if outlet is None or outlet.touched:
            self.failed(Reason.UPSTREAM_CLOSED, "upstream closed within the response", now)
            return
        # A kept connection that upstream closed as we wrote: ask once more, if that is safe.
        safe = self._reused and is_idempotent(self.request.head.method)
        if not safe or not self._again(now, tries=1):
            self.failed(Reason.UPSTREAM_CLOSED, "upstream closed without answering", now)

    def _again(self, now: float, *, tries: int) -> bool:
        """Make the request once more, where its body is still there as a whole."""
        outlet, body = self._outlet, self.body
        if outlet is None or outlet.touched or self._tries >= tries:
            return False
        if body is not None and (body.streaming or not body.done):
            return False
        self._tries += 1
        self._drop_lane()
        self._ask(now, fresh=True)
        return True

    # -- time ------------------------------------------------------------------------------

    def timer(self, now: float) -> None:
        """`deadline` has passed."""
        body = self.body
        if self.phase is Phase.HOLD:
            assert body is not None  # noqa: S101
            if now < self._body_deadline and self.request.head.framing is not Framing.LENGTH:
                self._quiet(now)
                return
            verdict = self._context.judge.refuse(Reason.TIMEOUT, "the request did not complete")
            self.refuse(verdict, now, close=True)
        elif self.phase is Phase.RELAY and self._inbound is not None and self._inbound.waiting:
            self._paused(self._inbound, now)
        elif self.phase is Phase.RELAY and body is not None and body.waiting:
            try:
                out = body.flush()
            except HttpError as error:
                self.malformed(error, now)
                return
            self._pass_on(body, out, now)
        elif self.phase in (Phase.ASK, Phase.RELAY):
            if self._outlet is not None:
                self._outlet.silent()
            self.failed(Reason.TIMEOUT, "upstream was silent for too long", now)
        elif self.phase is Phase.CHANNEL:
            self.failed(Reason.TIMEOUT, "both sides were silent for too long", now)

    def _quiet(self, now: float) -> None:
        """A body of unknown length is waiting for an answer: it streams from here on."""
        assert self.body is not None  # noqa: S101
        if self.body.payload and not self._is_kept(self.body, quiet=True):
            self._judge(b"", now)
        else:
            self.deadline = self._body_deadline

    # -- upgraded --------------------------------------------------------------------------

    def switched(self, head: ResponseHead, now: float) -> None:
        """Upstream has agreed to an upgrade.

        Raises:
            HttpError: nobody asked for it, or it is another one.
        """
        upgrade = self.request.upgrade
        if upgrade is None:
            # The field is never sent on unless the upgrade can be relayed.
            raise HttpError(Reason.UPSTREAM_MALFORMED, "101 without an upgrade")
        self._channel = upgrade.channel(head, self._context, self.request.target)
        self._status = head.status
        self.started = True
        self.phase = check(self.phase, Phase.CHANNEL)
        self.deadline = now + self._context.limits.idle_seconds
        self._agent.switch(self, head)

    def client_channel(self, data: bytes, now: float) -> None:
        """Take bytes of the agent for the channel."""
        if self._channel is not None:
            self._carry(self._channel.from_client(data), now)

    def channel_bytes(self, data: bytes, now: float) -> None:
        """Take bytes of upstream for the channel."""
        if self._channel is not None:
            self._carry(self._channel.from_upstream(data), now)

    def client_ended(self, now: float) -> None:
        """The agent has ended its side of the channel."""
        if self._channel is not None:
            self._carry(self._channel.client_ended(), now)

    def channel_ended(self, now: float) -> None:
        """Upstream has ended its side of the channel."""
        if self._channel is not None:
            self._carry(self._channel.upstream_ended(), now)

    def _carry(self, passed: Passed, now: float) -> None:
        if self.phase is not Phase.CHANNEL:
            return
        self.deadline = now + self._context.limits.idle_seconds
        for verdict, kind in passed.records:
            self._record(verdict, kind)
            if verdict.received is not None:
                self._came_back(verdict, seen=verdict.allowed)
        if passed.to_upstream and self._outlet is not None:
            self._outlet.channel_data(passed.to_upstream)
        if passed.to_client:
            self._agent.channel_data(self, passed.to_client)
        if passed.over:
            self._end_channel(now, self._channel.reason if self._channel is not None else "")
            self._agent.over(self, now)

    def _end_channel(self, now: float, reason: str) -> None:
        if self.phase is Phase.CHANNEL:
            self._finish(now, self._status, reason)
            outlet, self._outlet = self._outlet, None
            if outlet is not None:
                outlet.release(complete=False)
            self.phase = check(self.phase, Phase.OVER)
