"""What readers, rules and the classifier make of the corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from interceptor.model import Passage
from interceptor.scan.injection.model import NOTABLE, STRONG
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.wire.rendered.readers import LOOK, reader_for
from tests.bench.scanning.texts import texts
from tests.corpora.injection.documents import Document

CURVE: Final = (30, 40, 50, 60, 70, 80, 90)
"""Scores at which recall and false alarms are printed."""


_PIECES: Final = 8


class Result(NamedTuple):
    """What became of one document."""

    document: Document
    rules: float
    """Score of the rules alone, 0 to 100."""
    both: float
    """Score of what ships: rules and classifier."""
    rule: str


def passages(document: Document) -> list[Passage]:
    """Read a document as the product does; what has no reader is not read."""
    reader = reader_for(document.content_type.encode(), "", document.body[:LOOK])
    if reader is None:
        return []
    return [*reader.feed(document.body), *reader.finish()]


class Scanners(NamedTuple):
    """What is measured."""

    rules: InjectionScanner
    both: InjectionScanner


def scanners(cache: Path | None) -> Scanners:
    """Build the scanner that ships, and one that asks no classifier."""
    return Scanners(
        InjectionScanner.build(cache, second=False),
        InjectionScanner.build(cache),
    )


def prose(size: int) -> list[Passage]:
    """Give pieces of ordinary prose, each of `size` KB."""
    return [Passage(text) for text in texts("prose", size << 10, _PIECES)]


def judge(
    documents: Iterable[Document], by_what: Scanners, around: Sequence[Passage] = ()
) -> list[Result]:
    """Judge documents, each with a piece of `around` before and behind it."""
    results: list[Result] = []
    for number, document in enumerate(documents):
        read = passages(document)
        if around:
            before, behind = (around[(number + step) % len(around)] for step in (0, 3))
            read = [before, *read, behind]
        found = by_what.both.scan(read)
        results.append(Result(document, by_what.rules.scan(read).score, found.score, found.rule))
    return results


Score = Callable[[Result], float]


def rules_alone(result: Result) -> float:
    """Score without the classifier."""
    return result.rules


def with_classifier(result: Result) -> float:
    """Score with the classifier."""
    return result.both


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
