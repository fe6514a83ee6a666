"""The agent's stdin, stdout and stderr: what is handed over as it is, and what is relayed.

Pipes and plain files go to the agent as they are. A terminal never does: the agent gets one of its
own, so that it can neither type into the operator's (TIOCSTI) nor change it. Sockets never do
either: a descriptor is a way out that no namespace stops; their bytes are relayed through pipes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import struct
import termios
import time
import tty
from collections.abc import Callable, Mapping
from typing import Any

Watch = Mapping[int, Callable[[], bool | None]]
"""Descriptors, and what is called when one is readable or hung up."""

_PIECE = 65536
_TTY_PIECE = 4096
_DRAIN = 2.0  # seconds for what is left in the pipes once the agent has ended
_END_OF_FILE = b"\x04"  # VEOF of a fresh terminal, termios(3)


class StdioError(ValueError):
    """A descriptor that cannot be given to an agent. The message names it."""


class _Pump:
    """Moves bytes from one descriptor to another, one piece at a time."""

    def __init__(self, source: int, sink: int, *, into_agent: bool) -> None:
        self.source, self.sink = source, sink
        self.into_agent = into_agent
        self.pending = b""
        self.ended = False

    def read(self) -> None:
        try:
            self.pending = os.read(self.source, _TTY_PIECE if self.into_agent else _PIECE)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last holder of a terminal's other side is gone
            self.pending = b""
        self.ended = not self.pending

    def write(self) -> None:
        # Whatever is not ours may block: small pieces, after poll(2) said it takes some.
        try:
            written = os.write(self.sink, self.pending[:_TTY_PIECE])
        except BlockingIOError:
            return
        except OSError:
            self.pending, self.ended = b"", True
        else:
            self.pending = self.pending[written:]


class Stdio:
    """Three descriptors for the agent, and the relays behind those that are not the originals."""

    def __init__(self, originals: tuple[int, int, int] = (0, 1, 2)) -> None:
        """Look at `originals` and make terminals and pipes as needed. Raises StdioError."""
        self.given: list[int] = []
        self.slave = -1
        self.master = -1
        self._made: set[int] = set()  # ours, closed once the agent holds its copies
        self._kept: set[int] = set()  # ours, used by the relays
        self._pumps: list[_Pump] = []
        self._saved: list[Any] | None = None
        kinds = [_kind(fd) for fd in originals]
        terminals = [fd for fd, kind in zip(originals, kinds, strict=True) if kind == "terminal"]
        self._screen = -1
        self._raw = kinds[0] == kinds[1] == "terminal"
        self._keyboard = originals[0] if kinds[0] == "terminal" else -1
        try:
            if terminals:
                self._screen = next((fd for fd in originals[1:] if fd in terminals), terminals[0])
                self._open_terminal()
            for number, (fd, kind) in enumerate(zip(originals, kinds, strict=True)):
                self.given.append(self._for_agent(number, fd, kind))
        except BaseException:
            self.close()
            raise

    @property
    def console(self) -> str:
        """Path of the agent's terminal on the host, or empty when it has none."""
        return os.ttyname(self.slave) if self.slave >= 0 else ""

    def give_to(self, uid: int, gid: int) -> None:
        """Make the agent's user the owner of its terminal, so that programs can reopen it."""
        if self.slave >= 0 and os.fstat(self.slave).st_uid != uid:
            os.fchown(self.slave, uid, gid)

    def handed_over(self) -> None:
        """Close our copies of what the agent now holds: its ends decide when a stream ends."""
        for fd in self._made:
            os.close(fd)
        self._made.clear()
        self.slave = -1

    def begin(self) -> None:
        """Put the operator's terminal into raw mode, when keys go to the agent's."""
        self.resize()
        if self._raw and self._saved is None:
            self._saved = termios.tcgetattr(self._keyboard)
            tty.setraw(self._keyboard, termios.TCSADRAIN)

    def restore(self) -> None:
        """Put the operator's terminal back as it was. Safe to call at any time."""
        if self._saved is not None:
            saved, self._saved = self._saved, None
            try:
                termios.tcsetattr(self._keyboard, termios.TCSADRAIN, saved)
            except (termios.error, OSError):
                return  # the terminal is gone

    def resize(self) -> None:
        """Give the agent's terminal the size of the operator's; the kernel sends SIGWINCH."""
        if self.master >= 0:
            try:
                size = fcntl.ioctl(self._screen, termios.TIOCGWINSZ, struct.pack("4H", 0, 0, 0, 0))
                fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)
            except OSError:
                return  # the terminal is gone

    def relay(self, ended: int, watch: Watch | None = None) -> None:
        """Move bytes until `ended` (a pidfd) is readable and the agent's output is drained.

        `watch` maps further descriptors to what is called when one is readable or hung up; each is
        called until it returns something else than True. Signal handlers run as usual meanwhile.
        """
        callbacks = dict(watch or {})
        deadline = None
        while True:
            self._settle()
            writing = [pump for pump in self._pumps if not pump.into_agent]
            if deadline is not None and (not writing or time.monotonic() >= deadline):
                return
            poll = select.poll()
            for pump in self._pumps:
                if pump.pending:
                    poll.register(pump.sink, select.POLLOUT)
            # One descriptor can be a source and a sink (a terminal): registering replaces.
            sinks = {pump.sink for pump in self._pumps if pump.pending}
            for pump in self._pumps:
                if not pump.pending and not (deadline and pump.into_agent):
                    flags = select.POLLIN | (select.POLLOUT if pump.source in sinks else 0)
                    poll.register(pump.source, flags)
            if deadline is None:
                poll.register(ended, select.POLLIN)
            for fd in callbacks:
                poll.register(fd, select.POLLIN)
            events = dict(poll.poll(None if deadline is None else 50))
            for pump in list(self._pumps):
                if pump.pending and events.get(pump.sink, 0) & ~select.POLLIN:
                    pump.write()
                elif not pump.pending and events.get(pump.source, 0) & ~select.POLLOUT:
                    pump.read()
            for fd in [fd for fd in callbacks if events.get(fd)]:
                if callbacks[fd]() is not True:
                    del callbacks[fd]
            if deadline is None and events.get(ended):
                deadline = time.monotonic() + _DRAIN

    def close(self) -> None:
        """Restore the terminal and close everything that is ours."""
        self.restore()
        for fd in self._made | self._kept:
            os.close(fd)
        self._made.clear()
        self._kept.clear()
        self._pumps.clear()
        self.master = self.slave = -1

    def _for_agent(self, number: int, fd: int, kind: str) -> int:
        """Return the descriptor the agent gets for one of its three."""
        if kind == "terminal":
            return self.slave
        if kind == "socket":
            read_end, write_end = os.pipe2(os.O_CLOEXEC)
            theirs, ours = (read_end, write_end) if number == 0 else (write_end, read_end)
            self._made.add(theirs)
            self._kept.add(ours)
            os.set_blocking(ours, False)
            self._pumps.append(
                _Pump(fd, ours, into_agent=True)
                if number == 0
                else _Pump(ours, fd, into_agent=False)
            )
            return theirs
        if kind == "closed":
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            self._made.add(null)
            return null
        if kind in {"pipe", "file", "null"}:
            return fd
        name = ("stdin", "stdout", "stderr")[number]
        raise StdioError(
            f"{name} is a {kind}, through which the agent could reach outside the jail: "
            "give it a file, a pipe or a terminal"
        )

    def _open_terminal(self) -> None:
        self.master, self.slave = os.openpty()
        self._made.add(self.slave)
        self._kept.add(self.master)
        os.set_blocking(self.master, False)
        mode = termios.tcgetattr(self._screen)
        if not self._raw:
            # The operator's terminal still edits lines, echoes and turns \n into \r\n.
            mode[1] &= ~termios.OPOST
            mode[3] &= ~termios.ECHO
        termios.tcsetattr(self.slave, termios.TCSANOW, mode)
        if self._keyboard >= 0:
            self._pumps.append(_Pump(self._keyboard, self.master, into_agent=True))
        self._pumps.append(_Pump(self.master, self._screen, into_agent=False))
        self.resize()

    def _settle(self) -> None:
        """Forget relays that have ended, and tell the other side."""
        for pump in [pump for pump in self._pumps if pump.ended]:
            if pump.into_agent and pump.sink == self.master:
                # End of file at the operator's keyboard: typed into the agent's terminal.
                pump.pending, pump.ended = _END_OF_FILE, False
                if self._raw or not os.isatty(pump.source):
                    self._pumps.remove(pump)
                continue
            self._pumps.remove(pump)
            ours = pump.sink if pump.into_agent else pump.source
            if ours in self._kept:
                self._kept.discard(ours)
                os.close(ours)
                if ours == self.master:
                    # The screen is gone: the agent's session gets SIGHUP from the kernel.
                    self.master = -1
                    self._pumps = [other for other in self._pumps if other.sink != ours]


def _kind(fd: int) -> str:
    """Return what a descriptor is, in the gate's words, or `closed`."""
    try:
        about = os.fstat(fd)
    except OSError as error:
        if error.errno == errno.EBADF:
            return "closed"
        raise
    kind = stat.S_IFMT(about.st_mode)
    if kind == stat.S_IFCHR:
        if os.isatty(fd):
            return "terminal"
        return "null" if os.major(about.st_rdev) == 1 else "character device"
    names = {
        stat.S_IFREG: "file",
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFDIR: "directory",
        stat.S_IFBLK: "block device",
    }
    return names.get(kind, "descriptor of another kind")
