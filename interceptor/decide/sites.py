"""What was sent to a site, and what is new in a unit for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from interceptor.decide.values import Value

if TYPE_CHECKING:
    from interceptor.decide.streams import Key, Sorted, Suspect

SMALL: Final = 4
"""Bytes of a value so short that two equal ones may be different pieces."""

_TINY: Final = 2  # bytes of pieces of which two neighbours may well be equal
_STEADY: Final = 1  # times after which a value that comes again is taken for a constant
_SLOTS: Final = 256
_NOTHING: Final[frozenset[bytes]] = frozenset()


class Site:
    """What was sent to a site: the last values of each slot, and what the last unit held.

    Attributes:
        name: host, or the part of it under which one owner has many; empty for all sites together.
    """

    __slots__ = (
        *("at", "items", "mixed", "name", "pairs", "short", "slots", "small", "steady", "tails"),
        *("url", "varying"),
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.at = 0.0
        """When something was sent last."""
        self.tails: dict[bytes, bytes] = {}
        """By slot."""
        self.url = ""
        self.pairs: frozenset[bytes | tuple[bytes, bytes]] = frozenset()
        """Tokens of the URL: neighbouring segments of the path, pairs of the query."""
        self.items = _NOTHING
        """Tokens of the body."""
        self.small: dict[bytes, bytes] = {}
        """Last value of each slot, if it was small."""
        self.varying: set[bytes] = set()
        """Slots whose small values change."""
        self.mixed: set[bytes] = set()
        """Slots that have other values, too: an equal small one is a word of some kind there."""
        self.steady: dict[bytes, int] = {}
        """How often the last small value of a slot came again."""
        self.short: list[tuple[bytes, bytes, bytes]] = []
        """(slot, value, token) of small values in the last unit that had any."""
        self.slots = _NOTHING
        """Slots of these."""

    def note(self, slot: bytes, value: bytes) -> None:
        """Remember a small value."""
        last = self.small.get(slot)
        if last == value:
            self.steady[slot] = self.steady.get(slot, 0) + 1
            return
        if last is not None:
            self.varying.add(slot)
        elif len(self.small) >= _SLOTS:
            self.small.clear()
            self.varying.clear()
            self.mixed.clear()
            self.steady.clear()
        self.small[slot] = value
        self.steady[slot] = 0

    def changes(self, slot: bytes, value: bytes, everywhere: set[bytes]) -> bool:
        """Say whether a small value that equals the last in its slot may be another piece.

        Args:
            slot: see `Value`.
            value: small.
            everywhere: slots whose small values change from site to site, or within one.
        """
        if slot not in everywhere or slot in self.mixed:
            return False
        return slot in self.varying or (len(value) <= _TINY and self.steady.get(slot, 0) < _STEADY)


class Pieces:
    """What is new in one unit, for one `look` and one `keep`."""

    __slots__ = (
        *("again", "body", "elsewhere", "fresh", "head", "items", "local", "pairs", "place"),
        *("segments", "short", "site", "suspects", "tokens", "unit", "url"),
    )

    def __init__(self, site: Site) -> None:
        self.site = site
        self.place = ""
        """Place of findings; empty: that of the last piece."""
        self.url = site.url
        self.segments: Sequence[bytes] = ()
        self.pairs: Sequence[bytes] = ()
        self.items: Sequence[bytes] = ()
        self.fresh: list[Value] = []
        """New values: of the URL, of the header section, of the body."""
        self.head = 0
        """Index in `fresh` where those of the header section begin."""
        self.body = 0
        self.again: list[Value] = []
        """Small values that equal the last in their slot for this site, but may be other pieces."""
        self.local: list[Value] = []
        """New values that are small and were sent elsewhere before, always the same."""
        self.elsewhere: list[Value] = []
        """Those of them that do not equal the last in their slot for any site."""
        self.short: list[tuple[bytes, bytes, bytes]] = []
        """(slot, value, token) of small values."""
        self.tokens: list[bytes] = []
        """To be remembered."""
        self.unit: Sorted | None = None
        self.suspects: dict[Key, Suspect] | None = None
        """Both belong to `SplitMemory`: how values are sorted, streams that will be suspect."""
