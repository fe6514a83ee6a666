"""A second opinion on text that rules take for an injection: logistic regression over stems.

Features are stems of words, pairs of stems that stand together or with one between them, chains of
two and three kinds of word, and kinds of word that occur within a window, whatever their order.
`rules/injection.dat` holds the weights; `tests/corpora/injection/train.py` makes it, and
`docs/classifier.md` says what it is worth. A text is worth what its most telling window is worth.
Meant for passages of a sentence up to some paragraphs; longer ones take linear time and the memory
of a piece.
"""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import resources
from itertools import accumulate, islice, pairwise
from math import exp
from typing import Final, NamedTuple

import msgspec

from interceptor.scan.injection.cues import Meeting

SINGLES: Final = 1 << 15
"""Weights of stems; the other tables follow in `rules/injection.dat`."""

PAIRS: Final = 1 << 17
"""Weights of two stems in succession, and as many of two with one between them."""

CHAINS: Final = 1 << 15
"""Weights of two or three kinds of word that follow one another, other words left out."""

BLOCK: Final = 12
"""Stems by which windows advance."""

WINDOW: Final = 4 * BLOCK
"""Stems that are judged together at most; half as many are, too."""

_VERSION: Final = 1
_NEAR: Final = 8  # stems from one kind of word to the next of a chain
_PIECE: Final = 8192  # bytes of a text that are judged at a time
_OVERLAP: Final = 512  # bytes that a piece shares with the one before it
_STEM: Final = 6  # bytes of a stem of ASCII
_STEM_WIDE: Final = 10  # bytes of a stem in other scripts

_URL: Final = re.compile(rb"[a-z]{2,9}://[^\s\"'<>)\]]*")
_MAIL: Final = re.compile(rb"@[a-z0-9-]+\.[a-z0-9.-]+")
_DROPPED: Final = b"'"  # so that "don't" is one word
_DIGITS: Final = bytes.maketrans(b"0123456789", b" " * 10)
# A word, a run of signs, or one character of a script without spaces between words: Thai, and
# U+2000 to U+FFFF, signs of general punctuation and full width among them.
_TOKEN: Final = re.compile(
    rb"[\xe2-\xef][\x80-\xbf]{2}|\xe0[\xb8\xb9][\x80-\xbf]"
    rb"|[a-z\x80-\xe1\xf0-\xff]+|[!-/:-@\[-`{-~]+"
)


class Features(NamedTuple):
    """What is seen of a text."""

    singles: list[int]
    """For each stem the index of its weight."""
    pairs: list[int]
    """The same of the stem and the next one; 0 for the last."""
    skips: list[int]
    """The same of the stem and the one after the next; 0 for the last two."""
    kinds: list[int]
    """For each stem the kinds of word that it is of, a bit each."""
    chains: list[tuple[int, int]]
    """(stem where a chain ends, index of its weight)."""


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `rules/injection.dat` tells in its second line."""

    version: int
    bias: float
    scale: float
    """What a weight of 1 in the tables counts."""
    slope: float
    """Calibration: log-odds are slope * score + offset."""
    offset: float
    kinds: dict[str, str]
    """Kind of word: its stems, with spaces between them."""
    together: list[float]
    """Weight of each kind, then of each two kinds (0 1, 0 2, ..., 1 2, ...)."""
    meeting: Meeting
    """What cues count that stand together: see `interceptor.scan.injection.cues`."""


def stems(text: bytes) -> list[bytes]:
    """Return the stems of the words and the signs of a text, in their order.

    Args:
        text: UTF-8; what is broken is left out.
    """
    plain = text.isascii()
    if not plain:
        text = text.decode("utf-8", "ignore").lower().replace("’", "'").encode()
    text = text.lower()
    if b"://" in text:
        text = _URL.sub(b" urlurl ", text)
    if b"@" in text:
        text = _MAIL.sub(b" mailmail ", text)
    words = _TOKEN.findall(text.translate(_DIGITS, _DROPPED))
    if plain:
        return [word[:_STEM] for word in words]
    return [word[: _STEM if word.isascii() else _STEM_WIDE] for word in words]


def features(found: Sequence[bytes], kinds: dict[bytes, int]) -> Features:
    """Return the features of the stems of a text.

    Args:
        found: of `stems`.
        kinds: for each stem that is of a kind, its kinds, a bit each.
    """
    hashes = list(map(zlib.crc32, found))
    pairs = list(map(zlib.crc32, found[1:], hashes))
    skips = list(map(zlib.crc32, found[2:], hashes))
    shift = 32 - (PAIRS.bit_length() - 1)  # other bits than those of the pairs
    return Features(
        [value & (SINGLES - 1) for value in hashes],
        [value & (PAIRS - 1) for value in pairs] + [0][: len(hashes)],
        [value >> shift for value in skips] + [0, 0][: len(hashes)],
        of_kinds := [kinds.get(stem, 0) for stem in found],
        _chains(of_kinds),
    )


def _chains(kinds: list[int]) -> list[tuple[int, int]]:
    chains: list[tuple[int, int]] = []
    last = -_NEAR
    before = first = 0
    for at, kind in enumerate(kinds):
        if not kind:
            continue
        if at - last > _NEAR:
            before = first = 0
        if before:
            pair = before * 0x9E3779B1 + kind * 0x85EBCA6B
            chains.append((at, pair >> 9 & (CHAINS - 1)))
            if first:
                chains.append((at, pair + first * 0xC2B2AE35 >> 9 & (CHAINS - 1)))
        first, before, last = before, kind, at
    return chains


def stems_of_kinds(kinds: dict[str, str]) -> dict[bytes, int]:
    """Return for each stem the kinds it is of, a bit each in the order of `kinds`."""
    table: dict[bytes, int] = {}
    for bit, words in enumerate(kinds.values()):
        for stem in stems(words.encode()):
            table[stem] = table.get(stem, 0) | 1 << bit
    return table


class Classifier:
    """Tells how likely a text instructs the agent that reads it. Any thread may use it.

    Attributes:
        kinds: for each stem that is of a kind, its kinds, a bit each.
        meeting: what cues count that stand together.
    """

    def __init__(self, data: bytes) -> None:
        """Read what the training wrote.

        Raises:
            ValueError: it is of another version, or broken.
        """
        title, _, rest = data.partition(b"\n")
        head, _, body = rest.partition(b"\n")
        weights = msgspec.json.decode(head, type=Weights)
        table = memoryview(zlib.decompress(body)).cast("b")
        if weights.version != _VERSION or len(table) != SINGLES + 2 * PAIRS + CHAINS:
            raise ValueError(f"weights of another kind: {title!r}")
        self._singles = table[:SINGLES]
        self._pairs = table[SINGLES : SINGLES + PAIRS]
        self._skips = table[SINGLES + PAIRS : SINGLES + 2 * PAIRS]
        self._chains = table[SINGLES + 2 * PAIRS :]
        self.kinds = stems_of_kinds(weights.kinds)
        self.meeting = weights.meeting
        self._weights = weights
        self._mixed = array("d")

    @classmethod
    def load(cls) -> Classifier:
        """Return the classifier that ships with the product; read once, some milliseconds."""
        return _shipped()

    def probability(self, text: bytes) -> float:
        """Return how likely a text holds an injection, 0 to 1, as likely as not beforehand.

        Args:
            text: UTF-8, as `interceptor.wire.rendered` gives it: markup and disguises undone.
        """
        odds = self.log_odds(text)
        return 1 / (1 + exp(-odds)) if odds > 0 else 1 - 1 / (1 + exp(odds))

    def log_odds(self, text: bytes) -> float:
        """Return the natural logarithm of the odds, -30 to 30; `probability` follows from it."""
        return self._calibrated(max(self._scores(text), default=self._weights.bias))

    def odds_of(self, found: Sequence[bytes]) -> float:
        """Return the same of stems."""
        return self._calibrated(self.score(found))

    def _calibrated(self, score: float) -> float:
        return max(-30.0, min(30.0, self._weights.slope * score + self._weights.offset))

    def score(self, found: Sequence[bytes]) -> float:
        """Return the score of one window of stems before calibration."""
        return max(self._windows(found), default=self._weights.bias)

    def _scores(self, text: bytes) -> Iterator[float]:
        for start in range(0, max(1, len(text) - _OVERLAP), _PIECE - _OVERLAP):
            yield from self._windows(stems(text[start : start + _PIECE]))

    def _windows(self, found: Sequence[bytes]) -> Iterator[float]:
        """Give the score of each window."""
        seen = features(found, self.kinds)
        one, two, three, four = self._singles, self._pairs, self._skips, self._chains
        values = [one[a] + two[b] + three[c] for a, b, c in zip(*seen[:3], strict=True)]
        for at, index in seen.chains:
            values[at] += four[index]
        sums = list(accumulate(values, initial=0))
        if not values:
            return
        masks: list[int] = []
        for start in range(0, len(found), BLOCK):
            mask = 0
            for kind in seen.kinds[start : start + BLOCK]:
                mask |= kind
            masks.append(mask)
        edges = sums[::BLOCK]
        if len(found) % BLOCK:
            edges.append(sums[-1])
        if not self._mixed:  # worked out when it is first needed: starting should not wait for it
            self._mixed = _mixed(self._weights)
        scale, bias, mixed = self._weights.scale, self._weights.bias, self._mixed
        twos = [a | b for a, b in pairwise(masks)] or masks
        fours = [a | b for a, b in zip(twos, twos[2:], strict=False)] or [twos[0] | twos[-1]]
        for blocks, joined in ((2, twos), (4, fours)):
            ends = edges[blocks:] or edges[-1:]
            for mask, begin, end in zip(joined, edges, ends, strict=False):
                yield bias + scale * (end - begin) + mixed[mask]


def _mixed(weights: Weights) -> array[float]:
    """Return for each set of kinds, a bit each, what it counts that they stand together."""
    count = len(weights.kinds)
    own, pairs = weights.together[:count], iter(weights.together[count:])
    rows = [[0.0] * (bit + 1) + list(islice(pairs, count - bit - 1)) for bit in range(count)]
    table = [0.0]
    for bit in range(count):
        with_it = [own[bit]]
        for other in range(bit):
            weight = rows[other][bit]
            with_it += [value + weight for value in with_it]
        table += [a + b for a, b in zip(table, with_it, strict=True)]
    return array("d", table)


@lru_cache(maxsize=1)
def _shipped() -> Classifier:
    return Classifier(resources.files("interceptor.rules").joinpath("injection.dat").read_bytes())
