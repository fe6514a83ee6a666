"""Judge the whole corpus of ordinary traffic: `python -m tests.false_alarms`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import load_rules
from tests.false_alarms import corpus, noise
from tests.false_alarms.items import Item, decide, judge_of
from tests.false_alarms.report import GOAL, Summary


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge all, print the report; 1 if the goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.false_alarms", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="share of the corpus (default 1)")
    parser.add_argument("--only", metavar="TEXT", help="items with TEXT in their name")
    parser.add_argument("--made", action="store_true", help="without files of this machine")
    parser.add_argument("--noise", type=int, metavar="MB", help="only this much noise of each kind")
    parser.add_argument("--show", action="store_true", help="where each blocked finding lies")
    chosen = parser.parse_args(arguments)
    rules = load_rules()
    if chosen.noise:
        return _noise(Scanner.build(rules, None), chosen.noise)
    judge = judge_of(Scanner.build(rules, None))
    summary = Summary()
    begin = time.monotonic()
    size = 0
    for item in _wanted(_items(rules.rules, chosen.share, made=chosen.made), chosen.only):
        result = decide(judge, item)
        summary.add(result)
        size += len(item.body) + len(item.path)
        if chosen.show and result.blocked and result.verdict is not None:
            for finding in result.verdict.findings:
                print(
                    f"{item.name}: {finding.rule} in {finding.where}, {finding.encoding or 'plain'}"
                )
    spent = time.monotonic() - begin
    print(
        f"{len(rules.rules)} rules, {summary.items:,} items, {size / 1e6:.0f} MB, {spent:.0f} s\n"
    )
    print("\n".join(summary.lines()))
    met = summary.rate <= GOAL
    print(
        f"\nfalse alarms: {len(summary.blocked)} of {summary.items - len(summary.secrets):,}, "
        f"{100 * summary.rate:.2f} %, wanted <= {100 * GOAL:g} %: {'met' if met else 'MISSED'}"
    )
    return 0 if met else 1


def _items(rules: Sequence[object], share: float, *, made: bool) -> Iterator[Item]:
    yield from corpus.made(share)
    yield from corpus.at_home(rules, share)  # type: ignore[arg-type]
    if not made:
        yield from corpus.of_files(share)


def _noise(scanner: Scanner, megabytes: int) -> int:
    """What is found in noise, where nothing is: by rule and kind, for 100 MB."""
    found = noise.hits(scanner, megabytes)
    print(f"{megabytes} MB of each of {', '.join(noise.ALPHABETS)}; found:")
    for (rule, kind), number in found.most_common():
        print(f"  {rule:<44}{kind:<12}{number:>6}  {100 * number / megabytes:,.1f} in 100 MB")
    return 1 if found else 0


def _wanted(items: Iterable[Item], text: str | None) -> Iterator[Item]:
    return (item for item in items if text is None or text in item.name)


if __name__ == "__main__":
    sys.exit(main())
