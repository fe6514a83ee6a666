"""The packet guard of all guests, kept alive: packets that no listener takes get their names.

Nothing depends on it: what it names is refused in any case, and counted by the kernel.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable

from interceptor.gateway.held import Held
from interceptor.gateway.workers import Worker, WorkerError, WorkerGoneError
from interceptor.serve.gateway_messages import Watch
from netns.shared_guard import SharedGuard


class Naming:
    """The guard, and what it is told of guests."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """Start it. `tell` is called with lines for the operator."""
        self._tell = tell
        self._given: collections.deque[tuple[Held, Worker]] = collections.deque()
        self._guard: SharedGuard | None = None
        self._start()

    def watch(self, held: Held) -> None:
        """Have the packets of a guest named that is served; then `settle`."""
        worker = held.worker
        if self._guard is None or held.log is None or worker is None:
            return
        try:
            with self._guard.watch(held.log) as channel:
                worker.give(Watch(held.guest.name), [channel.fileno()])
        except (OSError, WorkerGoneError):
            return  # `tick` starts the guard again; a worker that has gone is another's business
        self._given.append((held, worker))
        if len(self._given) >= 16:
            self._take()

    def settle(self) -> None:
        """Take the answers of the workers."""
        while self._given:
            self._take()

    def tick(self, guests: Iterable[Held]) -> None:
        """Start it again if it has ended."""
        if self._guard is not None and self._guard.lives():
            return
        if self._guard is not None:
            self._guard.close()
            self._guard = None
            self._tell("the packet guard has ended and is started again")
        self._start()
        for held in guests:
            self.watch(held)
        self.settle()

    def close(self) -> None:
        """End it."""
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    def _start(self) -> None:
        try:
            self._guard = SharedGuard()
        except OSError as error:
            self._tell(f"no packet guard: {error}; refused packets are counted only")

    def _take(self) -> None:
        held, worker = self._given.popleft()
        try:
            worker.answer()
        except WorkerGoneError:
            pass
        except WorkerError as error:
            self._tell(f"{held.guest.name}: refused packets are not named: {error}")
