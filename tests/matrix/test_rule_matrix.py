"""Every rule's examples under every encoding, and each pattern by itself."""

from __future__ import annotations

import hyperscan
import pytest

from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import Rule, example
from tests.recall.chains import missing
from tests.recall.encodings import ENCODINGS
from tests.recall.examples import Chain, applies, secrets
from tests.recall.groups import EACH_GROUP, RULES, nothing

BARE = {"base58", "ascii85", "base85", "lookalikes", "spaced", "concatenated", "joined-lines"}
"""Of these some are missed now and then: docs/detection.md has the figures, and test_rule_recall.py
holds what is stated."""

KNOWN = {
    # A JSON array of words, within JSON in JSON: quotes escaped three times part no words.
    "recovery-phrase[3] json-in-json",
}
"""Misses that are known, and why."""


@pytest.mark.parametrize("rules", EACH_GROUP)
def test_every_encoding(scanner: Scanner, rules: list[Rule]) -> None:
    chains = [Chain((encoding,)) for encoding in ENCODINGS if encoding.name not in BARE]
    assert len(chains) > 25
    missed = []
    for secret in secrets(rules, 1, first=12):
        name = f"{secret.rule.id}[{secret.number}]"
        missed += [f"{name} {one}" for one in missing(scanner, secret, chains)[1]]
    nothing([one for one in missed if one not in KNOWN])


@pytest.mark.parametrize("rules", EACH_GROUP)
def test_what_must_not_match_does_so_under_no_encoding(scanner: Scanner, rules: list[Rule]) -> None:
    """But for one in a hundred: another text is another text, `password` in ROT13 a good one."""
    missed, sent = [], 0
    for rule in rules:
        for number, parts in enumerate(rule.no_match):
            text = example(parts, f"{rule.id}/no/{number}")
            for encoding in ENCODINGS:
                if not applies(rule, (encoding,)):
                    continue
                sent += 1
                scan = scanner.scan(b'{"note":"' + encoding.encode(text) + b'"}', "head")
                if rule.id in {scanner.rules[raw.rule].id for raw in scan.findings}:
                    missed.append(f"{rule.id}[{number}] {encoding.name}")
    assert len(missed) * 100 <= sent, missed


def test_every_pattern_compiles_alone() -> None:
    """One bad pattern fails the whole compile without a name."""
    refused = []
    for rule in RULES:
        try:
            hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK).compile(
                expressions=[rule.pattern.encode()], ids=[0], elements=1, flags=[0]
            )
        except hyperscan.HyperscanError as error:
            refused.append(f"{rule.id}: {error}")
    nothing(refused)
