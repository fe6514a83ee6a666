"""Patterns in databases of their own: nothing is missed for it, in short texts and in long ones."""

from __future__ import annotations

import random
import re

import pytest

from interceptor.scan.database import Pattern
from interceptor.scan.decoders import DECODERS, GATES
from interceptor.scan.engine import Scanner
from interceptor.scan.mirror import core, loosened
from interceptor.scan.ruleset import Rule, Ruleset, RulesetError, example, load_rules, parse_rules
from interceptor.scan.stages import Hinted, stages_of
from interceptor.scan.validators.bip39 import may_be_phrase
from tests.bench.scanning.floods import drawn

FILLING = b"Nothing to be seen here, my dear. " * 40


def once(*texts: str) -> list[Pattern]:
    return [Pattern(text.encode(), "test", once=True) for text in texts]


def test_a_run_stands_alone_and_below_a_wider_one() -> None:
    patterns = once("[a-z0-9]{20}", "needle", "[0-9]{24}", "[a-z]{19}", "[0-9]{15}", "x[0-9]{30}")
    stages = stages_of(patterns, [])
    assert {1, 4, 5} <= set(stages.main)  # too short to skip through; no run
    assert not {0, 2, 3} & set(stages.main)
    assert stages.further[: stages.always].count((0,)) == 1
    below = {stages.further[number] for number in stages.calls[0]}
    assert below == {(2,)}
    assert (3,) in stages.further[: stages.always]  # shorter than what is around it


def test_runs_of_the_same_class_do_not_wait_for_each_other() -> None:
    stages = stages_of(once("[a-z]{20}", "[a-z]{20}"), [])
    assert (0,) in stages.further[: stages.always]
    assert stages.calls[0] == (stages.further.index((1,)),)


def test_what_has_hints_is_called_level_by_level() -> None:
    patterns = once("a", "b", "c")
    first, second = once("one"), once("two")
    stages = stages_of(patterns, [Hinted((tuple(first), tuple(second)), (1, 2))])
    assert set(stages.main) == {0, 3}
    (number,) = stages.calls[3]
    assert stages.further[number] == (4,)
    (number,) = stages.calls[4]
    assert stages.further[number] == (1, 2)


def test_every_pattern_is_looked_for() -> None:
    stages = stages_of(once(*(gate for _, gate in GATES)), [])
    reached = set(stages.main)
    left = list(stages.further[: stages.always])
    while left:
        group = left.pop()
        reached |= set(group)
        left += [
            stages.further[number] for index in group for number in stages.calls.get(index, ())
        ]
    assert reached == set(range(len(stages.patterns)))


HINTED = [rule for rule in load_rules().rules if rule.hints]


@pytest.mark.parametrize("rule", HINTED, ids=lambda rule: str(rule.id))
def test_each_match_of_a_rule_holds_a_hint(rule: Rule) -> None:
    flags = re.IGNORECASE if rule.caseless else re.NOFLAG
    hints = [re.compile(hint.encode(), flags) for hint in rule.hints]
    loose = re.compile(loosened(core(rule.pattern)).encode(), flags)
    count = 0
    for seed in range(300):
        text = drawn(rule.pattern, random.Random(seed)).encode("latin-1")
        if not re.search(rule.pattern.encode(), text, flags):
            continue  # for a byte outside of a class an x is drawn
        count += 1
        assert any(hint.search(text) for hint in hints), text
        assert loose.search(text), text
    assert count > 50
    assert not any(hint.search(FILLING[:40]) for hint in hints)


EXACT = ("utf-16", "controls", "separated", "concat")


def test_each_match_of_a_gate_holds_a_hint() -> None:
    count = 0
    for decoder in DECODERS:
        if decoder.name not in EXACT or not decoder.hints:
            continue
        (level,) = decoder.hints
        hints = [re.compile(hint.encode(), re.DOTALL) for hint in level]
        for gate in decoder.gates:
            for seed in range(20):
                text = drawn(gate, random.Random(seed)).encode("latin-1")
                assert any(hint.search(text) for hint in hints), (decoder.name, gate, text)
                count += 1
    assert count > 400


def test_short_texts_and_long_ones_hold_the_same(scanner: Scanner) -> None:
    for rule in scanner.rules:
        for number, parts in enumerate(rule.match[:2]):
            text = example(parts, f"stages/{number}")
            for whole in (text, FILLING + b"\n" + text + b"\n" + FILLING):
                found = {scanner.rules[raw.rule].id for raw in scanner.scan(whole, "head").findings}
                assert rule.id in found, (rule.id, len(whole))


def test_a_hint_that_is_no_pattern() -> None:
    text = b"""version = 1
[[rule]]
id = "a"
title = "A"
severity = "low"
pattern = '[0-9]{16}'
hints = ['[0-9']
"""
    with pytest.raises(RulesetError, match="bad hint"):
        parse_rules(text, "own.toml")


def test_a_user_rule_with_a_hint() -> None:
    text = b"""version = 1
[[rule]]
id = "badge"
title = "Badge"
severity = "low"
pattern = '[0-9]{4}-[0-9]{4}-[0-9]{8}'
hints = ['[0-9]{4}-[0-9]{4}-']
"""
    scanner = Scanner.build(Ruleset(parse_rules(text, "own.toml")), None)
    for filling in (b"", FILLING):
        assert scanner.scan(filling + b" 1234-5678-12345678", "body").findings
        assert not scanner.scan(filling + b" 1234-5678_12345678", "body").findings


def test_a_glance_at_words() -> None:
    words = b"legal winner thank year wave sausage worth useful legal winner thank yellow"
    end = len(words) - 3
    for text in (words, words.upper(), words.replace(b" ", b"\\n"), words.replace(b" ", b'", "')):
        assert may_be_phrase(text, len(text) - 3)
    assert may_be_phrase(b"and so they said that " + words + b" and more", end + 22)
    assert not may_be_phrase(words.replace(b"useful", b"unlisted"), end + 2)
    assert not may_be_phrase(words.removeprefix(b"legal "), end - 6)
    assert not may_be_phrase(b"the people who had been there went home again after that " * 4, 100)
