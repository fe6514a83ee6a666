"""Running programs in the lab: as root or its user, on pipes or a terminal, jailed or not."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.lab import world

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
JAIL_ENVIRONMENT = {"PYTHONPATH": str(ROOT), "EGRESSGUARD_INJECTED": "PYTHONPATH"}
"""What `python -m interceptor.cli.main` needs, and the note that it is not the agent's."""
_ENTER = Path(__file__).with_name("enter.py")


class LabError(Exception):
    """The lab cannot start or is not what it must be; the text says why and what to do."""


class Finished(subprocess.CompletedProcess[bytes]):
    """A jail that has run, and what it wrote as evidence."""

    evidence: list[dict[str, Any]]

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def errors(self) -> str:
        """Standard error as text."""
        return self.stderr.decode("utf-8", "replace")

    def events(self, reason: str = "") -> list[dict[str, Any]]:
        """Evidence lines, all or those with this reason code."""
        return [line for line in self.evidence if reason in ("", line.get("reason"))]


class Terminal(subprocess.Popen[bytes]):
    """A process on a terminal of its own."""

    terminal: int
    """Descriptor of our side of the terminal; the caller closes it."""


class Programs:
    """The part of `Lab` that runs programs."""

    first_pid: int
    """PID 1 of the lab, in the caller's PID namespace."""
    _first: int
    """Descriptor of a pidfd of it."""
    _host_net: int
    _internet_net: int
    _started: list[Terminal]
    """Programs that may still run."""

    def path(self, inside: str) -> Path:
        """Where a file of the lab's host is seen from here."""
        return Path(f"/proc/{self.first_pid}/root") / inside.lstrip("/")

    def popen(
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        env: Mapping[str, str | None] | None = None,
        cwd: str | None = None,
        tty: bool = False,
        where: str = "host",
        cpu: int | None = None,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = subprocess.PIPE,
        stderr: int | IO[bytes] | None = subprocess.PIPE,
    ) -> Terminal:
        """Start a program in the lab.

        :param user: None for root, or `dev`
        :param env: added to a plain environment; a value of None removes
        :param tty: give it a terminal (its own session); our side is `.terminal`
        :param where: `host` or `internet`: whose network it gets
        :param cpu: pin it to a core
        """
        if user not in (None, "dev"):
            raise LabError(f"the lab has the users root (None) and dev, not {user!r}")
        dev = user == "dev"
        network = self._internet_net if where == "internet" else self._host_net
        home = world.DEV_HOME if dev else "/root"
        plan = {
            "first": self._first,
            "network": network,
            "uid": world.DEV_UID if dev else 0,
            "gid": world.DEV_UID if dev else 0,
            "cwd": cwd or (world.DEV_WORK if dev else "/"),
            "tty": tty,
            "cpu": cpu,
        }
        environment: dict[str, str | None] = {
            "PATH": search_path(),
            "HOME": home,
            "USER": "dev" if dev else "root",
            "LOGNAME": "dev" if dev else "root",
            "LANG": "C.UTF-8",
            "SHELL": "/bin/bash",
            **({"TERM": "xterm"} if tty else {}),
            **(env or {}),
        }
        ours = theirs = -1
        if tty:
            ours, theirs = pty.openpty()
            os.fchown(theirs, world.DEV_UID if dev else 0, -1)
            stdin = stdout = stderr = theirs
        try:
            started = Terminal(
                [sys.executable, "-I", "-S", str(_ENTER), json.dumps(plan), *argv],
                env={key: value for key, value in environment.items() if value is not None},
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(self._first, network),
            )
        finally:
            if theirs >= 0:
                os.close(theirs)
        started.terminal = ours
        self._started = [program for program in self._started if program.returncode is None]
        self._started.append(started)
        return started

    def run(
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        env: Mapping[str, str | None] | None = None,
        input: bytes | None = None,
        timeout: float = 30.0,
        tty: bool = False,
        cwd: str | None = None,
        where: str = "host",
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program in the lab to its end; parameters as in `popen`.

        On a terminal, everything it shows is in `stdout`.

        :raises subprocess.TimeoutExpired: after `timeout` seconds, the program killed
        """
        stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        with self.popen(
            argv, user=user, env=env, cwd=cwd, tty=tty, where=where, stdin=stdin
        ) as program:
            try:
                if tty:
                    out, err = _converse(program, input or b"", timeout), b""
                else:
                    out, err = program.communicate(input, timeout)
            except BaseException:
                program.kill()
                raise
        return subprocess.CompletedProcess(list(argv), program.returncode, out, err)

    def jail(
        self,
        argv: Sequence[str],
        *options: str,
        user: str | None = None,
        env: Mapping[str, str | None] | None = None,
        input: bytes | None = None,
        timeout: float = 60.0,
        tty: bool = False,
    ) -> Finished:
        """Run a program through `egressguard jail` on the lab's host, as `dev`.

        :param options: further options of `egressguard jail`
        :param user: who starts it: None for root, `dev` for a rootless jail (add `--rootless`)
        """
        number = time.monotonic_ns()
        evidence = f"{world.DEV_HOME if user else '/var/log'}/evidence-{number}.jsonl"
        command = self.jail_command(argv, *options, "--evidence", evidence, rootless=bool(user))
        done = self.run(
            command,
            user=user,
            env={**JAIL_ENVIRONMENT, **(env or {})},
            input=input,
            timeout=timeout,
            tty=tty,
            cwd=world.DEV_WORK,
        )
        finished = Finished(command, done.returncode, done.stdout, done.stderr)
        finished.evidence = self.evidence(evidence)
        self.path(evidence).unlink(missing_ok=True)
        return finished

    def start_jail(
        self,
        argv: Sequence[str],
        *options: str,
        env: Mapping[str, str | None] | None = None,
        tty: bool = False,
    ) -> Terminal:
        """Like `jail`, but returns at once; root starts it, its evidence goes to /var/log."""
        evidence = f"/var/log/evidence-{time.monotonic_ns()}.jsonl"
        return self.popen(
            self.jail_command(argv, *options, "--evidence", evidence),
            env={**JAIL_ENVIRONMENT, **(env or {})},
            cwd=world.DEV_WORK,
            tty=tty,
        )

    def jail_command(self, argv: Sequence[str], *options: str, rootless: bool = False) -> list[str]:
        """Command line of `egressguard jail` for `popen`; give it `JAIL_ENVIRONMENT`."""
        start = [sys.executable, "-m", "interceptor.cli.main", "jail"]
        user = [] if rootless else ["--user", "dev"]
        return [*start, *user, *options, "--", *argv]

    def forget_pins(self) -> None:
        """Drop the pins of tools that root's jails keep: each test's servers are others."""
        self.path("/var/log/egressguard/mcp-pins.json").unlink(missing_ok=True)

    def evidence(self, path: str) -> list[dict[str, Any]]:
        """Events in an evidence file of the lab's host; empty when there is none."""
        try:
            text = self.path(path).read_text("utf-8")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines()]


def search_path() -> str:
    """The caller's PATH and the places of system tools."""
    own = os.environ.get("PATH", os.defpath).split(":")
    system = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"]
    return ":".join(dict.fromkeys([*own, *system]))


def clients_environment() -> Path:
    """The clients' environment: what EGRESSGUARD_CLIENTS names, or where scripts/test puts it."""
    lock = (ROOT / "requirements" / "clients.txt").read_bytes()
    usual = f"/var/lib/egressguard/clients-{hashlib.sha256(lock).hexdigest()[:16]}"
    return Path(os.environ.get("EGRESSGUARD_CLIENTS", usual))


def _converse(program: Terminal, data: bytes, timeout: float) -> bytes:
    """Type `data` into a program's terminal, read all it shows, and wait for its end."""
    shown = bytearray()
    end = time.monotonic() + timeout
    os.write(program.terminal, data)
    try:
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(program.args, timeout, bytes(shown))
            ready, _, _ = select.select([program.terminal], [], [], left)
            if ready:
                shown += os.read(program.terminal, 65536) or _ended()
    except OSError:  # EIO: the last process on the terminal has gone
        program.wait(max(0.1, end - time.monotonic()))
    finally:
        os.close(program.terminal)
    return bytes(shown)


def _ended() -> bytes:
    raise OSError("end of terminal")
