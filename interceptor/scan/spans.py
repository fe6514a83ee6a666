"""The close look at a hit: where the match begins, and what its validator says."""

from __future__ import annotations

import re
from collections.abc import Sequence

from interceptor.scan.mirror import ROT13, core
from interceptor.scan.ruleset import Rule, widest
from interceptor.scan.validators import VALIDATORS

Way = tuple[int, str]
"""Index of a rule, and how its pattern was turned: `reversed`, `rot13`, `LOOSE`."""

LOOSE = "loose"
"""Without the boundary on its left."""

_AFTER = 256  # bytes behind a match that its validator sees


class CloseLook:
    """Finds the span of a hit and asks the validator; patterns are compiled at their first hit."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._patterns: dict[tuple[int, str], tuple[re.Pattern[bytes], int]] = {}

    def span(
        self,
        number: int,
        way: str,
        text: bytes,
        end: int,
        surface: str,
        rejected: set[tuple[int, bytes]],
        *,
        folded: bool,
    ) -> tuple[int, int] | None:
        """Return the span of the secret whose match ends at `end`; None if it is none.

        Args:
            number: index of the rule.
            way: how the pattern was turned, "" if not.
            text: where the match was found.
            end: offset in it.
            surface: `url`, `header`, `body` or `name`; `head` stands for all.
            rejected: what validators turned down, so that a flood of decoys stays cheap.
            folded: disregard case.
        """
        rule = self._rules[number]
        if surface != "head" and surface not in rule.surfaces:
            return None
        entry = self._patterns.get((number, "folded" if folded else way))
        if entry is None:
            entry = self._compiled(rule, number, way, folded=folded)
        pattern, width = entry
        first = max(0, end - width)
        if way == "reversed":
            # The match of the turned pattern ends where the secret begins.
            turned = text[max(0, end - width - _AFTER) : end][::-1]
            match = pattern.match(turned)
            base = end
        else:
            turned = text[first : end + _AFTER]
            if way == "rot13":
                turned = turned.translate(ROT13)
            match = pattern.search(turned, 0, end - first)
            base = first
        if match is None:
            return None
        start, stop = match.span(pattern.groups)
        if rule.validator:
            seen = number, b"%d:" % (stop - start) + turned[start : stop + _AFTER]
            if seen in rejected:
                return None
            if not VALIDATORS[rule.validator](turned[start:stop], turned[stop : stop + _AFTER]):
                rejected.add(seen)
                return None
        return (base - stop, base - start) if way == "reversed" else (base + start, base + stop)

    @staticmethod
    def secret(found: bytes, way: str) -> bytes:
        """Turn back what was found in a turned text."""
        if way == "reversed":
            return found[::-1]
        return found.translate(ROT13) if way == "rot13" else found

    def _compiled(
        self, rule: Rule, number: int, way: str, *, folded: bool
    ) -> tuple[re.Pattern[bytes], int]:
        flags = re.IGNORECASE if rule.caseless or folded else re.NOFLAG
        end = "" if way == "reversed" else r"\Z"
        pattern = core(rule.pattern) if way else rule.pattern
        compiled = re.compile(f"(?:{pattern}){end}".encode("ascii"), flags)
        entry = compiled, widest(pattern)
        self._patterns[number, "folded" if folded else way] = entry
        return entry
