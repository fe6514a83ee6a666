"""Fixtures of every test: the lab."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from interceptor.scan.ruleset import Rule
    from tests.lab import Lab


def pytest_configure() -> None:
    """Give signals their usual meaning: nohup(1), or a shell that runs the tests in the background,
    has some ignored, which programs under test would inherit and rightly keep.
    """
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # How long an example takes says more about what else the machine does; pytest-timeout is there.
    settings.register_profile("egressguard", deadline=None)
    settings.load_profile("egressguard")
    _compile_once()


def _compile_once() -> None:
    """Keep what scanners compile for the length of the run: seconds each, in dozens of modules."""
    from interceptor.scan import engine, plan

    shared = os.environ.get("EGRESSGUARD_TEST_CACHE")  # of several processes: scripts/test
    if shared is None:
        _KEPT.append(tempfile.TemporaryDirectory(prefix="egressguard-test-"))
        shared = _KEPT[0].name
    kept = Path(shared)

    def open_plan(rules: Sequence[Rule], folder: Path | None) -> plan.Opened:
        return plan.open_plan(rules, folder or kept)

    engine.__dict__["open_plan"] = open_plan


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The lab, one for the whole run. Skips where there can be none; with
    EGRESSGUARD_REQUIRE_LAB=1 (CI, scripts/test) that is a failure.
    """
    from tests.lab import Lab

    if reason := Lab.missing():
        if os.environ.get("EGRESSGUARD_REQUIRE_LAB") == "1":
            pytest.fail(f"EGRESSGUARD_REQUIRE_LAB=1, but there is no lab: {reason}")
        pytest.skip(reason)
    with Lab() as built:
        yield built


@pytest.fixture
def clean_lab(lab: Lab) -> Lab:
    """The lab with nothing on record."""
    lab.clear()
    lab.forget_pins()
    return lab
