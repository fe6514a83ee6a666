"""An answer of JSON-RPC that is one document: held until it is whole, and judged then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from interceptor.decide.judge import Judge
from interceptor.decide.mcp.ruling import Ruling
from interceptor.flow.inbound import Inbound
from interceptor.flow.mcp_events import CHANGED
from interceptor.flow.refusal import Explanation
from interceptor.policy.schema import Limits
from interceptor.verdict import Reason, Verdict
from interceptor.wire.content import ContentReader
from interceptor.wire.http1 import Field, Framing, HttpError, ResponseHead

_JSON: Final = b"application/json"
_BLANKS: Final = b" \t\r\n\xef\xbb\xbf"


class RpcAnswer:
    """The content of one response; see `interceptor.flow.inbound.Inbound`."""

    __slots__ = (
        *("_answer", "_codings", "_converse", "_error", "_head", "_held", "_judge", "_limits"),
        *("_other", "_otherwise", "_size", "holds_head", "noted", "verdict"),
    )

    waiting: Final = False
    patience = 0.0

    def __init__(
        self,
        judge: Judge,
        head: ResponseHead,
        codings: tuple[bytes, ...],
        limits: Limits,
        converse: Callable[[bytes], Ruling | None],
        error: Callable[[Verdict], list[bytes]],
        otherwise: Callable[[], Inbound | None],
    ) -> None:
        """Begin.

        Args:
            judge: of the agent.
            head: of the response.
            codings: that stand over the content.
            limits: `message_bytes` and `expansion` hold here.
            converse: judges the content; None: it is no message.
            error: the errors that answer what was asked.
            otherwise: begins to read it as any other content.
        """
        self._judge = judge
        self._head = self._answer = head
        self._codings = codings
        self._limits = limits
        self._converse = converse
        self._error = error
        self._otherwise = otherwise
        self._other: Inbound | None = None
        self._held: list[bytes] = []
        self._size = 0
        self.holds_head = True
        self.verdict: Verdict | None = None
        self.noted: list[Verdict] = []

    def feed(self, data: bytes) -> bytes:
        """Take content as received; give nothing, until it is whole."""
        if self.verdict is None:
            self._size += len(data)
            self._held.append(data)
            if self._size > self._limits.message_bytes:
                detail = "a message over limits.message_bytes"
                self.verdict = self._judge.refuse(Reason.LIMIT_EXCEEDED, detail)
                self._held.clear()
        return b""

    def flush(self) -> bytes:
        """Give nothing: what is held is not whole."""
        return b""

    def finish(self) -> bytes:
        """Content is complete; give what goes on of it, or instead."""
        if self.verdict is not None:
            return b""
        held = b"".join(self._held)
        self._held.clear()
        try:
            content = self._decoded(held)
        except HttpError as error:
            self.verdict = self._judge.refuse(error.reason, error.detail)
            return b""
        ruling = self._converse(content) if content.strip(_BLANKS) else None
        if ruling is None:
            return self._as_other(held)
        verdict, forward = ruling.verdict, ruling.forward
        if forward is None and verdict is not None:
            errors = self._error(verdict)
            if not errors:  # nobody is there who would read one
                self.verdict = verdict
                return b""
            forward = joined(errors)
        if verdict is not None:
            self.noted.append(verdict)
        if forward is None or forward is content:
            return held
        self._answer = _changed(self._head, len(forward), verdict)
        return forward

    def begin(self) -> ResponseHead:
        """Return the head as the agent gets it, before what is released first."""
        return self._answer if self._other is None else self._other.begin()

    def farewell(self, explanation: Explanation) -> bytes | None:  # noqa: ARG002
        """Give None: the head waits, so that a refusal takes its place."""
        return None

    def _decoded(self, held: bytes) -> bytes:
        if not self._codings:
            return held
        reader = ContentReader(self._codings, self._limits.message_bytes, self._limits.expansion)
        content = b"".join(reader.feed(held))
        reader.finish()
        return content

    def _as_other(self, held: bytes) -> bytes:
        """It is no message: judge it as all content is."""
        self._other = other = self._otherwise()
        if other is None:
            return held
        out = other.feed(held)
        if other.verdict is None:
            out += other.finish()
        self.noted += other.noted
        self.verdict = other.verdict
        return out


def joined(messages: list[bytes]) -> bytes:
    """Return some messages as one content; more than one are a batch."""
    return messages[0] if len(messages) == 1 else b"[" + b",".join(messages) + b"]"


def _changed(head: ResponseHead, length: int, verdict: Verdict | None) -> ResponseHead:
    fields: list[Field] = [
        field for field in head.fields if field[1] not in CHANGED and field[1] != b"content-type"
    ]
    fields.append((b"Content-Type", b"content-type", _JSON))
    if verdict is not None and not verdict.allowed:
        name = b"X-Egressguard-Reason"
        fields.append((name, name.lower(), verdict.reason.value.encode("ascii")))
    return msgspec.structs.replace(
        head, fields=tuple(fields), framing=Framing.LENGTH, length=length, content=None
    )
