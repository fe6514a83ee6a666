"""`egressguard demo`, run as people run it: every leak arrives without the jail, none with it."""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.demo.attempts import load, plant
from tests.demo.search import seen_of
from tests.lab.programs import ROOT

pytestmark = pytest.mark.lab

COMMAND = [sys.executable, "-m", "interceptor.cli.main", "demo"]


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    from tests.demo.stage import missing

    if reason := missing():
        if os.environ.get("EGRESSGUARD_REQUIRE_LAB") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    began = time.monotonic()
    done = subprocess.run([*COMMAND, "--json"], cwd=ROOT, capture_output=True, check=False)
    took = time.monotonic() - began
    assert done.stdout, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, "code": done.returncode, "took": took, "progress": done.stderr.decode()}


def test_every_leak_is_stopped(shown: dict[str, Any]) -> None:
    rows = shown["rows"]
    assert len(rows) >= 15
    assert len({row["id"] for row in rows}) == len(rows)
    assert [row["id"] for row in rows if not row["stopped"]] == []
    assert [row["id"] for row in rows if row["oracle"]] == []
    assert shown["oracle_bytes"] == 0


def test_every_leak_arrives_without_egressguard(shown: dict[str, Any]) -> None:
    """Positive control: the attempts work, and the search finds the key however it is written."""
    assert [row["id"] for row in shown["rows"] if not row["reached"]] == []


def test_each_leak_has_its_event(shown: dict[str, Any]) -> None:
    wrong = [
        (row["id"], row["reason"], row["expect"], row["events"])
        for row in shown["rows"]
        if row["reason"] != row["expect"] or row["events"] != bool(row["expect"])
    ]
    assert wrong == []
    assert sum(row["events"] for row in shown["rows"]) >= 15


def test_honest_work_is_done(shown: dict[str, Any]) -> None:
    assert len(shown["work"]) >= 5
    assert [row for row in shown["work"] if not row["done"]] == []


def test_evidence_holds_nothing_of_the_key(shown: dict[str, Any]) -> None:
    assert shown["evidence_bytes"] == 0


def test_nothing_is_left_behind(shown: dict[str, Any]) -> None:
    assert shown["left_behind"] == []


def test_says_so_and_ends_well(shown: dict[str, Any]) -> None:
    assert (shown["code"], shown["passed"]) == (0, True), shown["progress"]
    count = len(shown["rows"])
    assert f"{count} of {count} leaks stopped; oracle saw 0 bytes of the key" in shown["progress"]
    assert shown["took"] < 30


def test_a_jail_that_only_watches_is_found_out() -> None:
    """Positive control of the whole: with a policy that lets findings pass, the table says so."""
    from tests.demo.stage import Stage

    with Stage(options=("--preset", "audit")) as stage:
        stage.leaks = [each for each in stage.leaks if each.id in ("url-query", "raw-tcp")]
        rows = {row.id: row for row in stage.jailed()}
        assert stage.leaked() >= rows["url-query"].oracle
    assert (rows["url-query"].stopped, rows["url-query"].events) == (False, 0)
    assert rows["url-query"].oracle == 40
    assert rows["raw-tcp"].saw == "ECONNRESET"


def test_lines_without_a_terminal() -> None:
    done = subprocess.run(COMMAND, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    leaks = [line for line in lines if line.startswith(("stopped", "LEAKED"))]
    assert len(leaks) >= 15, done.stderr
    assert all("without: reached" in line and "oracle: nothing" in line for line in leaks)
    assert "\x1b" not in done.stdout


def test_needs_root() -> None:
    done = subprocess.run(
        COMMAND, cwd=ROOT, user=65534, group=65534, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "needs root" in done.stderr
    assert "Traceback" not in done.stderr


def test_planted_keys_are_new_each_time() -> None:
    assert set(plant().values()).isdisjoint(plant().values())


def test_search_reads_what_is_written() -> None:
    key = plant()["GITHUB_TOKEN"]
    plain = key.encode()
    written = (
        plain,
        plain[::-1],
        plain.hex().encode(),
        b"x=" + base64.b64encode(b"ab" + plain),
        base64.b32encode(plain).lower().rstrip(b"="),
        gzip.compress(b"log " + plain),
        base64.b64encode(gzip.compress(plain)),
        "".join(f"%25{letter:02x}" for letter in plain).encode(),
    )
    for data in written:
        assert seen_of(key, [data]) >= len(key) - 2, data
    assert seen_of(key, [plain[:20], plain[15:]]) == len(key)
    assert seen_of(key, [plain[10:20]]) == 10
    assert seen_of(key, [b"nothing of the kind" * 100, os.urandom(4096)]) == 0


def test_missing_programs_leave_their_attempts_out() -> None:
    everything = {attempt.id for attempt in load("leak", lambda _: "/bin/true")}
    without = {attempt.id for attempt in load("leak", lambda _: None)}
    assert everything - without == {"curl"}
    assert len(without) >= 15
