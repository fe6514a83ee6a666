"""A few seconds of the bench: every kind of load carries what it says, and the report is whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.bench import __main__ as bench
from tests.bench import goals, load, startup, steady, subjects
from tests.bench.load import Sample
from tests.bench.machine import CLIENT_CORE, BenchError
from tests.bench.subjects import Subject
from tests.lab import Lab, LabError, nginx
from tests.lab.programs import ROOT

_START = {
    "wall": [300.0, 310.0, 900.0],
    "memory": [{"pss": 50e6, "rss": 40e6, "processes": {"7 python": 50e6}}],
    "captive": {"inside": [20.0], "whole": [40.0]},
}
_SLOW_START = {"wall": [401.0], "memory": [{"pss": 61e6}], "captive": {"inside": [50.5]}}


def _facts(*, good: bool) -> dict[str, object]:
    late = {"streams": 200, "events": 9, "lost": 0 if good else 1}
    return {
        "start": _START if good else _SLOW_START,
        "leaves": {"leaf": 199.0 if good else 201.0, "again": 2.0 if good else 20.0},
        "delay": {
            "direct": [100.0] * 98 + [500.0, 500.0],
            "egressguard": [399.0] * 98 + [2499.0] * 2 if good else [401.0] * 98 + [2501.0] * 2,
        },
        "memory": {
            "download 1 MB": 50e6,
            "download 1 GB": 69e6 if good else 71e6,
            "upload 1 MB": 50e6,
            "upload 1 GB": 69e6 if good else 71e6,
        },
        "idle": {"before": 50e6, "after": 79e6 if good else 81e6, "connections": 1000},
        "events": {"egressguard": {**late, "late": {"most": 99.0 if good else 101.0}}},
    }


def _samples(*, good: bool) -> dict[str, dict[str, list[Sample]]]:
    """Rates that just meet all goals, or just miss them."""
    found = {}
    for measure in load.MEASURES:
        other, direct = 100.0, 100.0 * measure.other / (measure.direct or 1)
        ours = other * measure.other * (1.001 if good else 0.999)
        rates = {"direct": direct, "egressguard": ours, "mitmproxy": other}
        found[measure.name] = {name: [Sample(rate, 1e-4)] * 3 for name, rate in rates.items()}
    return found


@pytest.mark.parametrize("good", [True, False])
def test_goals_are_held_against_what_was_found(good: bool) -> None:
    found = goals.goals(_samples(good=good), _facts(good=good))
    assert {goal.name for goal in found if goal.met is not good} == set()
    assert len(found) == len(load.MEASURES) + 6 + 2 + 2 + 2 + 1 + 2 + 3


def test_a_run_of_a_part_speaks_about_that_part() -> None:
    assert goals.goals({}, {}) == []
    assert [goal.name for goal in goals.goals({}, {"idle": _facts(good=True)["idle"]})] == [
        "an idle connection"
    ]


def test_a_ratio_compares_within_a_round() -> None:
    ours = [Sample(100.0), Sample(10.0), Sample(1000.0)]
    other = [Sample(10.0), Sample(1.0), Sample(100.0)]
    assert goals.ratios({"egressguard": ours, "mitmproxy": other}) == {
        "egressguard/mitmproxy": 10.0
    }


def test_a_percentile_is_a_value_that_was_taken() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert goals.percentile(values, 0.5) == 51.0
    assert goals.percentile(values, 0.99) == 100.0
    assert goals.percentile([7.0], 0.99) == 7.0


def test_leaves_are_measured() -> None:
    found = steady.leaves(3)
    assert 0 < found["again"] < found["leaf"] < found["context"]


def test_bodies_have_their_size_and_are_json() -> None:
    for size in (1024, 1024**2):
        body = nginx.text(size)
        assert len(body) == size
        json.loads(body)


def test_help_needs_nothing() -> None:
    done = subprocess.run(
        [str(ROOT / "scripts" / "bench"), "--help"], capture_output=True, text=True, check=True
    )
    assert "examples:" in done.stdout


def test_a_shell_reports_what_fails() -> None:
    program = subprocess.Popen(
        ["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    shell = subjects.Shell(program)
    assert shell.run("echo one; echo two") == "one\ntwo\n"
    with pytest.raises(BenchError, match="exit 3"):
        shell.run("(exit 3)")
    with pytest.raises(BenchError, match="has ended"):
        shell.run("exit")
    shell.close()


@pytest.mark.lab
@pytest.mark.skipif(
    not all(map(shutil.which, ("wrk", "nginx", "h2load"))), reason="run scripts/bench once"
)
def test_every_load_through_a_real_jail(capsys: pytest.CaptureFixture[str]) -> None:
    """In a lab of its own: nginx may be started once in each."""
    with Lab() as lab:
        url = lab.nginx(CLIENT_CORE)
        load.furnish(lab)
        samples: dict[str, dict[str, list[Sample]]] = {}
        with subjects.direct(lab, url) as direct, subjects.ours(lab, url) as ours:
            assert ours.pid
            measured: list[Subject] = [direct, ours]
            for measure in (*load.MEASURES[:3], load.MEASURES[-1]):
                samples[measure.name] = bench._interleave(measure, measured, 1, 1, warm=False)
            delays = steady.delays(measured, 1, 1)
            assert all(len(delays[name]) > 100 for name in ("direct", "egressguard"))
            events = steady.events([ours], lab, 1)["egressguard"]
            assert events["events"] > steady.STREAMS
            assert events["lost"] == 0
            sizes = steady.idle(ours, lab)
            assert sizes["after"] > sizes["before"]
            with pytest.raises(BenchError, match="wrk failed"):
                load.requests(ours, "/absent", 1, 1)  # a 404 is no success
        decided = [e for e in lab.evidence(subjects.EVIDENCE) if e.get("event") == "decision"]
        carried = sum(row["egressguard"][0].rate for row in samples.values())
        # Every request that was counted is on record: nothing went around the judge.
        assert len(decided) >= carried * 0.9
        assert all(row["egressguard"][0].cpu > 0 for row in samples.values())
        assert startup._spawn(lab, "time", 1)[0] > 0
        size = startup._spawn(lab, "memory", 1)[0]
        assert size["pss"] > 10e6
    assert "round 1 of 1" in capsys.readouterr().err


@pytest.mark.lab
def test_it_says_why_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Lab) -> None:
        raise LabError("no lab today")

    monkeypatch.setattr(Lab, "start", broken)
    monkeypatch.setattr("tests.bench.startup.prepare", lambda: None)
    monkeypatch.setattr("tests.bench.machine.install_programs", lambda: None)
    monkeypatch.setattr("tests.bench.machine.mitmproxy", lambda: sys.executable)
    assert bench.main(["--quick", "--only", "start"]) == 125
