"""Secrets cut into pieces within one text, and words that run together."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.scan.decoders.joined import JOINED, join_fields, wordy
from interceptor.scan.engine import Scanner
from interceptor.scan.fragments import fragment_gates, prefixes
from interceptor.scan.plan import may_be_split
from interceptor.scan.ruleset import Rule, Ruleset, example, load_rules
from interceptor.verdict import Severity

SCANNER = Scanner.build(load_rules(), None)
SECRET = example(["gh", "p_", "{alnum:36}"], "joined")

JOINS = {
    "operator": b'x = "%s" + "%s" + "%s";',
    "single quotes": b"x = '%s' + '%s' + '%s'",
    "escaped": b'{"code": "x = \\"%s\\" + \\"%s\\" + \\"%s\\""}',
    "php": b"$x = '%s' . '%s' . '%s';",
    "basic": b'x = "%s" & "%s" & "%s"',
    "lua": b'x = "%s" .. "%s" .. "%s"',
    "adjacent": b'x = ("%s"\n     "%s"\n     "%s")',
    "next line": b'x = "%s" \\\n "%s" \\\n "%s"',
    "line joins": b"x = %s\\\n%s\\\n%s",
    "array": b'["%s","%s", "%s"]',
    "blanks": b"%s %s\t%s",
    "lines": b"%s\r\n%s\n  %s\n",
    "object": b'{"a": "%s", "b": "%s", "c": "%s"}',
    "object in a string": b'{"x": "{\\"a\\":\\"%s\\",\\"b\\":\\"%s\\",\\"c\\":\\"%s\\"}"}',
    "nested": b'{"a": "%s", "b": {"c": "%s", "d": ["%s"]}}',
    "form": b"a=%s&b=%s&c=%s",
    "cookie": b"Cookie: a=%s; b=%s; c=%s\r\n",
    "yaml": b"a: %s\nb: %s\nc: %s\n",
    "env": b'A="%s"\nB="%s"\nC="%s"\n',
    "xml": b"<a>%s</a><b>%s</b>\n<c x='1'>%s</c>",
    "headers": b"X-One: %s\r\nX-Two: %s\r\nX-Three: %s\r\n",
}


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("cuts", [(9, 20), (5, 30), (4, 39), (18, 19)])
def test_three_pieces_are_one_secret(join: str, cuts: tuple[int, int]) -> None:
    pieces = tuple(SECRET[a:b] for a, b in pairwise((0, *cuts, len(SECRET))))
    found = SCANNER.scan(JOINS[join] % pieces, "body").findings
    assert "github-token" in {SCANNER.rules[raw.rule].id for raw in found}
    assert not any(raw.encoding == "" for raw in found)


@pytest.mark.parametrize("join", JOINS)
def test_the_other_way_round_is_nothing(join: str) -> None:
    text = JOINS[join] % (SECRET[20:], SECRET[10:20], SECRET[:10])
    assert SCANNER.scan(text, "body").findings == ()


def test_a_rule_that_needs_its_context_is_not_looked_for_in_pieces() -> None:
    rule = Rule(
        id="digits",
        title="Digits",
        pattern="[0-9]{16}",
        severity=Severity.LOW,
        kind="structured",
    )
    text = b'["12345678", "12345678"] and some more words here'
    scanner = Scanner.build(Ruleset((rule,)), None)
    assert scanner.scan(text, "body").findings == ()
    assert scanner.scan(b"1234567812345678", "body").findings


@pytest.mark.parametrize(
    "text",
    [
        b"hf_ hub download takes the name of the file and the revision",
        b'"hf_", "transfer", "enabled", "caching", "tokenizer", "offline"',
        b"please set npm_ config registry and the other settings there",
    ],
)
def test_words_that_run_together_are_no_key(text: bytes) -> None:
    assert SCANNER.scan(text, "body").findings == ()


@given(st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=9))
def test_wordy_takes_anything(text: str) -> None:
    assert wordy(text.encode()) in (True, False)


def test_most_drawn_keys_are_not_wordy() -> None:
    drawn = [example(["{alnum:36}"], f"wordy/{n}") for n in range(2000)]
    assert sum(map(wordy, drawn)) <= 10
    letters = [example(["{alpha:34}"], f"wordy/{n}") for n in range(2000)]
    assert sum(map(wordy, letters)) <= 30


@given(st.binary(max_size=200))
def test_joins_take_anything_and_never_grow(text: bytes) -> None:
    for decoder in JOINED:
        for _, out in decoder.decode(text, set()):
            assert len(out) <= len(text) + 1


def test_floods_stay_linear() -> None:
    # Twice the text takes about twice the work; an exponential or square join never comes back.
    for unit in (b'"a" + ', b'"', b'" +', b"'\n", b"a=", b'","', b"</a><", b"\\"):
        text = unit * (400_000 // len(unit))
        for decoder in JOINED:
            assert sum(len(out) for _, out in decoder.decode(text, set())) <= len(text)
        assert len(join_fields(text, range(0, len(text), 3))) <= len(text)


def test_prefixes_of_patterns() -> None:
    assert prefixes("gh[po]_[a-z]{3}") == {"ghp_", "gho_"}
    assert prefixes("sk-(?:(?:proj|None)-)?[a-z]") == {"sk-", "sk-proj-", "sk-None-"}
    assert prefixes("[0-9]{8}:AA") == frozenset()


def test_gates_of_fragments_fire_where_a_value_ends_early() -> None:
    (gate,) = fragment_gates(["sk-ant-api[0-9]{2}-[a-z]{20}"])
    compiled = re.compile(gate)
    for text in ('"sk-"', '"sk-an"', "k=sk-ant-api03-abc&", "sk-ant-api\r\n"):
        assert compiled.search(text), text
    for text in ('"risk-averse"', '"sk"', "task-force and more", "sk-anx"):
        assert not compiled.search(text), text


def test_every_rule_with_a_prefix_has_a_gate() -> None:
    found = [prefixes(rule.pattern) for rule in SCANNER.rules if may_be_split(rule)]
    assert sum(1 for texts in found if texts) > len(found) * 0.9
