"""From parts that occur in a text to the intents that they make together.

Cells of 256 bytes are looked at in pairs: each says by a mask which parts it holds, and the mask
which intents are possible there, which is worked out once for each mask. Only for those the places
are gone through, so that ordinary text costs one operation for each part.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from interceptor.scan.database import Hit
from interceptor.scan.injection.rules import Intent, RuleBook

_CELL: Final = 8
"""Bits of an offset within a cell; `Intent.within` is no more than a cell."""
_KEPT: Final = 4096
"""Masks remembered; ordinary text has a few hundred."""
_LOSS: Final = 0.3
"""What an intent loses where its parts are as far apart as it allows."""
_end_of = itemgetter(1)


class Firing(NamedTuple):
    """An intent that a text shows at one place."""

    intent: int
    """Index in the rule book."""
    strength: float
    """0..1, of the parts and their distance alone."""
    first: int
    """Offset where the first part ends."""
    last: int
    """Offset where the last part ends."""


class _Slots(NamedTuple):
    """What an intent needs, by number of the part."""

    intent: int
    strength: float
    within: int
    leads: bool
    masks: tuple[int, ...]
    slot_of: dict[int, int]


class Combiner:
    """Finds the intents of a rule book in hits of its parts; for one thread."""

    def __init__(self, book: RuleBook) -> None:
        numbers = {name: number for number, name in enumerate(book.parts)}
        self._bits = [1 << number for number in range(len(numbers))]
        self._slots = [
            _slots(index, intent, numbers)
            for index, intent in enumerate(book.intents)
            if not intent.opinion
        ]
        self._possible: dict[int, tuple[_Slots, ...]] = {}

    def firings(self, hits: list[Hit]) -> list[Firing]:
        """Find the intents.

        Args:
            hits: (number of the part, offset where it ends); gets sorted by offset.
        """
        masks: dict[int, int] = {}
        bits = self._bits
        for part, end in hits:
            cell = end >> _CELL
            masks[cell] = masks.get(cell, 0) | bits[part]
        out: list[Firing] = []
        ordered = False
        for cell in sorted(masks):
            mask = masks[cell] | masks.get(cell + 1, 0)
            possible = self._possible.get(mask)
            if possible is None:
                possible = self._work_out(mask)
            if not possible:
                continue
            if not ordered:
                hits.sort(key=_end_of)
                ordered = True
            low = bisect_left(hits, cell << _CELL, key=_end_of)
            high = bisect_left(hits, (cell + 2) << _CELL, low, key=_end_of)
            _fire(possible, hits[low:high], (cell + 1) << _CELL, out)
        return out

    def _work_out(self, mask: int) -> tuple[_Slots, ...]:
        if len(self._possible) >= _KEPT:
            self._possible.clear()
        found = tuple(slots for slots in self._slots if all(mask & slot for slot in slots.masks))
        self._possible[mask] = found
        return found


def _slots(index: int, intent: Intent, numbers: dict[str, int]) -> _Slots:
    names = intent.needs or ((f"intent {intent.id}",),)
    slots = [[numbers[name] for name in slot] for slot in names]
    masks = tuple([sum({1 << number for number in slot}) for slot in slots])
    slot_of: dict[int, int] = {}
    for place, slot in enumerate(slots):
        for number in slot:
            slot_of.setdefault(number, place)
    return _Slots(index, intent.score / 100, intent.within, intent.leads, masks, slot_of)


def _fire(possible: Sequence[_Slots], hits: Sequence[Hit], limit: int, out: list[Firing]) -> None:
    """Note, for each intent, where its parts stand closest; the first of them before `limit`."""
    for intent, strength, within, leads, masks, slot_of in possible:
        last = [-1] * len(masks)
        best = within + 1
        where = (0, 0)
        for part, end in hits:
            slot = slot_of.get(part)
            if slot is None:
                continue
            last[slot] = end
            first = min(last)
            if 0 <= first < limit and end - first < best and (not leads or last[0] == first):
                best = end - first
                where = (first, end)
        if best <= within:
            out.append(Firing(intent, strength * (1 - _LOSS * best / within), *where))
