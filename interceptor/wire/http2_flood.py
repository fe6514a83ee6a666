"""What a peer may ask of us beside requests: budgets that refill with time and with work done.

A control frame costs its sender a few bytes and us some microseconds, so each kind has a budget
(CVE-2023-44487 and the floods of CVE-2019-9511 to 9518). Ordinary use never comes near: the
budgets grow with every frame of payload and with every stream that completes.
"""

from __future__ import annotations

import enum
from typing import Final


class Flood(enum.IntEnum):
    """Kinds of frames that are counted."""

    RESETS = 0
    """Streams that the peer opened and gave up, or made us give up."""
    SETTINGS = 1
    PINGS = 2
    WINDOWS = 3
    EMPTY = 4
    """DATA frames without a byte of data."""
    OTHER = 5
    """PRIORITY, unknown types, frames for streams that are over."""


# Frames at once, frames a second, frames for each unit of work (RESETS: for each stream completed).
_BUDGETS: Final = (
    (400.0, 100.0, 1.0),
    (100.0, 5.0, 0.0),
    (1000.0, 100.0, 2.0),
    (4000.0, 1000.0, 4.0),
    (400.0, 50.0, 0.0),
    (2000.0, 200.0, 4.0),
)


class FloodGuard:
    """Budgets of one connection.

    Attributes:
        work: counted up by its owner for each frame of payload in or out, and each request.
        completed: counted up for each stream that ran to its end.
    """

    __slots__ = ("_left", "_seen", "completed", "work")

    def __init__(self, now: float) -> None:
        """Start with full budgets at `now`, in seconds."""
        self.work = 0
        self.completed = 0
        self._left = [most for most, _, _ in _BUDGETS]
        self._seen = [(now, 0)] * len(_BUDGETS)

    def spend(self, kind: Flood, now: float) -> bool:
        """Take one frame from a budget; False when it is used up."""
        most, rate, earned = _BUDGETS[kind]
        work = self.completed if kind is Flood.RESETS else self.work
        then, done = self._seen[kind]
        left = self._left[kind] + max(0.0, now - then) * rate + (work - done) * earned
        self._seen[kind] = (now, work)
        self._left[kind] = min(most, left) - 1.0
        return left >= 1.0
