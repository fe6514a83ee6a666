"""The rules by the file they stand in: a test for each, whose messages name the rule."""

from __future__ import annotations

from importlib import resources

import pytest

from interceptor.scan.ruleset import Rule, load_rules, parse_rules

RULES: tuple[Rule, ...] = load_rules().rules
"""All of them, as scanners count them."""


def _groups() -> dict[str, list[Rule]]:
    by_id = {rule.id: rule for rule in RULES}
    folder = resources.files("interceptor") / "rules"
    files = sorted((entry for entry in folder.iterdir()), key=lambda entry: entry.name)
    return {
        entry.name.removesuffix(".toml"): [
            by_id[rule.id] for rule in parse_rules(entry.read_bytes(), entry.name)
        ]
        for entry in files
        if entry.name.endswith(".toml")
    }


GROUPS = _groups()
"""Name of the file -> its rules."""
EACH_GROUP = [pytest.param(rules, id=name) for name, rules in GROUPS.items()]
"""For `pytest.mark.parametrize("rules", ...)`."""


def nothing(found: list[str], most: int = 20) -> None:
    """Fail if there is anything in a list of failures, and show the first ones."""
    shown = "\n".join(found[:most])
    assert not found, f"{len(found)} failures:\n{shown}"
