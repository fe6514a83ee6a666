"""Train the classifier: `python -m tests.corpora.injection.train [--seed N] [--write]`.

Plain Python: logistic regression by AdaGrad on hashed features, windows of the dev half only.
Ordinary windows that the first model takes for injections are learned from once more. A sixth of
the dev half's phrases and packages is left out of the learning and calibrates.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import sys
import tomllib
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from interceptor.scan.injection.classifier import (
    CHAINS,
    PAIRS,
    SINGLES,
    Classifier,
    features,
    stems_of_kinds,
)
from interceptor.scan.injection.cues import Meeting
from tests.corpora.injection import meetings
from tests.corpora.injection.bases import DEV, FOLDER, bases
from tests.corpora.injection.benign import benign
from tests.corpora.injection.grammar import INJECTIONS
from tests.corpora.injection.windows import (
    Window,
    imperatives,
    kept_out,
    of_bases,
    of_benign_grammar,
    of_document,
    of_grammar,
    of_hard_set,
)

OUT: Final = Path(__file__).resolve().parents[3] / "interceptor" / "rules" / "injection.dat"

_TABLES: Final = SINGLES + 2 * PAIRS + CHAINS
_BIAS: Final = -4.0  # not learned: a text that shows nothing is ordinary
_RATE: Final = 0.03
_DECAY: Final = 2e-5  # L2, on the features of a sample
_LEAST: Final = 0.02  # weights below count nothing
_MOST: Final = 2.5


class Sample(NamedTuple):
    """A window as numbers."""

    indexes: array[int]
    injected: bool
    weight: float
    source: str


class Model:
    """Weights while they are learned."""

    def __init__(self, kinds: int) -> None:
        self.size = _TABLES + kinds * (kinds + 1) // 2
        self.weights = array("d", bytes(8 * self.size))
        self.squares = array("d", [1e-3]) * self.size
        self.bias = _BIAS

    def score(self, indexes: Sequence[int]) -> float:
        weights = self.weights
        return self.bias + sum([weights[index] for index in indexes])

    def learn(self, samples: Sequence[Sample], rate: float) -> None:
        weights, squares = self.weights, self.squares
        for indexes, injected, weight, _ in samples:
            score = self.bias + sum([weights[index] for index in indexes])
            error = weight * (1 / (1 + math.exp(-max(-30.0, min(30.0, score)))) - injected)
            if -1e-4 < error < 1e-4:
                continue
            for index in indexes:
                value = weights[index]
                slope = error + _DECAY * value
                square = squares[index] + slope * slope
                squares[index] = square
                value -= rate * slope / math.sqrt(square)
                weights[index] = max(-_MOST, min(_MOST, value))


def sample(window: Window, kinds: dict[bytes, int], count: int) -> Sample:
    """Turn a window into numbers."""
    seen = features(window.found, kinds)
    indexes = array("l", seen.singles)
    indexes.extend(SINGLES + value for value in seen.pairs if value)
    indexes.extend(SINGLES + PAIRS + value for value in seen.skips if value)
    indexes.extend(SINGLES + 2 * PAIRS + value for _, value in seen.chains)
    mask = 0
    for kind in seen.kinds:
        mask |= kind
    bits = [bit for bit in range(count) if mask >> bit & 1]
    indexes.extend(_TABLES + bit for bit in bits)
    for at, bit in enumerate(bits):
        begin = _TABLES + count + bit * count - bit * (bit + 1) // 2 - bit - 1
        indexes.extend(begin + other for other in bits[at + 1 :])
    return Sample(indexes, window.injected, window.weight, window.source)


class Material(NamedTuple):
    """What there is to learn from and to calibrate with."""

    injected: list[Window]
    ordinary: list[Window]
    hard: list[Window]
    meeting: Meeting
    """What cues count that stand together."""


def material(seed: int, documents: int, fills: int) -> Material:
    """Make the windows of the dev half."""
    ordinary = [window for each in benign(documents, DEV) for window in of_document(each)]
    rng = random.Random(seed)
    context = [window for window in ordinary if len(window.found) > 12]
    context = rng.sample(context, min(len(context), 20000))
    injected = [*of_bases(seed, DEV, fills, context), *of_grammar(seed, 900 * fills, context)]
    hard = [*of_hard_set(seed, DEV, 4.0, 40), *imperatives(seed, DEV, fills, 2.0)]
    hard += of_benign_grammar(seed, 350 * fills)
    return Material(injected, ordinary, hard, meetings.learn(seed, documents, fills))


def train(seed: int, found: Material, rounds: int, ordinary: int) -> bytes:
    """Return what `interceptor/rules/injection.dat` holds."""
    words: dict[str, str] = tomllib.loads((FOLDER / "lexicon.toml").read_text("utf-8"))
    kinds, count = stems_of_kinds(words), len(words)
    rng = random.Random(seed)

    def numbers(windows: Sequence[Window]) -> list[Sample]:
        return [sample(window, kinds, count) for window in windows if not kept_out(window.source)]

    pool = [window for window in found.ordinary if not kept_out(window.source)]
    rng.shuffle(pool)
    chosen = numbers([*found.injected, *found.hard, *pool[:ordinary]])
    allowed = _common(chosen)
    chosen = [_only(each, allowed) for each in chosen]
    model = Model(count)
    for number in range(rounds):
        rng.shuffle(chosen)
        model.learn(chosen, _RATE / (1 + 0.5 * number))
        if number == 1:
            rest = (sample(window, kinds, count) for window in pool[ordinary:])
            doubtful = [_only(s, allowed) for s in rest if model.score(s.indexes) > -2.5]
            print(f"{len(doubtful)} more ordinary windows that look like injections")
            chosen += [each._replace(weight=2.0) for each in doubtful]
    return _calibrated(model, words, found, rng)


def _common(samples: Sequence[Sample]) -> bytearray:
    """Return for each feature 1 if more than one source has it."""
    first: dict[int, str] = {}
    allowed = bytearray(_TABLES)
    for indexes, _, _, source in samples:
        for index in indexes:
            if index < _TABLES and not allowed[index]:
                allowed[index] = first.setdefault(index, source) != source
    return allowed


def _only(each: Sample, allowed: bytearray) -> Sample:
    kept = array("l", (i for i in each.indexes if i >= _TABLES or allowed[i]))
    return each._replace(indexes=kept)


def _calibrated(model: Model, words: dict[str, str], found: Material, rng: random.Random) -> bytes:
    """Fit slope and offset on what was kept out, half of it injections by weight."""
    meeting = msgspec.to_builtins(found.meeting)
    plain = _packed(model, words, 1.0, 0.0, meeting)
    reader = Classifier(plain)
    # What the grammar makes is alike: phrases alone tell how sure it may be.
    phrases = [w for w in found.injected if not w.source.startswith(INJECTIONS)]
    good = [w for w in phrases if kept_out(w.source)]
    ordinary = [w for w in [*found.ordinary, *found.hard] if kept_out(w.source)]
    near = [w for w in ordinary if gate(w.found, stems_of_kinds(words))]
    rng.shuffle(near)
    points = [(reader.score(w.found), 1, w.weight / len(good)) for w in good]
    points += [(reader.score(w.found), 0, w.weight / len(near)) for w in near]
    total = [sum(w for _, label, w in points if label == which) for which in (0, 1)]
    slope, offset = 1.0, 0.0
    for _ in range(400):
        by_slope = by_offset = 0.0
        for score, label, weight in points:
            error = (
                weight
                / total[label]
                * (1 / (1 + math.exp(-max(-30.0, min(30.0, slope * score + offset)))) - label)
            )
            by_slope += error * score
            by_offset += error
        slope -= 0.05 * by_slope
        offset -= 0.3 * by_offset
    print(
        f"calibration: {len(good)} and {len(near)} windows, slope {slope:.3f}, offset {offset:.3f}"
    )
    return _packed(model, words, slope, offset, meeting)


def gate(found: Sequence[bytes], kinds: dict[bytes, int]) -> bool:
    """Tell whether words of three kinds stand in a window: where a second opinion is asked for."""
    mask = 0
    for stem in found:
        mask |= kinds.get(stem, 0)
    return mask.bit_count() >= 3


def _packed(
    model: Model, words: dict[str, str], slope: float, offset: float, meeting: object
) -> bytes:
    values = model.weights[:_TABLES]
    values[SINGLES] = values[SINGLES + PAIRS] = 0.0  # stand for no pair
    scale = max(map(abs, values)) / 127 or 1.0
    table = array("b", (round(v / scale) if abs(v) >= _LEAST else 0 for v in values))
    head = {
        "version": 1, "bias": round(model.bias, 4), "scale": scale, "slope": round(slope, 4),
        "offset": round(offset, 4), "kinds": words,
        "together": [round(v, 3) for v in model.weights[_TABLES:]],
        "meeting": meeting,
    }  # fmt: skip
    title = (
        b"egressguard: weights of the inbound classifier, see tests/corpora/injection/train.py\n"
    )
    body = zlib.compress(table.tobytes(), 9)
    return title + json.dumps(head, ensure_ascii=False).encode() + b"\n" + body


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, print what was made, and write it if asked to."""
    parser = argparse.ArgumentParser(description="Train the inbound classifier.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--documents", type=int, default=2400, help="ordinary ones, of the dev half"
    )
    parser.add_argument("--fills", type=int, default=24, help="draws of each base phrase")
    parser.add_argument("--ordinary", type=int, default=60000, help="windows of the first rounds")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--write", action="store_true", help=f"replace {OUT.name}")
    chosen = parser.parse_args(arguments)
    found = material(chosen.seed, chosen.documents, chosen.fills)
    sources = len({window.source for window in found.ordinary})
    print(f"{len([b for b in bases() if b.half == DEV])} phrases, {len(found.injected)} windows")
    print(f"{len(found.ordinary)} ordinary windows of {sources} documents, {len(found.hard)} hard")
    data = train(chosen.seed, found, chosen.rounds, chosen.ordinary)
    used = sum(1 for v in Classifier(data)._singles if v)
    print(f"{len(data)} bytes, {used} weights of stems, {hashlib.sha256(data).hexdigest()}")
    if chosen.write:
        OUT.write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
