"""One document on its way to the agent: held until it is judged, where it can be; else in pieces.

A document up to a size is held whole, so that a refusal takes the place of its first byte, and what
is marked can be marked as a whole. A longer one, or one whose end is not known and which pauses,
goes on piece by piece, each when it was judged together with what came before, one of them held
back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from interceptor.decide.inbound import InboundDocument
from interceptor.decide.judge import Judge
from interceptor.flow.inbound_marks import fence, marked_head, without
from interceptor.flow.refusal import Explanation
from interceptor.model import Target
from interceptor.policy.schema import Limits
from interceptor.verdict import Verdict
from interceptor.wire.content import ContentReader
from interceptor.wire.http1 import Framing, HttpError, ResponseHead
from interceptor.wire.rendered.readers import LOOK

_MOST_DECODED: Final = 8
"""Times the size of what is held that content may have, decoded, to be changed."""
_PAUSE_SECONDS: Final = 0.02
"""A content of unknown length that pauses for so long goes on piece by piece from there: it may be
one that never ends, such as a log."""
_PAGE_SECONDS: Final = 0.5
_PAGES: Final = frozenset(
    (
        *(b"text/html", b"application/xhtml+xml", b"text/markdown", b"text/x-markdown"),
        *(b"application/json", b"application/xml", b"text/xml", b"image/svg+xml"),
    )
)
"""Types of what ends soon: whoever sends it slowly does not get a part of it through."""
_FILE_SECONDS: Final = 10.0
_FILES: Final = (b"%PDF-", b"PK\3\4", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF")
"""Begins of files whose text is known when a part of them, or all, is there; nobody reads less."""
_FILE_TYPES: Final = (
    *(b"application/pdf", b"application/vnd.openxmlformats-", b"application/vnd.oasis."),
    *(b"application/epub+zip", b"image/", b"message/"),
)

Opened = Callable[[bytes], InboundDocument | None]
"""Begins to judge a content by its first bytes; None: it is nothing that is read."""


class Document:
    """The content of one response; see `interceptor.flow.inbound.Inbound`."""

    __slots__ = (
        *("_answer", "_back", "_blind", "_codings", "_content", "_document", "_first", "_head"),
        *("_held", "_holding", "_judge", "_kind", "_limits", "_live", "_opened", "_said", "_size"),
        *("_started", "_tag", "_target", "holds_head", "noted", "patience", "verdict"),
    )

    def __init__(
        self,
        judge: Judge,
        target: Target,
        head: ResponseHead,
        kind: bytes,
        codings: tuple[bytes, ...],
        limits: Limits,
        opened: Opened,
        *,
        holds: bool,
        tag: Callable[[], str],
    ) -> None:
        """Begin.

        Args:
            judge: of the jail.
            target: where the content comes from.
            head: of the response.
            kind: media type in lower case, without parameters.
            codings: that stand over the content.
            limits: `inbound_bytes`, `decoded_bytes` and `expansion` hold here.
            opened: begins to judge it.
            holds: it may be refused or changed.
            tag: makes what nobody can foresee.
        """
        self._judge = judge
        self._target = target
        self._head = head
        self._kind = kind
        self._codings = codings
        self._limits = limits
        self._opened = opened
        self._tag = tag
        self.holds_head = holds
        self.patience = _patience(kind)
        self._document: InboundDocument | None = None
        self._started = False
        self._first = b""
        self._content: ContentReader | None = None
        self._held: list[bytes] = []
        self._size = 0
        self._back = b""
        self._blind = False
        self._live = not holds
        self._holding = holds and not (
            head.framing is Framing.LENGTH and head.length > limits.inbound_bytes
        )
        self._answer = head
        self._said: set[str] = set()
        self.verdict: Verdict | None = None
        self.noted: list[Verdict] = []
        if codings:
            try:
                self._content = ContentReader(codings, limits.decoded_bytes, limits.expansion)
                self._content.lift_budget()
            except HttpError as error:
                self._unreadable(error)

    @property
    def waiting(self) -> bool:
        """True where `flush` would give something: the end is not known, and may be far."""
        if self._head.framing is Framing.LENGTH or self.verdict is not None:
            return False
        return bool(self._held or self._back)

    def feed(self, data: bytes) -> bytes:
        """Take content as received; give what may go on."""
        if self.verdict is None and not self._blind:
            self._read(data)
        if self.verdict is not None:
            return b""
        if self._blind:
            return self._all() + data if self._held or self._back else data
        if self._holding:
            verdict = None if self._document is None else self._document.verdict()
            if verdict is not None and not verdict.allowed:
                return self._end(verdict)  # what follows only adds to it
            self._held.append(data)
            self._size += len(data)
            if self._size <= self._limits.inbound_bytes or not self._go_on():
                return b""
            self._back = self._held.pop()
            return self._all(but=self._back)
        if not self._note(late=True):
            return b""
        if self._live:
            return data
        out, self._back = self._back, data
        return out

    def flush(self) -> bytes:
        """The content pauses; give what is held, which was found clean."""
        if self._holding and not self._go_on():
            return b""
        self._live = True
        return self._all()

    def finish(self) -> bytes:
        """Content is complete; give what is left of it."""
        if self.verdict is not None:
            return b""
        self._start()
        document = self._document
        if document is None or self._blind:
            return self._all()
        document.finish()
        if not self._holding:
            return self._all() if self._note(late=True, ended=True) else b""
        verdict = document.verdict()
        if verdict is None:
            return self._all()
        if not verdict.allowed:
            return self._end(verdict)
        self.noted.append(verdict)
        content = self._changed(document, verdict)
        return self._all() if content is None else content

    def begin(self) -> ResponseHead:
        """Return the head as the agent gets it, before what is released first."""
        return self._answer

    def farewell(self, explanation: Explanation) -> bytes | None:  # noqa: ARG002
        """Give None: a document has no terms in which to say that it ends early."""
        return None

    def _all(self, but: bytes = b"") -> bytes:
        """Take all that is held, in order; `but` stays."""
        held, self._held = self._held, []
        if self._back is not but:
            held.append(self._back)
            self._back = b""
        return held[0] if len(held) == 1 else b"".join(held)

    # -- reading ---------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        try:
            if self._content is None:
                self._look(data)
                return
            for piece in self._content.feed(data):
                if not self._blind:
                    self._look(piece)
        except HttpError as error:
            self._unreadable(error)

    def _look(self, piece: bytes) -> None:
        if not self._started:
            piece = self._first = self._first + piece
            if piece.startswith(_FILES):
                self.patience = _FILE_SECONDS
            if not self._holding or len(piece) >= LOOK:
                self._start()
        elif self._document is not None:
            self._document.feed(piece)

    def _start(self) -> None:
        """Begin to judge by the first bytes; whoever sends fewer at first gains nothing."""
        first, self._first = self._first, b""
        if self._started or not first:
            return
        self._started = True
        self._document = self._opened(first)
        if self._document is None:
            self._blind = True
        else:
            self._document.feed(first)

    def _unreadable(self, error: HttpError) -> None:
        """A coding we do not know, or damage: refused where content may be, else let be."""
        self._blind = True
        if self.holds_head:
            self.verdict = self._judge.refuse(error.reason, error.detail)

    # -- acting ----------------------------------------------------------------------------

    def _go_on(self) -> bool:
        """What is held is to be released, and more will follow; False where it may not be."""
        self._holding = False
        self._start()
        return self._note(late=False)

    def _note(self, *, late: bool, ended: bool = False) -> bool:
        """Act upon what was found so far; False where that ends the response.

        Of content that goes on in pieces only the head can be marked, as long as it is not `late`.
        """
        verdict = None if self._document is None else self._document.verdict(partial=not ended)
        if verdict is None:
            return True
        if not verdict.allowed:
            self._end(verdict)
            return False
        rules = {finding.rule for finding in verdict.findings}
        received = verdict.received
        if rules <= self._said or received is None:
            return True
        self._said |= rules
        if received.handling in ("annotate", "strip"):
            handling = "warn" if late else "annotate"
            received = msgspec.structs.replace(received, handling=handling)
            verdict = msgspec.structs.replace(verdict, received=received)
            if not late:
                self._answer = marked_head(self._head, verdict, None)
        self.noted.append(verdict)
        return True

    def _end(self, verdict: Verdict) -> bytes:
        self.verdict = verdict
        self._held.clear()
        self._back = b""
        return b""

    def _changed(self, document: InboundDocument, verdict: Verdict) -> bytes | None:
        """Mark or strip what is held as a whole; None: it stays as it is."""
        received = verdict.received
        if received is None or received.handling not in ("annotate", "strip"):
            return None
        content = self._decoded()
        new: bytes | None = None
        left: Verdict | None = verdict
        if content is not None and received.handling == "strip" and document.cuts:
            content = new = without(content, document.cuts)
            left = self._again(content)
        if content is not None and left is not None:
            kind, status = self._kind, self._head.status
            new = fence(kind, self._target, status, content, left, self._tag()) or new
        self._answer = marked_head(self._head, verdict, None if new is None else len(new))
        return new

    def _again(self, content: bytes) -> Verdict | None:
        """Judge what is left of a content that was stripped."""
        document = self._opened(content)
        if document is None:
            return None
        document.feed(content)
        document.finish()
        return document.verdict()

    def _decoded(self) -> bytes | None:
        """Give what is held without its codings; None where that is too long."""
        held = b"".join(self._held)
        if not self._codings:
            return held
        most = _MOST_DECODED * self._limits.inbound_bytes
        try:
            return b"".join(ContentReader(self._codings, most, self._limits.expansion).feed(held))
        except HttpError:
            return None


def _patience(kind: bytes) -> float:
    """Seconds that content of a type may pause before it goes on piece by piece."""
    if kind in _PAGES:
        return _PAGE_SECONDS
    return _FILE_SECONDS if kind.startswith(_FILE_TYPES) else _PAUSE_SECONDS
