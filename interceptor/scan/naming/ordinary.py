"""How much a label can say: the bits that it takes to write it in the language of ordinary labels.

By Kraft's inequality no encoding, known or not, can put more into labels than a code for labels
spends on them, so the cost of a name bounds what it carries: five bits for each sign of base32,
four for each of hex, some ten for a word of a list, and hardly more for `www`. Entropy within a
label, which is low in hex and high in names of content networks, is not asked. The table and the
words are `rules/labels.dat`, which `tests/tunnels/model.py` made of names in packages.
"""

from __future__ import annotations

import functools
import math
import zlib
from array import array
from bisect import bisect_left
from importlib import resources
from itertools import pairwise
from typing import Final

SIGNS: Final = ".abcdefghijklmnopqrstuvwxyz0-"
"""What labels are made of for the table: their ends, letters, any digit, hyphen or underscore."""
JOINT: Final = "-"
UNIT: Final = 8
"""Costs in the table are in this part of a bit."""

_SIZE: Final = len(SIGNS)
_FOLD: Final = str.maketrans("123456789_", "000000000-")
_NUMBERS: Final = bytes.maketrans(SIGNS.encode(), bytes(range(_SIZE)))
_DIGIT: Final = math.log2(10)
_SIGN: Final = math.log2(37)  # of a random label: letters, digits, hyphen
_NIBBLE: Final = 4.0
_CHOICE: Final = 3.0  # to say that a label is of digits of some base
_LABEL: Final = 1.0  # to say that another label follows
_KEPT: Final = 8192
_NO_HEX: Final = dict.fromkeys(map(ord, "0123456789abcdef-"))


def folded(label: str) -> str:
    """Return a lower-case label with `0` for digits and `-` for underscores."""
    return label.translate(_FOLD)


class Ordinary:
    """Knows ordinary labels. Costs that were asked for are kept, within bounds."""

    def __init__(self, data: bytes) -> None:
        """Read `labels.dat`: a line about it, a line of words, a compressed table."""
        _, words, body = data.split(b"\n", 2)
        sums = [zlib.crc32(word) for word in words.split()]
        ranks = sorted(range(len(sums)), key=sums.__getitem__)
        self._sums = array("I", [sums[rank] for rank in ranks])
        self._ranks = array("H", ranks)
        table = zlib.decompress(body)
        row = range(0, _SIZE * _SIZE, _SIZE)
        self._rows = [
            [table[at + b : at + b + _SIZE] for b in row]
            for at in range(0, len(table), _SIZE * _SIZE)
        ]
        self._costs: dict[str, float] = {}

    def cost(self, label: str) -> float:
        """Return the bits that a lower-case label of letters, digits, `-` and `_` takes."""
        cost = self._costs.get(label)
        if cost is None:
            if len(self._costs) >= _KEPT:
                self._costs.clear()
            cost = self._costs[label] = _LABEL + self._cost(label)
        return cost

    def _cost(self, label: str) -> float:
        plain = label.translate(_FOLD)
        digits = plain.count("0")
        cost = min(self._by_signs(plain) + _DIGIT * digits, _CHOICE + _SIGN * len(label))
        if digits and not label.translate(_NO_HEX):
            of_digits = _DIGIT if digits == len(label) else _NIBBLE
            return min(cost, _CHOICE + of_digits * len(label))
        return min(cost, self._by_words(plain))

    def _by_signs(self, plain: str) -> float:
        rows = self._rows
        signs = plain.encode("ascii").translate(_NUMBERS)
        first = signs[0]
        row = rows[0]
        bits = row[0][first] + rows[signs[-2] if len(signs) > 1 else 0][signs[-1]][0]
        if len(signs) > 1:
            bits += row[first][signs[1]]
            bits += sum([rows[a][b][c] for (a, b), c in zip(pairwise(signs), signs[2:])])  # noqa: B905
        return bits / UNIT

    def _by_words(self, plain: str) -> float:
        """Return what it costs as words, numbers and other texts between hyphens."""
        bits = 0.0
        for part in plain.split(JOINT):
            text = part.rstrip("0")
            bits += 1.0 + _DIGIT * (len(part) - len(text)) + (len(text) != len(part))
            if text:
                signs = self._by_signs(text) + _DIGIT * text.count("0")
                bits += min(self._word(text), signs, _CHOICE + _SIGN * len(text))
        return bits

    def _word(self, text: str) -> float:
        key = zlib.crc32(text.encode("ascii"))
        at = bisect_left(self._sums, key)
        if at == len(self._sums) or self._sums[at] != key:
            return math.inf
        return math.log2((self._ranks[at] + 6) * 7)  # Zipf's law among 4 096 words


@functools.cache
def ordinary() -> Ordinary:
    """Return the table that ships; read when it is first asked for."""
    return Ordinary(resources.files("interceptor.rules").joinpath("labels.dat").read_bytes())
