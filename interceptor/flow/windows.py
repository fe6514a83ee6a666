"""Equal refusals become one event: the first is recorded, its like within a second are counted.

An agent can send a hundred thousand datagrams in a second. The first of a kind is recorded before
it is answered; how many more there were is recorded when the second is over.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import msgspec

from interceptor.flow.steps import Record
from interceptor.model import Origin

WINDOW: Final = 1.0
"""Seconds in which equal refusals are one event."""
WINDOWS: Final = 128
"""Different refusals a second that get an event of their own; the rest are counted in one."""


class Note(msgspec.Struct, frozen=True):
    """Write this decision to the evidence before the next step is carried out."""

    record: Record
    origin: Origin


class _Window:
    """Equal refusals: the first was recorded, more are counted."""

    __slots__ = ("more", "note", "until")

    def __init__(self, note: Note, now: float) -> None:
        self.note = note
        self.until = now + WINDOW
        self.more = 0


class Windows:
    """Counts equal refusals, in bounded memory. Times are seconds of the caller's clock."""

    def __init__(self, others: Record) -> None:
        """`others` stands for all that are too many to be told apart."""
        self._others = others
        self._windows: OrderedDict[Record, _Window] = OrderedDict()  # by time

    @property
    def deadline(self) -> float:
        """Time at which `timer` wants to be called; infinite when nothing was counted."""
        for window in self._windows.values():
            return window.until
        return float("inf")

    def timer(self, now: float) -> list[Note]:
        """The counts of the seconds that are over."""
        notes = []
        while self.deadline <= now:
            record, window = self._windows.popitem(last=False)
            if window.more:
                notes.append(_counted(window))
                self._windows[record] = _Window(window.note, now)
        return notes

    def finish(self) -> list[Note]:
        """The counts so far, when the jail ends."""
        notes = [_counted(window) for window in self._windows.values() if window.more]
        self._windows.clear()
        return notes

    def add(self, record: Record, origin: Origin, now: float) -> list[Note]:
        """The note on a refusal, if it opens a window; else it is counted."""
        window = self._windows.get(record)
        if window is None and len(self._windows) >= WINDOWS:
            window = self._windows.get(self._others)
            if window is None:
                window = self._windows[self._others] = _Window(Note(self._others, origin), now)
        if window is not None:
            window.more += 1
            return []
        note = Note(record, origin)
        self._windows[record] = _Window(note, now)
        return [note]


def _counted(window: _Window) -> Note:
    """The event for those that were not recorded one by one."""
    record, verdict = window.note.record, window.note.record.verdict
    times = f"{window.more} more" if window.more > 1 else "once more"
    detail = f"{verdict.detail} ({times} within {WINDOW:g} s)"
    verdict = msgspec.structs.replace(verdict, detail=detail)
    return Note(msgspec.structs.replace(record, verdict=verdict), window.note.origin)
