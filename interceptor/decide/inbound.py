"""Judging what comes back: responses, events, messages and streams, piece by piece."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from interceptor.scan.database import Hit
from interceptor.scan.inbound import TAIL, InboundScanner
from interceptor.verdict import Action, Finding, Reason, Verdict


class InboundWindow:
    """Judges pieces in their order, each with the end of what came before.

    A piece whose verdict blocks must not be passed on; what came before it has passed already.
    """

    __slots__ = ("_key", "_known", "_passed", "_scanner", "_tail", "_where")

    def __init__(
        self,
        scanner: InboundScanner,
        where: str,
        key: bytes,
        passed: Callable[[tuple[Finding, ...]], Verdict] | None,
    ) -> None:
        """Begin.

        Args:
            scanner: for this thread alone.
            where: what findings say of their place: `response`, `ws_message`, `stream`.
            key: key of the digests.
            passed: makes the verdict on findings that are noted, each rule once; None: they block.
        """
        self._scanner = scanner
        self._where = where
        self._key = key
        self._passed = passed
        self._tail = b""
        self._known: set[int] = set()

    @property
    def blocks(self) -> bool:
        """True where findings block instead of being noted."""
        return self._passed is None

    def judge(self, piece: bytes) -> Verdict | None:
        """Judge the next piece: None when nothing new was found in it."""
        # The piece as it is, and what lies over the seam by itself: no copy of the piece.
        scan = self._scanner.scan
        hits = scan(piece)
        tail = self._tail
        seam = b""
        over: list[Hit] = []
        if tail:
            seam = tail + piece[:TAIL]
            over = [hit for hit in scan(seam) if hit[1] > len(tail)]
        self._tail = piece[-TAIL:] if len(piece) >= TAIL else (tail + piece)[-TAIL:]
        if not hits and not over:
            return None
        findings: dict[int, Finding] = {}
        for text, found_there in ((seam, over), (piece, hits)):
            for index, end in found_there:
                if index in self._known or index in findings:
                    continue
                rule = self._scanner.rules[index]
                span = text[max(0, end - TAIL) : end]
                digest = hashlib.blake2b(span, digest_size=8, key=self._key).hexdigest()
                findings[index] = Finding(
                    rule.id, rule.title, rule.severity, self._where, "", digest
                )
        if not findings:
            return None
        self._known.update(findings)
        found = tuple(findings.values())
        detail = f"{found[0].title} in {self._where}"
        if self._passed is not None:
            return self._passed(found)
        return Verdict(Action.BLOCK, Reason.INJECTION, found[0].rule, detail, found)
