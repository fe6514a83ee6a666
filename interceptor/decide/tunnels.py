"""How much the names below one domain have said: a budget of bits for each registrable domain.

What a name may say is what it takes to write it (`interceptor.scan.naming.ordinary`), less what was
said before: a label that the domain's other names have, too, costs little. No encoding gets past
that, at whatever pace: 200 bytes take 1 600 bits, and after some 1 000 new names wait until the
budget has filled up again, which takes days. Names that were met before are free.

A domain is one number, the time at which its budget will be full again; of domains that were not
seen for long, only the largest of these in a sketch remains.
"""

from __future__ import annotations

import math
from array import array
from collections import OrderedDict
from typing import Final
from zlib import crc32

from interceptor.scan.naming.ordinary import Ordinary

BUDGET: Final = 1000.0
"""Bits that new names below a domain may say before others wait."""
RESERVE: Final = 150.0
"""Bits above it that are left for names of ordinary words."""
REFILL: Final = 200.0 / 86_400
"""Bits that a domain gets back in a second."""
SINGLE: Final = 480.0
"""Bits that one name may say."""
LEAST: Final = 6.5
"""Bits that a new name counts at least: so many new names are a tunnel, whatever they say."""

_RELIEF: Final = 8.0  # bits that an ordinary name does not count
_ORDINARY: Final = 4.6  # bits for each character up to which a name is ordinary
_LABEL: Final = 1.0  # bits to say that a label was met before
_DOMAINS: Final = 2048
_LABELS: Final = 32  # of a domain, by which others are told to be met before
_SKETCH: Final = 8192  # a power of two


class _Domain:
    __slots__ = ("full", "labels", "total")

    def __init__(self, full: float) -> None:
        self.full = full
        self.labels: dict[int, int] = {}
        self.total = 0


class Budgets:
    """Budgets of one agent. Bounded: some 2 MB at most."""

    def __init__(self) -> None:
        """Begin with full ones."""
        self._domains: OrderedDict[str, _Domain] = OrderedDict()
        self._sketch: array[float] | None = None
        self._labels = 0

    @property
    def size(self) -> int:
        """Bytes that are kept, about."""
        sketch = 0 if self._sketch is None else 16 * _SKETCH
        return 350 * len(self._domains) + 110 * self._labels + sketch

    def spent(self, domain: str, now: float) -> float:
        """Return how many bits were said below a domain and are not yet forgiven."""
        return max(0.0, self._of(domain).full - now) * REFILL

    def take(self, domain: str, payload: str, model: Ordinary, now: float) -> bool:
        """Count a new name; False, and nothing counted, if it says too much.

        Args:
            domain: registrable.
            payload: the lower-case labels before it.
            model: of ordinary labels.
            now: a time in seconds that never goes back.
        """
        entry = self._of(domain)
        labels = payload.split(".")
        bits = self._bits(entry, labels, model)
        if bits > SINGLE:
            return False
        plain = bits <= _ORDINARY * len(payload)
        charge = max(LEAST, bits - _RELIEF) if plain else bits
        full = max(entry.full, now)
        limit = BUDGET + RESERVE if charge <= 2 * _RELIEF else BUDGET
        if (full - now) * REFILL + charge > limit:
            return False
        entry.full = full + charge / REFILL
        self._note(entry, labels)
        return True

    def _bits(self, entry: _Domain, labels: list[str], model: Ordinary) -> float:
        bits = 0.0
        met = entry.labels
        for label in labels:
            cost = model.cost(label)
            if met:
                count = met.get(crc32(label.encode("ascii")))
                if count is not None:
                    cost = min(cost, _LABEL + math.log2(entry.total / count))
            bits += cost
        return bits

    def _note(self, entry: _Domain, labels: list[str]) -> None:
        met = entry.labels
        for label in labels:
            key = crc32(label.encode("ascii"))
            count = met.get(key, 0)
            if count or len(met) < _LABELS:
                met[key] = count + 1
                self._labels += not count
            entry.total += 1

    def _of(self, domain: str) -> _Domain:
        domains = self._domains
        entry = domains.get(domain)
        if entry is not None:
            domains.move_to_end(domain)
            return entry
        entry = domains[domain] = _Domain(0.0 if self._sketch is None else self._recalled(domain))
        if len(domains) > _DOMAINS:
            oldest, gone = domains.popitem(last=False)
            self._labels -= len(gone.labels)
            self._set_down(oldest, gone.full)
        return entry

    # -- the sketch: two rows of times; of a domain counts the earlier of its two ------------

    def _set_down(self, domain: str, full: float) -> None:
        if self._sketch is None:
            self._sketch = array("d", bytes(16 * _SKETCH))
        for at in _places(domain):
            self._sketch[at] = max(self._sketch[at], full)

    def _recalled(self, domain: str) -> float:
        assert self._sketch is not None  # noqa: S101
        first, second = _places(domain)
        return min(self._sketch[first], self._sketch[second])


def _places(domain: str) -> tuple[int, int]:
    number = hash(domain)  # keyed for each process: nobody can aim at a place
    return number % _SKETCH, _SKETCH + (number >> 20) % _SKETCH
