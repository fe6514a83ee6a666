"""Documents within others: mail, multiparts, and the archives of office documents.

They are taken apart by the readers of `wire/body`; each part is read by its own type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from interceptor.model import Passage
from interceptor.wire.body.media import Media
from interceptor.wire.body.multipart import Message, Multipart
from interceptor.wire.body.parts import Event, Part
from interceptor.wire.body.parts import Reader as PartReader
from interceptor.wire.body.zip_archive import ZipArchive
from interceptor.wire.fields import HttpError
from interceptor.wire.rendered.lines import TextReader
from interceptor.wire.rendered.reader import LIMITS, Reader, ReaderLimits

_LOOK: Final = 512
_MOST_PARTS: Final = 1000

Maker = Callable[[Media, bytes], Reader | None]
"""Gives the reader of a part by its type and its first bytes."""


class ContainerReader:
    """Reads the parts of a container; see `Reader`. Passages have no place in it."""

    def __init__(self, parts: PartReader, maker: Maker, limits: ReaderLimits = LIMITS) -> None:
        """Read what `parts` takes apart with what `maker` gives."""
        self._parts = parts
        self._maker = maker
        self._limits = limits
        self._media = Media(b"")
        self._first: bytes | None = None  # of the part that is open and has no reader yet
        self._reader: Reader | None = None
        self._left = limits.inflated
        self._count = 0
        self._over = False
        self._fed = 0
        self.incomplete = False
        self.cuts: list[tuple[int, int]] = []

    @property
    def settled(self) -> int:
        """See `Reader`: what a part says is known at its end."""
        return self._fed if self._over else 0

    def feed(self, data: bytes) -> list[Passage]:
        """See `Reader`."""
        self._fed += len(data)
        return [] if self._over else self._run(lambda: self._parts.feed(data))

    def finish(self) -> list[Passage]:
        """See `Reader`."""
        out = [] if self._over else self._run(self._parts.finish)
        out += self._end()
        self._over = True
        return [Passage(passage.text, passage.setting) for passage in out]

    def _run(self, events: Callable[[], Iterator[Event]]) -> list[Passage]:
        out: list[Passage] = []
        try:
            for event in events():
                if isinstance(event, Part):
                    out += self._end()
                    self._open(event)
                elif event is None:
                    out += self._end()
                else:
                    self._left -= len(event)
                    out += self._take(event)
                if self._left < 0 or self._count > _MOST_PARTS:
                    self.incomplete = self._over = True
                    out += self._end()
                    break
        except HttpError:
            self.incomplete = self._over = True
            out += self._end()
        return [Passage(passage.text, passage.setting) for passage in out]

    def _open(self, part: Part) -> None:
        self._count += 1
        self._media = part.media or Media(b"text/plain")
        self._first = b""

    def _take(self, data: bytes) -> list[Passage]:
        if self._first is not None:
            self._first += data
            if len(self._first) < _LOOK:
                return []
            data, self._first = self._first, None
            self._reader = self._maker(self._media, data[:_LOOK])
        return self._reader.feed(data) if self._reader is not None else []

    def _end(self) -> list[Passage]:
        first, self._first = self._first, None
        if first:
            self._reader = self._maker(self._media, first)
        if self._reader is None:
            return []
        reader, self._reader = self._reader, None
        out = (reader.feed(first) if first else []) + reader.finish()
        self.incomplete = self.incomplete or reader.incomplete
        return out


class HeadedReader(ContainerReader):
    """Reads mail; see `Reader`. The head is given as text too: a subject is read by everybody."""

    def __init__(self, parts: PartReader, maker: Maker, limits: ReaderLimits = LIMITS) -> None:
        """See `ContainerReader`."""
        super().__init__(parts, maker, limits)
        self._head: bytes | None = b""

    def feed(self, data: bytes) -> list[Passage]:
        """See `Reader`."""
        return self._of_head(data) + super().feed(data)

    def finish(self) -> list[Passage]:
        """See `Reader`."""
        return self._of_head(b"\n\n") + super().finish()

    def _of_head(self, data: bytes) -> list[Passage]:
        if self._head is None:
            return []
        self._head += data
        ends = [self._head.find(end) for end in (b"\n\n", b"\r\n\r\n")]
        found = [end for end in ends if end >= 0]
        if not found and len(self._head) < self._limits.kept:
            return []
        head, self._head = self._head[: min(found, default=len(self._head))], None
        reader = TextReader(self._limits)
        return [
            Passage(passage.text, passage.setting)
            for passage in (*reader.feed(head), *reader.finish())
        ]


def mail_reader(limits: ReaderLimits, maker: Maker) -> Reader:
    """Reader of message/rfc822."""
    return HeadedReader(Message(), maker, limits)


def multipart_reader(limits: ReaderLimits, maker: Maker, boundary: bytes) -> Reader:
    """Reader of multipart/*."""
    return ContainerReader(Multipart(boundary), maker, limits)


def office_reader(limits: ReaderLimits) -> Reader:
    """Reader of docx, xlsx, pptx, odt and their kin: every member that is XML."""

    def maker(_: Media, first: bytes) -> Reader | None:
        from interceptor.wire.rendered.xml import OfficeReader

        start = first.lstrip(b"\xef\xbb\xbf \r\n\t")
        if not start.startswith(b"<"):
            return None
        return OfficeReader(limits)

    return ContainerReader(ZipArchive(), maker, limits)
