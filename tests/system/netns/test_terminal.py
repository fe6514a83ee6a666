"""An enclosed agent on a terminal: its own, with the operator's keys, size and signals."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

ENCLOSE = Path(__file__).with_name("enclose.py")
UID = 61000
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Operator:
    """A person at a terminal who has started the jail."""

    def __init__(self, script: str, mode: str = "root", **streams: Any) -> None:
        self.master, slave = pty.openpty()
        self.resize(30, 90)
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        asked = {
            "user": f"{UID}:{UID}",
            "argv": ["bash", "-c", script],
            "rootless": mode == "rootless",
        }
        prefix = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
        command = [sys.executable, str(ENCLOSE), json.dumps(asked)]
        if mode == "rootless":
            os.fchown(slave, UID, UID)
            command = prefix + command
        self.process = subprocess.Popen(
            command,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),
            env={"PATH": PATH, "TERM": "xterm"},
            **{"stdin": slave, "stdout": slave, "stderr": slave, **streams},
        )
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def sees(self, text: bytes, within: float = 15.0) -> bytes:
        """Read the screen until `text` is on it."""
        deadline = time.monotonic() + within
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen.decode("utf-8", "replace")
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 65536)
        return self.seen

    def mode(self) -> list[Any]:
        return termios.tcgetattr(self._slave)

    def leave(self) -> int:
        code = self.process.wait(20)
        while select.select([self.master], [], [], 0.05)[0]:
            self.seen += os.read(self.master, 65536)
        os.close(self._slave)
        os.close(self.master)
        return code


both = pytest.mark.parametrize("mode", ["root", "rootless"])


@both
def test_keys_size_and_exit_code(mode: str) -> None:
    operator = Operator(
        "tty; stty size; trap 'stty size' WINCH; echo ready >/dev/tty; read line; "
        "echo got $line; while read -t 5 line; do :; [ $line = end ] && exit 5; done",
        mode,
    )
    screen = operator.sees(b"ready")
    assert b"/dev/console" in screen
    assert b"30 90" in screen
    operator.type(b"hello\r")
    operator.sees(b"got hello")
    operator.resize(44, 111)
    operator.type(b"go\r")
    operator.sees(b"44 111")
    before = operator.before
    assert operator.mode() != before  # control: raw while the agent runs
    operator.type(b"end\r")
    assert operator.process.wait(20) == 5
    assert operator.mode() == before
    operator.leave()


@both
def test_control_c_reaches_the_agent(mode: str) -> None:
    operator = Operator("trap 'echo caught; exit 3' INT; echo ready; sleep 20", mode)
    operator.sees(b"ready")
    operator.type(b"\x03")
    operator.sees(b"caught")
    assert operator.leave() == 3


@both
def test_end_of_file_from_the_keyboard(mode: str) -> None:
    operator = Operator("echo ready; cat; echo over", mode)
    operator.sees(b"ready")
    operator.type(b"\x04")
    operator.sees(b"over")
    assert operator.leave() == 0


@both
def test_much_output_arrives_whole(mode: str) -> None:
    operator = Operator("seq 1 60000; echo over", mode)
    operator.sees(b"over")
    assert operator.leave() == 0
    numbers = operator.seen.replace(b"\r", b"").split(b"\n")
    assert numbers[:60000] == [b"%d" % each for each in range(1, 60001)]


def test_the_operators_terminal_is_another_one() -> None:
    """TIOCSTI is refused, and there is nothing of the operator's to type into."""
    push = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSTI, b'x')"
    operator = Operator(f'/usr/bin/python3 -c "{push}" 2>&1 | tail -1; ls /dev/pts; echo ready')
    screen = operator.sees(b"ready")
    assert b"Operation not permitted" in screen
    assert operator.leave() == 0


def test_output_to_a_pipe_keeps_the_terminal_cooked() -> None:
    operator = Operator("read line; echo got $line", stdout=subprocess.PIPE)
    time.sleep(0.6)
    assert operator.mode() == operator.before
    operator.type(b"hello\r")
    assert operator.process.stdout is not None
    assert operator.process.stdout.read() == b"got hello\n"
    operator.process.stdout.close()
    assert operator.leave() == 0


def test_input_from_a_pipe_with_output_on_the_terminal() -> None:
    operator = Operator("cat; test -t 1 && echo terminal", stdin=subprocess.PIPE)
    assert operator.process.stdin is not None
    operator.process.stdin.write(b"through the pipe\n")
    operator.process.stdin.close()
    screen = operator.sees(b"terminal")
    assert b"through the pipe\r\n" in screen
    assert b"\r\r\n" not in screen
    assert operator.leave() == 0


def test_the_terminal_is_restored_when_the_agent_is_killed() -> None:
    operator = Operator("echo ready; kill -KILL $$")
    operator.sees(b"ready")
    assert operator.process.wait(20) == 128 + signal.SIGKILL
    assert operator.mode() == operator.before
    operator.leave()
