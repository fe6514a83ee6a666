"""The goal of a NIC's throughput: what is compared, and when it is missed."""

from __future__ import annotations

from tests.bench import guest


def rates(jail: list[float], veth: list[float]) -> dict[str, dict[str, list[float]]]:
    return {"1 KB GET, keep-alive": {"jail": jail, "veth": veth}}


def test_the_best_of_the_rounds_is_compared() -> None:
    (goal,) = guest.goals(rates([100.0, 1000.0], [700.0, 10.0]))
    assert goal.met
    assert goal.found == "0.70 x"
    (goal,) = guest.goals(rates([1000.0], [690.0]))
    assert not goal.met
    assert "MISSED" in guest.table(rates([1000.0], [690.0]), [goal])
