"""What readers, rules and the classifier make of the corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from interceptor.model import Passage
from interceptor.scan.injection.classifier import Classifier
from interceptor.scan.injection.model import NOTABLE, STRONG, Assessment
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.wire.rendered.readers import LOOK, reader_for
from tests.corpora.injection.documents import Document

CURVE: Final = (10, 20, 30, 40, 50, 60, 70, 80, 90)
"""Scores at which recall and false alarms are printed."""

RAISING: Final = 4.0
"""Log-odds of a passage from which on it would be notable without any rule."""

_AROUND: Final = 300  # bytes before and behind a finding that the classifier reads


class Result(NamedTuple):
    """What became of one document."""

    document: Document
    rules: float
    """Score of the rules alone, 0 to 100."""
    odds: float | None
    """Log-odds of the text around the strongest findings; None where the rules found nothing."""
    alone: float
    """Log-odds of the most telling passage of the whole document."""
    rule: str

    @property
    def raised(self) -> float:
        """The same; a document with a telling passage is notable whatever the rules found."""
        return max(self.both, NOTABLE if self.alone >= RAISING else 0.0)

    @property
    def both(self) -> float:
        """Score of the rules with the classifier's opinion on what they found."""
        return combined(self.rules, self.odds)


def combined(rules: float, odds: float | None) -> float:
    """Return a score that the classifier raises or lowers, by up to `_SWAY`.

    Args:
        rules: score of the rules, 0 to 100.
        odds: log-odds of the text around; None: not asked.
    """
    if odds is None or rules <= 0:
        return rules
    return max(0.0, min(100.0, rules + _STEP * max(-_SWAY, min(_SWAY, odds - _MIDDLE))))


_STEP: Final = 5.0  # of the score for each unit of log-odds
_SWAY: Final = 4.0
_MIDDLE: Final = 2.0  # log-odds that change nothing


def passages(document: Document) -> list[Passage]:
    """Read a document as the product does; what has no reader is not read."""
    reader = reader_for(document.content_type.encode(), "", document.body[:LOOK])
    if reader is None:
        return []
    return [*reader.feed(document.body), *reader.finish()]


def judge(
    documents: Iterable[Document], scanner: InjectionScanner, classifier: Classifier, *, alone: bool
) -> list[Result]:
    """Judge documents.

    Args:
        documents: of any kind.
        scanner: the rules.
        classifier: the second opinion.
        alone: whether the classifier reads all of each document, too.
    """
    results: list[Result] = []
    for document in documents:
        read = passages(document)
        found = scanner.scan(read)
        whole = max((classifier.log_odds(p.text) for p in read), default=-30.0) if alone else 0.0
        odds = opinion(found, read, classifier)
        results.append(Result(document, found.score, odds, whole, found.rule))
    return results


def opinion(found: Assessment, read: Sequence[Passage], classifier: Classifier) -> float | None:
    """Return the classifier's log-odds of the text around the findings, the highest of them.

    None where there is none, or all are disguised: the rules have undone the disguise, and their
    word stands.
    """
    odds: float | None = None
    for finding in found.findings[:4]:
        if finding.disguise or finding.passage < 0:
            return None
        text = read[finding.passage].text
        near = text[max(0, finding.start - _AROUND) : finding.end + _AROUND]
        odds = max(-30.0 if odds is None else odds, classifier.log_odds(near))
    return odds


Score = Callable[[Result], float]


def rules_alone(result: Result) -> float:
    """Score without the classifier."""
    return result.rules


def with_classifier(result: Result) -> float:
    """Score with the classifier."""
    return result.both


def with_raising(result: Result) -> float:
    """Score with the classifier also where the rules found nothing."""
    return result.raised


def share(results: Sequence[Result], threshold: float, score: Score) -> float:
    """Return the share of documents whose score reaches a threshold; 0 of none."""
    return sum(score(r) >= threshold for r in results) / len(results) if results else 0.0


def by(results: Iterable[Result], key: Callable[[Document], str]) -> dict[str, list[Result]]:
    """Sort results by what `key` gives, in its order."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(key(result.document), []).append(result)
    return dict(sorted(groups.items()))


def table(results: Sequence[Result], key: Callable[[Document], str], head: str) -> list[str]:
    """Return lines: for each group its size and the shares at both thresholds, both ways."""
    lines = [
        f"| {head} | documents | {NOTABLE:.0f}, rules | both | {STRONG:.0f}, rules | both |",
        "|---|---|---|---|---|---|",
    ]
    for name, group in by(results, key).items():
        shares = [
            f"{100 * share(group, at, how):.1f} %"
            for at in (NOTABLE, STRONG)
            for how in (rules_alone, with_classifier)
        ]
        lines.append(f"| {name} | {len(group)} | {' | '.join(shares)} |")
    return lines


def curve(groups: dict[str, Sequence[Result]]) -> list[str]:
    """Return lines: for each score the share of each group that reaches it, both ways."""
    names = list(groups)
    lines = [
        "| score | " + " | ".join(f"{n}, rules | {n}, both" for n in names) + " |",
        "|---|" + "---|---|" * len(names),
    ]
    for threshold in CURVE:
        cells = [
            f"{100 * share(groups[name], threshold, how):.2f} %"
            for name in names
            for how in (rules_alone, with_classifier)
        ]
        lines.append(f"| {threshold} | " + " | ".join(cells) + " |")
    return lines


def odds_curve(groups: dict[str, Sequence[Result]]) -> list[str]:
    """Return lines: the same for the classifier alone, by log-odds."""
    names = list(groups)
    lines = ["| log-odds | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for odds in range(-2, 9):
        shares = [f"{100 * share(groups[n], odds, lambda r: r.alone):.2f} %" for n in names]
        lines.append(f"| {odds} | " + " | ".join(shares) + " |")
    return lines
