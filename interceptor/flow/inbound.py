"""What comes back, on its way to the agent: which content is read, and how it is held for that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from interceptor.decide.inbound import InboundDocument
from interceptor.decide.judge import Judge
from interceptor.flow.context import FlowContext
from interceptor.flow.inbound_document import Document
from interceptor.flow.inbound_events import Cutter, Events, GrpcMessages, Lines, Sse
from interceptor.flow.refusal import Explanation
from interceptor.model import Target
from interceptor.verdict import Verdict
from interceptor.wire.content import content_codings
from interceptor.wire.http1 import ResponseHead

_SSE: Final = b"text/event-stream"
_LINES: Final = frozenset(
    (b"application/x-ndjson", b"application/ndjson", b"application/jsonl", b"application/json-seq")
)
_GRPC: Final = b"application/grpc"
_FIELD, _BLANKS = 32, 3
"""Bytes and blanks of a field's value that may be a sentence."""
_KINDS: Final[dict[bytes, tuple[str, bytes]]] = {}
"""Content-Type values as received, to how they are read and the media type. Bounded."""


class Inbound(Protocol):
    """One response's content.

    Attributes:
        verdict: set when a finding cuts the response; nothing passes afterwards.
        noted: verdicts on findings that do not block, to be recorded and taken out.
        holds_head: the response may still turn into a refusal: its head waits for content.
        patience: seconds that `waiting` may last; then it may be one that never ends.
    """

    verdict: Verdict | None
    noted: list[Verdict]
    holds_head: bool
    patience: float

    @property
    def waiting(self) -> bool:
        """True where something is held that `flush` would give, should the content pause."""

    def feed(self, data: bytes) -> bytes:
        """Take content as received; give what may go on."""

    def flush(self) -> bytes:
        """The content pauses: give what is held and was found clean."""

    def finish(self) -> bytes:
        """Content is complete; give what is left of it."""

    def begin(self) -> ResponseHead:
        """Return the head as the agent gets it; asked before what is released first."""

    def farewell(self, explanation: Explanation) -> bytes | None:
        """Say in the stream's own terms that it ends here; None where it has no such terms."""


def _kind_of(value: bytes) -> tuple[str, bytes]:
    """How content of a type is read (`document`, `sse`, `lines`, `grpc` or ``), and its type."""
    known = _KINDS.get(value)
    if known is not None:
        return known
    kind = value.partition(b";")[0].strip(b" \t").lower()
    how = "document"
    if kind == _SSE:
        how = "sse"
    elif kind in _LINES:
        how = "lines"
    elif kind.startswith(_GRPC):
        how = "" if kind.startswith(_GRPC + b"-web-text") else "grpc"
    if len(_KINDS) >= 256:
        _KINDS.clear()
    _KINDS[value] = how, kind
    return how, kind


def open_inbound(
    context: FlowContext, target: Target, head: ResponseHead, tag: Callable[[], str]
) -> Inbound | None:
    """Begin to read a response's content, or return None where that is not done.

    Args:
        context: of the flow.
        target: of the request.
        head: of the response.
        tag: makes what nobody can foresee, for marks.
    """
    value, coded = head.content or _content_of(head)
    how, kind = _kind_of(value)
    if not how:
        return None
    judge, limits = context.judge, context.limits
    codings = content_codings(coded) if coded else ()
    if how == "document":
        holds = judge.holds_content(target)
        if holds is None:
            return None
        return Document(
            judge,
            target,
            head,
            kind,
            codings,
            limits,
            lambda first: _opened(judge, target, head, value, first),
            holds=holds,
            tag=tag,
        )
    window = judge.inbound_window("response", target)
    if window is None:
        return None
    cutter: Cutter
    if how == "sse":
        cutter = Sse()
    elif how == "lines":
        cutter = Lines()
    else:
        named = b",".join(field[2] for field in head.fields if field[1] == b"grpc-encoding")
        cutter = GrpcMessages(content_codings(named), limits)
    return Events(judge, head, window, cutter, codings, limits)


def _opened(
    judge: Judge, target: Target, head: ResponseHead, value: bytes, first: bytes
) -> InboundDocument | None:
    """Begin to judge a document, and judge what its head says beside it."""
    document = judge.inbound_document(target, value, first)
    if document is not None and (prose := _prose(head)):
        document.beside(prose)
    return document


def _prose(head: ResponseHead) -> bytes:
    """What fields of a head say that are more than a name, a date or a number."""
    return b"\n".join(
        value
        for _, _, value in head.fields
        if len(value) >= _FIELD and value.count(b" ") >= _BLANKS
    )


def is_clean(judge: Judge, target: Target, head: ResponseHead, content: bytes) -> bool:
    """Tell whether content that is there as a whole may go on without a closer look."""
    value, codings = head.content or _content_of(head)
    how, _ = _kind_of(value)
    if not how:
        return True
    if how != "document" or codings:
        return False
    prose = _prose(head)
    if prose and not judge.finds_nothing(target, b"text/plain", prose):
        return False
    return judge.finds_nothing(target, value, content)


def _content_of(head: ResponseHead) -> tuple[bytes, bytes]:
    kind = b""
    codings = b""
    for _, lower, value in head.fields:
        if lower == b"content-type":
            kind = value
        elif lower == b"content-encoding":
            codings = codings + b"," + value if codings else value
    return kind, codings
