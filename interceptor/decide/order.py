"""Pieces that say which place they have, as `part3=` or `i=3&d=`, in whatever order they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from interceptor.decide.values import Value, undone

_NUMBER: Final = 4  # digits of a number that may be a place in a row
_PREFIX: Final = 3  # the same where it begins a value: years do so, too
_MARKS: Final = b":.,;|_-/~ "
_DIGITS: Final = b"0123456789"
_MOST: Final = 128  # pieces of one row
_LONGEST: Final = 128  # bytes of a piece
_AROUND: Final = 40  # pieces on both sides of a new one that are looked at
_SIZE: Final = 64 * 1024  # bytes of all rows, about
_COST: Final = 100  # what a piece takes besides its text
_INDEX: Final = frozenset(
    b"i j n p idx index ix no nr num number seq sequence part piece chunk frag fragment block "
    b"offset off pos position order ord step page line row counter cnt".split()
)
"""Names of keys that hold a place in a row."""


def is_index(pair: Value) -> bool:
    """Say whether a value is a place in a row, by its key and its look."""
    slot, value = pair
    if len(value) > _NUMBER or not value.isdigit() or slot[0] == 0x2F:  # a path has no keys
        return False
    return slot[1:].lower() in _INDEX


def is_bare(pair: Value) -> bool:
    """Say whether a value, as the only new one, says nothing about any place in a row."""
    slot, value = pair
    return value.isdigit() and slot[-1] not in _DIGITS


class Row(NamedTuple):
    """A row around new pieces."""

    parts: tuple[bytes, ...]
    """In the order of their numbers."""
    known: bytes
    """Those that were there before."""
    new: tuple[bytes, ...]
    slot: bytes
    """Slot of the last of these."""


class _Row(msgspec.Struct, gc=False):
    pieces: dict[int, bytes]
    at: float


class Orders:
    """Rows of numbered pieces, by site and slot, and over all sites.

    Attributes:
        size: bytes that are kept, about.
    """

    def __init__(self, forget: float) -> None:
        """Begin with nothing; a row that got nothing for `forget` seconds is forgotten."""
        self.size = 0
        self._forget = forget
        self._rows: dict[tuple[str, bytes], _Row] = {}
        self._indexes: set[bytes] = set()

    def grown(self, site: str, fresh: Sequence[Value], now: float) -> Iterator[Row]:
        """Yield each row that `fresh` adds to, as it will be around the new pieces."""
        for slot, added in _numbered(fresh, self._indexes_in(fresh)).items():
            for owner in (site, ""):
                row = self._rows.get((owner, slot))
                before = row.pieces if row is not None and row.at > now - self._forget else {}
                if len(before) + len(added) < 2:
                    continue
                pieces = before | {number: value for number, (_, value) in added.items()}
                numbers = sorted(pieces)
                first = numbers.index(min(added))
                last = numbers.index(max(added))
                around = numbers[max(0, first - _AROUND) : last + 1 + _AROUND]
                known = b"".join([before[number] for number in around if number in before])
                new = tuple(value for _, value in added.values())
                slot_of_last = next(reversed(added.values()))[0]
                parts = tuple(pieces[number] for number in around)
                yield Row(parts, known, new, slot_of_last)
                said = tuple(undone(part) for part in parts)
                if all(said):  # each piece may be encoded for itself
                    yield Row(said, known, new, slot_of_last)

    def keep(self, site: str, fresh: Sequence[Value], now: float) -> None:
        """Remember pieces that leave."""
        indexes = self._indexes_in(fresh)
        if len(indexes) == 1 and len(self._indexes) < _MOST:
            self._indexes.add(indexes[0][0])
        for slot, added in _numbered(fresh, indexes).items():
            for owner in (site, ""):
                row = self._rows.get((owner, slot))
                if row is None:
                    row = self._rows[owner, slot] = _Row({}, now)
                    self.size += 4 * _COST
                elif row.at <= now - self._forget or len(row.pieces) >= _MOST:
                    self.size -= _cost(row)
                    row.pieces = {}
                row.at = now
                for number, (_, value) in added.items():
                    self.size += _COST + len(value) - len(row.pieces.get(number, b""))
                    if number in row.pieces:
                        self.size -= _COST
                    row.pieces[number] = value
        if self.size > _SIZE:
            self._shrink()

    def _indexes_in(self, fresh: Sequence[Value]) -> list[Value]:
        """Return the value that numbers the others, or two of which one may.

        It is told by its key, by its place in the path, because its like did so before, or because
        there is no other number.
        """
        if len(fresh) < 2:
            return []
        numbers = [pair for pair in fresh if len(pair[1]) <= _NUMBER and pair[1].isdigit()]
        for pair in numbers:
            if is_index(pair):
                return [pair]
        for pair, following in pairwise(fresh):
            if following[0] == b"/#" and pair[0][:1] == b"/" and pair in numbers:
                return [pair]  # `/3/piece`
        for pair in numbers:
            if pair[0] in self._indexes:
                return [pair]
        return numbers if len(numbers) <= 2 else []

    def _shrink(self) -> None:
        """Forget a quarter of the rows, what was quiet for longest first."""
        for key in sorted(self._rows, key=self._age)[: -(-len(self._rows) // 4)]:
            self.size -= 4 * _COST + _cost(self._rows.pop(key))

    def _age(self, key: tuple[str, bytes]) -> float:
        return self._rows[key].at


def _cost(row: _Row) -> int:
    return sum(_COST + len(value) for value in row.pieces.values())


def _numbered(fresh: Sequence[Value], indexes: Sequence[Value]) -> dict[bytes, dict[int, Value]]:
    """Return {slot: {number: (slot, piece)}} of values that say their place in a row.

    Args:
        fresh: new values of a unit.
        indexes: those of them that number the others.
    """
    found: dict[bytes, dict[int, Value]] = {}
    for pair in fresh:
        slot, value = pair
        if len(value) > _LONGEST:
            continue
        stem = slot.rstrip(_DIGITS)
        if stem != slot and len(slot) <= len(stem) + _NUMBER:
            found.setdefault(stem, {})[int(slot[len(stem) :])] = pair
        if value[0] in _DIGITS:
            bare = value.lstrip(_DIGITS)
            size = len(value) - len(bare)
            if size <= _PREFIX and bare[:1] and bare[0] in _MARKS:
                piece = _after_total(bare)
                if piece:
                    found.setdefault(slot + b"\0", {})[int(value[:size])] = (slot, piece)
        for index in indexes:
            if pair is not index:
                found.setdefault(slot + b"\0#", {})[int(index[1])] = pair
    return found


def _after_total(text: bytes) -> bytes:
    """Return what follows `:` of `3:piece`, or `/12:` of `3/12:piece`."""
    rest = text[1:]
    if text[:1] == b"/":
        bare = rest.lstrip(_DIGITS)
        if len(bare) < len(rest) <= len(bare) + _PREFIX and bare[:1] and bare[0] in _MARKS:
            rest = bare[1:]
    return rest.lstrip(b" ")
