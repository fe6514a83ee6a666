"""Sessions: what belongs to one agent, where several are judged in one process.

Each has a past of its own: what it sent in pieces, and its messages. All of them are bounded, and
the one that was quiet for longest is forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from interceptor.decide.memory import Pieces, SplitMemory
from interceptor.decide.messages import RememberingWindow
from interceptor.decide.name_memory import NameMemory
from interceptor.decide.taint import Taint
from interceptor.model import Target
from interceptor.scan.engine import Scanner

MOST: Final = 1024
"""Sessions that are remembered."""
BYTES: Final = 64 * 1024 * 1024
"""Bytes that all of their memories take, about."""
_WINDOWS: Final = 16
"""Hosts of one session to which messages went, the latest of them."""


class Passing(SplitMemory):
    """For an item that stands alone: its pieces are put together, and nothing is kept of them."""

    def keep(self, pieces: Pieces, now: float) -> None:
        """Keep nothing: nobody will ask."""


class Session:
    """One session.

    Attributes:
        memory: what it has sent in pieces.
        names: what it has named.
        taint: what it knows, and whether it has received what steers.
        now: when its last item happened.
    """

    __slots__ = ("_windows", "memory", "names", "now", "size", "taint")

    def __init__(self, memory: SplitMemory) -> None:
        """Begin with nothing."""
        self.memory = memory
        self.names = NameMemory()
        self.taint = Taint()
        self.now = 0.0
        self.size = 0
        self._windows: OrderedDict[Target, RememberingWindow] = OrderedDict()

    def window(self, target: Target, opened: Callable[[], RememberingWindow]) -> RememberingWindow:
        """Return a copy of the window of messages to `target`; `opened` makes the first."""
        window = self._windows.get(target)
        return opened() if window is None else window.copy()

    def sent(self, target: Target, window: RememberingWindow) -> None:
        """Take note that a message has left: `window` is that with it. What is refused has not."""
        self._windows[target] = window
        self._windows.move_to_end(target)
        if len(self._windows) > _WINDOWS:
            self._windows.popitem(last=False)


class Sessions:
    """All sessions, by their names."""

    def __init__(self, scanner: Scanner, key: bytes, decoded_bytes: int) -> None:
        """Begin with none; arguments are those of `SplitMemory`."""
        self._scanner = scanner
        self._key = key
        self._decoded_bytes = decoded_bytes
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def of(self, name: str, *, single: bool = True) -> Session:
        """Return a session; without a name a new one, which nobody will meet again.

        Args:
            name: of the session, or empty.
            single: without a name: one unit is judged in it, not several.
        """
        if not name:
            return Session(self._new(Passing if single else SplitMemory))
        session = self._sessions.get(name)
        if session is None:
            session = self._sessions[name] = Session(self._new(SplitMemory))
        else:
            self._sessions.move_to_end(name)
        return session

    def _new(self, kind: type[SplitMemory]) -> SplitMemory:
        return kind(self._scanner, self._key, self._decoded_bytes)

    def settle(self, session: Session) -> None:
        """Take note that an item of a session with a name was judged; forget others if need be."""
        size = session.memory.size + session.names.size + session.taint.size
        self._size += size - session.size
        session.size = size
        while len(self._sessions) > MOST or (self._size > BYTES and len(self._sessions) > 1):
            _, oldest = self._sessions.popitem(last=False)
            self._size -= oldest.size
