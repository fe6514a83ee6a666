"""Recall as tables: by rule, by encoding, and what was missed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from interceptor.scan.ruleset import Kind, Rule
from tests.recall.carriers import Carrier
from tests.recall.encodings import STATED, Encoding
from tests.recall.measure import Cell, Tally

KINDS: tuple[Kind, ...] = ("prefixed", "contextual", "structured")
GOAL = 0.99
"""Of what identifies itself by its form."""


def recall(tally: Tally, wanted: Callable[[Cell], bool]) -> float:
    """Share of texts that were caught, among the wanted cells; 1.0 where there are none."""
    sent = caught = 0
    for cell, number in tally.sent.items():
        if wanted(cell):
            sent += number
            caught += tally.caught[cell]
    return caught / sent if sent else 1.0


def stated(tally: Tally, rules: Iterable[Rule], carriers: Sequence[Carrier]) -> float:
    """Recall that the goal speaks of: prefixed rules, stated encodings and carriers."""
    prefixed = {rule.id for rule in rules if rule.kind == "prefixed"}
    named = {carrier.name for carrier in carriers}
    return recall(tally, lambda c: c[0] in prefixed and c[1] in STATED and c[2] in named)


def by_rule(tally: Tally, rules: Sequence[Rule]) -> list[str]:
    """A line for each rule: kind, texts, caught, by its own rule, and where it was missed."""
    missed: dict[str, Counter[str]] = defaultdict(Counter)
    for secret, encoding, _ in tally.missed:
        missed[secret.rule.id][encoding] += 1
    sums: dict[str, list[int]] = {rule.id: [0, 0, 0, 0] for rule in rules}
    for cell, number in tally.sent.items():
        row = sums[cell[0]]
        row[0] += number
        row[1] += tally.caught[cell]
        row[2] += tally.own[cell]
        row[3] += tally.unreadable[cell]
    lines = [f"{'rule':<40}{'kind':<12}{'texts':>7}{'caught':>8}{'named':>8}  missed under"]
    for rule in sorted(rules, key=lambda rule: (KINDS.index(rule.kind), rule.id)):
        texts, caught, own, unreadable = sums[rule.id]
        if not texts:
            continue
        where = ", ".join(f"{name} {n}" for name, n in missed[rule.id].most_common(6))
        if unreadable:
            where += f" (refused as incomplete: {unreadable})"
        lines.append(
            f"{rule.id:<40}{rule.kind:<12}{texts:>7}{_percent(caught, texts):>8}"
            f"{_percent(own, texts):>8}  {where}".rstrip()
        )
    return lines


def by_encoding(
    tally: Tally, rules: Sequence[Rule], encodings: Sequence[Encoding], carriers: Sequence[Carrier]
) -> list[str]:
    """A line for each encoding: recall by kind of rule, and of the prefixed by carrier."""
    kinds = {rule.id: rule.kind for rule in rules}
    sent: Counter[tuple[str, str]] = Counter()
    caught: Counter[tuple[str, str]] = Counter()
    for cell, number in tally.sent.items():
        kind = kinds[cell[0]]
        columns = [kind, cell[2]] if kind == "prefixed" else [kind]
        for column in columns:
            sent[cell[1], column] += number
            caught[cell[1], column] += tally.caught[cell]
    columns = [*KINDS, *(carrier.name for carrier in carriers)]
    titles = [*KINDS, *(carrier.name.replace("streamed", "str.") for carrier in carriers)]
    lines = [f"{'encoding':<24}" + "".join(f"{title:>12}" for title in titles)]
    for encoding in encodings:
        cells = [
            _percent(caught[encoding.name, column], sent[encoding.name, column])
            for column in columns
        ]
        mark = "*" if encoding.name in STATED else " "
        lines.append(f"{encoding.name:<22}{mark} " + "".join(f"{cell:>12}" for cell in cells))
    return lines


def misses(tally: Tally, most: int = 40) -> list[str]:
    """What passed, most frequent first: rule, encoding, carriers. No secret is shown."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for secret, encoding, carrier in tally.missed:
        found[f"{secret.rule.id}[{secret.number}]", encoding][carrier] += 1
    rows = sorted(found.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    lines = [
        f"{name:<44}{encoding:<24}" + ", ".join(f"{c} {n}" for c, n in carriers.items())
        for (name, encoding), carriers in rows[:most]
    ]
    if len(rows) > most:
        lines.append(f"... and {len(rows) - most} more")
    return lines


def _percent(part: int, whole: int) -> str:
    if not whole:
        return "-"
    share = 100 * part / whole
    # 99.96 % is not all.
    return "100" if part == whole else f"{min(share, 99.9):.1f}"
