"""Rules turned round and in ROT13."""

from __future__ import annotations

import codecs
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.scan.engine import Scanner
from interceptor.scan.mirror import ROT13, MirrorError, reversed_pattern, rot13_pattern
from interceptor.scan.plan import may_be_split
from interceptor.scan.ruleset import Rule, example, load_rules

RULES = load_rules().rules
SPLIT = [rule for rule in RULES if may_be_split(rule)]
SCANNER = Scanner.build(load_rules(), None)

PATTERNS = (
    "abc",
    "AK(?:IA|SA)[A-Z2-7]{16}",
    r"x[^a-f]{2}y{1,3}",
    r"(?:ab|cd){2}\.[0-9]?",
    r"gh[pousr]_(\w{3})",
    r"a.b",
)


def rot13(text: bytes) -> bytes:
    return codecs.encode(text.decode("latin-1"), "rot13").encode("latin-1")


def test_rot13_is_the_codec() -> None:
    every = bytes(range(256))
    assert every.translate(ROT13) == rot13(every)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=st.text("abcdxyAKISgho_0123.", max_size=12))
def test_a_turned_pattern_takes_exactly_the_turned_matches(pattern: str, text: str) -> None:
    plain = text.encode()
    there = re.fullmatch(pattern.encode(), plain) is not None
    back = re.fullmatch(reversed_pattern(pattern).encode(), plain[::-1]) is not None
    turned = re.fullmatch(rot13_pattern(pattern).encode(), rot13(plain)) is not None
    assert (back, turned) == (there, there)


@pytest.mark.parametrize("pattern", [r"\bword", "^a", "(a)\\1", "a(?=b)"])
def test_what_has_a_direction_is_not_turned(pattern: str) -> None:
    with pytest.raises(MirrorError):
        reversed_pattern(pattern)


@pytest.mark.parametrize("rule", SPLIT, ids=lambda rule: rule.id)
def test_every_rule_finds_its_examples_turned(rule: Rule) -> None:
    for number, parts in enumerate(rule.match):
        text = example(parts, f"mirror/{number}")
        ordinary = SCANNER.scan(text, "head").findings
        plain = {raw.digest for raw in ordinary}
        if not any(SCANNER.rules[raw.rule].id == rule.id for raw in ordinary):
            continue  # this draw is no good example
        for way, turned in (("reversed", text[::-1]), ("rot13", rot13(text))):
            found = SCANNER.scan(b"x " + turned + b" y", "head").findings
            mine = [raw for raw in found if SCANNER.rules[raw.rule].id == rule.id]
            assert mine, (way, number)
            # Of a token in two parts the second may be one by itself, with a word joined to it.
            assert {raw.encoding for raw in mine} - {f"joined>{way}"} == {way}
            if way == "rot13":  # a tail that may vary in length ends elsewhere when turned round
                assert {raw.digest for raw in mine} <= plain
