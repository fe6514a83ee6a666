"""No byte of a secret leaves a body's window, wherever its chunks are cut.

Every rule at every byte, plain; encoded at some bytes of each, drawn by seed.
`python -m tests.recall --cuts` cuts all of them everywhere.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import Rule
from tests.recall.cuts import UNDER, Leak, leaks
from tests.recall.encodings import BY_NAME
from tests.recall.examples import applies, secrets
from tests.recall.groups import EACH_GROUP, RULES, nothing


def _told(rule: Rule, what: str, found: Sequence[Leak]) -> list[str]:
    return [f"{rule.id} {what}: {leak}" for leak in found]


@pytest.mark.parametrize("rules", EACH_GROUP)
def test_cut_at_every_byte(scanner: Scanner, rules: list[Rule]) -> None:
    found = []
    for rule in rules:
        secret = next(secrets([rule], 1, first=3))
        cuts = range(len(secret.text) + 1)
        found += _told(rule, "plain", leaks(scanner, rule.id, secret.text, cuts))
    nothing(found)


@pytest.mark.parametrize("rules", EACH_GROUP)
def test_a_pause_at_some_bytes(scanner: Scanner, rules: list[Rule]) -> None:
    """After a pause the first part may be gone; what follows it is still stopped."""
    found = []
    for rule in rules:
        secret = next(secrets([rule], 1, first=4))
        draw = random.Random(rule.id)
        cuts = sorted({1, len(secret.text) - 1, *draw.choices(range(1, len(secret.text)), k=6)})
        found += _told(rule, "pause", leaks(scanner, rule.id, secret.text, cuts, flush=True))
    nothing(found)


@pytest.mark.parametrize("rules", EACH_GROUP)
def test_encoded_and_cut_at_some_bytes(scanner: Scanner, rules: list[Rule]) -> None:
    found = []
    for rule in rules:
        secret = next(secrets([rule], 1, first=5))
        draw = random.Random(rule.id)
        for name in UNDER:
            encoding = BY_NAME[name]
            if applies(rule, (encoding,)):
                text = encoding.encode(secret.text)
                cuts = sorted({1, len(text) - 1, *draw.choices(range(1, len(text)), k=4)})
                found += _told(rule, name, leaks(scanner, rule.id, text, cuts))
    nothing(found)


def test_a_window_that_lets_go_too_early_is_noticed(scanner: Scanner) -> None:
    """Positive control: the same check on a rule that does not exist, and on a harmless text."""
    secret = next(secrets([RULES[0]], 1))
    assert len(leaks(scanner, "no-such-rule", secret.text, [3, 5])) == 2
    found = leaks(scanner, RULES[0].id, b"harmless words " * 4, [3])
    assert [leak.caught for leak in found] == [False]
    assert found[0].left > 3
