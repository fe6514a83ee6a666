"""The filters as data, compiled, and one loaded for real in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netns import seccomp
from netns.seccomp_rules import Profile, denials, table

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("profile", list(Profile))
def test_every_rule_has_a_reason_and_compiles(profile: Profile) -> None:
    assert all(rule.why and rule.calls and rule.error for rule in denials(profile))
    fd = seccomp.program(profile)
    try:
        size = os.fstat(fd).st_size
        assert size > 0
        assert size % 8 == 0  # struct sock_filter
        assert size // 8 <= 4096  # BPF_MAXINSNS
        assert os.lseek(fd, 0, os.SEEK_CUR) == 0
        assert not os.get_inheritable(fd)
    finally:
        os.close(fd)


def test_conditions_name_each_argument_once() -> None:
    for profile in Profile:
        for rule in denials(profile):
            arguments = [condition.argument for condition in rule.when]
            assert len(arguments) == len(set(arguments))


def test_families_left_are_the_four() -> None:
    denied = {
        rule.when[0].value
        for rule in denials(Profile.AGENT)
        if "socketpair" in rule.calls and rule.when[0].mask
    }
    assert set(range(46)) - denied == {1, 2, 10, 16}


def test_missing_library_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_args: object, **_keywords: object) -> None:
        raise OSError("cannot open shared object file")

    monkeypatch.setattr("netns.seccomp.ctypes.CDLL", absent)
    seccomp._library.cache_clear()
    with pytest.raises(seccomp.SeccompError, match="apt-get install libseccomp2"):
        seccomp.program(Profile.AGENT)
    monkeypatch.undo()
    seccomp._library.cache_clear()
    os.close(seccomp.program(Profile.AGENT))


INTERCEPTOR = """
import asyncio, ctypes, errno, os, socket, ssl, sys, threading, concurrent.futures
try:
    import uvloop
except ImportError:
    uvloop = None
import hyperscan
load = sys.argv[1] == "load"
if load:
    from netns import seccomp
    seccomp.load(seccomp.Profile.INTERCEPTOR)

def outcome(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)

async def work():
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    writer.close()
    loop = asyncio.get_running_loop()
    assert await loop.getaddrinfo("localhost", 80)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        assert await loop.run_in_executor(pool, sum, [1, 2]) == 3
    server.close()

(uvloop or asyncio).run(work())
database = hyperscan.Database()
database.compile(expressions=[b"abc"], ids=[1])
ssl.create_default_context()
print(outcome(fork), outcome(os.posix_spawn, "/bin/true", ["true"], {}),
      outcome(socket.socket, socket.AF_PACKET, socket.SOCK_RAW), outcome(socket.socket, 40, 1),
      outcome(os.execv, "/bin/true", ["true"]) if load else "skipped")
"""


def test_interceptor_profile_lets_its_work_through_and_nothing_else() -> None:
    def run(mode: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", INTERCEPTOR, mode], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert run("load") == ["EPERM", "EPERM", "EAFNOSUPPORT", "EAFNOSUPPORT", "EPERM"]
    assert run("free")[:2] == ["done", "done"]  # control


def test_the_document_has_the_table_of_the_agent() -> None:
    text = (ROOT / "docs/threat-model.md").read_text("utf-8")
    assert table(Profile.AGENT) in text
    assert table(Profile.AGENT).count("\n") > 25


def test_guard_and_witness_can_reach_nobody() -> None:
    for profile in (Profile.GUARD, Profile.WITNESS):
        denied = {call for rule in denials(profile) for call in rule.calls}
        assert {"connect", "listen", "accept4", "execve", "ptrace", "setns"} <= denied
