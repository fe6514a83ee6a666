"""Which patterns are looked for when.

Vectorscan looks for most patterns by the fixed text in them, all in one pass that costs next to
nothing where that text is rare. Two kinds have none, and would slow the pass for all others:

- Runs of a class, as `[A-Za-z0-9+/_-]{20}`. One by itself is looked for by skipping from one byte
  outside of it to the next, as fast as memory is read; two in one database go byte by byte. So each
  has a database of its own, and one that lies within another is looked for only where that was
  found: a run of hexadecimal digits is one of base64, too.
- Patterns with hints. A hint is quick to find, and occurs wherever the pattern matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from interceptor.scan.database import Pattern
from interceptor.scan.patterns import parsed

_LEAST: Final = 16  # bytes of a run that Vectorscan skips through; shorter ones it unrolls
_COMMON: Final = (b"[!-~]{25}",)
"""Runs that others lie within: found in no time, and seldom there in text with blanks."""


class Hinted(NamedTuple):
    """Patterns that are looked for only where one of their hints occurs."""

    hints: tuple[tuple[Pattern, ...], ...]
    """Of each tuple one occurs; the later ones are looked for only where an earlier one does."""
    members: tuple[int, ...]
    """Indexes of the patterns."""


class Stages(NamedTuple):
    """The databases to be made. Indexes of hints come after those of all patterns."""

    patterns: tuple[Pattern, ...]
    """All, hints at the end."""
    main: tuple[int, ...]
    """What is looked for in every text, in one database."""
    always: int
    """So many of `further` are looked for in every text, each by itself."""
    further: tuple[tuple[int, ...], ...]
    calls: dict[int, tuple[int, ...]]
    """Index of a pattern -> what in `further` is looked for where it occurs."""


class _Run(NamedTuple):
    members: frozenset[int]
    least: int


def stages_of(patterns: Sequence[Pattern], hinted: Iterable[Hinted]) -> Stages:
    """Sort patterns into databases.

    Args:
        patterns: in the order of their indexes.
        hinted: those that have hints; each pattern at most once.
    """
    every = list(patterns)
    groups: list[tuple[int, ...]] = []
    calls: dict[int, list[int]] = {}
    for hints, members in hinted:
        for number, level in enumerate(hints):
            indexes = tuple(range(len(every), len(every) + len(level)))
            every += [hint._replace(once=True) for hint in level]
            if number:
                groups.append(indexes)
            calls |= {index: [len(groups)] for index in indexes}
        groups.append(members)
    every += [Pattern(text, "run", once=True) for text in _COMMON]
    late = {index for members in groups for index in members}
    runs = {
        index: run
        for index, pattern in enumerate(every)
        if index not in late and pattern.once and (run := _run(pattern)) is not None
    }
    above = {index: _around(index, runs) for index in runs}
    own = sorted(runs, key=lambda index: above[index] is not None)  # the roots come first
    place = {index: number for number, index in enumerate(own)}
    called: dict[int, list[int]] = {
        index: [len(own) + number for number in numbers] for index, numbers in calls.items()
    }
    for index, parent in above.items():
        if parent is not None:
            called.setdefault(parent, []).append(place[index])
    return Stages(
        tuple(every),
        tuple(i for i in range(len(every)) if i not in late and i not in runs),
        sum(parent is None for parent in above.values()),
        (*((index,) for index in own), *groups),
        {index: tuple(numbers) for index, numbers in called.items()},
    )


def _run(pattern: Pattern) -> _Run | None:
    """Return the class and the length of a pattern that is a run, else None."""
    try:
        items = list(parsed(pattern.text.decode("ascii")))
    except LookupError:  # pragma: no cover - CPython shows it
        return None
    if len(items) != 1:
        return None
    (name, value), least = items[0], 1
    if str(name) == "MAX_REPEAT":
        least, most, inner = value
        if least != most or least < _LEAST or len(inner) != 1:
            return None
        name, value = inner[0]
    if str(name) != "IN":
        return None
    members: set[int] = set()
    for kind, one in value:
        if str(kind) == "LITERAL":
            members.add(one)
        elif str(kind) == "RANGE":
            members.update(range(one[0], one[1] + 1))
        else:
            return None
    if pattern.caseless:
        members.update([ord(chr(one).swapcase()) for one in members if one < 128])
    return _Run(frozenset(members), least)


def _around(index: int, runs: dict[int, _Run]) -> int | None:
    """Return the narrowest run that is there wherever this one is, or None."""
    members, least = runs[index]
    wider = [
        (len(run.members), -run.least, other)
        for other, run in runs.items()
        if run.least <= least
        and run.members >= members
        and (run.members, run.least, other) != (members, least, index)
        and ((run.members, run.least) != (members, least) or other < index)
    ]
    return min(wider)[2] if wider else None
