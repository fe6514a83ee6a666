"""Where a firing stands: in which passages, within quotation marks, next to what."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from interceptor.model import Passage, Setting

_BACK: Final = 420
_AHEAD: Final = 420
"""Bytes within which a quotation begins before and ends behind."""
_TALK: Final = 420
"""Bytes within which words that speak about injections count."""
_WORD: Final = 24
"""Bytes that the first part of a firing takes, about."""
_LOWERING: Final = Setting.CODE | Setting.QUOTE | Setting.HEADING | Setting.LINK
_PAIRS: Final = (
    (b"\xe2\x80\x9c", b"\xe2\x80\x9d"),
    (b"\xe2\x80\x9e", b"\xe2\x80\x9c"),
    (b"\xe2\x80\x98", b"\xe2\x80\x99"),
    (b"\xc2\xab", b"\xc2\xbb"),
    (b"\xe3\x80\x8c", b"\xe3\x80\x8d"),
    (b" '", b"'"),
    (b"('", b"'"),
    (b"\n'", b"'"),
    (b"<q>", b"</q>"),
)

_MARKS: Final = (b'"', b"`")
_INTRODUCED: Final = re.compile(
    rb"(?:says?|said|reads?|read|wrote|text|words?|sentence|phrase|string|prompt|example|e\.g\."
    rb"|instance|following|comment|message|instruction|payload)\b[^\n\"'`]{0,40}?[:, (]"
    rb"([\"'`]|\xe2\x80[\x98\x9c\x9e]|\xc2\xab)(?=[A-Za-z<\[{#/\x80-\xff])"
)
_ENDED: Final = re.compile(rb"[^\s(](?:[\"'`]|\xe2\x80[\x99\x9d\x9c]|\xc2\xbb)(?![A-Za-z0-9])")
_VALUE: Final = re.compile(rb"[ \t-]{0,8}[A-Za-z_][A-Za-z0-9_.-]{0,24}: ")
"""A line of JSON or of settings, as the readers write them."""
_BEFORE_CELL: Final = (b"", b",", b";", b"\n", b"\t")
_BEHIND_CELL: Final = (b"", b",", b";", b"\n", b"\r", b"\t")


class Joined:
    """Passages as one text.

    Attributes:
        text: the passages with a line break between each two.
        starts: where each begins in it.
    """

    __slots__ = ("_passages", "starts", "text")

    def __init__(self, passages: Sequence[Passage]) -> None:
        texts = [passage.text for passage in passages]
        self.text = b"\n".join(texts)
        self.starts = [0, *accumulate([len(text) + 1 for text in texts])]
        self._passages = passages

    def at(self, place: int) -> int:
        """Index of the passage that holds the byte before `place`."""
        last = len(self._passages) - 1
        return max(0, min(bisect_left(self.starts, max(place, 1)) - 1, last))

    def setting(self, first: int, last: int) -> Setting:
        """Setting of what lies between two places: what lowers must hold of every passage."""
        low, high = self.at(first), self.at(last)
        settings = [passage.setting for passage in self._passages[low : high + 1]]
        common = settings[0]
        union = settings[0]
        for setting in settings[1:]:
            common &= setting
            union |= setting
        return (common & _LOWERING) | (union & ~_LOWERING)

    def without(self, begin: int, end: int, settings: Setting) -> bytes:
        """Give what lies between two places, but for passages of some settings."""
        low, high = self.at(begin + 1), self.at(end)
        if low == high:
            return b"" if self._passages[low].setting & settings else self.text[begin:end]
        pieces = [
            self.text[max(begin, self.starts[at]) : min(end, self.starts[at + 1] - 1)]
            for at in range(low, high + 1)
            if not self._passages[at].setting & settings
        ]
        return b"\n".join(pieces)


class Enclosure(NamedTuple):
    """What a firing is within: a quotation, or a value of structured text."""

    begin: int
    end: int
    quoted: bool
    """It is a quotation; else a cell or a value."""


def enclosure(text: bytes, first: int, last: int) -> Enclosure | None:
    """Find what encloses a firing in its own paragraph; None: nothing does.

    Args:
        text: all of it.
        first: where the first part ends.
        last: where the last part ends.
    """
    start = max(0, first - _BACK)
    before = text[start:first].replace(b'"""', b'  "')
    cut = before.rfind(b"\n\n") + 1
    behind = text[last : last + _AHEAD]
    stop = behind.find(b"\n\n")
    if stop >= 0:
        behind = behind[:stop]
    for mark in _MARKS:
        closed = behind.find(mark)
        if closed >= 0 and before.count(mark, cut) & 1 and mark not in text[first:last]:
            opened, closed = start + before.rfind(mark), last + closed + 1
            cell = mark == b'"' and _is_cell(text, opened, closed)
            return Enclosure(opened, closed, quoted=not cell)
    for opening, closing in _PAIRS:
        opened = before.rfind(opening, cut)
        closed = behind.find(closing)
        if opened >= 0 <= closed and before.find(closing, opened + len(opening)) < 0:
            return Enclosure(start + opened, last + closed, quoted=True)
    introduced = _INTRODUCED.search(before, cut)
    if introduced is not None:
        ended = _ENDED.search(behind)
        if ended is not None:
            return Enclosure(start + introduced.start(1), last + ended.end(), quoted=True)
    line = before.rfind(b"\n") + 1
    value = _VALUE.match(before, line)
    if value is not None:
        end = behind.find(b"\n")
        return Enclosure(start + line, last + (len(behind) if end < 0 else end), quoted=False)
    return None


def _is_cell(text: bytes, opened: int, closed: int) -> bool:
    """Say whether a quotation is a cell of comma separated values."""
    return text[max(0, opened - 1) : opened] in _BEFORE_CELL and (
        text[closed : closed + 1] in _BEHIND_CELL
    )


def talked(places: Sequence[int], first: int, last: int, within: Enclosure | None = None) -> bool:
    """Say whether one of the places, in their order, is close, and not itself enclosed."""
    low = bisect_left(places, first - _TALK)
    high = bisect_right(places, last + _TALK)
    if within is None:
        return high > low
    return any(not within.begin < place <= within.end for place in places[low:high])
