"""A time limit for the agent: asked to end, then ended; like timeout(1)."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

EXIT_TIMED_OUT: Final = 124
"""Exit code of timeout(1)."""
GRACE: Final = 10.0
"""Seconds between SIGTERM and the end of the jail."""


class Agent(Protocol):
    """The part of `netns.enclosure.Enclosure` that a limit needs."""

    def signal(self, number: int) -> None:
        """Send a signal to the agent."""


class TimeLimit:
    """Ends an agent after a time. Uses SIGALRM of the main thread."""

    def __init__(self, agent: Agent, seconds: float, told: Callable[[str], None]) -> None:
        """`seconds` 0 is no limit; `told` gets a line for the operator."""
        self.passed = False
        """True when the time was up."""
        self._agent = agent
        self._seconds = seconds
        self._told = told

    def __enter__(self) -> Self:
        """Begin to count."""
        if self._seconds:
            signal.signal(signal.SIGALRM, self._up)
            signal.setitimer(signal.ITIMER_REAL, self._seconds)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop counting."""
        if self._seconds:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _up(self, _number: int, _frame: object) -> None:
        if self.passed:
            self._agent.signal(signal.SIGKILL)
            return
        self.passed = True
        self._told(f"the time limit of {self._seconds:g} s is over: the agent is asked to end")
        self._agent.signal(signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, GRACE)
