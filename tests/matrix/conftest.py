"""One scanner for all of these tests."""

from __future__ import annotations

import pytest

from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import Ruleset, load_rules


@pytest.fixture(scope="session")
def ruleset() -> Ruleset:
    return load_rules()


@pytest.fixture(scope="session")
def scanner(ruleset: Ruleset) -> Scanner:
    return Scanner.build(ruleset, None)
