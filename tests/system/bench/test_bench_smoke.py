"""A few seconds of the bench: every kind of load carries what it says, and the report is whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.bench import __main__ as bench
from tests.bench import load, report, startup, subjects
from tests.bench.load import Sample
from tests.bench.machine import CLIENT_CORE, BenchError
from tests.bench.subjects import Subject
from tests.lab import Lab, LabError
from tests.lab.programs import ROOT

_START = {
    "wall": [300.0, 310.0, 900.0],
    "memory": [{"pss": 50e6, "rss": 40e6, "processes": {"7 python": 50e6}}],
    "captive": {"inside": [20.0], "whole": [40.0]},
}


def _samples(ours: float) -> dict[str, dict[str, list[Sample]]]:
    rates = {"direct": 20_000.0, "egressguard": ours, "mitmproxy": 500.0}
    rows = {name: [Sample(rate, 1e-4)] * 3 for name, rate in rates.items()}
    return {measure.name: rows for measure in load.MEASURES[:2]}


def test_goals_are_held_against_the_medians() -> None:
    assert [goal.met for goal in report.goals(_samples(5000.0), _START)] == [True] * 5
    slow = {
        **_START,
        "wall": [401.0],
        "memory": [{"pss": 61e6}],
        "captive": {"inside": [50.0]},
    }
    assert [goal.met for goal in report.goals(_samples(4999.0), slow)] == [False] * 5


def test_a_ratio_compares_within_a_round() -> None:
    ours = [Sample(100.0), Sample(10.0), Sample(1000.0)]
    other = [Sample(10.0), Sample(1.0), Sample(100.0)]
    assert report.ratios({"egressguard": ours, "mitmproxy": other}) == {
        "egressguard/mitmproxy": 10.0
    }


def test_bodies_have_their_size_and_are_json() -> None:
    for size in (1024, 1024**2):
        body = load.text(size)
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
    not all(map(shutil.which, ("wrk", "nginx"))), reason="wrk or nginx is missing: scripts/bench"
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
            for measure in (load.MEASURES[0], load.MEASURES[1], load.MEASURES[2]):
                samples[measure.name] = bench._interleave(measure, measured, 1, 1, warm=False)
            with pytest.raises(BenchError, match="wrk failed"):
                load.requests(ours, "/absent", "-c 1", 1)  # a 404 is no success
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
