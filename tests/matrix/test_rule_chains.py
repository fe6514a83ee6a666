"""Encodings inside encodings: every pair, and longer chains drawn by seed.

`python -m tests.recall --chains` does this for every rule.
"""

from __future__ import annotations

import pytest

from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import Rule
from tests.recall.chains import missing
from tests.recall.encodings import Encoding
from tests.recall.examples import CHAINABLE, chain, is_split, pairs, random_chains, secrets
from tests.recall.groups import EACH_GROUP, RULES, nothing

SPLIT = [rule for rule in RULES if is_split(rule)]


@pytest.mark.parametrize("rules", EACH_GROUP)
def test_random_chains(scanner: Scanner, rules: list[Rule]) -> None:
    found = []
    for secret in secrets(rules, 1, first=7):
        name = f"{secret.rule.id}/{secret.number}"
        _, missed = missing(scanner, secret, random_chains(name, 6))
        found += [f"{name} {one}" for one in missed]
    nothing(found)


@pytest.mark.parametrize("encoding", CHAINABLE, ids=lambda encoding: encoding.name)
def test_every_pair(scanner: Scanner, encoding: Encoding) -> None:
    """Each pair with two rules, different ones for each pair."""
    chains = [pair for pair in pairs() if pair.encodings[1] is encoding]
    assert len(chains) == len(CHAINABLE)
    count = 0
    found = []
    for number, pair in enumerate(chains):
        at = (CHAINABLE.index(encoding) * len(CHAINABLE) + number) * 2
        for rule in (SPLIT[at % len(SPLIT)], SPLIT[(at + 1) % len(SPLIT)]):
            secret = next(secrets([rule], 1, first=at))
            tried, missed = missing(scanner, secret, [pair])
            found += [f"{rule.id} {one}" for one in missed]
            count += tried
    nothing(found)
    assert count > len(CHAINABLE)


@pytest.mark.parametrize(
    "names",
    [
        ("base64", "base64", "base64", "base64"),
        ("percent", "percent", "percent", "percent"),
        ("hex", "base64", "percent", "escapes-u"),
        ("base64url", "gzip+base64", "hex", "reversed"),
        ("escapes-x", "base32", "entities", "rot13"),
        ("quoted-printable", "base64-wrapped", "zero-width", "hex-colons"),
        ("reversed", "percent", "base64", "escapes-u"),
        ("rot13", "escapes-x", "hex", "entities-named"),
    ],
    ids=">".join,
)
def test_four_deep(scanner: Scanner, names: tuple[str, ...]) -> None:
    found = []
    for number, rule in enumerate(SPLIT):
        if number % 3 == len(names[0]) % 3:
            _, missed = missing(scanner, next(secrets([rule], 1)), [chain(*names)])
            found += [f"{rule.id} {one}" for one in missed]
    nothing(found)


def test_what_is_out_of_reach_is_known() -> None:
    """The only chains that are left out are those that docs/detection.md names."""
    out = [pair for pair in pairs() if pair.out_of_reach]
    assert out == []
    assert chain("rot13", "reversed", "percent").out_of_reach
    assert chain("base64", "reversed", "rot13", "hex").out_of_reach
    assert not chain("percent", "reversed", "rot13").out_of_reach
    assert not chain("rot13", "percent", "reversed", "hex").out_of_reach


def test_a_chain_that_is_not_undone_is_noticed(scanner: Scanner) -> None:
    """Positive control: more layers than are undone."""
    secret = next(secrets([SPLIT[0]], 1))
    _, missed = missing(scanner, secret, [chain(*["base64"] * 7)])
    assert len(missed) == 1


def test_the_chain_is_told(scanner: Scanner) -> None:
    """A finding says how the secret was wrapped, outermost first."""
    secret = next(secrets([SPLIT[0]], 1))
    text = chain("base64", "hex").encode(secret.text)
    assert text is not None
    scan = scanner.scan(text, "body")
    assert "base64>hex" in {raw.encoding for raw in scan.findings}
