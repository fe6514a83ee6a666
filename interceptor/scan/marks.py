"""Marks: the few bytes by which a part of a secret is told, before the secret is there as a whole.

A mark is the fixed beginning of a format, or of a known secret, as it is or in an encoding. Text
that was put together from values is looked at closely only where a mark stands in it, so that
ordinary values cost one pass over a few bytes of theirs.
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from interceptor.scan.database import Hit, Pattern, collect_hit, compile_database
from interceptor.scan.fragments import prefixes
from interceptor.scan.mirror import core
from interceptor.scan.patterns import parsed
from interceptor.scan.ruleset import Rule

LONGEST: Final = 16
"""Bytes of the longest mark."""

_TAKEN: Final = 6  # bytes of a prefix that make a mark
_LEAST: Final = 3  # bytes of a mark
_TELLING: Final = 5  # bytes of a prefix that does not stand in random text by chance
_CODED: Final = 4  # characters of an encoded mark
_WORDS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_WAYS: Final = 8  # texts that stand for one another
_KNOWN: Final = 5  # bytes of a known secret that make a mark


class Mark(NamedTuple):
    """What a literal stands for."""

    size: int
    """Bytes of the literal."""
    short: bool = False
    """It may stand in random text, and counts only where a value or a word begins."""
    encoded: bool = False
    """The secret is to be looked for under encodings."""
    known: bool = False
    """It belongs to a known secret, which may hold any bytes."""


_Part = tuple[Any, Any, tuple[Mark, ...]]
"""Database, scratch space, and what its literals stand for."""


class Marks:
    """Finds marks. One thread at a time: `clone` gives another for a second thread."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        """Use `Marks.of`."""
        self._parts = tuple(parts)

    @classmethod
    def of(cls, database: Any, kinds: Sequence[Mark], literals: bytes) -> Marks:
        """Return the marks of rules.

        Args:
            database: their literals, compiled; None: there are none.
            kinds: all that a mark may be.
            literals: for each literal the index of its kind.
        """
        if database is None:
            return cls(())
        return cls(((database, database.scratch, tuple(kinds[index] for index in literals)),))

    def with_known(self, body: bytes, marks: Sequence[Mark]) -> Marks:
        """Return these and those of known secrets, as `compile_known` made them."""
        parts = [part for part in self._copies() if not part[2][0].known]
        if marks:
            import hyperscan

            database: Any = hyperscan.loadb(body, hyperscan.HS_MODE_BLOCK)
            parts.append((database, hyperscan.Scratch(database), tuple(marks)))
        return Marks(parts)

    def clone(self) -> Marks:
        """Return the same for another thread."""
        return Marks(self._copies())

    def _copies(self) -> list[_Part]:
        return [(database, scratch.clone(), marks) for database, scratch, marks in self._parts]

    def find(self, text: bytes) -> list[tuple[Mark, int]]:
        """Return (mark, offset of its end) for each mark in `text`."""
        found: list[tuple[Mark, int]] = []
        for database, scratch, marks in self._parts:
            hits: list[Hit] = []
            database.scan(text, collect_hit, context=hits, scratch=scratch)
            if hits:
                found += [(marks[index], end) for index, end in hits]
        return found


def mark_table(rules: Iterable[Rule]) -> tuple[tuple[bytes, bool, Mark], ...]:
    """Return (literal, whether its letters may be of either case, mark) of all marks of rules.

    Args:
        rules: those that may be found in pieces.
    """
    table: dict[tuple[bytes, bool], Mark] = {}
    for rule in rules:
        for literal, caseless, mark in _of_rule(rule):
            table.setdefault((literal, caseless), mark)
    return tuple((literal, caseless, mark) for (literal, caseless), mark in table.items())


def compile_known(literals: Iterable[tuple[bytes, bool]]) -> tuple[bytes, tuple[Mark, ...]]:
    """Compile marks of known secrets, in the process that may see their values.

    Args:
        literals: (literal that stands for a secret, whether its letters may be of either case), see
            `interceptor.scan.known`.

    Returns:
        (database as Vectorscan serialises it, its marks), for `Marks.with_known`.
    """
    begins = dict.fromkeys((data[:_KNOWN], caseless) for data, caseless in literals)
    if not begins:
        return b"", ()
    import hyperscan

    patterns = [mark_pattern(data, caseless=caseless) for data, caseless in begins]
    body: bytes = hyperscan.dumpb(compile_database(patterns))
    return body, tuple(Mark(len(data), known=True) for data, _ in begins)


def mark_pattern(literal: bytes, *, caseless: bool) -> Pattern:
    """Return the pattern of one literal."""
    text = ("\\x" + literal.hex(" ").replace(" ", "\\x")).encode("ascii")
    return Pattern(text, "marks", caseless=caseless)


def _of_rule(rule: Rule) -> Iterator[tuple[bytes, bool, Mark]]:
    """Give (literal, caseless, mark) for a rule."""
    pattern = core(rule.pattern)
    begins = [begin for begin in prefixes(pattern) if len(begin) >= _LEAST]
    for text in begins or _inner(pattern):
        literal = _most_telling(text).encode("latin-1")
        short = len(text) < _TELLING and bool(begins)
        fold = rule.caseless
        yield literal, fold, Mark(len(literal), short)
        if len(text) >= _TELLING:
            yield literal[::-1], fold, Mark(len(literal))
        turned = codecs.encode(literal.decode("latin-1"), "rot13").encode("latin-1")
        yield turned, fold, Mark(len(literal), short)
        for coded, caseless in _encoded(literal):
            yield coded, caseless, Mark(len(coded), encoded=True)


def _most_telling(text: str) -> str:
    """Return the part of a prefix that is no part of words: with signs, digits, capitals within."""

    def telling(window: str) -> int:
        rare = [not (c.isascii() and c.islower()) for c in window]
        return sum(rare) + sum(rare[1:-1])

    windows = [text[at : at + _TAKEN] for at in range(max(1, len(text) - _TAKEN + 1))]
    return max(windows, key=telling)


def _encoded(literal: bytes) -> Iterator[tuple[bytes, bool]]:
    """Give what a literal makes of itself in hex, base64 and base32, at every offset."""
    yield literal.hex().encode(), True
    for offset in range(3):
        # Characters that take bits of the literal alone (RFC 4648 section 4).
        first, last = -(-8 * offset // 6), 8 * (offset + len(literal)) // 6
        text = base64.b64encode(bytes(offset) + literal + bytes(2))[first:last]
        if len(text) >= _CODED:
            yield text, False
            yield text.replace(b"+", b"-").replace(b"/", b"_"), False
    for offset in range(5):
        first, last = -(-8 * offset // 5), 8 * (offset + len(literal)) // 5
        text = base64.b32encode(bytes(offset) + literal + bytes(4))[first:last]
        if len(text) > _CODED:
            yield text, True


def _inner(pattern: str) -> list[str]:
    """Return fixed texts, one of which every match of a pattern holds, though none begins it."""
    try:
        items = list(parsed(pattern))
    except LookupError:  # pragma: no cover - CPython shows it
        return []
    best: list[str] = []
    run = [""]
    for op, value in [*items, (None, None)]:
        texts = _fixed(str(op), value)
        if texts and len(texts) * len(run) <= _WAYS:
            run = [before + text for before in run for text in texts]
        else:
            best, run = max(best, run, key=_shortest), texts or [""]
    telling = _LEAST + all(_WORDS.issuperset(text) for text in best)
    return best if _shortest(best) >= telling else []


def _shortest(texts: list[str]) -> int:
    return min(map(len, texts), default=0)


def _fixed(op: str, value: Any) -> list[str]:
    """Return the texts that a part of a pattern may match, if they are few."""
    if op == "LITERAL":
        return [chr(value)]
    if op == "IN":
        literals = [chr(v) for kind, v in value if str(kind) == "LITERAL"]
        return literals if len(literals) == len(value) <= _WAYS else []
    if op == "SUBPATTERN":
        return _all_of(value[3])
    if op == "BRANCH":
        arms = [_all_of(arm) for arm in value[1]]
        return [text for arm in arms for text in arm] if all(arms) else []
    return []


def _all_of(items: Any) -> list[str]:
    texts = [""]
    for op, value in items:
        texts = [before + text for before in texts for text in _fixed(str(op), value)]
        if len(texts) > _WAYS:
            return []
    return texts
