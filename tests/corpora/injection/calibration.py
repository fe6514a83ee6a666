"""Whether the classifier's probabilities are true: on windows that it has not seen.

Injections and ordinary windows weigh as much as one another together. Ordinary are those that
`gate` lets through, as a second opinion is asked for nothing else, and windows of the hard set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from interceptor.scan.injection.classifier import Classifier
from tests.corpora.injection.benign import benign
from tests.corpora.injection.train import gate
from tests.corpora.injection.windows import Window, imperatives, of_bases, of_document, of_hard_set

_STEPS: Final = 10
_RATES: Final = (0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


def report(seed: int, half: str, documents: int) -> list[str]:
    """Return lines: reliability, Brier score and points of the ROC."""
    classifier = Classifier.load()
    read = [window for document in benign(documents, half) for window in of_document(document)]
    near = [window for window in read if gate(window.found, classifier.kinds)]
    hard = [*of_hard_set(seed, half, 1.0, 10), *imperatives(seed, half, 4, 1.0)]
    injected = list(of_bases(seed, half, 6, [window for window in read if len(window.found) > 12]))
    strong = [window for window in injected if window.weight == 1.0]
    sizes = (
        f"{len(strong)} windows of strong injections, {len(near)} of {len(read)} ordinary windows "
        f"pass the gate, {len(hard)} windows of the hard set and of ordinary orders"
    )
    positive = sorted(classifier.odds_of(window.found) for window in strong)
    easy = [classifier.odds_of(window.found) for window in near]
    tricky = [classifier.odds_of(window.found) for window in hard]
    negative = sorted(easy + tricky, reverse=True)
    lines = _reliability(positive, negative)
    return [sizes, "", *lines, "", *_roc(strong, classifier, easy, tricky)]


def _reliability(positive: Sequence[float], negative: Sequence[float]) -> list[str]:
    weights = [(odds, 1, 0.5 / len(positive)) for odds in positive]
    weights += [(odds, 0, 0.5 / len(negative)) for odds in negative]
    lines = ["| probability | share of the weight | mean | injections |", "|---|---|---|---|"]
    brier = 0.0
    bins: list[list[tuple[float, int, float]]] = [[] for _ in range(_STEPS)]
    for odds, label, weight in weights:
        chance = 1 / (1 + math.exp(-odds))
        brier += weight * (chance - label) ** 2
        bins[min(_STEPS - 1, int(chance * _STEPS))].append((chance, label, weight))
    for number, found in enumerate(bins):
        total = sum(weight for _, _, weight in found)
        if not total:
            continue
        mean = sum(chance * weight for chance, _, weight in found) / total
        true = sum(label * weight for _, label, weight in found) / total
        lines.append(
            f"| {number / _STEPS:.1f} to {(number + 1) / _STEPS:.1f} | {total:.1%} "
            f"| {mean:.2f} | {true:.2f} |"
        )
    return [*lines, "", f"Brier score {brier:.3f} (0.25: knows nothing; 0: knows all)"]


def _roc(
    strong: Sequence[Window], classifier: Classifier, easy: list[float], tricky: list[float]
) -> list[str]:
    lines = [
        "| ordinary windows past the gate | log-odds | strong injections | hard windows |",
        "|---|---|---|---|",
    ]
    ranked = sorted(easy, reverse=True)
    odds = [classifier.odds_of(window.found) for window in strong]
    for rate in _RATES:
        least = ranked[int(rate * len(ranked))]
        found = sum(value > least for value in odds) / len(odds)
        false = sum(value > least for value in tricky) / len(tricky)
        lines.append(f"| {rate:.2%} | {least:.2f} | {found:.1%} | {false:.1%} |")
    return lines
