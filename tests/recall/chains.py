"""Encodings inside encodings."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import Rule
from tests.recall.examples import Chain, Secret, applies, pairs, random_chains, secrets

RANDOM = 60
"""Random chains of each example of a rule in a full run."""


def missing(scanner: Scanner, secret: Secret, chains: Iterable[Chain]) -> tuple[int, list[str]]:
    """Scan `secret` under chains; return how many were possible, and names of those missed."""
    count = 0
    missed = []
    for chain in chains:
        if chain.out_of_reach or not applies(secret.rule, chain.encodings):
            continue
        text = chain.encode(secret.text)
        if text is None:
            continue
        count += 1
        scan = scanner.scan(b'{"note":"' + text + b'"}', "head")
        if all(scanner.rules[raw.rule].id != secret.rule.id for raw in scan.findings):
            missed.append(chain.name + (" (incomplete)" if scan.incomplete else ""))
    return count, missed


def whole(scanner: Scanner, rules: Sequence[Rule]) -> tuple[int, list[str]]:
    """Every pair for one example of each rule, random chains for all. See `cuts.whole`."""
    count = 0
    lines = []
    every = pairs()
    for secret in secrets(rules, 1):
        chains = random_chains(f"{secret.rule.id}/{secret.number}", RANDOM)
        if secret.number == 0:
            chains += every
        found, missed = missing(scanner, secret, chains)
        count += found
        lines += [f"{secret.rule.id}[{secret.number}] {name}" for name in missed]
    random.Random(0).shuffle(lines)  # so that a short list shows many kinds
    return count, lines
