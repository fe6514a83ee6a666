"""Print how many secrets are caught, by rule and by encoding: `python -m tests.recall`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence

from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import Rule, load_rules
from tests.recall import chains, cuts, report, splits
from tests.recall.carriers import CARRIERS, STATED, Carrier
from tests.recall.encodings import ENCODINGS
from tests.recall.examples import secrets
from tests.recall.measure import judge_of, measure


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.recall", description=__doc__)
    parser.add_argument("--salts", type=int, default=3, help="draws of each example (default 3)")
    parser.add_argument("--rule", action="append", metavar="TEXT", help="rules with TEXT in the id")
    parser.add_argument("--all-carriers", action="store_true", help="streams, forms and gRPC too")
    parser.add_argument("--misses", type=int, default=40, help="how many misses are listed")
    parser.add_argument("--chains", action="store_true", help="only chains: all pairs, and longer")
    parser.add_argument("--cuts", action="store_true", help="only cuts of streams at every byte")
    parser.add_argument("--splits", action="store_true", help="only secrets cut into pieces")
    parser.add_argument("--full", action="store_true", help="all of the above")
    chosen = parser.parse_args(arguments)
    rules = [rule for rule in load_rules().rules if _wanted(rule, chosen.rule)]
    scanner = Scanner.build(load_rules(), None)
    print(f"{len(rules)} rules: {_kinds(rules)}")
    good = True
    if chosen.full or not (chosen.chains or chosen.cuts or chosen.splits):
        carriers = CARRIERS if chosen.full or chosen.all_carriers else CARRIERS[:STATED]
        good = _recall(scanner, rules, carriers, chosen.salts, chosen.misses)
    if chosen.full or chosen.chains:
        good = _shown(chains.whole, scanner, rules, chosen.misses) and good
    if chosen.full or chosen.cuts:
        good = _shown(cuts.whole, scanner, rules, chosen.misses) and good
    if chosen.full or chosen.splits:
        _shown(splits.whole, scanner, rules, chosen.misses)
    return 0 if good else 1


def _wanted(rule: Rule, texts: Iterable[str] | None) -> bool:
    return texts is None or any(text in rule.id for text in texts)


def _kinds(rules: Sequence[Rule]) -> str:
    counts = {kind: sum(rule.kind == kind for rule in rules) for kind in report.KINDS}
    return ", ".join(f"{number} {kind}" for kind, number in counts.items())


def _recall(
    scanner: Scanner, rules: Sequence[Rule], carriers: Sequence[Carrier], salts: int, most: int
) -> bool:
    begin = time.monotonic()
    tally = measure(judge_of(scanner), secrets(rules, salts), ENCODINGS, carriers)
    print(f"{sum(tally.sent.values()):,} texts in {time.monotonic() - begin:.0f} s\n")
    print("\n".join(report.by_rule(tally, rules)))
    print("\nRecall in %, by encoding; single carriers for prefixed rules. * stated encodings")
    print("\n".join(report.by_encoding(tally, rules, ENCODINGS, carriers)))
    if tally.missed:
        print("\nMissed:")
        print("\n".join(report.misses(tally, most)))
    found = report.stated(tally, rules, carriers)
    met = found >= report.GOAL
    print(
        f"\nPrefixed rules, stated encodings, {', '.join(c.name for c in carriers)}: "
        f"{100 * found:.2f} %, wanted >= {100 * report.GOAL:g} %: {'met' if met else 'MISSED'}"
    )
    return met


def _shown(
    check: Callable[[Scanner, Sequence[Rule]], tuple[int, list[str]]],
    scanner: Scanner,
    rules: Sequence[Rule],
    most: int,
) -> bool:
    begin = time.monotonic()
    texts, missed = check(scanner, rules)
    title = check.__module__.rpartition(".")[2]
    print(f"\n{title}: {texts:,} texts in {time.monotonic() - begin:.0f} s, {len(missed)} missed")
    for line in missed[:most]:
        print(f"  {line}")
    if len(missed) > most:
        print(f"  ... and {len(missed) - most} more")
    return not missed


if __name__ == "__main__":
    sys.exit(main())
