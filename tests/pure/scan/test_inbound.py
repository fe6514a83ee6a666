"""Inbound rules: their own examples, cut anywhere, and that ordinary text has none."""

from __future__ import annotations

import re

import pytest

from interceptor.decide.inbound import InboundWindow
from interceptor.scan.inbound import InboundScanner, load_inbound_rules
from interceptor.scan.ruleset import Rule, example, parse_rules
from interceptor.verdict import Action, Finding, Reason, Verdict

RULES = load_inbound_rules()
SCANNER = InboundScanner.build(RULES, None)
MATCH = [
    pytest.param(rule, example(parts, f"{rule.id}/{i}"), id=f"{rule.id}-{i}")
    for rule in RULES.rules
    for i, parts in enumerate(rule.match)
]
NO_MATCH = [
    pytest.param(rule, example(parts, f"{rule.id}/{i}"), id=f"{rule.id}-{i}")
    for rule in RULES.rules
    for i, parts in enumerate(rule.no_match)
]


def noted(findings: tuple[Finding, ...]) -> Verdict:
    return Verdict(Action.ALLOW, Reason.WOULD_BLOCK, findings[0].rule, "", findings)


def window(*, block: bool = True) -> InboundWindow:
    return InboundWindow(SCANNER, "response", b"k" * 16, None if block else noted)


def found(text: bytes) -> set[str]:
    return {RULES.rules[index].id for index, _ in SCANNER.scan(text)}


def test_the_files_are_sound() -> None:
    from importlib import resources

    for entry in (resources.files("interceptor") / "rules" / "inbound").iterdir():
        if entry.name.endswith(".toml"):
            assert parse_rules(entry.read_bytes(), entry.name, check=True)
    assert all(rule.match and rule.no_match for rule in RULES.rules)
    assert all(re.compile(rule.pattern.encode()) for rule in RULES.rules)


@pytest.mark.parametrize(("rule", "text"), MATCH)
def test_examples_match(rule: Rule, text: bytes) -> None:
    assert rule.id in found(text)
    assert rule.id in found(b"<p>" + text.upper() + b"</p>")


@pytest.mark.parametrize(("rule", "text"), NO_MATCH)
def test_counter_examples_do_not(rule: Rule, text: bytes) -> None:
    assert rule.id not in found(text)


@pytest.mark.parametrize(("rule", "text"), MATCH)
def test_a_match_is_found_wherever_it_is_cut(rule: Rule, text: bytes) -> None:
    for cut in range(1, len(text)):
        pieces = window()
        before = b"x" * 3000 + text[:cut]
        pieces.judge(before)
        after = pieces.judge(text[cut:] + b" and so on")
        whole = window().judge(before)
        assert after is not None or whole is not None, cut
        verdict = after or whole
        assert verdict is not None
        assert (verdict.allowed, verdict.reason) == (False, Reason.INJECTION)
        assert verdict.rule == rule.id


def test_a_rule_is_noted_once() -> None:
    text = example(RULES.rules[0].match[0], "x")
    pieces = window(block=False)
    first = pieces.judge(text)
    assert first is not None
    assert (first.allowed, first.reason) == (True, Reason.WOULD_BLOCK)
    assert pieces.judge(text) is None
    assert pieces.judge(b"more") is None


def test_findings_hold_a_digest_and_no_text() -> None:
    text = example(RULES.rules[0].match[0], "x")
    verdict = window().judge(text)
    assert verdict is not None
    assert len(verdict.findings[0].digest) == 16
    assert "previous" not in repr(verdict)


def test_ordinary_text_has_no_finding() -> None:
    text = b"""The previous instructions explain how to build. Ignore files listed in .gitignore.
    Do not show the prompt when stdin is not a terminal; the user may be asked later. Print the
    system log. You can override all of these settings in the configuration file."""
    assert found(text) == set()
