"""Judging what comes back: messages and events one by one, documents as they are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal

from interceptor.decide.event_texts import EventTexts
from interceptor.decide.inbound_rules import InboundRules, Judged, Place
from interceptor.model import Passage, Setting
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.scan.injection.window import InjectionWindow
from interceptor.verdict import Finding, Verdict
from interceptor.wire.rendered.reader import Reader

MakeVerdict = Callable[[Judged], Verdict]
"""Makes the verdict on what was found; `interceptor.decide.verdicts` alone knows how."""

_SEAM: Final = 512
"""Bytes on both sides of a cut in which something may lie over it."""
_END: Final = 4096
"""Bytes at the end of what was taken that a reader may not have given yet, as far as it matters."""
_UNREAD: Final = 65_536
"""Bytes of what looked clean that are read after all when something shows, of a long content."""
_WRITTEN_OTHERWISE: Final = (b"\\u", b"&#", b"\\x", b"%u", b"\x1b[")
"""Begins of escapes: text that holds one is read, as a glance sees only what is written."""
_ENTITY: Final = re.compile(rb"&[A-Za-z][A-Za-z0-9]{1,31};")

Written = Literal["", "plain", "json"]
"""How text stands in a content: not as it reads, as in markup; as it reads but for escapes; the
same, in strings that may hold markup."""


class InboundWindow:
    """Judges a sequence: each message with the end of what stood at its places before.

    What a verdict blocks must not be passed on; what came before it has passed already.

    Attributes:
        blocks: what is found may block.
    """

    __slots__ = ("_events", "_known", "_make", "_place", "_rules", "_scanner", "_where", "blocks")

    def __init__(
        self,
        scanner: InjectionScanner,
        rules: InboundRules,
        place: Place,
        where: str,
        make: MakeVerdict,
        *,
        apart: bool = True,
    ) -> None:
        """Begin.

        Args:
            scanner: for this thread alone.
            rules: of the policy.
            place: where the sequence comes from.
            where: what findings say of their place: `ws_message`, `stream`, `response`.
            make: makes verdicts.
            apart: a message ends where it ends; False: pieces, cut anywhere.
        """
        self._scanner = scanner
        self._rules = rules
        self._place = place
        self._where = where
        self._make = make
        self._events = EventTexts(b"\n" if apart else b"")
        self._known: set[str] = set()
        self.blocks = place.blocks

    def judge(self, message: bytes) -> Verdict | None:
        """Judge the next message: None when nothing new was found in it."""
        texts = self._events.read(message)
        whole = texts[0] if len(texts) == 1 else b"\n\n".join(texts)
        if not self._scanner.glance(whole):
            return None
        passages = [Passage(text) for text in texts]
        assessment = self._scanner.scan(passages)
        if not assessment.findings:
            return None
        rules, place = self._rules, self._place
        counted = rules.counted(assessment, place, self._where, passages)
        judged = rules.judge(assessment.score, counted, place)
        if judged is None:
            return None
        verdict = self._make(judged)
        found = {finding.rule for finding in judged.findings}
        if verdict.allowed and found <= self._known:
            return None
        self._known |= found
        return verdict


class InboundDocument:
    """Judges one content as whoever receives it reads it, while it arrives.

    What looks clean at a glance is not taken apart, unless its format writes text otherwise than
    it reads.

    Attributes:
        place: where it comes from.
    """

    __slots__ = (
        *(
            "_end",
            "_found",
            "_glanced",
            "_judged",
            "_make",
            "_most",
            "_reader",
            "_rules",
            "_scanner",
        ),
        *("_seam", "_size", "_unread", "_waiting", "_where", "_window", "_written", "place"),
    )

    def __init__(
        self,
        scanner: InjectionScanner,
        rules: InboundRules,
        place: Place,
        where: str,
        make: MakeVerdict,
        reader: Reader,
        *,
        written: Written,
        whole: int,
    ) -> None:
        """Begin.

        Args:
            scanner: for this thread alone.
            rules: of the policy.
            place: where the content comes from.
            where: what findings say of their place.
            make: makes verdicts.
            reader: of the content.
            written: how text stands in it.
            whole: bytes of a content that is read from its begin when something shows.
        """
        self._scanner = scanner
        self._rules = rules
        self.place = place
        self._where = where
        self._make = make
        self._reader = reader
        self._glanced = bool(written)
        self._written = written
        self._most = whole
        self._unread: list[bytes] = []
        self._waiting = 0
        self._size = 0
        self._seam = self._end = b""
        self._window: InjectionWindow | None = None
        self._found: dict[str, tuple[float, Finding]] = {}
        self._judged: Judged | None = None

    @property
    def cuts(self) -> list[tuple[int, int]]:
        """(start, end) of hidden text and active content in what was read, rising and apart."""
        return self._reader.cuts

    def feed(self, data: bytes) -> None:
        """Take decoded content."""
        self._size += len(data)
        self._end = (self._end + data)[-_END:] if len(data) < _END else data[-_END:]
        if self._glanced:
            if not self._shows(data):
                self._keep(data)
                return
            self._glanced = False
            data = b"".join((*self._unread, data))
            self._unread.clear()
        self._take(self._reader.feed(data))
        if self._size > self._most:  # nothing is stripped any more
            self._reader.cuts.clear()

    def beside(self, text: bytes) -> None:
        """Take text that comes with the content, such as fields of its head."""
        if self._scanner.glance(text):
            self._take([Passage(text, Setting.ATTRIBUTE)])

    def finish(self) -> None:
        """The content has ended."""
        if not self._glanced:
            self._take(self._reader.finish())

    def _keep(self, data: bytes) -> None:
        """Keep what looked clean; of a long content the end of it."""
        unread = self._unread
        unread.append(data)
        self._waiting += len(data)
        if self._size > self._most:
            while len(unread) > 1 and self._waiting - len(unread[0]) >= _UNREAD:
                self._waiting -= len(unread.pop(0))

    def _shows(self, data: bytes) -> bool:
        """Glance at a piece, and at what lies over the cut before it."""
        before = self._seam
        seam = before + data[:_SEAM]
        self._seam = data[-_SEAM:] if len(data) >= _SEAM else seam[-_SEAM:]
        glance = self._scanner.glance
        if shows(self._scanner, data, self._written):
            return True
        return bool(before) and glance(seam)

    def _take(self, passages: list[Passage]) -> None:
        if not passages:
            return
        if self._window is None:
            self._window = InjectionWindow(self._scanner)
        new = self._window.feed(passages, continued=False)
        if not new.findings:
            return
        rules, place = self._rules, self.place
        self._found.update(rules.counted(new, place, self._where, passages))
        self._judged = rules.judge(self._window.score, self._found, place)

    def verdict(self, *, partial: bool = False) -> Verdict | None:
        """Return what is to be said of all that was read so far; None: nothing.

        Args:
            partial: more will follow, and what was taken goes on: its end is looked at as it is,
                for a reader waits with it until a sentence, a tag or a value is whole.
        """
        judged = self._judged
        if partial and not self._glanced and self._scanner.glance(self._end):
            passages = [Passage(self._end)]
            rules, place = self._rules, self.place
            found = self._scanner.scan(passages)
            counted = self._found | rules.counted(found, place, self._where, passages)
            before = 0.0 if self._window is None else self._window.score
            judged = rules.judge(max(before, found.score), counted, place) or judged
        return None if judged is None else self._make(judged)


def shows(
    scanner: InjectionScanner, data: bytes, written: Written, *, closely: bool = False
) -> bool:
    """Tell whether text needs a closer look: something shows in it, or may behind an escape."""
    if written == "json" and (b"<" in data or (b"&" in data and _ENTITY.search(data) is not None)):
        return True
    return scanner.glance(data, closely=closely) or any(
        escape in data for escape in _WRITTEN_OTHERWISE
    )
