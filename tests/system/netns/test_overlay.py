"""Views of home and working directory: thrown-away changes, read-only work, and ptrace switched."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path

import pytest

from tests.system.netns.test_enclosure import UID, both, run
from tests.system.netns.test_enclosure import place as place

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

_DIAL = (
    'python3 -c "import socket,sys; s = socket.socket(socket.AF_UNIX); '
    "print('connected' if s.connect_ex(sys.argv[1]) == 0 else 'refused')\" "
)


@pytest.fixture
def home(place: Path) -> Path:
    (place / "kept").write_text("as it was\n")
    (place / "gone").write_text("still here\n")
    (place / "folder").mkdir()
    (place / "folder/inner").write_text("inner\n")
    (place / "work").mkdir()
    for path in place.rglob("*"):
        os.chown(path, UID, UID)
    place.chmod(0o700)
    return place


def content(home: Path) -> dict[str, str]:
    return {
        str(path.relative_to(home)): path.read_text() if path.is_file() else ""
        for path in home.rglob("*")
        if not path.is_socket()
    }


@both
def test_changes_of_an_overlaid_home_are_thrown_away(mode: str, home: Path) -> None:
    before = content(home)
    script = (
        "cat kept; echo new > kept; cat kept; rm gone; ls gone; rm -r folder; mkdir folder; "
        "ls folder; echo x > .bashrc; mkdir -p .config/autostart; stat -c %a .; "
        "echo real > work/made; cat work/made"
    )
    done = run(mode, f"cd {home}; {script}", home=str(home), home_access="overlay",
               cwd=str(home / "work"))  # fmt: skip
    assert done.stdout.split("\n") == ["as it was", "new", "700", "real", ""], done.stderr
    assert content(home) == before | {"work/made": "real\n"}
    # Control: without the overlay it stays.
    run(mode, f"cd {home}; {script}", home=str(home), cwd=str(home / "work"))
    assert content(home)["kept"] == "new\n"


@both
def test_no_socket_of_the_host_through_an_overlay(mode: str, home: Path) -> None:
    """Also one that is bound while the jail runs."""
    path = home / "late.sock"
    fifo = home / "work/go"
    os.mkfifo(fifo)
    os.chown(fifo, UID, UID)
    # The jail has looked for sockets before it opens the pipe for reading.
    script = f"{_DIAL} {path}; echo > {fifo}; read line < {fifo}; {_DIAL} {path}"
    for access, outcome in (("overlay", "refused"), ("rw", "connected")):
        path.unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            with open(fifo, "rb") as pipe:
                pipe.readline()
            end = socket.socket(socket.AF_UNIX)
            end.bind(str(path))
            path.chmod(0o777)
            end.listen()
            with open(fifo, "wb") as pipe:
                pipe.write(b"go\n")
            end.settimeout(10)
            with contextlib.suppress(TimeoutError):
                end.accept()
            os._exit(0)
        done = run(mode, script, home=str(home), home_access=access, cwd=str(home / "work"))
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        assert done.stdout.split() == ["refused", outcome], (access, done.stderr)


@both
def test_sockets_of_its_own_work_in_an_overlaid_home(mode: str, home: Path) -> None:
    script = (
        "python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.bind('own'); "
        "s.listen(); c = socket.socket(socket.AF_UNIX); c.connect('own'); print('done')\""
    )
    done = run(mode, f"cd {home}; {script}", home=str(home), home_access="overlay", cwd="/")
    assert done.stdout == "done\n", done.stderr
    assert not (home / "own").exists()


@both
def test_a_read_only_working_directory(mode: str, home: Path) -> None:
    work = home / "work"
    script = f"touch made || echo kept; mv {work} {home}/other || echo pinned; touch {home}/h; pwd"
    done = run(mode, script, home=str(home), cwd=str(work), cwd_access="ro")
    assert done.stdout.split() == ["kept", "pinned", str(work)], done.stderr
    assert (home / "h").exists()
    assert not (work / "made").exists()
    for access in ("overlay", "private", "ro"):
        done = run(mode, script, home=str(home), cwd=str(work), cwd_access="ro", home_access=access)
        assert done.stdout.split()[0] == "kept", (access, done.stderr)
        assert done.stdout.split()[-1] == str(work)
    outside = run(mode, "touch /srv/x || echo kept", home=str(home), cwd="/srv", cwd_access="ro")
    assert outside.stdout == "kept\n"


@both
def test_ptrace_can_be_switched_off(mode: str) -> None:
    script = (
        'python3 -c "import ctypes; c = ctypes.CDLL(None, use_errno=True); '
        'print(c.ptrace(0, 0, 0, 0), ctypes.get_errno())"'
    )
    assert run(mode, script).stdout == "0 0\n"
    assert run(mode, script, ptrace=False).stdout == "-1 1\n"


@both
def test_without_unix_sockets_only_connected_pairs_are_left(mode: str) -> None:
    script = """
import errno, socket
S = socket
def tried(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "made"
for kind in (S.SOCK_STREAM, S.SOCK_DGRAM, S.SOCK_SEQPACKET, S.SOCK_RAW):
    for flag in (0, S.SOCK_NONBLOCK):
        print(tried(S.socket, S.AF_UNIX, kind | flag), tried(S.socketpair, S.AF_UNIX, kind | flag))
"""
    script = f"python3 -c '{script}'"
    denied, made = ["EAFNOSUPPORT"], ["made"]
    done = run(mode, script, unix_sockets=False)
    rows = [denied + made, denied + denied, denied + made, denied + denied]
    assert done.stdout.split() == [word for row in rows for word in row * 2], done.stderr
    assert run(mode, script).stdout.split() == ["made"] * 16


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_a_connected_pair_cannot_be_connected_elsewhere(kind: int, tmp_path: Path) -> None:
    """What `--no-unix-sockets` rests on: unix(7) does not say it, the kernel does."""
    with socket.socket(socket.AF_UNIX, kind) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        for ended in (False, True):
            end, other = socket.socketpair(socket.AF_UNIX, kind)
            with end, other:
                if ended:
                    end.shutdown(socket.SHUT_RDWR)
                    other.close()
                assert end.connect_ex(str(tmp_path / "s")) == errno.EISCONN
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # control
        with pair[0], pair[1], socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(str(tmp_path / "d"))
            assert pair[0].connect_ex(str(tmp_path / "d")) == 0
