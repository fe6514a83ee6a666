"""Marks: by which a part of a secret is told, plain and in encodings, at every offset."""

from __future__ import annotations

import base64
import codecs
import os
from pathlib import Path

import pytest

from interceptor.scan.engine import Scanner
from interceptor.scan.known_matcher import compile_matcher
from interceptor.scan.marks import LONGEST, Marks, compile_known, mark_table
from interceptor.scan.plan import may_be_split
from interceptor.scan.ruleset import KnownSecret, Ruleset, example, parse_rules

RULES = b"""
version = 1
[[rule]]
id = "long"
title = "With a long prefix"
pattern = 'sk-own-v1-[A-Za-z0-9]{40}'
severity = "high"
[[rule]]
id = "short"
title = "With a short one"
pattern = 'gh[po]_[A-Za-z0-9]{36}'
severity = "high"
[[rule]]
id = "inner"
title = "Without a prefix, with a fixed part"
pattern = '[A-Za-z0-9]{14}\\.own9\\.[A-Za-z0-9]{40}'
severity = "high"
[[rule]]
id = "alternatives"
title = "With one of several fixed parts"
pattern = '[0-9]{9}(?:=AST|=BST|%CST)[A-Za-z0-9]{20}'
severity = "high"
[[rule]]
id = "nothing-fixed"
title = "Without any fixed part"
pattern = '[0-9a-f]{32}-[a-z]{2}[0-9]'
severity = "high"
"""


@pytest.fixture(scope="module")
def marks() -> Marks:
    return Scanner.build(Ruleset(parse_rules(RULES, "test")), None).marks


def found(marks: Marks, text: bytes) -> bool:
    return bool(marks.find(b"some words\n" + text + b"\nand more"))


SECRETS = {
    "long": example(["sk", "-own-v1-", "{alnum:40}"], "marks"),
    "short": example(["gh", "o_", "{alnum:36}"], "marks"),
    "inner": example(["{alnum:14}", ".own", "9.", "{alnum:40}"], "marks"),
    "alternatives": b"123456789%CST" + b"a1B2c3D4e5F6g7H8i9J0",
}


@pytest.mark.parametrize("rule", SECRETS)
def test_every_encoding_at_every_offset(marks: Marks, rule: str) -> None:
    secret = SECRETS[rule]
    assert found(marks, secret)
    assert found(marks, secret.hex().encode())
    assert found(marks, secret.hex().upper().encode())
    assert found(marks, codecs.encode(secret.decode(), "rot13").encode())
    for offset in range(6):
        text = b"x" * offset + secret
        assert found(marks, base64.b64encode(text)), offset
        assert found(marks, base64.urlsafe_b64encode(text)), offset
        assert found(marks, base64.b32encode(text)), offset


def test_what_a_mark_says(marks: Marks) -> None:
    ((long, end),) = marks.find(b"a sk-own-v1-abc")
    assert (long.short, long.encoded, long.known) == (False, False, False)
    assert end == len(b"a sk-own-v1-")
    ((short, _),) = marks.find(b"ghp_")
    assert short.short
    ((encoded, _),) = marks.find(base64.b64encode(b"sk-own-v1-"))
    assert encoded.encoded
    assert max(mark.size for mark, _ in marks.find(SECRETS["long"].hex().encode())) <= LONGEST


def test_ordinary_text_holds_none(marks: Marks) -> None:
    page = Path(__file__).read_text().partition("RULES")[0] * 3
    assert marks.find(page.encode()) == []
    random = base64.b64encode(os.urandom(300))
    assert len([mark for mark, _ in marks.find(random) if not mark.short]) <= 1


def test_known_secrets_are_added_and_replaced(marks: Marks) -> None:
    both = marks.with_known(*compile_known([(b"first secret", False), (b"SECOND", True)]))
    assert [mark.known for mark, _ in both.find(b"a first one")] == [True]
    assert found(both, b"Second")
    assert found(both, SECRETS["long"])
    other = both.with_known(*compile_known([(b"third secret", False)])).clone()
    assert not found(other, b"first secret")
    assert found(other, b"third secret")
    none = other.with_known(b"", ())
    assert not found(none, b"third secret")
    assert found(none, SECRETS["long"])
    assert Marks(()).find(SECRETS["long"]) == []


def test_a_scanner_has_them() -> None:
    scanner = Scanner.build(Ruleset(parse_rules(RULES, "test")), None)
    assert found(scanner.marks, SECRETS["long"])
    assert not found(scanner.marks, b"its own secret")
    secret = KnownSecret(id="known:X", title="X", value=b"its own secret, that nobody else has")
    knows = scanner.with_secrets([secret], b"")
    assert found(knows.marks, b"its o")
    assert found(knows.clone().marks, base64.b64encode(b"-its own s"))
    matcher = compile_matcher([secret], b"")
    assert matcher is not None
    assert b"nobody" not in repr(matcher.marks).encode()


def test_nearly_every_rule_that_ships_has_marks(scanner: Scanner) -> None:
    split = [rule for rule in scanner.rules if may_be_split(rule)]
    without = [rule.id for rule in split if not mark_table([rule])]
    assert len(without) <= len(split) // 20, without
