"""Content in windows of bounded size: what is not whole yet is kept for the next one.

A window never holds more than the limit, however the content is cut. So what is read does not
depend on the cuts: a token up to the limit is always whole, a longer one never.
"""

from __future__ import annotations

from interceptor.model import Passage
from interceptor.wire.rendered.letters import utf8
from interceptor.wire.rendered.reader import LIMITS, Collector, ReaderLimits


class Windowed:
    """What readers of text formats have in common. See `Reader` for the attributes."""

    ends = b">"
    """A byte without which no token ends."""

    def __init__(self, limits: ReaderLimits = LIMITS) -> None:
        self.limits = limits
        self.incomplete = False
        self.settled = 0
        self.cuts: list[tuple[int, int]] = []
        self.collector = Collector(limits.passages)
        self._kept = b""
        self._more: list[bytes] = []
        self._size = 0  # of both
        self._next = 0  # size from which on another look is worth it
        self._base = 0  # offset where what is kept begins
        self._plain = False

    def window(self, data: bytes, base: int, *, last: bool) -> int:
        """Read a window; return how much of it is done with.

        Args:
            data: begins where a token does.
            base: offset of it in the content.
            last: nothing follows.
        """
        raise NotImplementedError

    def overrun(self, data: bytes, base: int) -> int:
        """Read a window in which not even the first token is whole; return what is done with."""
        self.incomplete = True
        self.collector.give(utf8(data), 0, base, base + len(data))
        return len(data)

    def rest(self, end: int, *, last: bool) -> int:
        """Give what can be given at the end of a piece; return what is settled now."""
        raise NotImplementedError

    def feed(self, data: bytes) -> list[Passage]:
        """See `Reader`."""
        at = 0
        most = self.limits.kept + 1
        while at < len(data):
            if self._plain:
                self._give_plain(data[at:])
                break
            piece = (
                data[at : at + most - self._size] if at or len(data) > most - self._size else data
            )
            at += len(piece)
            self._more.append(piece)
            self._size += len(piece)
            if (
                self._size >= most
                or self._size < 16
                or (self._size >= self._next and (not self._kept or self.ends in piece))
            ):
                self._look(last=False)
        if not self._plain:
            self.settled = self.rest(self._base, last=False)
        return self.collector.taken()

    def finish(self) -> list[Passage]:
        """See `Reader`."""
        if not self._plain:
            self._look(last=True)
        self.settled = self.rest(self._base, last=True)
        return self.collector.taken()

    def _look(self, *, last: bool) -> None:
        data = b"".join((self._kept, *self._more)) if self._more else self._kept
        self._more.clear()
        while data:
            used = self.window(data, self._base, last=last)
            if not used and (last or len(data) > self.limits.kept):
                used = self.overrun(data, self._base)
            self._base += used
            data = data[used:]
            if self.collector.full:
                self.incomplete = self._plain = True
                self.rest(self._base, last=True)
                self._give_plain(data)
                data = b""
            if not last and len(data) <= self.limits.kept:
                break
        self._kept = data
        self._size = len(data)
        self._next = self._size + (self._size >> 4)

    def _give_plain(self, data: bytes) -> None:
        if data:
            self.collector.give(utf8(data), 0, self._base, self._base + len(data))
        self._base += len(data)
        self.settled = self._base
