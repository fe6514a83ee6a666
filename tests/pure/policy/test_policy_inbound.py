"""The section `inbound` of a policy: what is accepted, and where an error says it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from interceptor.policy.inbound_checks import inbound_rules
from interceptor.policy.loading import PolicyError, load
from interceptor.scan.injection.rules import load_rule_book


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "egressguard.yaml"
    file.write_text(f"version: 1\ninbound:\n{text}", "utf-8")
    return file


def test_rules_that_are_exempted_are_those_that_ship() -> None:
    assert inbound_rules() == {intent.id for intent in load_rule_book().intents}


def test_exemptions(tmp_path: Path) -> None:
    text = (
        "  exempt:\n    - {rule: override-instructions, host: docs.example.com}\n"
        "    - {host: '*.example.org'}\n    - {rule: conceal-from-user}\n"
    )
    found = load(written(tmp_path, text), None).inbound.exempt
    assert [(entry.rule, entry.host) for entry in found] == [
        ("override-instructions", "docs.example.com"),
        ("*", "*.example.org"),
        ("conceal-from-user", ""),
    ]


def test_what_is_wrong_is_said_with_its_place(tmp_path: Path) -> None:
    for text, place, said in (
        ("  exempt:\n    - {rule: overide-instructions}\n", ":4:", "did you mean override-instr"),
        ("  exempt:\n    - host: a.example\n      rule: zzzz\n", ":5:", "no rule 'zzzz'"),
        ("  exempt:\n    - {rule: '*'}\n", ":4:", "switch the search off"),
        ("  exempt:\n    - {host: 'a b'}\n", ":4:", "no host pattern"),
        ("  thresholds: {high: 30, low: 60}\n", ":3:", "out of order"),
        ("  web: {high: blok}\n", ":3:", "blok"),
        ("  taint: {seconds: -1}\n", ":3:", ">= 0"),
        ("  sources: {llm: ['a b']}\n", ":3:", "no host pattern"),
    ):
        with pytest.raises(PolicyError) as caught:
            load(written(tmp_path, text), None)
        message = str(caught.value)
        assert f"egressguard.yaml{place}" in message, (text, message)
        assert said in message, (text, message)
