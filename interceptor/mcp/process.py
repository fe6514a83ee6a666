"""The process of an MCP server over standard input and output, and how it is ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

from netns import namespaces

PIPE_BYTES: Final = 1 << 20
"""What is asked for as the size of a pipe: a large answer in few system calls (pipe(7))."""
_NOT_FOUND: Final = 127
_NOT_EXECUTABLE: Final = 126


class ServerError(Exception):
    """The server cannot be started.

    Attributes:
        code: exit code, as a shell has it: 127 not found, 126 not executable.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class ServerProcess:
    """A server, started; its ends of the pipes are ours and do not block.

    Attributes:
        pid: process id.
        input: descriptor that the server reads from; -1 once closed.
        output: descriptor of what it writes.
        errors: descriptor of its standard error.
        ended: a descriptor that is readable once it has ended (pidfd_open(2)).
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        """Start it. It ends when this process does, however that ends.

        Args:
            command: program and arguments.
            environ: its variables; None: those of this process.

        Raises:
            ServerError: it is not there, or cannot be executed.
        """
        parent = os.getpid()
        theirs, self.input = os.pipe2(os.O_CLOEXEC)
        self.output, out = os.pipe2(os.O_CLOEXEC)
        self.errors, errors = os.pipe2(os.O_CLOEXEC)
        for descriptor in (self.input, self.output, self.errors):
            os.set_blocking(descriptor, False)
            widen(descriptor)
        try:
            # One thread, and nothing large in memory yet: forking costs a millisecond.
            self._process = subprocess.Popen(
                list(command),
                stdin=theirs,
                stdout=out,
                stderr=errors,
                env=environ,
                preexec_fn=lambda: namespaces.die_with_parent(signal.SIGTERM, parent),
            )
        except (FileNotFoundError, NotADirectoryError):
            raise ServerError(f"{command[0]}: no such program", _NOT_FOUND) from None
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            cause = getattr(error, "strerror", None) or str(error)
            raise ServerError(f"{command[0]}: {cause}", _NOT_EXECUTABLE) from None
        finally:
            for descriptor in (theirs, out, errors):
                os.close(descriptor)
        self.pid = self._process.pid
        self.ended = os.pidfd_open(self.pid)

    def close_input(self) -> None:
        """End what the server reads: the first thing that tells it to go."""
        if self.input >= 0:
            os.close(self.input)
            self.input = -1

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self._process.send_signal(number)

    def code(self) -> int | None:
        """Exit code, 128+n for signal n; None while it runs."""
        found = self._process.poll()
        return None if found is None else 128 - found if found < 0 else found

    def close(self) -> None:
        """Kill it if it still runs, wait for it, and close all that is open."""
        self.close_input()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for descriptor in (self.output, self.errors, self.ended):
            os.close(descriptor)


def widen(descriptor: int) -> None:
    """Make a pipe large, where it is a pipe and the kernel lets us."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
