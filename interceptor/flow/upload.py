"""Request bodies on their way out: held whole up to a limit, behind a hold-back window above it.

What is judged is all that can be read; what is released is what was received.
"""

from __future__ import annotations

from interceptor.decide.bodies import UploadWindow
from interceptor.decide.judge import Judge
from interceptor.flow.body import Body
from interceptor.flow.grpc_body import GrpcBody, is_grpc
from interceptor.model import Kind, Target
from interceptor.policy.schema import Limits
from interceptor.verdict import Finding, Reason, Verdict
from interceptor.wire.content import check_codings, content_codings
from interceptor.wire.http1 import Field, HttpError, RequestHead


def open_body(head: RequestHead, limits: Limits) -> Body:
    """Begin the body of `head`, which has one.

    Raises:
        HttpError: INCOMPLETE when a content coding is not known; LIMIT_EXCEEDED.
    """
    if limits.body_bytes and head.length > limits.body_bytes:
        raise HttpError(Reason.LIMIT_EXCEEDED, f"a body over {limits.body_bytes} bytes")
    if is_grpc(head):
        return GrpcBody(head, limits)
    return Upload(head, limits)


class Upload:
    """A body that is judged whole, or streams through a window. See `Body`."""

    kind = Kind.HTTP_REQUEST

    __slots__ = (
        *("_head", "_held", "_judge", "_limit", "_whole", "_target", "_window"),
        *("done", "payload", "sent", "streaming", "trailers", "verdict"),
    )

    def __init__(self, head: RequestHead, limits: Limits) -> None:
        if head.codings is not None:
            check_codings(content_codings(head.codings))
        self._head = head
        self._held = bytearray()
        self._whole = b""
        self._limit = limits.body_bytes
        self._window: UploadWindow | None = None
        self._judge: Judge | None = None
        self._target: Target | None = None
        self.payload = 0
        self.sent = 0
        self.done = False
        self.streaming = False
        self.trailers: tuple[Field, ...] = ()
        self.verdict: Verdict | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """See `Body`."""
        return self._window.findings if self._window is not None else ()

    @property
    def waiting(self) -> bool:
        """See `Body`."""
        return self._window is not None and self._window.waiting

    def hold(self, data: bytes) -> None:
        """See `Body`."""
        self._count(data)
        self._held += data

    def end(self, trailers: tuple[Field, ...]) -> None:
        """See `Body`."""
        self.done = True
        self.trailers = trailers

    def readable(self) -> bytes:
        """See `Body`."""
        self._whole = whole = self._whole + bytes(self._held) if self._whole else bytes(self._held)
        self._held = bytearray()  # the same bytes are not kept twice
        return whole

    def held_body(self) -> bytes:
        """See `Body`."""
        whole = self.readable()
        self.sent = len(whole)
        return whole

    def stream(self, judge: Judge, target: Target) -> bytes:
        """See `Body`."""
        self.streaming = True
        self._judge, self._target = judge, target
        fields = [(lower, value) for _, lower, value in self._head.fields]
        codings = content_codings(self._head.codings)
        self._window = judge.upload_window(target, fields, codings)
        held = self.readable()
        self._whole = b""
        return self._after(self._window.feed(held)) if held else b""

    def feed(self, data: bytes) -> bytes:
        """See `Body`."""
        self._count(data)
        assert self._window is not None  # noqa: S101
        return self._after(self._window.feed(data))

    def flush(self) -> bytes:
        """See `Body`."""
        return self._after(self._window.flush()) if self._window is not None else b""

    def finish(self) -> bytes:
        """See `Body`."""
        assert self._window is not None  # noqa: S101
        rest = self._window.finish()
        if self._window.verdict is None and self.trailers:
            assert self._judge is not None  # noqa: S101
            assert self._target is not None  # noqa: S101
            fields = [(lower, value) for _, lower, value in self.trailers]
            verdict = self._judge.trailers(self._target, fields)
            if not verdict.allowed:
                self.verdict = verdict
                return b""
        return self._after(rest)

    def _count(self, data: bytes) -> None:
        self.payload += len(data)
        if self._limit and self.payload > self._limit:
            raise HttpError(Reason.LIMIT_EXCEEDED, f"a body over {self._limit} bytes")

    def _after(self, released: bytes) -> bytes:
        """Note what the window gave out, or what it found."""
        assert self._window is not None  # noqa: S101
        self.verdict = self._window.verdict
        self.sent += len(released)
        return released
