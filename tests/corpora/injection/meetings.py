"""What it counts that kinds of cues stand together: logistic regression over kinds and pairs."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from interceptor.scan.database import Hit, Pattern, collect_hit, open_database
from interceptor.scan.injection.cues import CELL, Cues, Meeting
from interceptor.scan.injection.rules import load_rule_book
from tests.corpora.injection.bases import DEV, bases, fill
from tests.corpora.injection.benign import benign
from tests.corpora.injection.grammar import sentences
from tests.corpora.injection.windows import reworded

_BIAS: Final = -4.0
_ROUNDS: Final = 30
_RATE: Final = 0.15
_DECAY: Final = 1e-5
_LONGEST: Final = 220  # bytes of an injection


class _Reader:
    def __init__(self, cues: Cues) -> None:
        self._database: Any = open_database(
            [
                Pattern(text.encode("ascii"), cues.kinds[kind], caseless=True, number=kind)
                for kind, text in cues.patterns
            ],
            None,
        )

    def cells(self, text: bytes) -> dict[int, int]:
        hits: list[Hit] = []
        self._database.scan(text, collect_hit, context=hits, scratch=self._database.scratch)
        masks: dict[int, int] = {}
        for kind, end in hits:
            masks[end >> CELL] = masks.get(end >> CELL, 0) | 1 << kind
        return masks

    def whole(self, text: str) -> int:
        mask = 0
        for cell in self.cells(text.encode()[:_LONGEST]).values():
            mask |= cell
        return mask


def _injected(reader: _Reader, seed: int, fills: int) -> Iterator[tuple[int, float]]:
    for base in bases():
        if base.half == DEV:
            for number in range(fills):
                rng = random.Random(f"{seed}/{number}/{base.text}")
                text = fill(base, rng)
                text = reworded(text, rng) if number % 2 and base.language == "en" else text
                yield reader.whole(text), 1.0 if base.strong else 0.3
    for _, text in sentences(seed + 1, 250 * fills):
        yield reader.whole(text), 0.7


def learn(seed: int, documents: int, fills: int) -> Meeting:
    """Learn from the dev half.

    Args:
        seed: the same seed and documents give the same weights.
        documents: ordinary ones.
        fills: draws of each base phrase.
    """
    cues = load_rule_book().cues
    reader = _Reader(cues)
    injected: Counter[int] = Counter()
    for mask, weight in _injected(reader, seed, fills):
        injected[mask] += weight  # type: ignore[assignment]
    ordinary: Counter[int] = Counter()
    every = 0
    for document in benign(documents, DEV):
        masks = reader.cells(document.body)
        every += len(document.body) // (1 << CELL) + 1
        ordinary.update(mask | masks.get(cell + 1, 0) for cell, mask in masks.items())
    shares = [(mask, 1, n / sum(injected.values())) for mask, n in injected.items()]
    shares += [(mask, 0, n / every) for mask, n in ordinary.items()]
    count = len(cues.kinds)
    samples = [(_features(mask, count), label, share) for mask, label, share in shares]
    weights = [0.0] * (count + count * count)
    squares = [1e-6] * len(weights)
    rng = random.Random(seed)
    for _ in range(_ROUNDS):
        rng.shuffle(samples)
        for features, label, share in samples:
            score = _BIAS + sum([weights[index] for index in features])
            error = (1 / (1 + math.exp(-max(-30.0, min(30.0, score)))) - label) * share
            error *= len(samples) / 16
            for index in features:
                slope = error + _DECAY * weights[index]
                squares[index] += slope * slope
                weights[index] -= _RATE * slope / math.sqrt(squares[index])
    return _meeting(cues.kinds, weights)


def _features(mask: int, count: int) -> list[int]:
    bits = [bit for bit in range(count) if mask >> bit & 1]
    pairs = [count + bit * count + other for at, bit in enumerate(bits) for other in bits[at + 1 :]]
    return [*bits, *pairs]


def _meeting(kinds: Sequence[str], weights: Sequence[float]) -> Meeting:
    count = len(kinds)
    pairs = {
        f"{kinds[bit]} {kinds[other]}": round(weights[count + bit * count + other], 2)
        for bit in range(count)
        for other in range(bit + 1, count)
    }
    return Meeting(
        _BIAS,
        {kind: round(weight, 2) for kind, weight in zip(kinds, weights, strict=False)},
        {name: weight for name, weight in pairs.items() if weight},
    )
