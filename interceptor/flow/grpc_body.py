"""gRPC requests: every message is judged when it is whole, and leaves then; never before.

A call may stay open for hours with messages in both directions, so nothing is collected beyond
one message. Framing: gRPC over HTTP/2, "Length-Prefixed-Message"; the same in gRPC-Web.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interceptor.decide.judge import Judge
from interceptor.model import Kind, Target
from interceptor.policy.schema import Limits
from interceptor.verdict import Finding, Reason, Verdict
from interceptor.wire.content import ContentReader, content_codings
from interceptor.wire.http1 import Field, HttpError, RequestHead

if TYPE_CHECKING:
    from interceptor.decide.messages import RememberingWindow

_PREFIX: Final = 5
_TEXT: Final = b"application/grpc-web-text"
"""Base64 over the frames: held and judged as any other text."""
_AFTER: Final = (b"", b"+", b";", b" ")


def is_grpc(head: RequestHead, *, web: bool = True) -> bool:
    """Tell whether the content is a sequence of gRPC messages; without `web`, not of gRPC-Web."""
    for _, lower, value in head.fields:
        if lower == b"content-type":
            kind = value.lower()
            return (
                kind.startswith(b"application/grpc")
                and not kind.startswith(_TEXT)
                and (kind[16:17] in _AFTER or (web and kind[16:17] == b"-"))
            )
    return False


class GrpcBody:
    """The messages of one call. See `interceptor.flow.body.Body`."""

    kind = Kind.GRPC_MESSAGE
    streaming = True
    waiting = False  # what is held is part of a message, and is not released before its end

    __slots__ = (
        *("_buffer", "_encoding", "_findings", "_judge", "_limits", "_target", "_window"),
        *("done", "payload", "sent", "trailers", "verdict"),
    )

    def __init__(self, head: RequestHead, limits: Limits) -> None:
        """Begin.

        Raises:
            HttpError: INCOMPLETE when the messages' encoding, or one around them, is not known.
        """
        if content_codings(head.codings):
            raise HttpError(Reason.INCOMPLETE, "gRPC inside a content coding")
        named = b",".join(value for _, lower, value in head.fields if lower == b"grpc-encoding")
        self._encoding = content_codings(named)
        if self._encoding:
            ContentReader(self._encoding, 1)  # refuses what cannot be read, before anything is sent
        self._limits = limits
        self._window: RememberingWindow | None = None
        self._buffer = bytearray()
        self._findings: tuple[Finding, ...] = ()
        self.payload = 0
        self.sent = 0
        self.done = False
        self.trailers: tuple[Field, ...] = ()
        self.verdict: Verdict | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """See `Body`."""
        return self._findings

    def hold(self, data: bytes) -> None:
        """See `Body`; never called before the head is judged."""
        self._buffer += data

    def end(self, trailers: tuple[Field, ...]) -> None:
        """See `Body`."""
        if self._buffer:
            raise HttpError(Reason.HTTP_MALFORMED, "a gRPC message is not complete")
        self.done = True
        self.trailers = trailers

    def readable(self) -> bytes:
        """See `Body`; nothing is judged together with the head."""
        return b""

    def held_body(self) -> bytes:
        """See `Body`; nothing is held."""
        return b""

    def stream(self, judge: Judge, target: Target) -> bytes:
        """See `Body`."""
        self._window = judge.message_window(target, "body")
        self._judge = judge
        self._target = target
        return self._messages()

    def feed(self, data: bytes) -> bytes:
        """See `Body`."""
        self.payload += len(data)
        if self._limits.body_bytes and self.payload > self._limits.body_bytes:
            raise HttpError(Reason.LIMIT_EXCEEDED, f"over {self._limits.body_bytes} bytes")
        self._buffer += data
        return self._messages()

    def flush(self) -> bytes:
        """See `Body`."""
        return b""

    def finish(self) -> bytes:
        """See `Body`. Clients of gRPC send no trailers; those that do are judged."""
        if self.trailers:
            fields = [(lower, value) for _, lower, value in self.trailers]
            verdict = self._judge.trailers(self._target, fields)
            if not verdict.allowed:
                self.verdict = verdict
        return b""

    def _messages(self) -> bytes:
        """Judge every whole message in the buffer; give those that may leave."""
        buffer = self._buffer
        at = 0
        while len(buffer) - at >= _PREFIX:
            size = int.from_bytes(buffer[at + 1 : at + _PREFIX])
            if size > self._limits.message_bytes:
                detail = f"a gRPC message over {self._limits.message_bytes} bytes"
                raise HttpError(Reason.LIMIT_EXCEEDED, detail)
            end = at + _PREFIX + size
            if len(buffer) < end:
                break
            if not self._pass(buffer[at], bytes(buffer[at + _PREFIX : end])):
                return b""
            at = end
        out = bytes(buffer[:at])
        del buffer[:at]
        self.sent += at
        return out

    def _pass(self, flag: int, message: bytes) -> bool:
        window = self._window
        assert window is not None  # noqa: S101
        if flag == 1:
            if not self._encoding:
                raise HttpError(Reason.INCOMPLETE, "a compressed message without grpc-encoding")
            reader = ContentReader(self._encoding, self._limits.decoded_bytes)
            message = b"".join(reader.feed(message))
            reader.finish()
        elif flag != 0:
            raise HttpError(Reason.HTTP_MALFORMED, "a gRPC message with unknown flags")
        verdict = window.judge(message)
        if verdict is None:
            return True
        if not verdict.allowed:
            self.verdict = verdict
            self._buffer.clear()
            return False
        self._findings += tuple(f for f in verdict.findings if f not in self._findings)
        return True
