"""Request bodies on their way out: held whole up to a limit, behind a hold-back window above it.

The window works on what can be read; what is released is what was received. A raw piece goes on
only when everything it decodes to has left the window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from interceptor.decide.judge import Judge
from interceptor.model import Target
from interceptor.policy.schema import Limits
from interceptor.scan.window import BodyWindow
from interceptor.verdict import Finding, Reason, Verdict
from interceptor.wire.content import ContentReader, content_codings
from interceptor.wire.http1 import Framing, HttpError, RequestHead, chunk, write_trailers
from interceptor.wire.http1_body import BodyReader


class Upload:
    """One request body.

    Attributes:
        reader: unframes what the agent sends.
        sent: payload bytes released so far.
        verdict: set when a finding cuts the body off; nothing is released afterwards.
    """

    __slots__ = (
        *("_chunked", "_content", "_decoded", "_decoded_end", "_held", "_pieces", "_released"),
        *("_limit", "_of_trailers", "_window", "payload", "reader", "sent", "verdict"),
    )

    def __init__(self, head: RequestHead, limits: Limits) -> None:
        """Begin the body of `head` within `limits`.

        Raises:
            HttpError: INCOMPLETE when a content coding is not known; LIMIT_EXCEEDED.
        """
        codings = content_codings(head.codings)
        self._chunked = head.framing is Framing.CHUNKED
        self.reader = BodyReader(head.framing, head.length, Reason.HTTP_MALFORMED)
        self._content = ContentReader(codings, limits.decoded_bytes) if codings else None
        self._held: list[bytes] = []
        self._decoded: list[bytes] = []
        self._window: BodyWindow | None = None
        self._of_trailers: Callable[[], Verdict | None] = lambda: None
        self._pieces: deque[tuple[bytes, int]] = deque()
        self._decoded_end = 0
        self._released = 0
        self._limit = limits.body_bytes
        if self._limit and head.length > self._limit:
            raise HttpError(Reason.LIMIT_EXCEEDED, f"a body over {self._limit} bytes")
        self.payload = 0
        self.sent = 0
        self.verdict: Verdict | None = None

    @property
    def done(self) -> bool:
        """True when the agent has sent the whole body."""
        return self.reader.done

    def hold(self, data: bytes) -> None:
        """Take framed bytes and keep their payload, to be judged whole.

        Raises:
            HttpError: malformed framing, or content that cannot be read.
        """
        payload = self._payload(data)
        if payload:
            self._held.append(payload)
            if self._content is not None:
                self._decoded += self._content.feed(payload)
        if self.reader.done and self._content is not None:
            self._content.finish()

    def readable(self) -> bytes:
        """Whole held body, content codings undone."""
        return b"".join(self._decoded if self._content is not None else self._held)

    def held_body(self) -> bytes:
        """Give the held body, framed for upstream; for a body that was judged whole.

        It is kept, so that the request can be repeated on a fresh connection.
        """
        data = b"".join(self._held)
        self._decoded.clear()
        self.sent = len(data)
        if not self._chunked:
            return data
        return chunk(data) + write_trailers(self.reader.trailers)

    def judge_trailers(self, judge: Judge, target: Target) -> Verdict | None:
        """Judge the trailers of a complete body; None when there are none."""
        trailers = self.reader.trailers
        if not trailers:
            return None
        return judge.trailers(target, [(lower, value) for _, lower, value in trailers])

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings in a streaming body that did not block."""
        return self._window.findings if self._window is not None else ()

    def stream(self, judge: Judge, target: Target) -> bytes:
        """Stop holding: pass everything on through a hold-back window from now on."""
        self._window = judge.body_window(target)
        self._of_trailers = lambda: self.judge_trailers(judge, target)
        held, self._held = self._held, []
        if self._content is None:
            return b"".join([self._pass(piece, (piece,)) for piece in held])
        # What was decoded already is fed once; the raw pieces all end where it ends.
        decoded, self._decoded = self._decoded, []
        self._content.lift_budget()
        return self._pass(b"".join(held), decoded)

    @property
    def streaming(self) -> bool:
        """True once the body is passed on through the window."""
        return self._window is not None

    def feed(self, data: bytes) -> bytes:
        """Take framed bytes of a streaming body; give what may leave now, framed for upstream.

        Raises:
            HttpError: malformed framing, or content that cannot be read.
        """
        payload = self._payload(data)
        out = b""
        if payload:
            content = self._content
            out = self._pass(payload, (payload,) if content is None else content.feed(payload))
        if self.reader.done and self.verdict is None:
            out += self._finish()
        return out

    def finish_stream(self) -> bytes:
        """Give the rest of a streaming body that was complete before `stream` was called."""
        return self._finish() if self.reader.done and self.verdict is None else b""

    def _payload(self, data: bytes) -> bytes:
        payload = self.reader.feed(data)
        self.payload += len(payload)
        if self._limit and self.payload > self._limit:
            raise HttpError(Reason.LIMIT_EXCEEDED, f"a body over {self._limit} bytes")
        return payload

    def _pass(self, raw: bytes, readable: Iterable[bytes]) -> bytes:
        window = self._window
        assert window is not None  # noqa: S101
        for piece in readable:
            self._decoded_end += len(piece)
            self._released += len(window.feed(piece))
            if window.verdict is not None:
                self.verdict = window.verdict
                self._pieces.clear()
                return b""
        self._pieces.append((raw, self._decoded_end))
        return self._release()

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
        return chunk(data) if self._chunked else data

    def _finish(self) -> bytes:
        window = self._window
        assert window is not None  # noqa: S101
        if self._content is not None:
            self._content.finish()
        self._released += len(window.finish())
        verdict = window.verdict
        if verdict is None:
            of_trailers = self._of_trailers()
            if of_trailers is not None and not of_trailers.allowed:
                verdict = of_trailers
        if verdict is not None:
            self.verdict = verdict
            self._pieces.clear()
            return b""
        out = self._release()
        return out + write_trailers(self.reader.trailers) if self._chunked else out
