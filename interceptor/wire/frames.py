"""Frames with a length in their header: what is whole of a stream of them."""

from __future__ import annotations

from collections.abc import Callable

from interceptor.wire.dialect import HELD


class Frames:
    """Holds the last frame of a stream back until it is whole.

    A frame of more than `HELD` bytes goes on behind that many; memory does not depend on it.
    """

    __slots__ = ("_due", "_header", "_held", "_length")

    def __init__(self, header: int, length: Callable[[bytes, int], int]) -> None:
        """Read frames of `header` bytes of header at least.

        `length` gives the length of the frame that begins at an offset of a buffer, its header
        included, and raises DialectError where none can begin.
        """
        self._header = header
        self._length = length
        self._held = b""
        self._due = 0  # bytes from the start of `_held` to the end of the frame it lies in

    def feed(self, data: bytes) -> bytes:
        """Take bytes; give those that may go on.

        Raises:
            DialectError: a malformed frame.
        """
        buffer = self._held + data if self._held else data
        size = len(buffer)
        last = 0
        at = self._due
        while at <= size:
            last = at
            if size - at < self._header:
                break
            at += self._length(buffer, at)
        cut = max(last, size - HELD)
        self._due = max(0, at - cut)
        self._held = buffer[cut:]
        return buffer[:cut]
