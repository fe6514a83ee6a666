"""Worker processes, as the supervisor makes them and talks to them."""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Final, NoReturn

import msgspec

from interceptor.serve import gateway_worker
from interceptor.serve.gateway_messages import (
    Answer,
    Ask,
    Done,
    Failure,
    Order,
    Ready,
    Report,
    Taken,
    Tally,
)
from netns import confine, namespaces

ORDER_SECONDS: Final = 15.0
"""An order takes milliseconds, but a worker may be in the middle of a large body."""
SILENCE: Final = 30.0
"""Seconds after which a worker that says nothing counts as dead."""

_DESCRIPTORS: Final = 262_144
_BUFFER: Final = 1 << 20
_LARGEST: Final = 1 << 22


class WorkerError(RuntimeError):
    """An order was not carried out; the message says why."""


class WorkerGoneError(WorkerError):
    """The worker has ended, or does not answer."""


class Worker:
    """One worker process.

    Attributes:
        number: from 0; another process has the same one after it has died.
        pid: of the process.
        pidfd: readable when it has ended.
        tallies: counts of its guests, as reported last.
    """

    def __init__(self, number: int, shared: gateway_worker.Shared) -> None:
        """Fork it. The caller must have one thread.

        Raises:
            OSError: no process or descriptor was left.
        """
        self.number = number
        self.began = time.monotonic()
        self.tallies: dict[str, Tally] = {}
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.control, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self._asked = 0.0
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _become(shared, theirs, parent)
        theirs.close()
        self.pidfd = os.pidfd_open(self.pid)
        self.control.settimeout(ORDER_SECONDS)

    def ready(self) -> None:
        """Wait until it has given up its privileges.

        Raises:
            WorkerError: with what it says.
        """
        self._understand(self._receive())

    def order(self, order: Order, descriptors: Sequence[int] = ()) -> Taken | Done | Report:
        """Give an order and wait for its answer.

        Raises:
            WorkerError: it could not be carried out.
        """
        self.give(order, descriptors)
        return self.answer()

    def give(self, order: Order, descriptors: Sequence[int] = ()) -> None:
        """Give an order whose answer is taken later; answers come in the order of orders.

        Raises:
            WorkerGoneError: there is nobody to take it.
        """
        if self._asked:
            self.report()
        self._send(order, descriptors)

    def answer(self) -> Taken | Done | Report:
        """Take the answer to the oldest order that was given; waits for it.

        Raises:
            WorkerError: it could not be carried out.
        """
        answer = self._understand(self._receive())
        assert not isinstance(answer, Ready)  # noqa: S101
        return answer

    def ask(self) -> None:
        """Ask for a sign of life, which `report` takes when there is one.

        Raises:
            WorkerGoneError: the last one has not come for too long.
        """
        now = time.monotonic()
        if self._asked:
            if now - self._asked > SILENCE:
                raise WorkerGoneError(f"worker {self.number} has said nothing for {SILENCE:g} s")
            return
        self._send(Ask(), ())
        self._asked = now

    def has_said(self) -> bool:
        """Whether there is something to be read, or its end; does not block."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        return bool(poll.poll(0))

    def report(self) -> None:
        """Take the answer to `ask`.

        Raises:
            WorkerGoneError: there is none.
        """
        answer = self._understand(self._receive())
        self._asked = 0.0
        if isinstance(answer, Report):
            self.tallies = {tally.name: tally for tally in answer.tallies}

    def kill(self) -> None:
        """End it and wait for its end; safe to call again."""
        self.control.close()
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self.pidfd)
            self.pid = 0

    def end(self, seconds: float) -> None:
        """Let it write what waits, for so long, and end it."""
        self.control.close()
        if self.pid:
            poll = select.poll()
            poll.register(self.pidfd, select.POLLIN)
            poll.poll(seconds * 1000)
        self.kill()

    def _send(self, order: Order, descriptors: Sequence[int]) -> None:
        try:
            socket.send_fds(self.control, [msgspec.json.encode(order)], descriptors)
        except OSError as error:
            raise WorkerGoneError(f"worker {self.number} is gone: {error}") from error

    def _receive(self) -> bytes:
        try:
            message = self.control.recv(_LARGEST)
        except OSError as error:
            raise WorkerGoneError(f"worker {self.number} does not answer: {error}") from error
        if not message:
            raise WorkerGoneError(f"worker {self.number} has ended")
        return message

    def _understand(self, message: bytes) -> Taken | Done | Report | Ready:
        answer: Answer = msgspec.json.decode(message, type=Answer)
        if isinstance(answer, Failure):
            raise WorkerError(answer.cause)
        return answer


def _become(shared: gateway_worker.Shared, control: socket.socket, parent: int) -> NoReturn:
    """In the forked child: become the worker. Never returns."""
    code = 1
    try:
        gc.disable()  # it would touch, and thereby copy, all that is shared with the parent
        gc.freeze()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()  # signals of the operator's terminal are for the supervisor
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        namespaces.close_all_but((0, 1, 2, control.fileno()))
        namespaces.die_with_parent(signal.SIGKILL, parent)
        uid = confine.unprivileged_uid(os.getpid())
        gc.enable()
        gateway_worker.run(shared, control, lambda: confine.confine(uid, parent, _DESCRIPTORS))
        code = 0
    except KeyboardInterrupt:
        pass
    except BaseException as error:  # noqa: BLE001 - a forked child must not unwind
        sys.stderr.write(f"egressguard: worker: {type(error).__name__}: {error}\n")
    finally:
        os._exit(code)
