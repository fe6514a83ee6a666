"""The table of escape attempts, and how verdicts are made of what was seen."""

from __future__ import annotations

import importlib
import inspect

import pytest

from netns.escapes import report
from netns.escapes.attempt import Attempt, Event, Proof
from netns.escapes.attempts import all_local
from netns.escapes.play import Result, Side, target
from netns.escapes.task import Task

_LOCAL = list(all_local())


def test_table() -> None:
    assert len({attempt.id for attempt in _LOCAL}) == len(_LOCAL) >= 150
    assert len({attempt.title for attempt in _LOCAL}) == len(_LOCAL)
    assert {attempt.row for attempt in _LOCAL} <= set(range(1, 51))


def test_every_program_exists_and_says_what_it_does() -> None:
    for attempt in _LOCAL:
        module, _, name = attempt.program.partition(".")
        program = getattr(importlib.import_module(f"netns.escapes.programs.{module}"), name)
        assert list(inspect.signature(program).parameters) == ["task"]
        assert program.__doc__


def result(
    control: Side | None = None,
    jailed: Side | None = None,
    *,
    event: str = "",
    guarded: bool = False,
    wanted: Event = Event.NONE,
    work: bool = False,
) -> Result:
    attempt = Attempt(id="a", row=1, title="t", program="local.stream", event=wanted, work=work)
    return Result(
        attempt=attempt,
        mode="user",
        control=control or Side("c", "sent", arrived=["packets"]),
        control_user="user",
        jailed=jailed or Side("j", "EPERM"),
        event=event,
        guarded=guarded,
    )


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (result(), "held"),
        (result(jailed=Side("j", "EPERM", arrived=["packets"])), "escaped"),
        (result(jailed=Side("j", "read", looted=True)), "escaped"),
        (result(jailed=Side("j", "opened", gained=True)), "escaped"),
        (result(control=Side("c", "sent")), "no control"),
        (result(control=Side("c", "sent"), jailed=Side("j", arrived=["x"])), "escaped"),
        (result(control=Side("c", "EPROTONOSUPPORT")), "not applicable"),
        (result(wanted=Event.BLOCK), "unseen"),
        (result(wanted=Event.BLOCK, event="secret"), "held"),
        (result(wanted=Event.PACKET), "held"),
        (result(wanted=Event.PACKET, guarded=True), "unseen"),
        (result(work=True), "broken"),
        (result(work=True, jailed=Side("j", "works", gained=True)), "held"),
    ],
)
def test_verdict(given: Result, verdict: str) -> None:
    assert given.verdict == verdict


def test_one_bad_jail_makes_a_bad_line() -> None:
    good = result()
    bad = result(jailed=Side("j", "sent", arrived=["packets"]))
    bad.mode = "rootless"
    (line,) = report.lines([good, bad])
    assert line.verdict == "escaped"
    assert line.modes == {"user": "held", "rootless": "escaped"}
    assert not report.passed([line])
    assert "1 FAILED: a" in report.summary([line])


def test_nothing_tried_is_not_passed() -> None:
    assert not report.passed([])
    inapplicable = report.lines([result(control=Side("c", "ENOSYS"))])
    assert report.passed(inapplicable)
    assert report.summary(inapplicable).startswith("0 of 1 attempts")


def test_markdown_keeps_its_columns() -> None:
    given = result(jailed=Side("j", "a | b\nc"))
    row = report.markdown(report.lines([given])).splitlines()[-1]
    assert row.replace("\\|", "").count("|") == 9


def test_packets_are_matched_by_where_they_went() -> None:
    world = {"public4": "9.9.9.9", "public6": "2d00:99::1", "neighbour4": "192.168.77.1"}
    found = {
        each.id: target(each, world) for each in _LOCAL if each.id in ("udp", "udp6", "freebind")
    }
    assert found == {
        "udp": ("9.9.9.9", 4444),
        "udp6": ("2d00:99::1", 4444),
        "freebind": ("9.9.9.9", 4444),
    }


def test_what_a_program_says_of_itself() -> None:
    task = Task({"nonce": "n", "args": {}}, {})
    assert task.gain("opened") == "opened"
    task.took(b"secret")
    assert (task.gained, task.loot) == (True, "secret")
    assert Proof("loot") is Proof.LOOT
