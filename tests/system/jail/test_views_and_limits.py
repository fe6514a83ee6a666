"""`--home overlay`, `--workdir ro`, `--no-unix-sockets`, limits, and what is said of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netns import limits
from netns.limits import LimitError, Limits
from tests.lab import Lab
from tests.lab.clients import ENVIRONMENT
from tests.lab.programs import JAIL_ENVIRONMENT, clients_environment
from tests.lab.world import DEV_HOME, DEV_WORK

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

both = pytest.mark.parametrize("user", [None, "dev"], ids=["root", "rootless"])


def options(user: str | None, *words: str) -> tuple[str, ...]:
    return (*words, *(("--rootless",) if user else ()))


@pytest.fixture
def kept(lab: Lab) -> Iterator[str]:
    path = f"{DEV_HOME}/kept"
    lab.path(path).write_text("as it was\n")
    lab.run(["chown", "dev:", path])
    yield path
    lab.path(path).unlink()


@pytest.fixture
def bare_home(lab: Lab) -> Iterator[None]:
    """Without what other tests show in the home by a mount."""
    shown = lab.run(["umount", "--lazy", ENVIRONMENT]).returncode == 0  # it may be in use
    yield
    if shown:
        again = f"mount --bind {clients_environment()} {ENVIRONMENT}"
        again += f" && mount -o remount,bind,ro {ENVIRONMENT}"
        assert lab.run(["sh", "-c", again]).returncode == 0


@pytest.mark.usefixtures("bare_home")
@both
def test_home_overlay(lab: Lab, user: str | None, kept: str) -> None:
    script = f"echo new > {kept}; cat {kept}; echo x > ~/.profile-new; echo real > made; curl -sS "
    script += "https://api.example.com/get"
    done = lab.jail(["sh", "-c", script], *options(user, "--home", "overlay"), user=user)
    assert done.returncode == 0, done.errors
    assert done.text.startswith("new\n")
    assert '"name": "api.example.com"' in done.text
    assert lab.path(kept).read_text() == "as it was\n"
    assert not lab.path(f"{DEV_HOME}/.profile-new").exists()
    assert lab.path(f"{DEV_WORK}/made").read_text() == "real\n"
    assert "were changed" not in done.errors


def test_home_overlay_over_other_mounts(lab: Lab) -> None:
    """Without root it is refused, and said why: the kernel lets nobody look under a mount."""
    below = f"{DEV_HOME}/below"
    mount = f"mkdir {below} && mount -t tmpfs tmpfs {below}"
    assert lab.run(["sh", "-c", mount]).returncode == 0
    try:
        done = lab.jail(["true"], "--home", "overlay", "--rootless", user="dev")
        assert done.returncode == 125
        assert "nothing else is mounted" in done.errors
        assert lab.jail(["true"], "--home", "overlay").returncode == 0
    finally:
        lab.run(["sh", "-c", f"umount {below} && rmdir {below}"])


@both
def test_workdir_ro(lab: Lab, user: str | None) -> None:
    done = lab.jail(
        ["sh", "-c", "touch not-made || touch ~/made-at-home"],
        *options(user, "--workdir", "ro"),
        user=user,
    )
    assert done.returncode == 0, done.errors
    assert not lab.path(f"{DEV_WORK}/not-made").exists()
    assert lab.path(f"{DEV_HOME}/made-at-home").exists()
    lab.path(f"{DEV_HOME}/made-at-home").unlink()


@both
def test_switches_that_close(lab: Lab, user: str | None) -> None:
    script = (
        "import ctypes, socket; print(ctypes.CDLL(None).ptrace(0, 0, 0, 0)); "
        "socket.socketpair(); socket.socket(socket.AF_UNIX)"
    )
    argv = ["/usr/bin/python3", "-c", script]
    closed = lab.jail(argv, *options(user, "--no-ptrace", "--no-unix-sockets"), user=user)
    assert closed.text == "-1\n"
    assert "Address family not supported" in closed.errors
    assert lab.jail(argv, *options(user), user=user).text == "0\n"


_BIND = "import os, socket, sys, time; end = socket.socket(socket.AF_UNIX); end.bind(sys.argv[1]); "
_BIND += "end.listen(); print('up', flush=True); time.sleep(60)"


def test_a_late_socket_is_named_at_the_end(lab: Lab) -> None:
    path = f"{DEV_WORK}/late.sock"
    wait = f"echo ready; while [ ! -e {path} ]; do sleep 0.1; done"
    program = lab.start_jail(["sh", "-c", wait])
    assert program.stdout is not None
    assert program.stdout.readline() == b"ready\n"
    with lab.popen(["/usr/bin/python3", "-c", _BIND, path], user="dev") as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline() == b"up\n"
        _, errors = program.communicate(timeout=30)
        listener.kill()
    lab.path(path).unlink()
    assert f"{path}: bound outside while the jail ran" in errors.decode()


def test_limits(lab: Lab) -> None:
    try:
        limits.limited(Limits(pids=100), "test").close()
    except LimitError as error:
        pytest.skip(str(error))
    script = "for i in $(seq 90); do sleep 1 & done; wait"
    done = lab.jail(["bash", "-c", script], "--pids", "40")
    assert "could not be started" in done.errors or "fork" in done.errors
    free = lab.jail(["bash", "-c", script])
    assert free.returncode == 0, free.errors
    assert "fork" not in free.errors


def test_groups_are_reclaimed_after_kill_9(lab: Lab) -> None:
    try:
        (path,) = limits.limited(Limits(pids=100), "test").paths
    except (LimitError, ValueError):
        pytest.skip("no group that limits pids alone")
    Path(path).rmdir()

    def groups() -> list[Path]:
        return sorted(Path(path).parent.glob("egressguard-limited.*"))

    program = lab.start_jail(
        ["sh", "-c", "echo ready; sleep 60"], "--pids", "100", "--name", "limited"
    )
    assert program.stdout is not None
    assert program.stdout.readline() == b"ready\n"
    assert len(groups()) == 1
    for process in lab.processes():
        if "interceptor.cli.main" in process.command:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    program.communicate(timeout=20)
    lab.run([sys.executable, "-m", "interceptor.cli.main", "ps"], env=JAIL_ENVIRONMENT)
    assert groups() == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--memory", "1M"), 2, "too little"),
        (("--memory", "lots"), 2, "is not a size"),
        (("--pids", "1"), 2, "--pids"),
        (("--user", "root"), 2, "root in a jail has no capabilities"),
        (("--rootless", "--pids", "100"), 2, "systemd-run --user"),
    ],
)
def test_what_cannot_be_is_said_early(
    lab: Lab, words: tuple[str, ...], code: int, said: str
) -> None:
    rootless = "--rootless" in words
    who = [] if rootless or "--user" in words else ["--user", "dev"]
    command = [sys.executable, "-m", "interceptor.cli.main", "jail", *who, *words, "--"]
    mode = lab.path(DEV_WORK).stat().st_mode
    lab.path(DEV_WORK).chmod(0o700)
    try:
        done: subprocess.CompletedProcess[bytes] = lab.run(
            [*command, "touch", f"{DEV_WORK}/started"],
            env=JAIL_ENVIRONMENT,
            cwd=DEV_WORK,
            user="dev" if rootless else None,
        )
    finally:
        lab.path(DEV_WORK).chmod(mode)
    assert done.returncode == code, done.stderr
    assert said in done.stderr.decode()
    assert not lab.path(f"{DEV_WORK}/started").exists()
