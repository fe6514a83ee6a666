"""Exit codes, streams, terminals, signals, and what is left after violence."""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import random
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.processes import Traces
from tests.lab.programs import JAIL_ENVIRONMENT, Terminal

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["true"], 0),
        (["false"], 1),
        (["sh", "-c", "exit 42"], 42),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["sh", "-c", "kill -KILL $$"], 128 + signal.SIGKILL),
        (["sh", "-c", "kill -SEGV $$"], 128 + signal.SIGSEGV),
        (["no-such-command-here"], 127),
        (["/no/such/path"], 127),
        (["/etc/passwd"], 126),
        (["/home"], 126),
    ],
)
def test_exit_code(lab: Lab, argv: list[str], code: int) -> None:
    done = lab.jail(argv)
    assert done.returncode == code, done.errors
    assert "Traceback" not in done.errors


def test_streams_are_the_caller_s(lab: Lab) -> None:
    data = bytes(range(256)) * 5000
    done = lab.jail(["sh", "-c", "cat; echo to-stderr >&2"], input=data)
    assert done.stdout == data
    assert "to-stderr" in done.errors


def test_end_of_input_arrives(lab: Lab) -> None:
    assert lab.jail(["wc", "-c"]).text == "0\n"


def test_who_and_where(lab: Lab) -> None:
    script = "id -u; id -g; pwd; grep -E '^(Cap|NoNewPrivs)' /proc/self/status; ps ax | wc -l"
    lines = lab.jail(["sh", "-c", script]).text.splitlines()
    assert lines[:3] == ["4242", "4242", "/home/dev/work"]
    assert {line.split()[1] for line in lines[3:-2]} == {"0" * 16}
    assert lines[-2] == "NoNewPrivs:\t1"
    assert int(lines[-1]) < 8


def test_never_silently_root(lab: Lab) -> None:
    command = [word for word in lab.jail_command(["true"]) if word not in ("--user", "dev")]
    done = lab.run(command, env=JAIL_ENVIRONMENT)
    assert done.returncode != 0
    assert b"--user" in done.stderr


def test_terminal(lab: Lab) -> None:
    script = "test -t 0 && test -t 1 && test -t 2 && tty && stty size && read x && echo got $x"
    done = lab.jail(["sh", "-c", script], tty=True, input=b"word\n")
    assert done.returncode == 0, done.text
    assert "got word" in done.text


def test_window_size_is_forwarded(lab: Lab) -> None:
    script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done"
    program = lab.start_jail(["sh", "-c", script], tty=True)
    try:
        _read_until(program, b"ready")
        fcntl.ioctl(program.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
        _read_until(program, b"33 77")
        assert program.wait(10) == 0
    finally:
        os.close(program.terminal)


def _read_until(program: Terminal, text: bytes) -> bytes:
    seen = b""
    end = time.monotonic() + 15
    while text not in seen:
        assert time.monotonic() < end, seen
        seen += os.read(program.terminal, 4096)
    return seen


def _start(lab: Lab, script: str, ready: bytes = b"ready\n") -> Terminal:
    """Start a jail and wait until its agent says that it runs."""
    program = lab.start_jail(["sh", "-c", script])
    assert program.stdout is not None
    assert program.stdout.readline() == ready
    return program


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_agent(lab: Lab, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo caught; exit 9' {name}; echo ready; while :; do sleep 0.05; done"
    program = _start(lab, script)
    program.send_signal(number)
    out, err = program.communicate(timeout=10)
    assert (program.returncode, out) == (9, b"caught\n"), err


def _roles(lab: Lab, program: Terminal) -> tuple[int, int]:
    """Pids of the supervisor and the interceptor of a jail."""
    shim = _children(program.pid)
    assert len(shim) == 1
    supervisor = shim[0]
    ours = {p.pid for p in lab.processes() if "interceptor.cli.main" in p.command}
    # Guard and witness live in the captive namespace.
    network = Path(f"/proc/{supervisor}/ns/net").readlink()
    (interceptor,) = [
        pid
        for pid in _children(supervisor)
        if pid in ours and _uid(pid) != 0 and Path(f"/proc/{pid}/ns/net").readlink() == network
    ]
    return supervisor, interceptor


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    return [int(word) for word in text.split()]


def _uid(pid: int) -> int:
    rows = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return int(next(row for row in rows if row.startswith("Uid:")).split()[1])


@pytest.fixture(scope="module")
def before(lab: Lab) -> Traces:
    """The host's traces after a first run, which makes the registry's and the log's directories."""
    lab.jail(["true"])
    seen = lab.traces()
    for _ in range(8):  # link-local addresses get their routes a moment after the lab's start
        time.sleep(1.5)
        if (now := lab.traces()) == seen:
            break
        seen = now
    return seen


def _left_behind(lab: Lab, before: Traces, seconds: float = 8.0) -> list[str]:
    """What a jail left on the host after `seconds` at most: nothing but its entry in the registry.

    `egressguard ps` reclaims the entry, as documented; after it the files are as before too.
    """
    end = time.monotonic() + seconds
    wanted = before.without_files()
    while (now := lab.traces()).without_files() != wanted and time.monotonic() < end:
        time.sleep(0.1)
    found = now.without_files().changes(wanted)
    reclaim = lab.run([sys.executable, "-m", "interceptor.cli.main", "ps"], env=JAIL_ENVIRONMENT)
    assert reclaim.returncode == 0, reclaim.stderr
    return found + lab.traces().changes(before)


_TALKING = (
    "echo ready; for i in $(seq 40); do "
    "curl -s -m 2 -o /dev/null -w '%{http_code} %{exitcode}\\n' https://api.example.com/get; "
    "sleep 0.1; done"
)


def test_nothing_is_left_after_an_ordinary_end(lab: Lab, before: Traces) -> None:
    lab.jail(["curl", "-sS", "https://api.example.com/get"])
    assert _left_behind(lab, before) == []


def test_a_child_left_running_dies_with_the_jail(lab: Lab, before: Traces) -> None:
    done = lab.jail(["sh", "-c", "setsid sleep 3210 & exit 3"], timeout=20)
    assert done.returncode == 3
    assert _left_behind(lab, before) == []


@pytest.mark.parametrize("victims", ["supervisor", "interceptor", "both"])
def test_kill_9(clean_lab: Lab, before: Traces, victims: str) -> None:
    lab = clean_lab
    program = _start(lab, _TALKING)
    assert program.stdout is not None
    assert program.stdout.readline() == b"200 0\n"
    supervisor, interceptor = _roles(lab, program)
    for pid in {"supervisor": [supervisor], "interceptor": [interceptor]}.get(
        victims, [supervisor, interceptor]
    ):
        os.kill(pid, signal.SIGKILL)
    lab.clear()  # what was under way may have arrived before
    time.sleep(0.3)
    seen_after = len(lab.requests())
    out, _ = program.communicate(timeout=60)
    answers = [line for line in out.splitlines() if line]
    assert b"200 0" not in answers[3:], answers
    if victims == "interceptor":
        # its DNS and its connections are refused (curl's 6 and 7), at once
        offline = answers.count(b"000 6") + answers.count(b"000 7")
        assert offline > 20, answers
    assert len(lab.requests()) == seen_after
    assert lab.oracle.records() == []
    assert _left_behind(lab, before) == []


def test_kill_9_of_everything_that_is_ours(clean_lab: Lab, before: Traces) -> None:
    lab = clean_lab
    program = _start(lab, "echo ready; sleep 600")
    for process in lab.processes():
        if "interceptor.cli.main" in process.command:
            # One of them may have died of another's death before its turn.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    program.communicate(timeout=20)
    assert _left_behind(lab, before) == []


MOMENTS = int(os.environ.get("EGRESSGUARD_MOMENTS", "16"))
"""Moments at which something is killed; 200 take three minutes."""


def test_kill_9_at_any_moment(clean_lab: Lab, before: Traces) -> None:
    """Any of the processes, at any stage of a jail's life: nothing is left, nothing gets out."""
    lab = clean_lab
    draw = random.Random(20261123)
    killed: collections.Counter[str] = collections.Counter()
    for moment in range(MOMENTS):
        # One moment in each slice of the first second, so that every stage has its turn.
        wait = 1.2 * (moment + draw.random()) / MOMENTS
        program = lab.start_jail(["sh", "-c", "curl -s -m 2 http://10.0.0.1/; sleep 2"])
        time.sleep(wait)
        ours = [p for p in lab.processes() if _is_ours(p.command)]
        if ours:
            victim = draw.choice(ours)
            killed[Path(victim.command[0]).name] += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim.pid, signal.SIGKILL)
        program.kill()  # what is left of it, as a closing terminal would
        program.communicate(timeout=20)
        assert _left_behind(lab, before) == [], (moment, wait)
    assert sum(killed.values()) > MOMENTS // 2
    assert lab.oracle.records() == []


def _is_ours(command: tuple[str, ...]) -> bool:
    return "interceptor.cli.main" in command or Path(command[0]).name == "bwrap"


def test_two_jails_at_once(clean_lab: Lab) -> None:
    first = _start(clean_lab, "echo ready; sleep 1; curl -sS https://one.example.com/get")
    second = _start(clean_lab, "echo ready; sleep 1; curl -sS https://two.example.com/get")
    for program, name in ((first, b"one.example.com"), (second, b"two.example.com")):
        out, err = program.communicate(timeout=30)
        assert name in out, err


def test_evidence_that_cannot_be_written_stops_traffic(clean_lab: Lab) -> None:
    """A full disk under the evidence: refused, and nothing arrives."""
    clean_lab.run(["mkdir", "-p", "/run/small"])
    clean_lab.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", "/run/small"])
    try:
        script = "for i in $(seq 60); do curl -sS -m 5 -o /dev/null -w '%{http_code}\\n' "
        script += "https://api.example.com/get/$i; done"
        command = clean_lab.jail_command(
            ["sh", "-c", script], "--evidence", "/run/small/evidence.jsonl"
        )
        done = clean_lab.run(command, env=JAIL_ENVIRONMENT, cwd="/home/dev/work", timeout=90)
        codes = done.stdout.split()
        assert b"503" in codes, (codes, done.stderr)
        first = codes.index(b"503")
        assert set(codes[first:]) == {b"503"}
        assert len(clean_lab.requests()) == first
        assert b"Traceback" not in done.stderr
    finally:
        clean_lab.run(["umount", "/run/small"])
        clean_lab.run(["rmdir", "/run/small"])


def test_usage_errors_start_nothing(lab: Lab) -> None:
    for options in (["--policy", "/no/such.yaml"], ["--preset", "none"], ["--user", "nobody-here"]):
        command = lab.jail_command(["touch", "/home/dev/work/started"], *options)
        done: subprocess.CompletedProcess[bytes] = lab.run(command, env=JAIL_ENVIRONMENT)
        assert done.returncode in (2, 125), (options, done.stderr)
        assert b"Traceback" not in done.stderr
        assert not lab.path("/home/dev/work/started").exists()


def test_rootless(clean_lab: Lab) -> None:
    done = clean_lab.jail(["curl", "-sS", "https://api.example.com/get"], "--rootless", user="dev")
    assert '"name": "api.example.com"' in done.text, done.errors
    done = clean_lab.jail(["curl", "-sS", "http://10.0.0.1/"], "--rootless", user="dev")
    assert "oracle" not in done.text
    assert clean_lab.oracle.records() == []
