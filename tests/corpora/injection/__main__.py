"""Make and measure: `python -m tests.corpora.injection [--measure] [--half dev|heldout|unseen]`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from interceptor.scan.injection.model import NOTABLE
from tests.corpora.injection import calibration, measure, unseen
from tests.corpora.injection.bases import HALVES, HELDOUT, bases
from tests.corpora.injection.benign import benign, hard
from tests.corpora.injection.documents import Document, injections


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was asked for; 1 if a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpora.injection", description=__doc__)
    parser.add_argument("--count", type=int, default=1600, help="injections (default 1600)")
    parser.add_argument("--benign", type=int, default=2400, help="ordinary documents")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--half", choices=(*HALVES, unseen.UNSEEN), help="one half, or `unseen`")
    parser.add_argument("--within", type=int, default=0, metavar="KB", help="of ordinary prose")
    parser.add_argument("--show", action="store_true", help="print the injections themselves")
    parser.add_argument("--measure", action="store_true", help="what the product makes of them")
    parser.add_argument("--calibration", action="store_true", help="of the classifier's windows")
    parser.add_argument("--misses", type=int, default=25, help="how many of each kind are listed")
    parser.add_argument("--cache", type=Path, default=None, help="folder of the compiled rules")
    chosen = parser.parse_args(arguments)
    other = chosen.half == unseen.UNSEEN
    half = HELDOUT if other else chosen.half  # ordinary documents are in two halves
    if other:
        made, tricky = list(unseen.injections(chosen.count, chosen.seed)), unseen.hard(chosen.seed)
    else:
        made, tricky = list(injections(chosen.count, chosen.seed, half)), hard(chosen.seed, half)
    if chosen.show:
        for document in made:
            print(f"{_name(document)}\n{document.body.decode('utf-8', 'replace')}\n")
        return 0
    if chosen.calibration:
        _print(calibration.report(chosen.seed, half or HELDOUT, chosen.benign))
        return 0
    _sizes(made)
    if not chosen.measure:
        return 0
    around = measure.prose(chosen.within) if chosen.within else []
    by_what = measure.scanners(chosen.cache)
    ordinary = measure.judge(benign(chosen.benign, half), by_what)
    attacks, hardest = (measure.judge(some, by_what, around) for some in (made, tricky))
    return _measure(attacks, ordinary, hardest, chosen.misses)


def _name(document: Document) -> str:
    parts = (document.family, document.language, document.label, document.carrier)
    return " ".join((*parts, document.disguise, document.half, document.content_type))


def _sizes(made: Sequence[Document]) -> None:
    print(f"{len(bases())} base phrases, {len(made)} injections")
    for name in ("family", "carrier", "disguise", "language", "label", "half"):
        counts = Counter(str(getattr(document, name)) for document in made)
        print(f"{len(counts)} x {name}: {', '.join(f'{k} {n}' for k, n in sorted(counts.items()))}")


def _measure(
    attacks: Sequence[measure.Result],
    clean: Sequence[measure.Result],
    tricky: Sequence[measure.Result],
    misses: int,
) -> int:
    strong = [r for r in attacks if r.document.label == "strong"]
    weak = [r for r in attacks if r.document.label == "weak"]
    plain = [r for r in strong if r.document.disguise == "plain"]
    print(f"\n{len(clean)} ordinary documents, {len(tricky)} of the hard set\n")
    groups: dict[str, Sequence[measure.Result]] = {
        "strong": strong, "plain": plain, "weak": weak, "ordinary": clean, "hard": tricky,
    }  # fmt: skip
    _print(measure.curve(groups))
    for head in ("family", "carrier", "disguise", "language"):
        print(f"\nStrong injections by {head}:\n")
        _print(measure.table(strong, lambda d, head=head: str(getattr(d, head)), head))  # type: ignore[misc]
    print("\nFalse alarms by kind:\n")
    _print(measure.table([*clean, *tricky], lambda d: d.family, "kind"))
    _misses(strong, clean, tricky, misses)
    return _goals(strong, clean, tricky)


def _print(lines: Sequence[str]) -> None:
    print("\n".join(lines))


def _misses(
    strong: Sequence[measure.Result],
    clean: Sequence[measure.Result],
    tricky: Sequence[measure.Result],
    most: int,
) -> None:
    print("\nStrong injections that were missed:")
    missed = [r for r in strong if r.both < NOTABLE]
    for result in missed[:most]:
        scores = f"{result.rules:.0f} {result.both:.0f}"
        print(f"  {scores} {_name(result.document)}: {result.document.payload!r}")
    for title, results in (("ordinary", clean), ("hard", tricky)):
        print(f"\nFalse alarms, {title}:")
        false = sorted((r for r in results if r.both >= NOTABLE), key=lambda r: -r.both)
        for r in false[:most]:
            print(
                f"  {r.rules:.0f} {r.both:.0f} {r.rule} {r.document.family} {r.document.name[-80:]}"
            )


def _goals(
    strong: Sequence[measure.Result],
    clean: Sequence[measure.Result],
    tricky: Sequence[measure.Result],
) -> int:
    at = NOTABLE
    print()
    good = True
    ways = {
        "rules": measure.rules_alone,
        "both": measure.with_classifier,
    }
    for what, how in ways.items():
        found = measure.share(strong, at, how)
        false, hardest = measure.share(clean, at, how), measure.share(tricky, at, how)
        good = found >= 0.9 and false <= 0.005 and hardest <= 0.02
        print(
            f"{what}, score >= {at:.0f}: strong {found:.1%} (goal 90 %), ordinary {false:.2%} "
            f"(0.5 %), hard {hardest:.1%} (2 %): {'met' if good else 'NOT met'}"
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
