"""The goals of `scripts/bench containment` are held against what was found."""

from __future__ import annotations

from tests.bench import containment


def _facts(*, good: bool) -> dict[str, object]:
    worse = 0 if good else 1
    return {
        "load": [0.1, 0.2],
        "stages": [
            {
                "enclosure": 20.0,
                "enclosure, seccomp and self-test": 70.0 + worse,
                "gate": 9.0,
                "witness": 1.0,
                "all": 300.0,
            }
        ],
        "owners": {"0 reuses": [10.0, 20.0], "200 keeps": [149.0 + 2 * worse] * 3},
        "flood": {
            "alone": [1000.0],
            "own": [900.0],
            "flood": [500.0 - worse],
            "sent": [50_000],
            "sent own": [50_000],
        },
    }


def test_each_goal_is_met_or_missed_by_its_own_figure() -> None:
    assert [goal.met for goal in containment.goals(_facts(good=True))] == [True] * 3
    assert [goal.met for goal in containment.goals(_facts(good=False))] == [False] * 3


def test_the_table_says_which_goal_was_missed() -> None:
    facts = _facts(good=False)
    text = containment.table(facts, containment.goals(facts))
    assert text.count("NOT MET") == 3
    assert "50000" in text
