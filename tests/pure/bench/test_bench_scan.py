"""The bench of scans: its texts hold no secrets, its floods are what they say, goals are held."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import load_rules
from tests.bench import scan
from tests.bench.scanning import measures
from tests.bench.scanning.floods import drawn, floods
from tests.bench.scanning.texts import KINDS, texts

RULES = load_rules()
_MACHINE = ("cores", "model", "kernel", "python", "egressguard", "revision")


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_of_their_size_and_hold_no_secret(kind: str) -> None:
    scanner = Scanner.build(RULES, None)
    for size in (90, 10_240):
        some = texts(kind, size, 3)
        assert len(set(some)) == 3
        for text in some:
            assert size - 4 <= len(text) <= size
            assert scanner.scan(text, "body").findings == ()
    assert texts(kind, 500, 2, seed=1) != texts(kind, 500, 2, seed=2)


def test_floods_are_of_their_size() -> None:
    names = floods(RULES.rules)
    assert len(names) > 30
    for name, flood in names.items():
        assert 9_000 <= len(flood(10_000)) <= 10_100, name


@pytest.mark.parametrize(
    "pattern", ["ab{3}[0-9]{2}", "(?:x|y)z?", "[^a]{4}", r"\d\s", "a(?>bc|d)e*+"]
)
def test_what_is_drawn_matches(pattern: str) -> None:
    for seed in range(20):
        assert re.fullmatch(pattern, drawn(pattern, random.Random(seed)))


def test_user_rules_are_a_thousand_and_differ() -> None:
    rules = measures.user_rules()
    assert len({rule.pattern for rule in rules}) == len(rules) == 1000
    assert {rule.kind for rule in rules} == {"prefixed", "contextual"}


def _facts(*, good: bool) -> dict[str, Any]:
    off = 1.0 if good else 1.2
    taken: dict[str, dict[str, list[float]]] = {}
    for row in measures.ROWS:
        goal = row.goal or 25
        ours = 1 / goal if row.long else goal * 1e-6
        taken[row.name] = {
            "egressguard": [ours * 0.99 * off] * 3,
            "with 1000 rules": [ours * (1.48 if good else 1.9)] * 3,
            "re": [ours * 100] * 3,
        }
    return {
        "machine": dict.fromkeys(
            ("cores", "model", "kernel", "python", "egressguard", "revision"), "?"
        ),
        "rounds": 3,
        "rules": 7,
        "load": [0.0, 0.0],
        "texts": taken,
        "worst": {"f": {"1 MB": 0.1, "4 MB": 0.5 * off, "refused": False, "refused at 4 MB": True}},
        "start": {
            name: [0.016 * off] * 3 for name in ("rules", "databases", "first scan", "again")
        },
    }


@pytest.mark.parametrize("good", [True, False])
def test_goals_are_held_against_what_was_found(good: bool) -> None:
    facts = _facts(good=good)
    found = scan.goals(facts)
    stated = [goal for goal in found if "again" not in goal.name]
    assert all(goal.met is good for goal in stated), [g for g in stated if g.met is not good]
    assert len(found) >= 2 * len(measures.ROWS)
    shown = scan.table(facts, found)
    assert ("MISSED" in shown) is not good
    assert max(map(len, shown.splitlines())) <= 110
