"""Names, masks and entries of the registry, in a directory of the test."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns import naming, processes, registry
from netns.naming import masked
from netns.processes import Process
from netns.registry import Jail, Registration, Registry, RegistryError


@pytest.fixture
def jails(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "jails")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as running:
        yield running
        running.kill()


def enter(jails: Registry, name: str | None = None, *running: Process) -> Registration:
    return jails.register(
        ["claude", "--print"],
        policy="balanced",
        evidence="/var/log/e.jsonl",
        began=1.0,
        name=name,
        processes=running,
    )


def orphan(jails: Registry, name: str, *running: Process) -> Path:
    """An entry whose supervisor was killed: the file is there, the lock is not."""
    enter(jails, name, *running).forget_in_child()
    return jails.directory / f"{name}.json"


def test_a_live_jail_is_listed_until_it_ends(jails: Registry) -> None:
    assert jails.list() == ()
    held = enter(jails)
    (jail,) = jails.list()
    assert jail == held.jail
    assert (jail.policy, jail.evidence, jail.began) == ("balanced", "/var/log/e.jsonl", 1.0)
    assert jails.reclaim() == ()
    held.close()
    held.close()
    assert jails.list() == ()
    assert list(jails.directory.iterdir()) == []


def test_entries_are_private(jails: Registry) -> None:
    held = enter(jails, "private")
    assert jails.directory.stat().st_mode & 0o777 == 0o700
    assert (jails.directory / "private.json").stat().st_mode & 0o777 == 0o600
    held.close()


def test_an_update_is_seen_whole_and_keeps_the_jail_alive(jails: Registry) -> None:
    held = enter(jails, "updated")
    own = processes.process("supervisor", os.getpid())
    for _ in range(3):
        held.update([own], evidence="/elsewhere")
        (jail,) = jails.list()
        assert (jail.processes, jail.evidence) == ((own,), "/elsewhere")
        assert jails.reclaim() == ()
    held.update(policy="strict")
    (jail,) = jails.list()
    assert (jail.processes, jail.evidence, jail.policy) == ((own,), "/elsewhere", "strict")
    held.close()
    assert list(jails.directory.iterdir()) == []


def test_the_entry_lives_as_long_as_its_block_but_for_a_forked_child(jails: Registry) -> None:
    with enter(jails, "block") as held:
        assert held.name == "block"
        child = os.fork()
        if child == 0:
            held.close()  # must not take the parent's entry away
            os._exit(0)
        os.waitpid(child, 0)
        assert [jail.name for jail in jails.list()] == ["block"]
    assert jails.list() == ()


def test_names_are_readable_and_unique(jails: Registry) -> None:
    held = [enter(jails) for _ in range(30)]
    names = {each.jail.name for each in held}
    assert len(names) == 30
    assert all(name.startswith("claude-") for name in names)
    for each in held:
        each.close()


def test_names_go_on_when_luck_is_short() -> None:
    made = naming.names(["/usr/bin/Node.JS", "x"], choice=lambda words: words[0])
    first = [next(made) for _ in range(23)]
    assert first[0] == "node-js-amber-badger"
    assert first[-1] == "node-js-amber-badger-23"


def test_a_taken_name_is_an_error(jails: Registry) -> None:
    held = enter(jails, "taken")
    with pytest.raises(RegistryError, match="a live jail has it"):
        enter(jails, "taken")
    held.close()
    enter(jails, "taken").close()


def test_a_name_left_by_an_orphan_can_be_had(jails: Registry) -> None:
    orphan(jails, "left")
    held = enter(jails, "left")
    assert [jail.name for jail in jails.list()] == ["left"]
    held.close()


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a/b", "..", "a" * 49, "a b", "é", "a\n"])
def test_what_is_not_a_name_is_an_error(jails: Registry, name: str) -> None:
    with pytest.raises(RegistryError, match="--name"):
        enter(jails, name)
    assert list(jails.directory.iterdir()) == []


def test_an_orphan_is_reclaimed_and_its_process_killed(
    jails: Registry, sleeper: subprocess.Popen[bytes]
) -> None:
    target = processes.process("enclosure", sleeper.pid)
    path = orphan(jails, "orphan", target)
    assert jails.list() == ()
    (done,) = jails.reclaim()
    assert (done.name, done.killed, done.survived, done.note) == ("orphan", (target,), (), "")
    assert sleeper.wait(5) == -signal.SIGKILL
    assert not path.exists()
    assert jails.reclaim() == ()


def test_a_live_jails_processes_are_not_killed(
    jails: Registry, sleeper: subprocess.Popen[bytes]
) -> None:
    held = enter(jails, "alive", processes.process("enclosure", sleeper.pid))
    assert jails.reclaim() == ()
    assert sleeper.poll() is None
    held.close()


def test_a_reused_pid_is_never_killed(jails: Registry, sleeper: subprocess.Popen[bytes]) -> None:
    real = processes.process("enclosure", sleeper.pid)
    orphan(jails, "reused", msgspec.structs.replace(real, started=real.started - 1))
    (done,) = jails.reclaim()
    assert done.killed == ()
    assert sleeper.poll() is None
    # control: with the right start time the same call does kill
    assert processes.kill_process(real) == "killed"


def rewrite(path: Path, **changes: object) -> None:
    jail = msgspec.json.decode(path.read_bytes(), type=Jail)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(jail, **changes)))


def test_pids_of_another_boot_mean_nothing(
    jails: Registry, sleeper: subprocess.Popen[bytes]
) -> None:
    path = orphan(jails, "old", processes.process("enclosure", sleeper.pid))
    rewrite(path, boot="00000000-0000-0000-0000-000000000000")
    (done,) = jails.reclaim()
    assert done.killed == ()
    assert sleeper.poll() is None
    assert not path.exists()


def test_pids_of_another_pid_namespace_are_left_alone(
    jails: Registry, sleeper: subprocess.Popen[bytes]
) -> None:
    path = orphan(jails, "elsewhere", processes.process("enclosure", sleeper.pid))
    rewrite(path, pid_namespace=1)
    (done,) = jails.reclaim()
    assert "another PID namespace" in done.note
    assert sleeper.poll() is None
    assert path.exists()
    with pytest.raises(RegistryError, match="another PID namespace"):
        enter(jails, "elsewhere")


@pytest.mark.parametrize("content", [b"", b"{", b'{"name": 1}', b"\xff\xfe"])
def test_an_unreadable_orphan_is_removed_and_said(jails: Registry, content: bytes) -> None:
    path = jails.directory / "broken.json"
    path.write_bytes(content)
    (done,) = jails.reclaim()
    assert done.name == "broken"
    assert "unreadable" in done.note
    assert not path.exists()


def test_a_half_written_file_of_a_dead_supervisor_goes(jails: Registry) -> None:
    left = jails.directory / ".claude.0123456789abcdef.tmp"
    left.write_bytes(b"{")
    jails.reclaim()
    assert not left.exists()


def test_a_link_in_the_directory_is_not_followed(jails: Registry, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("keep")
    (jails.directory / "link.json").symlink_to(victim)
    assert jails.reclaim() == ()
    assert victim.read_text() == "keep"


def test_a_directory_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    with pytest.raises(RegistryError, match="chmod 700"):
        Registry(shared)
    shared.chmod(0o700)
    Registry(shared)
    (tmp_path / "link").symlink_to(shared)
    with pytest.raises(RegistryError, match="not a directory"):
        Registry(tmp_path / "link")


def test_a_file_in_the_way_is_an_error_with_a_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match="Fix:"):
        Registry(tmp_path / "file")
    with pytest.raises(RegistryError, match=r"Not a directory\. Fix:"):
        Registry(tmp_path / "file" / "below")


def test_the_directory_depends_on_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert registry.default_directory() == Path("/run/egressguard")
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert registry.default_directory() == tmp_path / "egressguard"
    for unusable in ("", "relative", "/nowhere/at/all"):
        monkeypatch.setenv("XDG_RUNTIME_DIR", unusable)
        assert registry.default_directory().name == "egressguard-1234"


KEY = "sk-" + "abcdefghijklmnop"


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["/usr/bin/claude", "--print"], ["claude", "--print"]),
        (["npm", "run", "build"], ["npm", "run", "build"]),
        (["python3", "agent.py"], ["python3", "agent.py"]),
        (["a", "--api-key", "hunter"], ["a", "--api-key", "***"]),
        (["a", "--api-key=hunter"], ["a", "--api-key=***"]),
        (["a", "--token", "--verbose"], ["a", "--token", "--verbose"]),
        (["env", "API_KEY=x", "sh"], ["env", "API_KEY=***", "sh"]),
        (["curl", "-H", "Authorization: Bearer x"], ["curl", "-H", "***"]),
        (["curl", "-u", "user"], ["curl", "-u", "***"]),
        (["curl", "https://user:pw@example.com/"], ["curl", "***"]),
        (["sh", "-c", "export A=b"], ["sh", "-c", "***"]),
        (["a", KEY], ["a", "***"]),
        ([], []),
    ],
)
def test_commands_are_shown_without_what_may_be_secret(
    command: list[str], shown: list[str]
) -> None:
    assert masked(command) == tuple(shown)


@given(st.lists(st.text(max_size=12), max_size=4), st.integers(10, 10**12))
def test_no_argument_with_a_digit_is_shown(rest: list[str], number: int) -> None:
    secret = f"tail{number}"
    assert not [word for word in masked(["agent", *rest, secret, *rest]) if str(number) in word]


def test_a_digest_cannot_be_compared_between_jails() -> None:
    first, second = naming.digest(["a", "b"]), naming.digest(["a", "b"])
    assert len(first) == len(second) == 16
    assert first != second


def test_start_time_tells_processes_apart(sleeper: subprocess.Popen[bytes]) -> None:
    started = processes.start_time(sleeper.pid)
    assert started is not None
    assert started == processes.start_time(sleeper.pid)
    assert started >= (processes.start_time(os.getpid()) or 0)
    sleeper.kill()
    sleeper.wait()
    assert processes.start_time(sleeper.pid) is None
    assert processes.kill_process(Process("enclosure", sleeper.pid, started)) == "gone"
    with pytest.raises(ProcessLookupError, match="enclosure process"):
        processes.process("enclosure", sleeper.pid)


def test_a_name_with_parentheses_and_spaces_does_not_confuse(tmp_path: Path) -> None:
    odd = tmp_path / ") R 1 (x y"
    odd.write_text("#!/bin/sh\nread line\n")
    odd.chmod(0o755)
    with subprocess.Popen([odd], stdin=subprocess.PIPE) as running:
        time.sleep(0.05)
        started = processes.start_time(running.pid)
        assert started is not None
        assert started > 1
        running.kill()
