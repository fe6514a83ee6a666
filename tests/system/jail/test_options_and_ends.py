"""What a jail can be told at its start, and jails seen and ended from outside."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.lab import Lab
from tests.lab.programs import JAIL_ENVIRONMENT

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

_BUSY = "curl -s -o /dev/null http://www.example.com/; echo up; {trap}while :; do sleep 0.1; done"


def command(lab: Lab, *words: str) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-m", "interceptor.cli.main", *words]
    return lab.run(line, env=dict(JAIL_ENVIRONMENT))


def text(done: subprocess.CompletedProcess[bytes]) -> str:
    return (done.stdout + done.stderr).decode()


def until_listed(lab: Lab, name: str) -> None:
    deadline = time.monotonic() + 30
    while name not in text(command(lab, "ps", "--json")) or '"agent"' not in text(
        command(lab, "ps", "--json")
    ):
        assert time.monotonic() < deadline, "the jail does not come up"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("trap", "said"), [("", "ended"), ("trap '' TERM; ", "killed")], ids=["polite", "stubborn"]
)
def test_kill_ends_a_jail_and_all_in_it(clean_lab: Lab, trap: str, said: str) -> None:
    line = ["sh", "-c", _BUSY.format(trap=trap)]
    with clean_lab.start_jail(line, "--name", "victim") as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"up\n"
        until_listed(clean_lab, "victim")
        done = command(clean_lab, "kill", "victim", "--after", "2")
        assert done.returncode == 0, text(done)
        assert f"victim: {said}" in text(done)
        assert program.wait(20) != 0
    assert "victim" not in text(command(clean_lab, "ps"))
    again = command(clean_lab, "kill", "victim")
    assert again.returncode == 2
    assert "no live jail" in text(again)


def test_logs_of_a_live_jail_and_afterwards(clean_lab: Lab) -> None:
    script = "curl -s -o /dev/null http://10.0.0.1/; " + _BUSY.format(trap="")
    logs = [sys.executable, "-m", "interceptor.cli.main", "logs"]
    with clean_lab.start_jail(["sh", "-c", script], "--name", "talker") as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"up\n"
        until_listed(clean_lab, "talker")
        with clean_lab.popen([*logs, "-f", "talker"], env=dict(JAIL_ENVIRONMENT)) as following:
            assert following.stdout is not None
            first = following.stdout.readline().decode()
            live = text(command(clean_lab, "logs"))
            assert "ALLOW  http_request  GET http://www.example.com:80/" in live
            assert command(clean_lab, "kill", "talker").returncode == 0
            seen = following.communicate(timeout=20)[0].decode()
    assert "START" in first
    assert "STOP" in seen
    evidence = max(clean_lab.path("/var/log").glob("evidence-*.jsonl"))
    refused = text(command(clean_lab, "logs", "--refused", f"/var/log/{evidence.name}"))
    assert "address_private" in refused
    assert "ALLOW" not in refused
    assert command(clean_lab, "logs", "/nowhere/at/all").returncode == 1


def test_a_time_limit_ends_the_agent(clean_lab: Lab) -> None:
    done = clean_lab.jail(["sleep", "60"], "--timeout", "1")
    assert done.returncode == 124
    assert "time limit of 1 s" in done.errors
    assert clean_lab.jail(["true"], "--timeout", "30").returncode == 0


def test_what_runs_later_and_was_changed_is_told(clean_lab: Lab) -> None:
    done = clean_lab.jail(["sh", "-c", "echo 'curl evil.example' >> ~/.bashrc; echo x > notes.txt"])
    assert done.returncode == 0
    assert "/.bashrc" in done.errors
    assert "notes.txt" not in done.errors
    (stopped,) = [e for e in done.events() if e["event"] == "stopped"]
    assert [line.rpartition("/")[2] for line in stopped["changed"]] == [".bashrc"]
    quiet = clean_lab.jail(["sh", "-c", "echo x > notes.txt"])
    assert [e["changed"] for e in quiet.events() if e["event"] == "stopped"] == [[]]


def test_user_namespaces_only_where_they_were_asked_for(clean_lab: Lab) -> None:
    nested = [
        "unshare",
        "--user",
        "--map-root-user",
        "--net",
        "sh",
        "-c",
        "id -u; ip link; curl -sS --max-time 5 http://www.example.com/",
    ]
    assert clean_lab.jail(nested).returncode != 0
    done = clean_lab.jail(nested, "--nested-sandboxes")
    assert done.text.startswith("0\n"), done.errors
    assert "Could not resolve host" in done.errors  # they lead nowhere
