"""What an exchange needs of a request's content, however it is judged."""

from __future__ import annotations

from typing import Protocol

from interceptor.decide.judge import Judge
from interceptor.model import Kind, Target
from interceptor.verdict import Finding, Verdict
from interceptor.wire.http1 import Field


class Body(Protocol):
    """The content of one request on its way out.

    Attributes:
        payload: bytes taken so far.
        sent: bytes released so far.
        done: the agent has sent all of it.
        trailers: trailer fields; known once it is done.
        verdict: set when a finding cuts the body off; nothing is released afterwards.
        streaming: passed on piece by piece instead of being judged whole.
        kind: what a verdict on this content is recorded as.
    """

    payload: int
    sent: int
    done: bool
    trailers: tuple[Field, ...]
    verdict: Verdict | None
    streaming: bool
    kind: Kind

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings in a streaming body that did not block."""

    @property
    def waiting(self) -> bool:
        """True when a streaming body holds bytes that `flush` could release."""

    def hold(self, data: bytes) -> None:
        """Take content and keep it, to be judged whole. Raises HttpError if it is too long."""

    def end(self, trailers: tuple[Field, ...]) -> None:
        """The agent has sent all. Raises HttpError when something is not complete."""

    def readable(self) -> bytes:
        """Whole held body as received: what is judged together with the head."""

    def held_body(self) -> bytes:
        """Give the body that was judged whole. It is kept, so that it can be sent once more."""

    def stream(self, judge: Judge, target: Target) -> bytes:
        """Stop holding; give what may leave now. Raises HttpError if it is unreadable."""

    def feed(self, data: bytes) -> bytes:
        """Take content of a streaming body; give what may leave now. Raises HttpError."""

    def flush(self) -> bytes:
        """Give what was found clean, without waiting for more."""

    def finish(self) -> bytes:
        """After `end`: give the rest of a streaming body, once its trailers are judged."""
