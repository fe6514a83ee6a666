"""Orphans after kill -9: the lock tells, and what is left is killed."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from interceptor.cli.ps import command
from netns.registry import Registry

pytestmark = pytest.mark.lab

SUPERVISOR = """
import subprocess, sys, time
from pathlib import Path
from netns.processes import process
from netns.registry import Registry
child = subprocess.Popen(["sleep", "60"])
held = Registry(Path(sys.argv[1])).register(
    ["agent", "--api-key", "hunter"], policy="strict", evidence="/e", began=time.time(), name="one")
held.update([process("enclosure", child.pid)])
print(child.pid, flush=True)
time.sleep(60)
"""


def supervisor(directory: Path) -> tuple[subprocess.Popen[str], int]:
    running = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert running.stdout is not None
    return running, int(running.stdout.readline())


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("netns.registry.default_directory", lambda: tmp_path / "jails")
    return tmp_path / "jails"


def test_ps_lists_a_live_jail_and_reclaims_a_killed_one(directory: Path) -> None:
    running, child = supervisor(directory)
    handle = os.pidfd_open(child)
    with running:
        alive = CliRunner().invoke(command, ["--json"])
        assert alive.exit_code == 0, alive.output
        listed = json.loads(alive.output)
        assert [jail["name"] for jail in listed["jails"]] == ["one"]
        assert listed["jails"][0]["command"] == ["agent", "--api-key", "***"]
        assert listed["reclaimed"] == []
        table = CliRunner().invoke(command, [])
        assert "one" in table.output
        assert "strict" in table.output
        assert "hunter" not in table.output + alive.output
        running.send_signal(signal.SIGKILL)
    after = json.loads(CliRunner().invoke(command, ["--json"]).output)
    assert after["jails"] == []
    assert [(found["name"], found["killed"][0]["pid"]) for found in after["reclaimed"]] == [
        ("one", child)
    ]
    assert select.select([handle], [], [], 0)[0], "the killed jail's process still runs"
    os.close(handle)
    assert list(directory.iterdir()) == []
    assert "No live jail" in CliRunner().invoke(command, []).output


def test_ps_says_in_words_what_it_reclaimed(directory: Path) -> None:
    running, _ = supervisor(directory)
    with running:
        running.send_signal(signal.SIGKILL)
    said = CliRunner().invoke(command, []).output
    assert "Reclaimed one" in said
    assert "enclosure" in said


@pytest.mark.parametrize("forgets", [True, False])
def test_a_forked_child_that_forgets_does_not_keep_the_jail_alive(
    directory: Path, *, forgets: bool
) -> None:
    """The interceptor is forked while the lock is held; False shows why it must forget."""
    jails = Registry(directory)
    held = jails.register(["agent"], policy="strict", began=1.0, name="forked")
    here, there = socket.socketpair()
    child = os.fork()
    if child == 0:
        here.close()
        if forgets:
            held.forget_in_child()
        there.send(b"r")
        there.recv(1)
        os._exit(0)
    there.close()
    assert here.recv(1) == b"r"
    assert [jail.name for jail in jails.list()] == ["forked"]
    held.forget_in_child()  # what the kernel does when the supervisor is killed
    reclaimed = jails.reclaim()
    here.close()
    os.waitpid(child, 0)
    assert [found.name for found in reclaimed] == (["forked"] if forgets else [])
