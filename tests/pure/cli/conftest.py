"""Commands with a small ruleset and a cache of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from interceptor.cli import scan_setup
from interceptor.cli.scan_setup import Options, Prepared
from interceptor.scan import ruleset
from interceptor.scan.injection.scanner import InjectionScanner
from tests.scan_samples import sample_injections, sample_rules


@pytest.fixture(scope="session")
def scan_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def sampled(scan_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Prepared]:
    """Let `scan` and `check` look for the sample rules; gives `prepare`."""
    monkeypatch.setattr(scan_setup, "cache_folder", lambda: scan_cache)
    monkeypatch.setattr(ruleset, "load_rules", lambda _=None: sample_rules())
    injections = sample_injections()
    monkeypatch.setattr(InjectionScanner, "build", lambda _=None, **_more: injections)
    return lambda options=Options(), **more: scan_setup.prepare(options, **more)  # noqa: B008
