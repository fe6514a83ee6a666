"""Judging what comes back: responses, events, messages and streams, piece by piece."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

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
        tail = self._tail
        text = tail + piece if tail else piece
        self._tail = text[-TAIL:]
        hits = self._scanner.scan(text)
        if not hits:
            return None
        findings: dict[int, Finding] = {}
        for index, end in hits:
            if index in self._known or end <= len(tail):
                continue
            rule = self._scanner.rules[index]
            span = text[max(0, end - TAIL) : end]
            digest = hashlib.blake2b(span, digest_size=8, key=self._key).hexdigest()
            findings[index] = Finding(rule.id, rule.title, rule.severity, self._where, "", digest)
        if not findings:
            return None
        self._known.update(findings)
        found = tuple(findings.values())
        detail = f"{found[0].title} in {self._where}"
        if self._passed is not None:
            return self._passed(found)
        return Verdict(Action.BLOCK, Reason.INJECTION, found[0].rule, detail, found)
