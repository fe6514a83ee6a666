"""The two sides of an exchange, whatever version of HTTP either of them speaks.

`AgentSide` answers the agent; an `Outlet` carries one request to upstream. Both append steps;
neither decides anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from interceptor.verdict import Verdict
from interceptor.wire.http1 import Field, ResponseHead

if TYPE_CHECKING:
    from interceptor.flow.asking import Asking
    from interceptor.flow.request import Request
    from interceptor.flow.steps import Step


class AgentSide(Protocol):
    """The connection from the agent, as its exchanges see it."""

    steps: list[Step]

    def open_lane(self, exchange: Asking, now: float, *, fresh: bool) -> None:
        """Find an upstream connection for an exchange that was allowed: `Resolve`, or one shared.

        Args:
            exchange: in phase ASK.
            now: monotonic time in seconds.
            fresh: a kept connection has just failed; only a new one will do.
        """

    def close_lane(self, exchange: Asking) -> None:
        """Give up what `open_lane` has asked for."""

    def proceed(self, exchange: Asking) -> None:
        """Tell the agent to send its body (RFC 9110 section 15.2.1)."""

    def answer(self, exchange: Asking, head: ResponseHead, *, end: bool) -> None:
        """Give the agent the head of the final response; with `end`, there is nothing after it."""

    def answer_whole(self, exchange: Asking, head: ResponseHead, content: bytes) -> None:
        """Give the agent a whole response: head, content of the length it states, and its end."""

    def answer_data(self, exchange: Asking, data: bytes) -> None:
        """Give the agent content of the response."""

    def answer_end(self, exchange: Asking, trailers: tuple[Field, ...]) -> None:
        """End the response."""

    def switch(self, exchange: Asking, head: ResponseHead) -> None:
        """Give the agent the 101 after which the connection belongs to the exchange's channel."""

    def channel_data(self, exchange: Asking, data: bytes) -> None:
        """Give the agent bytes of the channel."""

    def refused(self, exchange: Asking, verdict: Verdict, now: float, *, close: bool) -> None:
        """Answer with the reason; the exchange is over.

        Args:
            exchange: nothing of its response was given to the agent yet.
            verdict: why.
            now: monotonic time in seconds.
            close: what the agent still sends of this request has no meaning any more.
        """

    def cut(self, exchange: Asking, verdict: Verdict) -> None:
        """Make it visible that a response that has begun is not complete; the exchange is over."""

    def over(self, exchange: Asking, now: float) -> None:
        """The exchange has ended in order: go on to the next."""


class Outlet(Protocol):
    """The way of one request to upstream, and of the response back."""

    @property
    def touched(self) -> bool:
        """True once upstream has sent anything of the response."""

    @property
    def full(self) -> bool:
        """True while upstream does not take more of the request."""

    def hold(self, *, hold: bool) -> None:
        """Take no more of the response than is under way; or go on."""

    def request(
        self, request: Request, body: bytes, *, end: bool, trailers: tuple[Field, ...] = ()
    ) -> None:
        """Send the head, and the first or (with `end`) all of the content."""

    def data(self, data: bytes) -> None:
        """Send content."""

    def end(self, trailers: tuple[Field, ...]) -> None:
        """End the request."""

    def silent(self) -> None:
        """Upstream has said nothing in time, and perhaps is not there any more."""

    def channel_data(self, data: bytes) -> None:
        """Send bytes of the channel."""

    def release(self, *, complete: bool) -> None:
        """The exchange is over. Unless both messages were complete, upstream must see that."""
