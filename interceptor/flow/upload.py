"""Request bodies on their way out: held whole up to a limit, behind a hold-back window above it.

The window works on what can be read; what is released is what was received. A raw piece goes on
only when everything it decodes to has left the window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from interceptor.decide.judge import Judge
from interceptor.flow.body import Body
from interceptor.flow.grpc_body import GrpcBody, is_grpc
from interceptor.model import Kind, Target
from interceptor.policy.schema import Limits
from interceptor.scan.window import BodyWindow
from interceptor.verdict import Finding, Reason, Verdict
from interceptor.wire.content import ContentReader, content_codings
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
        *("_content", "_decoded", "_decoded_end", "_held", "_limit", "_of_trailers", "_pieces"),
        *("_released", "_window", "done", "payload", "sent", "streaming", "trailers", "verdict"),
    )

    def __init__(self, head: RequestHead, limits: Limits) -> None:
        codings = content_codings(head.codings)
        self._content = ContentReader(codings, limits.decoded_bytes) if codings else None
        self._held: list[bytes] = []
        self._decoded: list[bytes] = []
        self._window: BodyWindow | None = None
        self._of_trailers: Callable[[], Verdict | None] = lambda: None
        self._pieces: deque[tuple[bytes, int]] = deque()
        self._decoded_end = 0
        self._released = 0
        self._limit = limits.body_bytes
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
        return bool(self._pieces)

    def hold(self, data: bytes) -> None:
        """See `Body`."""
        self._count(data)
        self._held.append(data)
        if self._content is not None:
            self._decoded += self._content.feed(data)

    def end(self, trailers: tuple[Field, ...]) -> None:
        """See `Body`."""
        self.done = True
        self.trailers = trailers
        if self._content is not None:
            self._content.finish()

    def readable(self) -> bytes:
        """See `Body`."""
        return b"".join(self._decoded if self._content is not None else self._held)

    def held_body(self) -> bytes:
        """See `Body`."""
        data = b"".join(self._held)
        self._decoded.clear()
        self.sent = len(data)
        return data

    def stream(self, judge: Judge, target: Target) -> bytes:
        """See `Body`."""
        self.streaming = True
        self._window = judge.body_window(target)
        self._of_trailers = lambda: self._judge_trailers(judge, target)
        held, self._held = self._held, []
        if self._content is None:
            return b"".join([self._pass(piece, (piece,)) for piece in held])
        # What was decoded already is fed once; the raw pieces all end where it ends.
        decoded, self._decoded = self._decoded, []
        self._content.lift_budget()
        return self._pass(b"".join(held), decoded) if held else b""

    def feed(self, data: bytes) -> bytes:
        """See `Body`."""
        self._count(data)
        content = self._content
        return self._pass(data, (data,) if content is None else content.feed(data))

    def flush(self) -> bytes:
        """See `Body`."""
        return self._after(self._window.flush()) if self._window is not None else b""

    def finish(self) -> bytes:
        """See `Body`."""
        window = self._window
        assert window is not None  # noqa: S101
        rest = window.finish()
        if window.verdict is None:
            of_trailers = self._of_trailers()
            if of_trailers is not None and not of_trailers.allowed:
                self._cut(of_trailers)
                return b""
        return self._after(rest)

    def _count(self, data: bytes) -> None:
        self.payload += len(data)
        if self._limit and self.payload > self._limit:
            raise HttpError(Reason.LIMIT_EXCEEDED, f"a body over {self._limit} bytes")

    def _judge_trailers(self, judge: Judge, target: Target) -> Verdict | None:
        if not self.trailers:
            return None
        return judge.trailers(target, [(lower, value) for _, lower, value in self.trailers])

    def _pass(self, raw: bytes, readable: Iterable[bytes]) -> bytes:
        window = self._window
        assert window is not None  # noqa: S101
        for piece in readable:
            self._decoded_end += len(piece)
            self._released += len(window.feed(piece))
            if window.verdict is not None:
                self._cut(window.verdict)
                return b""
        self._pieces.append((raw, self._decoded_end))
        return self._release()

    def _after(self, released: bytes) -> bytes:
        """Release what the window gave out on being flushed or finished."""
        assert self._window is not None  # noqa: S101
        self._released += len(released)
        if self._window.verdict is not None:
            self._cut(self._window.verdict)
            return b""
        return self._release()

    def _cut(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self._pieces.clear()

    def _release(self) -> bytes:
        """Raw pieces all of whose readable bytes have left the window."""
        out = []
        pieces = self._pieces
        while pieces and pieces[0][1] <= self._released:
            out.append(pieces.popleft()[0])
        if pieces and self._content is None:
            # Not encoded: raw and readable bytes are the same, so a piece can be cut.
            raw, end = pieces.popleft()
            cut = len(raw) - (end - self._released)
            if cut > 0:
                out.append(raw[:cut])
                raw = raw[cut:]
            pieces.appendleft((raw, end))
        data = b"".join(out)
        self.sent += len(data)
        return data
