"""Writing to a descriptor that others may share, without ever waiting for who reads it."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
from typing import Final

from interceptor.mcp.process import widen

_SAFE: Final = 4096
"""PIPE_BUF: a pipe that poll(2) calls writable takes that much at once (pipe(7))."""


class Outlet:
    """The end of a stream that we write to.

    O_NONBLOCK belongs to what all processes share that have inherited a descriptor (open(2)), so it
    is not set on one that we were given: pipes and terminals are opened anew, sockets have a flag
    for each call, and what is left is written to in pieces that cannot block.

    Args:
        descriptor: where to.
        own: nobody else has it, and it does not block.
    """

    def __init__(self, descriptor: int, *, own: bool = False) -> None:
        self.descriptor = descriptor
        self.gone = False
        """Nobody reads any more."""
        self._held = bytearray()
        self._socket: socket.socket | None = None
        self._piecewise = False
        self._opened = -1
        if own:
            return
        widen(descriptor)
        try:
            kind = os.fstat(descriptor).st_mode
            if stat.S_ISSOCK(kind):
                self._socket = socket.socket(fileno=os.dup(descriptor))
            elif stat.S_ISFIFO(kind):
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
                self._opened = os.open(f"/proc/self/fd/{descriptor}", flags)
            elif stat.S_ISREG(kind):
                pass  # a file takes everything at once
            else:
                self._piecewise = True
        except OSError:
            self._piecewise = True

    @property
    def waiting(self) -> int:
        """Bytes that could not be written yet."""
        return len(self._held)

    def write(self, data: bytes) -> None:
        """Write what can be written now, and keep the rest for `flush`."""
        if self.gone:
            return
        if self._held:
            self._held += data
            self.flush()
            return
        written = self._some(data)
        if written < len(data) and not self.gone:
            self._held += memoryview(data)[written:]

    def flush(self) -> None:
        """Write more of what waits."""
        while self._held and not self.gone:
            written = self._some(memoryview(self._held)[: 1 << 20].tobytes())
            if not written:
                return
            del self._held[:written]
        if self.gone:
            self._held.clear()

    def close(self) -> None:
        """Close what was opened here; the descriptor that was given stays open."""
        with contextlib.suppress(OSError):
            if self._opened >= 0:
                os.close(self._opened)
        self._opened = -1
        if self._socket is not None:
            self._socket.close()

    def _some(self, data: bytes) -> int:
        try:
            if self._socket is not None:
                return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            if self._piecewise:
                return self._pieces(data)
            place = self._opened if self._opened >= 0 else self.descriptor
            return os.write(place, data)
        except BlockingIOError:
            return 0
        except OSError:  # EPIPE, a terminal that hung up, a full disk: it will not get better
            self.gone = True
            return 0

    def _pieces(self, data: bytes) -> int:
        poll = select.poll()
        poll.register(self.descriptor, select.POLLOUT)
        done = 0
        while done < len(data):
            events = poll.poll(0)
            if not events:
                break
            if not events[0][1] & select.POLLOUT:
                raise BrokenPipeError
            done += os.write(self.descriptor, data[done : done + _SAFE])
        return done
