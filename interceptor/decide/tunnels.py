"""How much the names below one domain have said: a budget of bits for each registrable domain.

What a name may say is what it takes to write it (`interceptor.scan.naming.ordinary`), less what was
said before: a label that the domain's other names have, too, costs little. No encoding gets past
that, at whatever pace: 200 bytes take 1 600 bits, and after some 1 000 new names wait until the
budget has filled up again, which takes days. Names that were met before are free.

A domain is one number, the time at which its budget will be full again; of domains that were not
seen for long, only the largest of these in a sketch remains.
"""

from __future__ import annotations

import functools
import math
from array import array
from collections import OrderedDict
from importlib import resources
from typing import Final
from zlib import crc32

from interceptor.scan.naming.ordinary import Ordinary

ODD: Final = 1000.0
"""Bits that odd labels below a domain may say before others wait."""
PLAIN: Final = 1300.0
"""Bits that labels of ordinary words may say."""
BUDGET: Final = 1600.0
"""Bits of both kinds together."""
REFILL_ODD: Final = 200.0 / 86_400
"""Bits that a domain gets back in a second, of what odd labels said."""
REFILL_PLAIN: Final = 500.0 / 86_400
"""Likewise, of what others said."""
SHARED: Final = 16.0
"""By how much names count less below domains of clouds, which answer for their customers."""
SMALL: Final = 250.0
"""Bits of a domain that are its own; of what odd labels say above that, all domains share one
budget."""
SINGLE: Final = 480.0
"""Bits that one name may say."""
LEAST: Final = 8.0
"""Bits that a new name counts at least: so many new names are a tunnel, whatever they say."""

_RELIEF: Final = 8.0  # bits that a name of ordinary words does not count
_PLAIN: Final = 3.0  # bits for each character up to which a label is of ordinary words,
_FIRST: Final = 6.0  # and for the first of them
_LABEL: Final = 1.0  # bits to say that a label was met before
_DOMAINS: Final = 2048
_LABELS: Final = 48  # of a domain, by which others are told to be met before
_DIGITS: Final = 2  # characters of labels that may be digits of something: met before or not
_PARTS: Final = 256  # tells places of parts of a label from those of labels
_SHARE: Final = 4  # one in so many names has a label that belongs to the domain's names
_SKETCH: Final = 8192  # a power of two


class _Domain:
    """What was said below a domain.

    Attributes:
        odd: when the budget for odd labels will be full again.
        plain: when that for others will be.
        labels: how many names have a label, or a part of one, at its place; by a checksum.
        total: names.
    """

    __slots__ = ("labels", "odd", "plain", "total")

    def __init__(self, odd: float, plain: float) -> None:
        self.odd = odd
        self.plain = plain
        self.labels: dict[int, int] = {}
        self.total = 0


class Budgets:
    """Budgets of one agent. Bounded: some 3 MB at most."""

    def __init__(self) -> None:
        """Begin with full ones."""
        self._domains: OrderedDict[str, _Domain] = OrderedDict()
        self._sketch: array[float] | None = None
        self._labels = 0
        self._over = 0.0  # when what was spent above `SMALL` on all domains will be forgiven

    @property
    def size(self) -> int:
        """Bytes that are kept, about."""
        sketch = 0 if self._sketch is None else 32 * _SKETCH
        return 400 * len(self._domains) + 110 * self._labels + sketch

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
        odd, plain = self._bits(entry, labels, model)
        if odd + plain > SINGLE:
            return False
        plain = max(LEAST, plain - _RELIEF)
        if domain in shared_domains():
            odd, plain = odd / SHARED, plain / SHARED
        by_odd = max(entry.odd, now) + odd / REFILL_ODD
        by_plain = max(entry.plain, now) + plain / REFILL_PLAIN
        all_odd = (by_odd - now) * REFILL_ODD
        all_plain = (by_plain - now) * REFILL_PLAIN
        if (odd and all_odd > ODD) or all_plain > PLAIN or all_odd + all_plain > BUDGET:
            return False
        if odd and all_odd > SMALL:
            over = max(self._over, now) + min(odd, all_odd - SMALL) / REFILL_ODD
            if (over - now) * REFILL_ODD > ODD:
                return False
            self._over = over
        entry.odd, entry.plain = by_odd, by_plain
        self._note(entry, labels)
        return True

    def _bits(self, entry: _Domain, labels: list[str], model: Ordinary) -> tuple[float, float]:
        """Return what odd labels say, and what others do."""
        odd = plain = 0.0
        for place, label in enumerate(labels, -len(labels)):
            cost = model.cost(label)
            if entry.total and cost > _FIRST:
                known = self._met(entry, place, label)
                if known is None and "-" in label:
                    known = _LABEL
                    for index, part in enumerate(label.split("-")):
                        at = self._met(entry, place + _PARTS * index, part)
                        known += at if at is not None else model.cost(part) if part else _LABEL
                if known is not None and known < cost:
                    cost = known
            if cost > _PLAIN * len(label) + _FIRST:
                odd += cost
            else:
                plain += cost
        return odd, plain

    def _met(self, entry: _Domain, place: int, text: str) -> float | None:
        """Return the bits to say what many of a domain's names have at a place; None: it is not."""
        if len(text) > _DIGITS:
            count = entry.labels.get(_label(place, text), 0)
            if count * _SHARE >= entry.total:
                return _LABEL + math.log2(entry.total / count)
        return None

    def _note(self, entry: _Domain, labels: list[str]) -> None:
        met = entry.labels
        entry.total += 1
        for place, label in enumerate(labels, -len(labels)):
            parts = label.split("-") if "-" in label else ()
            for index, text in enumerate((label, *parts), -1):
                key = _label(place + _PARTS * max(index, 0), text)
                count = met.get(key, 0)
                if count or len(met) < _LABELS:
                    met[key] = count + 1
                    self._labels += not count

    def _of(self, domain: str) -> _Domain:
        domains = self._domains
        entry = domains.get(domain)
        if entry is not None:
            domains.move_to_end(domain)
            return entry
        entry = domains[domain] = _Domain(*self._recalled(domain))
        if len(domains) > _DOMAINS:
            oldest, gone = domains.popitem(last=False)
            self._labels -= len(gone.labels)
            self._set_down(oldest, gone)
        return entry

    # -- the sketch: two rows of times for each budget; of a domain the earlier of two counts

    def _set_down(self, domain: str, gone: _Domain) -> None:
        if self._sketch is None:
            self._sketch = array("d", bytes(32 * _SKETCH))
        for at in _places(domain):
            self._sketch[at] = max(self._sketch[at], gone.odd)
            self._sketch[at + 1] = max(self._sketch[at + 1], gone.plain)

    def _recalled(self, domain: str) -> tuple[float, float]:
        sketch = self._sketch
        if sketch is None:
            return 0.0, 0.0
        first, second = _places(domain)
        return min(sketch[first], sketch[second]), min(sketch[first + 1], sketch[second + 1])


def _label(place: int, label: str) -> int:
    return crc32(label.encode("ascii"), place & 0xFFFFFFFF)


def _places(domain: str) -> tuple[int, int]:
    number = hash(domain)  # keyed for each process: nobody can aim at a place
    return 2 * (number % _SKETCH), 2 * (_SKETCH + (number >> 20) % _SKETCH)


@functools.cache
def shared_domains() -> frozenset[str]:
    """Return the domains that clouds answer for, whoever the names below were given to."""
    text = resources.files("interceptor.rules").joinpath("shared_domains.dat").read_text("ascii")
    return frozenset(line for line in text.split("\n") if line and line[0] != "#")
