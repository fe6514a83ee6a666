"""The order that labels, or names in time, say they belong in.

A piece may carry its place: `0-`, `a-`, `-01`, `part1of3`, `s1`, digits in front without a hyphen,
a label of its own. Where the places of all pieces are numbers in a row, the pieces are put into
that order and the places taken off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

Order = tuple[str, ...]

_MOST: Final = 64
_BESIDE: Final = 3  # labels after the pieces
_PLACE: Final = r"(?:[a-z]{1,8}[-_]?)?(?P<i>[0-9]{1,3})(?:[-_]?(?:of|in)?[-_]?[0-9]{1,3})?"
_SCHEMES: Final = tuple(
    re.compile(scheme + r"\Z", re.IGNORECASE)
    for scheme in (
        rf"{_PLACE}[-_](?P<d>.+)",
        rf"(?P<d>.+)[-_]{_PLACE}",
        r"(?P<i>[a-z])[-_](?P<d>.+)",
        r"(?P<d>.+)[-_](?P<i>[a-z])",
        r"(?P<i>[0-9a-f]{1,4})[-_](?P<d>.+)",
        r"(?P<d>.+)[-_](?P<i>[0-9a-f]{1,4})",
        r"[a-z](?P<i>[0-9]{1,2})(?P<d>[a-z].*)",
        r"(?P<i>[0-9])(?P<d>.+)",
        r"(?P<i>[0-9]{2})(?P<d>.+)",
        r"(?P<i>[0-9]{3})(?P<d>.+)",
        r"(?P<d>.+)(?P<i>[0-9])",
        r"(?P<d>.+)(?P<i>[0-9]{2})",
        r"(?P<i>[a-z])(?P<d>.+)",
        r"(?P<d>.+)(?P<i>[a-z])",
    )
)
_ALONE: Final = re.compile(rf"(?:{_PLACE}|(?P<a>[a-z]))\Z", re.IGNORECASE)
_HEXADECIMAL: Final = (4, 5)  # of the schemes


def orders(pieces: Sequence[str]) -> Iterator[Order]:
    """Yield pieces in each order that places in them say, without these places.

    Args:
        pieces: labels of a name, or what each of several names holds, as they came.
    """
    if not 2 <= len(pieces) <= _MOST:
        return
    for number, scheme in enumerate(_SCHEMES):
        base = 16 if number in _HEXADECIMAL else 10
        found: list[tuple[int, str]] = []
        for piece in [*pieces, ""]:
            match = scheme.match(piece)
            if match is not None:
                found.append((_number(match["i"], base), match["d"]))
            elif found:
                yield from _sorted(found)
                found = []
    yield from _alternating(pieces)


def _alternating(pieces: Sequence[str]) -> Iterator[Order]:
    """Read pieces between which their places stand as labels of their own."""
    for first in (0, 1):
        found: list[tuple[int, str]] = []
        for at in range(0, len(pieces) - 1, 2):
            place = _ALONE.match(pieces[at + first])
            if place is None:
                break
            found.append((_number(place["i"] or place["a"], 10), pieces[at + 1 - first]))
        yield from _sorted(found)


def _number(text: str, base: int) -> int:
    if text.isdigit() or base == 16:
        return int(text, base)
    return ord(text.lower())


def _sorted(found: list[tuple[int, str]]) -> Iterator[Order]:
    """Yield pieces by number, if these go up one by one; the same piece may have come twice.

    Labels that only look as if they had a place may follow.
    """
    for last in range(len(found), max(1, len(found) - _BESIDE - 1), -1):
        pieces = dict(found[:last])
        numbers = sorted(pieces)
        if len(numbers) >= 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
            yield tuple(pieces[number] for number in numbers)
            return
