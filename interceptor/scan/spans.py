"""The close look at a hit: where the match begins, and what its validator says."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from interceptor.scan.mirror import ROT13, core, shortened
from interceptor.scan.ruleset import MACROS, Rule, widest
from interceptor.scan.validators import GLANCES, VALIDATORS

Way = tuple[int, str]
"""Index of a rule, and how its pattern was turned: `reversed`, `rot13`, `reversed>rot13`."""

Rejected = set[tuple[int, int, bytes]]
"""What validators turned down: index of the rule, length, secret and what follows it."""

_AFTER = 256  # bytes behind a match that its validator sees
_BOUNDARY = 4  # and before it, for the boundary on its left


_CAPITAL = re.compile(r"(?<!\\)[A-Z]|[^\\]\\\\[A-Z]")
_IN_WORD = frozenset(
    bytes((byte,)) for byte in b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
)
_OR_BEGINNING = re.compile(rb"\A\(\?:(\[\^(?:[^\]\\]|\\.)*\])\|\^\)")
_RUN = re.compile(rb"[A-Za-z0-9+/=_-]{1,256}")


class _Compiled(NamedTuple):
    pattern: re.Pattern[bytes]
    inner: re.Pattern[bytes]
    """The same for what does not begin where the text does: `re` skips to a class, but not to a
    class or the beginning."""
    before: int
    """Most bytes from the start of a match to a hit."""
    width: int
    bounded: bool
    """The rule asks for a boundary on the left."""
    glance: Callable[[bytes, int], bool] | None
    """(text, end of a hit) -> whether it may be one: cheaper than to look where it begins."""
    lower: bool
    """Search what is in small letters: faster than a pattern without regard to case."""


class CloseLook:
    """Finds the span of a hit and asks the validator; patterns are compiled at their first hit."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._patterns: dict[tuple[int, bool, bool], _Compiled] = {}

    def span(
        self,
        number: int,
        way: str,
        text: bytes,
        end: int,
        surface: str,
        rejected: Rejected,
        *,
        bare: bool,
        folded: bool,
    ) -> tuple[int, int] | None:
        """Return the span of the secret that a hit belongs to; None if there is none.

        Args:
            number: index of the rule.
            way: how the pattern was turned, "" if not.
            text: where the hit was.
            end: offset in it where the hit ended.
            surface: `url`, `header`, `body` or `name`; `head` stands for all.
            rejected: what validators turned down, so that a flood of decoys stays cheap.
            bare: ask for no boundary on the left.
            folded: disregard case.
        """
        rule = self._rules[number]
        if surface != "head" and surface not in rule.surfaces:
            return None
        bare = bare or bool(way)
        whole = text
        compiled = self._patterns.get((number, bare, folded))
        if compiled is None:
            compiled = self._compiled(rule, number, bare=bare, folded=folded)
        pattern, inner, before, width, bounded, glance, lower = compiled
        if glance is not None and not way and not glance(text, end):
            return None
        pattern = inner if end > before else pattern
        backwards = way.startswith("reversed")
        if backwards:
            pattern = compiled.pattern
            # The match of the turned pattern ends where the secret begins.
            base = end
            text = text[max(0, end - width - _AFTER) : end][::-1]
            text = text if way == "reversed" else text.translate(ROT13)
            match = pattern.match(text.lower() if lower else text)
        elif way:
            base = max(0, end - before)
            text = text[base : end + width + _AFTER].translate(ROT13)
            match = _covering(pattern, text.lower() if lower else text, 0, end - base, width)
        elif lower:
            base = max(0, end - before)
            text = text[base : end + width + _AFTER]
            match = _covering(pattern, text.lower(), 0, end - base, width)
        else:
            base = 0
            match = _covering(pattern, text, max(0, end - before), end, width)
        if match is None:
            return None
        span = self._valid(number, match, text, rejected)
        if span is None and not backwards:
            # Of several alternatives `re` takes the first, which need not be all of the token.
            run = _RUN.match(text, match.end())
            if run is not None and (
                longer := pattern.fullmatch(
                    text, match.start(), min(run.end(), match.end() + width)
                )
            ):
                span = self._valid(number, longer, text, rejected)
        if span is None:
            return None
        start, stop = span
        if backwards:
            start, stop = -stop, -start
        start, stop = base + start, base + stop
        if way and _within_word(whole, start, stop, backwards=backwards, bounded=bounded):
            return None
        return start, stop

    def _valid(
        self, number: int, match: re.Match[bytes], text: bytes, rejected: Rejected
    ) -> tuple[int, int] | None:
        """Return the span of the secret in a match, if its rule's validator agrees."""
        start, stop = match.span(match.re.groups)
        validator = self._rules[number].validator
        if validator:
            seen = number, stop - start, text[start : stop + _AFTER]
            if seen in rejected:
                return None
            if not VALIDATORS[validator](text[start:stop], text[stop : stop + _AFTER]):
                rejected.add(seen)
                return None
        return start, stop

    @staticmethod
    def secret(found: bytes, way: str) -> bytes:
        """Turn back what was found in a turned text."""
        if way.startswith("reversed"):
            found = found[::-1]
        return found.translate(ROT13) if way.endswith("rot13") else found

    def _compiled(self, rule: Rule, number: int, *, bare: bool, folded: bool) -> _Compiled:
        own = core(rule.pattern)
        lower = (rule.caseless or folded) and not _CAPITAL.search(
            rule.pattern.replace(MACROS["is"], "")
        )
        flags = re.IGNORECASE if (rule.caseless or folded) and not lower else re.NOFLAG
        text = (own if bare else rule.pattern).encode("ascii")
        pattern = re.compile(text, flags)
        inner = re.compile(_OR_BEGINNING.sub(rb"\1", text), flags)
        before, width = widest(shortened(own)) + _BOUNDARY, widest(own) + _BOUNDARY
        # A hit of a pattern that was cut ends sooner than its match.
        glance = GLANCES.get(rule.validator) if rule.hints or shortened(own) == own else None
        entry = _Compiled(pattern, inner, before, width, own != rule.pattern, glance, lower)
        self._patterns[number, bare, folded] = entry
        return entry


def _within_word(text: bytes, start: int, end: int, *, backwards: bool, bounded: bool) -> bool:
    """Say whether a word goes on at both ends of what was found, or where a `bounded` rule begins.

    A turned secret is a value. In base64, which is full of every prefix, what looks like one is in
    the midst of something longer.
    """
    before = text[max(0, start - 2) : start]
    behind = text[end : end + 2]
    if backwards:
        before, behind = behind[::-1], before[::-1]
    # A line end that is written as an escape is none of the word.
    return before[-1:] in _IN_WORD and before[:1] != b"\\" and (bounded or behind[:1] in _IN_WORD)


def _covering(
    pattern: re.Pattern[bytes], text: bytes, start: int, end: int, width: int
) -> re.Match[bytes] | None:
    """Return the first match that begins from `start` on, before `end`, and reaches `end`."""
    while start < end:
        match = pattern.search(text, start, end + width)
        if match is None or match.end() >= end:
            return match if match is not None and match.start() < end else None
        start = match.start() + 1
    return None
