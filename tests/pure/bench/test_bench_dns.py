"""The bench of the DNS shim: its goals, its report, and one short run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import dns


def _facts(*, good: bool) -> dict[str, object]:
    sample = {"median": 299.0, "p99": 900.0, "rate": 9_000.0, "per core": 15_001.0}
    if not good:
        sample |= {"median": 301.0, "per core": 14_999.0}
    return {"samples": {"new names": [sample] * 3}, "leases": 49e6 if good else 51e6}


@pytest.mark.parametrize("good", [True, False])
def test_goals_are_held_against_what_was_found(good: bool) -> None:
    found = dns.goals(_facts(good=good))
    assert len(found) == 3
    assert {goal.met for goal in found} == {good}


def test_a_short_run(tmp_path: Path) -> None:
    samples = dns.measured(tmp_path, 1, 200)
    assert set(samples) == set(dns.NAMES)
    for (sample,) in samples.values():
        assert 0 < sample["median"] <= sample["p99"]
        assert sample["rate"] > 0
        assert sample["per core"] > 0
    described = {"cores": 1, "model": "", "kernel": "", "python": "", "egressguard": ""}
    facts: dict[str, object] = {"machine": described | {"revision": ""}, "load": [0.0, 0.0]}
    facts |= {"rounds": 1, "samples": samples, "leases": 1e6}
    table = dns.table(facts, dns.goals(facts))
    assert "new names" in table
    assert "100,000 leases" in table
