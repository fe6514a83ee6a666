"""Where a firing stands: in which passages, within quotation marks, next to what."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from interceptor.model import Passage, Setting

_BACK: Final = 240
_AHEAD: Final = 320
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


def quoted(text: bytes, first: int, last: int) -> bool:
    """Say whether a firing is within quotation marks, which count in their own paragraph only.

    Args:
        text: all of it.
        first: where the first part ends.
        last: where the last part ends.
    """
    before = text[max(0, first - _BACK) : first]
    before = before[before.rfind(b"\n\n") + 1 :]
    behind = text[last : last + _AHEAD]
    end = behind.find(b"\n\n")
    if end >= 0:
        behind = behind[:end]
    for mark in (b'"', b"`"):
        if before.count(mark) & 1 and mark in behind:
            return True
    for opening, closing in _PAIRS:
        opened = before.rfind(opening)
        if opened >= 0 and closing in behind and before.find(closing, opened + len(opening)) < 0:
            return True
    return False


def talked(places: Sequence[int], first: int, last: int) -> bool:
    """Say whether one of the places, in their order, is close."""
    return bisect_right(places, last + _TALK) > bisect_left(places, first - _TALK)
