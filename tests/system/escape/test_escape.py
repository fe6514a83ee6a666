"""The escape suite in CI: every attempt held, every control worked, and the documents say so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from netns.escapes import report
from netns.escapes.attempts import all_local
from netns.escapes.report import Line
from tests.escape import documentation
from tests.escape.scenes import SCENES
from tests.escape.stage import LabStage, missing
from tests.lab.programs import ROOT

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

_ROWS = range(1, 51)
_NOT_EVERYWHERE = frozenset(
    {
        # what only some kernels have
        "alg", "bluetooth", "can", "kcm", "xdp", "sctp", "dccp", "udp-lite", "mptcp", "mptcp6",
        "mem", "kvm", "fuse", "tun", "vsock-stream", "vsock-datagram", "vsock-device", "modprobe",
        "sysrq", "module", "netlink-xfrm", "netlink-connector", "debugfs", "tracefs", "disks",
        "uring-tcp", "uring-unix", "uring-setup", "tiocsti", "tiocsti-wide", "tioclinux", "perf",
        "userfaultfd", "fanotify", "acct", "bpf", "kernel-log", "kmsg", "cgroup", "keyring",
        "add-key", "iptables", "preload", "file-capabilities", "posix-queue", "core-pattern",
        "compat-uring", "compat-vsock", "compat-socketcall", "compat-umount", "compat-unshare",
        "compat-clone", "compat-tcp", "compat-keyring",
        "overcommit", "kill-guard", "kill-witness", "clone3-user", "open-tree",
    }
)  # fmt: skip
"""Attempts whose control may be impossible on a machine that runs the tests."""


class Played(NamedTuple):
    lines: list[Line]
    free: list[Line]
    """The same attempts of an ordinary user, in no jail at all."""
    faults: list[str]


@pytest.fixture(scope="module")
def played() -> Played:
    if reason := missing():
        if os.environ.get("EGRESSGUARD_REQUIRE_LAB") == "1":
            pytest.fail(f"EGRESSGUARD_REQUIRE_LAB=1, but there is no lab: {reason}")
        pytest.skip(reason)
    with LabStage() as stage:
        lines = report.lines(stage.play_all())
        lines += [scene(stage) for scene in SCENES]
        ordinary = [each for each in all_local() if not each.rights and not each.work]
        free = report.lines(stage.without_a_jail(ordinary))
        return Played(lines, free, stage.faults)


def test_nothing_arrives(played: Played) -> None:
    lines, faults = played.lines, played.faults
    failed = [line for line in lines if line.verdict in report.FAILED]
    assert failed == []
    assert faults == []


def test_the_suite_sees_an_escape(played: Played) -> None:
    """Whatever holds in the jail must be called an escape where there is no jail."""
    held = {line.id for line in played.lines if line.verdict == "held"}
    missed = [line.id for line in played.free if line.verdict != "escaped" and line.id in held]
    assert missed == []
    assert sum(line.verdict == "escaped" for line in played.free) >= 80


def test_every_control_works_or_cannot(played: Played) -> None:
    lines = played.lines
    impossible = {line.id: line.reason for line in lines if line.verdict == "not applicable"}
    assert set(impossible) <= _NOT_EVERYWHERE, impossible
    assert sum(line.verdict == "held" for line in lines) >= 200


def test_every_row_is_attempted(played: Played) -> None:
    lines = played.lines
    held = Counter(line.row for line in lines if line.verdict == "held")
    assert set(_ROWS) - set(held) <= {6}, "a row without an attempt that was held"
    assert max(Counter(line.id for line in lines).values()) == 1


def test_the_document_lists_every_attempt(played: Played) -> None:
    lines = played.lines
    text = documentation.PATH.read_text("utf-8")
    lost = [line.id for line in lines if f"| {line.title} |" not in text]
    assert lost == [], "run: python -m tests.escape --write-docs"


@pytest.fixture(scope="module")
def self_test() -> tuple[int, str]:
    command = [sys.executable, "-m", "interceptor.cli.main", "self-test", "--json"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_self_test(self_test: tuple[int, str]) -> None:
    code, text = self_test
    answer = json.loads(text)
    wrong = [each for each in answer["attempts"] if each["verdict"] in report.FAILED]
    assert (code, wrong, answer["faults"]) == (0, [], [])
    assert answer["passed"] is True
    assert sum(each["verdict"] == "held" for each in answer["attempts"]) >= 150


def test_self_test_leaves_nothing(self_test: tuple[int, str]) -> None:
    for place in ("/tmp/egressguard-self-test", "/dev/shm/egressguard-escape"):
        assert not Path(place).exists()


def test_self_test_without_root() -> None:
    command = [sys.executable, "-m", "interceptor.cli.main", "self-test", "--json"]
    become = ["setpriv", "--reuid=61183", "--regid=61183", "--clear-groups"]
    home = Path("/tmp/egx-rootless-home")
    home.mkdir(exist_ok=True)
    os.chown(home, 61183, 61183)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(home)}
    try:
        done = subprocess.run(
            [*become, *command], capture_output=True, text=True, timeout=120, env=environment
        )
    finally:
        subprocess.run(["rm", "-rf", str(home)], check=True)
    answer = json.loads(done.stdout)
    wrong = [each for each in answer["attempts"] if each["verdict"] in report.FAILED]
    assert (done.returncode, wrong, answer["faults"]) == (0, [], []), done.stderr
    assert {mode for each in answer["attempts"] for mode in each["modes"]} == {"rootless"}
