"""Relays a client's and a server's lines through what judges them: one thread, no waiting on one.

The end of a session follows the specification's (revision 2025-06-18, basic/lifecycle, Shutdown):
the server's input is closed, and it gets SIGTERM, then SIGKILL, if it does not go.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import msgspec

from interceptor.mcp.lines import Lines, TooLong
from interceptor.mcp.outlet import Outlet
from interceptor.mcp.process import ServerProcess, widen
from interceptor.mcp.stderr import Messages

GRACE: Final = 1.5
"""Seconds from one step of the shutdown to the next: clients wait two before they use force."""
_DRAIN: Final = 1.0  # for what a server that has ended left in its pipe, which its children hold
_DELIVER: Final = 2.0  # for a client that does not read, at the end
_READ: Final = 1 << 20
_HIGH: Final = 1 << 22  # bytes that wait for one side before the other is not read any more
_LOOK: Final = 1.0  # seconds between looks at deadlines
_ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Out(msgspec.Struct, frozen=True, gc=False):
    """What one line leads to: whole lines for either side."""

    to_client: bytes = b""
    to_server: bytes = b""


class Talk(Protocol):
    """What judges: `interceptor.mcp.session.Session`."""

    def from_client(self, line: bytes | TooLong, now: float) -> Out:
        """A line of the client's."""

    def from_server(self, line: bytes | TooLong, now: float) -> Out:
        """A line of the server's."""

    def due(self, now: float) -> Out:
        """What has to be said because time has passed."""

    def server_gone(self, detail: str, now: float) -> Out:
        """The server answers nothing any more."""

    @property
    def waits(self) -> bool:
        """True while an answer of the server's is outstanding."""


class Relay:
    """One session, from the first line to the exit code.

    Args:
        server: started.
        talk: judges.
        limit: bytes of the longest line.
        source: descriptor that the client writes to.
        target: descriptor that the client reads.
        errors: descriptor for the server's standard error.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        server: ServerProcess,
        talk: Talk,
        limit: int,
        *,
        source: int = 0,
        target: int = 1,
        errors: int = 2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._talk = talk
        self._clock = clock
        self._source = source
        self._client_lines = Lines(limit)
        self._server_lines = Lines(limit)
        self._client = Outlet(target)
        self._to_server = Outlet(server.input, own=True)
        self._errors = Outlet(errors)
        with contextlib.suppress(OSError):
            widen(source)
        self._messages = Messages(terminal=_is_terminal(errors), now=clock())
        self._poll = select.poll()
        self._events: dict[int, int] = {}
        self._client_ended = False
        self._output_ended = False
        self._errors_ended = False
        self._server_ended = False
        self._state: tuple[object, ...] = ()
        self._signalled = 0
        self._step = 0
        self._step_at = 0.0
        self._looked = clock()

    def run(self) -> int:
        """Relay until either side is gone; returns the server's exit code, 128+n for signal n."""
        with self._signals() as wakes:
            self._watch(wakes, select.POLLIN)
            self._watch(self._server.ended, select.POLLIN)
            while not self._server_ended:
                self._interests()
                for descriptor, events in self._poll.poll(self._timeout()):
                    self._serve(descriptor, events, wakes)
                self._time_passes()
            self._drain()
        code = self._server.code()
        how = f"the server ended with exit code {code}"
        self._give(self._talk.server_gone(how, self._clock()))
        self._deliver()
        self._client.close()
        self._errors.close()
        return code or 0

    # -- the loop ----------------------------------------------------------------------------

    def _interests(self) -> None:
        state = (
            self._client.waiting > 0,
            self._client.waiting < _HIGH,
            self._client.gone,
            self._to_server.waiting > 0,
            self._to_server.waiting < _HIGH,
            self._errors.waiting > 0,
            self._client_ended,
            self._output_ended,
            self._errors_ended,
            self._server.input,
        )
        if state == self._state:
            return
        self._state = state
        room = self._client.waiting < _HIGH
        # A server that does not read is read all the same: it may wait for us to take what it says.
        output = room and not self._output_ended
        source = room and not self._client_ended and self._to_server.waiting < _HIGH
        self._watch(self._source, select.POLLIN if source else 0)
        self._watch(self._server.output, select.POLLIN if output else 0)
        quiet = not self._errors_ended and not self._errors.waiting
        self._watch(self._server.errors, select.POLLIN if quiet else 0)
        if self._server.input >= 0:
            self._watch(self._server.input, select.POLLOUT if self._to_server.waiting else 0)
        self._watch(self._errors.descriptor, select.POLLOUT if self._errors.waiting else 0)
        # Without events a descriptor still tells of its end (poll(2)): a client that is gone.
        self._watch(
            self._client.descriptor, select.POLLOUT if self._client.waiting else 0, always=True
        )

    def _watch(self, descriptor: int, events: int, *, always: bool = False) -> None:
        wanted = events if events or (always and not self._client.gone) else -1
        if self._events.get(descriptor, -1) == wanted:
            return
        if wanted < 0:
            with contextlib.suppress(KeyError, OSError):
                self._poll.unregister(descriptor)
            self._events.pop(descriptor, None)
        else:
            self._poll.register(descriptor, wanted)
            self._events[descriptor] = wanted

    def _serve(self, descriptor: int, events: int, wakes: int) -> None:
        if descriptor == self._source and not self._client_ended and events & ~select.POLLOUT:
            self._read_client()
        elif descriptor == self._server.output:
            self._read_server()
        elif descriptor == self._server.errors:
            self._read_errors()
        elif descriptor == self._server.input:
            self._to_server.flush()
            if self._client_ended:
                self._half_close()
        elif descriptor == self._errors.descriptor:
            self._errors.flush()
        elif descriptor == self._client.descriptor:
            if events & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
                self._client.gone = True
            self._client.flush()
        elif descriptor == self._server.ended:
            self._server_ended = self._server.code() is not None
        elif descriptor == wakes:
            os.read(wakes, 64)

    def _timeout(self) -> float | None:
        """Milliseconds until something has to be done though nothing comes; None: nothing has."""
        if self._step or self._signalled:
            return max(0.0, min(self._step_at + GRACE - self._clock(), _LOOK)) * 1000
        return _LOOK * 1000 if self._talk.waits else None

    def _time_passes(self) -> None:
        now = self._clock()
        if now - self._looked >= _LOOK:
            self._looked = now
            self._give(self._talk.due(now))
        if self._to_server.gone and self._server.input >= 0:
            self._close_input()
        if self._signalled:
            number, self._signalled = self._signalled, 0
            self._close_input()
            # On a terminal the kernel has given the interrupt to the server already (termios(3)).
            if number != signal.SIGINT or not _is_terminal(self._source):
                self._server.send(number)
            self._step, self._step_at = max(self._step, 2), now
        if not self._step and self._over():
            self._close_input()
            self._step, self._step_at = 1, now
        if self._step and now - self._step_at >= GRACE:
            self._server.send(signal.SIGTERM if self._step == 1 else signal.SIGKILL)
            self._step, self._step_at = self._step + 1, now

    def _over(self) -> bool:
        """Nothing more is to be expected: then the server has to go."""
        if self._client.gone or self._output_ended:
            return True
        return self._client_ended and not self._talk.waits and not self._to_server.waiting

    # -- what comes --------------------------------------------------------------------------

    def _read_client(self) -> None:
        data = _read(self._source)
        if data is None:
            return
        lines = self._client_lines.feed(data) if data else self._client_lines.end()
        for line in lines:
            self._give(self._talk.from_client(line, self._clock()))
        if not data:
            self._client_ended = True
            self._half_close()

    def _read_server(self) -> bool:
        """Read once; False when nothing is there, or nothing will be."""
        data = _read(self._server.output)
        if data is None:
            return False
        lines = self._server_lines.feed(data) if data else self._server_lines.end()
        for line in lines:
            self._give(self._talk.from_server(line, self._clock()))
        if not data:
            self._output_ended = True
            how = "the server closed its output"
            self._give(self._talk.server_gone(how, self._clock()))
        return bool(data)

    def _read_errors(self) -> bool:
        data = _read(self._server.errors)
        if data is None:
            return False
        if data:
            self._errors.write(self._messages.pass_on(data, self._clock()))
        self._errors_ended = not data
        return bool(data)

    def _give(self, out: Out) -> None:
        if out.to_client:
            self._client.write(out.to_client)
        # Answers to a server that asks and does not read are lost to it, not kept without end.
        if out.to_server and self._server.input >= 0 and self._to_server.waiting < 2 * _HIGH:
            self._to_server.write(out.to_server)

    def _half_close(self) -> None:
        """Hand on the client's end as soon as all it said is out: it may still want answers."""
        if not self._to_server.waiting:
            self._close_input()

    def _close_input(self) -> None:
        if self._server.input >= 0:
            self._watch(self._server.input, 0)
            self._server.close_input()

    # -- the end -----------------------------------------------------------------------------

    def _drain(self) -> None:
        """Take what the server left behind; children of its may hold the pipes open for ever."""
        until = self._clock() + _DRAIN
        while not self._output_ended and self._clock() < until and not self._client.gone:
            if self._client.waiting >= _HIGH:
                self._await(self._client, until)
            elif not self._read_server():
                break
        while not self._errors_ended and self._clock() < until and self._read_errors():
            pass

    def _deliver(self) -> None:
        until = self._clock() + _DELIVER
        for outlet in (self._client, self._errors):
            while outlet.waiting and not outlet.gone and self._clock() < until:
                self._await(outlet, until)

    def _await(self, outlet: Outlet, until: float) -> None:
        poll = select.poll()
        poll.register(outlet.descriptor, select.POLLOUT)
        poll.poll(max(0.0, until - self._clock()) * 1000)
        outlet.flush()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[int]:
        """Note signals that ask us to end; gives a descriptor that becomes readable then."""
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

        def noted(number: int, _frame: object) -> None:
            self._signalled = number

        before = [(number, signal.signal(number, noted)) for number in _ENDS]
        wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        try:
            yield reading
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before:
                signal.signal(number, handler)
            os.close(reading)
            os.close(writing)


def _read(descriptor: int) -> bytes | None:
    """What is there; b"" at the end; None where nothing is."""
    try:
        return os.read(descriptor, _READ)
    except BlockingIOError:
        return None
    except OSError:  # EIO: a terminal that hung up
        return b""


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False
