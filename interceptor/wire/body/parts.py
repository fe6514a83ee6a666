"""What lies within a content: the interface of everything that takes contents apart."""

from __future__ import annotations

import enum
from collections.abc import Generator, Iterator
from typing import NamedTuple, Protocol

from interceptor.verdict import Reason
from interceptor.wire.body.decoders import Decoder
from interceptor.wire.body.media import Media
from interceptor.wire.fields import HttpError


class Part(NamedTuple):
    """The beginning of a part."""

    label: str
    """Says where a finding lies, such as `part[2]` or `gzip`; never the agent's text."""
    plain: bool
    """Its bytes stand in the container as they are, so they need no scan of their own."""
    media: Media | None
    """What it is declared to be. None: text that holds nothing further."""


Event = Part | bytes | None
"""A part begins, its bytes, it ends. Parts do not overlap."""


class Reader(Protocol):
    """Takes a content apart while it arrives."""

    def feed(self, data: bytes) -> Iterator[Event]:
        """Give what `data` completes; to be consumed to the end. Raises HttpError."""

    def finish(self) -> Iterator[Event]:
        """Give what is left when the content ends. Raises HttpError."""


def incomplete(detail: str) -> HttpError:
    """Return the error for what cannot be read."""
    return HttpError(Reason.INCOMPLETE, detail)


class Decoded:
    """A reader for an encoding: its one part is what the decoder gives.

    Data that turns out to be something else is no error unless `strict`: nobody declared it.
    """

    def __init__(
        self, decoder: Decoder, label: str, media: Media | None, *, strict: bool = False
    ) -> None:
        self._decoder = decoder
        self._part: Part | None = Part(label, plain=False, media=media)
        self._strict = strict
        self._over = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """See `Reader`."""
        if self._over:
            return
        yield from self._pass(self._decoder.feed(data))
        if self._decoder.damaged:
            if self._decoder.beyond:
                raise incomplete("compressed data takes too much memory to be read")
            if self._strict:
                raise incomplete("encoded data is damaged")
            yield from self._end()

    def finish(self) -> Iterator[Event]:
        """See `Reader`."""
        if self._over:
            return
        yield from self._pass(self._decoder.flush())
        if self._strict and not self._decoder.complete:
            raise incomplete("encoded data is cut short")
        yield from self._end()

    def _pass(self, pieces: Iterator[bytes]) -> Iterator[Event]:
        for piece in pieces:
            if self._part is not None:
                yield self._part
                self._part = None
            yield piece

    def _end(self) -> Iterator[Event]:
        self._over = True
        if self._part is None:
            yield None


class More(enum.Enum):
    """What a walk yields when it needs more bytes."""

    MORE = "more"


Walk = Generator[Event | More, None, bool]
"""A walk, or a step of one: false when the bytes ended before it was done."""


class Walker:
    """A reader that is written as one walk over the bytes, which pauses where they end."""

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        self._gone = 0  # bytes of the content before the buffer
        self._last = False
        self._over = False
        self._walking = self._walk()

    def _walk(self) -> Walk:
        raise NotImplementedError

    def feed(self, data: bytes) -> Iterator[Event]:
        """See `Reader`."""
        if self._over:
            return
        self._gone += self._at
        self._buffer = self._buffer[self._at :] + data
        self._at = 0
        for event in self._walking:
            if event is More.MORE:
                return
            yield event
        self._over = True
        self._buffer = b""

    def finish(self) -> Iterator[Event]:
        """See `Reader`."""
        self._last = True
        yield from self.feed(b"")

    def _need(self, size: int) -> Walk:
        """Wait until `size` bytes lie ahead; false if they never come."""
        while len(self._buffer) - self._at < size:
            if self._last:
                return False
            yield More.MORE
        return True

    def _take(self, size: int) -> bytes:
        """Step over bytes that lie ahead."""
        data = self._buffer[self._at : self._at + size]
        self._at += size
        return data

    def _pass(self, size: int) -> Walk:
        """Give the next `size` bytes, however many."""
        while size:
            if not (yield from self._need(1)):
                return False
            piece = self._take(min(size, len(self._buffer) - self._at))
            size -= len(piece)
            yield piece
        return True

    def _skip(self, size: int) -> Walk:
        """Step over the next `size` bytes, however many."""
        while size:
            if not (yield from self._need(1)):
                return False
            step = min(size, len(self._buffer) - self._at)
            self._at += step
            size -= step
        return True
