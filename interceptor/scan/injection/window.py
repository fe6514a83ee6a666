"""A document that comes in pieces: evidence in one counts together with that in the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from interceptor.model import Passage
from interceptor.scan.injection.evidence import Evidence
from interceptor.scan.injection.model import NOTHING, Assessment, InjectionFinding
from interceptor.scan.injection.scanner import InjectionScanner

TAIL: Final = 512
"""Bytes of earlier text that are looked at again, with what follows them."""


class InjectionWindow:
    """Judges passages as they come; constant memory.

    Attributes:
        score: the most that stood together so far, as of `Assessment`.
    """

    __slots__ = ("_evidence", "_known", "_place", "_scanner", "_tail", "_weight", "score")

    def __init__(self, scanner: InjectionScanner, weight: float = 1.0) -> None:
        """Begin; arguments as of `InjectionScanner.scan`."""
        self._scanner = scanner
        self._weight = weight
        self._evidence = Evidence()
        self._tail: Passage | None = None
        self._place = 0
        self._known: dict[str, float] = {}
        self.score = 0.0

    def feed(self, passages: Sequence[Passage], *, continued: bool = True) -> Assessment:
        """Take the next passages.

        Args:
            passages: in their order.
            continued: the first one goes on where the last one before ended, perhaps within a word.

        Returns:
            The score of everything so far, and what these passages show that was not known before,
            or shows more than before.
        """
        if not passages:
            return NOTHING
        tail = self._tail
        looked = list(passages)
        kept = 0
        if tail is not None:
            kept = len(tail.text)
            if continued:
                first = looked[0]
                common = tail.setting if tail.setting == first.setting else first.setting
                looked[0] = msgspec.structs.replace(
                    first, text=tail.text + first.text, setting=common
                )
            else:
                looked.insert(0, tail)
        assessment = self._scanner.scan_on(looked, self._evidence, self._weight, self._place - kept)
        size = sum([len(passage.text) + 1 for passage in passages])
        self._place += size
        self._tail = self._new_tail(looked)
        self.score = max(self.score, assessment.score)
        fresh = tuple(
            [
                self._moved(finding, kept, joined=continued or tail is None)
                for finding in assessment.findings
                if finding.score > self._known.get(finding.rule, 0.0)
            ]
        )
        self._known.update({finding.rule: finding.score for finding in fresh})
        if not fresh:
            return NOTHING if not self.score else Assessment(self.score)
        return Assessment(self.score, fresh, any(finding.hidden for finding in fresh))

    def _new_tail(self, looked: Sequence[Passage]) -> Passage:
        """The last `TAIL` bytes; of several passages the last one's setting."""
        text = b""
        for passage in reversed(looked):
            text = passage.text + b"\n" + text if text else passage.text
            if len(text) >= TAIL:
                break
        return Passage(text[-TAIL:], looked[-1].setting)

    @staticmethod
    def _moved(finding: InjectionFinding, kept: int, *, joined: bool) -> InjectionFinding:
        """Tell a finding's place in the passages that were given."""
        if not kept:
            return finding
        if joined:
            if finding.passage:
                return finding
            start, end = finding.start - kept, finding.end - kept
            return msgspec.structs.replace(
                finding, passage=0 if start >= 0 else -1, start=max(0, start), end=max(0, end)
            )
        return msgspec.structs.replace(finding, passage=finding.passage - 1)
