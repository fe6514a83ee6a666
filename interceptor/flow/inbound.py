"""What comes back, on its way to the agent: judged piece by piece, events whole.

Nothing is delayed: a piece that was judged goes on at once. Of an event stream (SSE, NDJSON) whole
events go on, so that a finding cuts the stream between two of them and can say so in its terms.
"""

from __future__ import annotations

from typing import Final

import msgspec

from interceptor.decide.inbound import InboundWindow
from interceptor.decide.judge import Judge
from interceptor.flow.refusal import Explanation
from interceptor.policy.schema import Limits
from interceptor.verdict import Verdict
from interceptor.wire.content import ContentReader, content_codings
from interceptor.wire.http1 import HttpError, ResponseHead

_SSE: Final = b"text/event-stream"
_LINES: Final = frozenset(
    (b"application/x-ndjson", b"application/ndjson", b"application/jsonl", b"application/json-seq")
)
_READABLE: Final = frozenset(
    (
        *(b"", b"application/json", b"application/xml", b"application/javascript"),
        *(b"application/xhtml+xml", b"application/x-javascript", b"application/ecmascript"),
        *(b"application/yaml", b"application/toml", b"application/x-www-form-urlencoded"),
        b"image/svg+xml",
    )
)
_END_SIZE: Final = 4
"""Bytes of the longest end of an event."""
_EVENT_LIMIT: Final = 1 << 20
"""An event longer than this goes on in pieces."""
_READERS: Final[dict[bytes, tuple[bytes, ...] | None]] = {}
"""Content-Type values as received, to what ends an event; None: not read. Bounded."""


def _ends_of(value: bytes) -> tuple[bytes, ...] | None:
    """How content of a type is cut into events: `()` for not at all, None for content not read."""
    known = _READERS.get(value, ...)
    if known is not ...:
        return known
    kind = value.partition(b";")[0].strip(b" \t").lower()
    ends: tuple[bytes, ...] | None = None
    if kind == _SSE:
        ends = (b"\n\n", b"\r\n\r\n", b"\r\r")
    elif kind in _LINES:
        ends = (b"\n",)
    elif kind.startswith(b"text/") or kind in _READABLE or kind.endswith((b"+json", b"+xml")):
        ends = ()
    if len(_READERS) >= 256:
        _READERS.clear()
    _READERS[value] = ends
    return ends


def open_inbound(judge: Judge, head: ResponseHead, limits: Limits) -> Inbound | None:
    """Begin to read a response's content, or return None where that is not done."""
    kind, codings = head.content or _content_of(head)
    ends = _ends_of(kind)
    if ends is None:
        return None
    window = judge.inbound_window("response")
    if window is None:
        return None
    return Inbound(judge, window, ends, content_codings(codings) if codings else (), limits)


def is_clean(judge: Judge, head: ResponseHead, content: bytes) -> bool:
    """Tell whether content that is there as a whole may go on without a closer look."""
    kind, codings = head.content or _content_of(head)
    return _ends_of(kind) is None or (not codings and judge.finds_nothing(content))


def _content_of(head: ResponseHead) -> tuple[bytes, bytes]:
    kind = b""
    codings = b""
    for _, lower, value in head.fields:
        if lower == b"content-type":
            kind = value
        elif lower == b"content-encoding":
            codings = codings + b"," + value if codings else value
    return kind, codings


class Inbound:
    """One response's content.

    Attributes:
        verdict: set when a finding cuts the response; nothing passes afterwards.
        noted: verdicts on findings that do not block, to be recorded and taken out.
    """

    __slots__ = ("_blind", "_content", "_ends", "_held", "_judge", "_window", "noted", "verdict")

    def __init__(
        self,
        judge: Judge,
        window: InboundWindow,
        ends: tuple[bytes, ...],
        codings: tuple[bytes, ...],
        limits: Limits,
    ) -> None:
        self._judge = judge
        self._window = window
        self._content: ContentReader | None = None
        # Events are held whole only where one of them may have to be left out, and cannot be cut
        # out of what is encoded: then pieces go on as they come.
        self._ends = ends if window.blocks and not codings else ()
        self._held = bytearray()
        self._blind = False
        self.verdict: Verdict | None = None
        self.noted: list[Verdict] = []
        if codings:
            try:
                self._content = ContentReader(codings, limits.decoded_bytes)
                self._content.lift_budget()
            except HttpError as error:
                self._unreadable(error)

    @property
    def holds_head(self) -> bool:
        """True where the response may still turn into a refusal: its head waits for content."""
        return self._window.blocks

    def feed(self, data: bytes) -> bytes:
        """Take content as received; give what may go on."""
        if self._ends:
            data = self._whole(data)
            if not data:
                return b""
        return data if self._passes(data) else b""

    def _whole(self, data: bytes) -> bytes:
        """Events that are whole by now; the rest is held. Each byte is searched once."""
        held = self._held
        start = max(0, len(held) - _END_SIZE + 1)
        held += data
        cut = 0
        for end in self._ends:
            found = held.rfind(end, start)
            if found >= 0:
                cut = max(cut, found + len(end))
        if not cut and len(held) > _EVENT_LIMIT:
            cut = len(held)
        out = bytes(held[:cut])
        del held[:cut]
        return out

    def finish(self) -> bytes:
        """Content is complete; give what is left of it."""
        data, self._held = bytes(self._held), bytearray()
        return data if data and self._passes(data) else b""

    def farewell(self, explanation: Explanation) -> bytes | None:
        """Say in the stream's own terms that it ends here; None where it has no such terms."""
        if not self._ends:
            return None
        text = msgspec.json.encode(explanation)
        return text + b"\n" if self._ends == (b"\n",) else b"event: error\ndata: " + text + b"\n\n"

    def _passes(self, data: bytes) -> bool:
        if self._content is None or self._blind:
            return self._look(data)
        try:
            return all(self._look(piece) for piece in self._content.feed(data))
        except HttpError as error:
            return self._unreadable(error)

    def _unreadable(self, error: HttpError) -> bool:
        """A coding we do not know, or damage: refused where findings block, else let be."""
        self._blind = True
        if self._window.blocks:
            self.verdict = self._judge.refuse(error.reason, error.detail)
        return self.verdict is None

    def _look(self, text: bytes) -> bool:
        if self._blind or self.verdict is not None:
            return self.verdict is None
        verdict = self._window.judge(text)
        if verdict is None:
            return True
        if verdict.allowed:
            self.noted.append(verdict)
            return True
        self.verdict = verdict
        return False
