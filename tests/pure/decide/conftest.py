"""Judges for the tests: one scanner, any policy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interceptor.decide.judge import Judge
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.scan.ruleset import load_rules


@pytest.fixture(scope="session")
def scanner() -> Scanner:
    return Scanner.build(load_rules(), None)


@pytest.fixture(scope="session")
def inbound() -> InjectionScanner:
    return InjectionScanner.build(None)


@pytest.fixture
def judge_of(scanner: Scanner) -> Callable[[Policy], Judge]:
    return lambda policy: Judge(policy, scanner, b"k" * 16)


@pytest.fixture
def judge(judge_of: Callable[[Policy], Judge]) -> Judge:
    return judge_of(Policy())
