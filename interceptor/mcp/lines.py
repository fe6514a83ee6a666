"""Lines of a transport that separates messages by them, within bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

_EDGE: Final = 1024
"""Bytes kept of both ends of a line that is too long."""

# The libraries of all vendors write the id either right behind `jsonrpc` or as the last member.
_ID: Final = rb'"id"\s{0,4}:\s{0,4}(?:(-?[0-9]{1,15})|"([^"\\\x00-\x1f]{1,200})")'
_FIRST: Final = re.compile(rb'\s{0,16}\{\s{0,4}"jsonrpc"\s{0,4}:\s{0,4}"2\.0"\s{0,4},\s{0,4}' + _ID)
_LAST: Final = re.compile(_ID + rb"\s{0,4}(?:,[^{}\[\]]{0,80})?\}\s{0,16}\Z")


class TooLong(msgspec.Struct, frozen=True, gc=False):
    """A line that was thrown away because it was too long."""

    size: int
    """Its bytes."""
    head: bytes
    tail: bytes

    @property
    def ident(self) -> str | int | None:
        """The id it seems to have: good enough to say to whom that it was refused."""
        found = _FIRST.match(self.head) or _LAST.search(self.tail)
        if found is None:
            return None
        if found[1] is not None:
            return int(found[1])
        return found[2].decode("utf-8", "replace")


class Lines:
    r"""Cuts a stream at its line feeds.

    Args:
        limit: bytes of the longest line that is kept; of a longer one only the ends are.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._size = 0
        self._tail = b""

    @property
    def held(self) -> int:
        """Bytes that are kept for a line whose end has not come."""
        return len(self._held) + len(self._tail)

    def feed(self, data: bytes) -> Iterator[bytes | TooLong]:
        """Give each line that `data` ends, without its line feed. Empty ones are left out."""
        if not self._size and 0 < len(data) <= self._limit and data.find(b"\n") == len(data) - 1:
            if not data.isspace():  # nearly always: one message, whole
                yield data[:-1]
            return
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._add(data[start:end])
            yield from self._take()
            start = end + 1
        if start < len(data):
            self._add(data[start:])

    def end(self) -> Iterator[bytes | TooLong]:
        """Give what stands behind the last line feed, when nothing more will come."""
        yield from self._take()

    def _add(self, data: bytes) -> None:
        before = self._size
        self._size += len(data)
        if self._size <= self._limit:
            self._held += data
            return
        if before <= self._limit:
            self._tail = bytes(self._held[-_EDGE:])
            del self._held[_EDGE:]
        self._held += data[: max(0, _EDGE - len(self._held))]
        self._tail = (self._tail + data[-_EDGE:])[-_EDGE:]

    def _take(self) -> Iterator[bytes | TooLong]:
        size, held, tail = self._size, bytes(self._held), self._tail
        self._held, self._size, self._tail = bytearray(), 0, b""
        if size > self._limit:
            yield TooLong(size, held, tail)
        elif size and not held.isspace():
            yield held
