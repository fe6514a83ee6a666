"""The workers of a gateway: kept alive, and watched.

A worker that dies leaves its guests without listeners: whatever they dial is refused. It is
started again at once, and later the more often it dies; its guests wait for it and are not given to
other workers, so that a guest that kills its worker harms only those beside it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from typing import Final

from interceptor.gateway.workers import Worker, WorkerError, WorkerGoneError
from interceptor.serve.gateway_worker import Shared

RETRY: Final = (0.0, 1.0, 5.0, 30.0)
"""Seconds until a worker is started again, by the number of its deaths before."""
STEADY: Final = 60.0
"""Seconds after which a worker that lives counts as one that has not died."""

_END_SECONDS: Final = 2.0


class Crew:
    """The workers.

    Attributes:
        workers: by number; None while one waits to be started again.
        deaths: how often each has ended.
    """

    def __init__(
        self,
        shared: Shared,
        count: int,
        tell: Callable[[str], None],
        strand: Callable[[Worker], int],
        again: Callable[[int], None],
    ) -> None:
        """Fork them. The caller must have one thread.

        Args:
            shared: what they share.
            count: of workers.
            tell: called with lines for the operator.
            strand: called when a worker has ended; notes that, and gives the number of its guests.
            again: called with the number of a worker that has been started again.

        Raises:
            WorkerError: one does not come up.
            OSError: no process or descriptor was left.
        """
        self._shared = shared
        self._tell, self._strand, self._again = tell, strand, again
        self.deaths = [0] * count
        self._lately = [0] * count
        self._due: dict[int, float] = {}
        gc.collect()
        gc.freeze()  # what lives from here on is shared with the workers
        self.workers: list[Worker | None] = [Worker(number, shared) for number in range(count)]
        for worker in self.alive():
            worker.ready()

    def alive(self) -> list[Worker]:
        """Those that serve."""
        return [worker for worker in self.workers if worker is not None]

    def idlest(self, busy: Iterable[Worker | None]) -> Worker:
        """The worker that has the fewest guests.

        Args:
            busy: the worker of each guest.

        Raises:
            WorkerGoneError: none lives.
        """
        load = dict.fromkeys(self.alive(), 0)
        for worker in busy:
            if worker in load:
                load[worker] += 1
        if not load:
            raise WorkerGoneError("no worker lives; they are started again")
        return min(load, key=lambda worker: (load[worker], worker.number))

    def tick(self, now: float) -> None:
        """Ask for signs of life, and start again who is to be; `now` is CLOCK_MONOTONIC."""
        for worker in self.alive():
            if now - worker.began > STEADY:
                self._lately[worker.number] = 0
            try:
                worker.ask()
            except WorkerGoneError as error:
                self._tell(str(error))
                self.lost(worker)
        for number, due in list(self._due.items()):
            if now >= due:
                del self._due[number]
                self._start(number)

    @property
    def due(self) -> float:
        """When a worker is to be started again (CLOCK_MONOTONIC), or infinity."""
        return min(self._due.values(), default=float("inf"))

    def lost(self, worker: Worker) -> None:
        """Note that a worker has ended, and start it again now or later."""
        number = worker.number
        if self.workers[number] is not worker:
            return
        worker.kill()
        self.workers[number] = None
        self.deaths[number] += 1
        wait = RETRY[min(self._lately[number], len(RETRY) - 1)]
        self._lately[number] += 1
        count = self._strand(worker)
        said = f"worker {number} has ended; {count} guests are offline"
        self._tell(f"{said}; it is started again" + (f" in {wait:g} s" if wait else ""))
        if wait:
            self._due[number] = time.monotonic() + wait
        else:
            self._start(number)

    def close(self) -> None:
        """Let them write what waits, and end them."""
        for worker in self.alive():
            worker.end(_END_SECONDS)
            self.workers[worker.number] = None

    def _start(self, number: int) -> None:
        worker: Worker | None = None
        try:
            worker = Worker(number, self._shared)
            worker.ready()
        except (OSError, WorkerError) as error:
            if worker is not None:
                worker.kill()
            self._tell(f"worker {number} does not start: {error}")
            self._due[number] = time.monotonic() + RETRY[-1]
            return
        self.workers[number] = worker
        self._again(number)
