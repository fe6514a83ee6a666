"""The close look at a hit: where the match begins, and what its validator says."""

from __future__ import annotations

import re
from collections.abc import Sequence

from interceptor.scan.ruleset import Rule, widest
from interceptor.scan.validators import VALIDATORS

_AFTER = 256  # bytes behind a match that its validator sees


class CloseLook:
    """Finds the span of a hit and asks the validator; patterns are compiled at their first hit."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._patterns: dict[tuple[int, bool], tuple[re.Pattern[bytes], int]] = {}

    def span(
        self,
        number: int,
        text: bytes,
        end: int,
        surface: str,
        rejected: set[tuple[int, bytes]],
        *,
        folded: bool,
    ) -> tuple[int, int] | None:
        """Return the span of the secret whose match ends at `end`; None if it is none.

        `rejected` remembers what validators turned down, so that a flood of decoys stays cheap.
        """
        rule = self._rules[number]
        if surface != "head" and surface not in rule.surfaces:
            return None
        entry = self._patterns.get((number, folded))
        if entry is None:
            flags = re.IGNORECASE if rule.caseless or folded else re.NOFLAG
            compiled = re.compile(b"(?:" + rule.pattern.encode("ascii") + rb")\Z", flags)
            entry = self._patterns[number, folded] = compiled, widest(rule.pattern)
        pattern, width = entry
        match = pattern.search(text, max(0, end - width), end)
        if match is None:
            return None
        start, stop = match.span(pattern.groups)
        if rule.validator:
            seen = number, text[start : stop + _AFTER]
            if seen in rejected:
                return None
            if not VALIDATORS[rule.validator](text[start:stop], text[stop : stop + _AFTER]):
                rejected.add(seen)
                return None
        return start, stop
