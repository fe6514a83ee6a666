"""What a content holds: by its declared type, and by its first bytes.

A content is a run of bytes that is scanned elsewhere; a text is one that is not, so it is given.
Readers take contents apart, and what they find is contents or texts again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from interceptor.wire.body.charsets import (
    EBCDIC_XML,
    Transcoder,
    WideText,
    codec_of,
    declared_in_xml,
    is_unreadable,
)
from interceptor.wire.body.decoders import DecoderBase
from interceptor.wire.body.git_pack import GitPack
from interceptor.wire.body.magic import LOOK, MARKS, reader_by_magic
from interceptor.wire.body.markup import PlainMarkup
from interceptor.wire.body.media import Media
from interceptor.wire.body.multipart import Message, Multipart, boundary_of_first_line
from interceptor.wire.body.parts import Decoded, Event, Part, Reader, incomplete
from interceptor.wire.body.zip_archive import ZipWithin
from interceptor.wire.content import FREE_BYTES

MAX_DEPTH: Final = 8
"""Contents within one another: parts, archives, encodings."""
FORM: Final = b"application/x-www-form-urlencoded"
_PUSH: Final = b"application/x-git-receive-pack-request"


class Piece(NamedTuple):
    """The next bytes of a text."""

    text: int
    """Number of the text: new for each, rising."""
    where: str
    """Place of the text in the body, such as `body:part[2].gzip`; the same for all its pieces."""
    data: bytes
    last: bool
    """The text ends with this piece, which may be empty."""


class Tree:
    """What all levels of one body share.

    Attributes:
        taken: bytes of the body.
        given: bytes of texts.
        texts: number of the newest text.
        contents: number of the newest content whose first bytes had to be waited for.
        undecided: numbers of those that still wait, oldest first.
    """

    __slots__ = ("_budget", "_expansion", "contents", "given", "taken", "texts", "undecided")

    def __init__(self, budget: int | None, expansion: int) -> None:
        self._budget = budget
        self._expansion = expansion
        self.taken = 0
        self.given = 0
        self.texts = 0
        self.contents = 0
        self.undecided: dict[int, None] = {}

    def count(self, size: int) -> None:
        """Note bytes of a text. Raises HttpError when they are too many."""
        self.given += size
        if self._budget is not None and self.given > self._budget:
            raise incomplete("what the body holds is over limits.decoded_bytes")
        if self.given > FREE_BYTES and self.given > self._expansion * self.taken:
            raise incomplete("what the body holds is over limits.expansion")


class Content:
    """Bytes that are scanned elsewhere; finds out what they hold."""

    __slots__ = (
        *("_depth", "_first", "_levels", "_media", "_number"),
        *("_tree", "_where", "_wide"),
    )

    def __init__(self, tree: Tree, where: str, media: Media, depth: int, *, wide: bool) -> None:
        self._tree = tree
        self._where = where
        self._media = media
        self._depth = depth
        self._wide = wide
        self._first = b""
        self._number = 0
        self._levels: list[_Level] | None = None

    @property
    def settled(self) -> bool:
        """True while nothing waits for bytes that are still to come."""
        if self._levels is None:
            first = self._first
            # Too few bytes to tell: what could begin a mark is taken to do so.
            return not first or not (
                MARKS[first[0]] or b"\0" in first or readers_by_type(self._media, first)
            )
        return all(level.settled for level in self._levels)

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Give the texts in the next bytes. Raises HttpError."""
        if self._levels is None:
            if not self._first:
                self._tree.contents = self._number = self._tree.contents + 1
                self._tree.undecided[self._number] = None
            data = self._first + data
            if len(data) < LOOK:
                self._first = data
                return
            self._levels = self._begin(data)
        for level in self._levels:
            yield from level.feed(data)

    def finish(self) -> Iterator[Piece]:
        """Give the rest. Raises HttpError."""
        if self._levels is None:
            self._levels = self._begin(self._first) if self._first else []
            for level in self._levels:
                yield from level.feed(self._first)
        for level in self._levels:
            yield from level.finish()

    def _begin(self, first: bytes) -> list[_Level]:
        del self._tree.undecided[self._number]
        readers = readers_by_type(self._media, first)
        found = reader_by_magic(first)
        if found is not None:
            readers.append(found)
        if readers and self._depth >= MAX_DEPTH:
            raise incomplete(f"the body holds more than {MAX_DEPTH} contents within one another")
        charset = self._media.charset
        if first.startswith((b"<?xml", EBCDIC_XML)):
            charset = charset or declared_in_xml(first)
        if is_unreadable(charset):
            raise incomplete("text in a charset that cannot be read")
        taken = bool(readers)
        codec = codec_of(charset, first[:4])
        if codec:
            readers.append(Decoded(Transcoder(codec), codec, None))
        elif self._wide:
            readers.append(_Wide())
        if not taken and self._depth < MAX_DEPTH:
            readers.append(ZipWithin())
        return [_Level(self._tree, reader, self._where, self._depth) for reader in readers]


class _Level:
    """Runs a reader over a content, and opens what it finds."""

    __slots__ = ("_depth", "_part", "_reader", "_tree", "_where")

    def __init__(self, tree: Tree, reader: Reader, where: str, depth: int) -> None:
        self._tree = tree
        self._reader = reader
        self._where = where
        self._depth = depth
        self._part: Content | _Text | None = None

    @property
    def settled(self) -> bool:
        # The one gives at once whatever it takes; the other has nothing to give as a rule.
        reader = self._reader
        return isinstance(reader, _Wide) or (isinstance(reader, ZipWithin) and not reader.found)

    def feed(self, data: bytes) -> Iterator[Piece]:
        return self._run(self._reader.feed(data))

    def finish(self) -> Iterator[Piece]:
        return self._run(self._reader.finish())

    def _run(self, events: Iterator[Event]) -> Iterator[Piece]:
        for event in events:
            if isinstance(event, bytes):
                if self._part is not None:
                    yield from self._part.feed(event)
            elif event is None:
                if self._part is not None:
                    yield from self._part.finish()
                    self._part = None
            else:
                self._part = self._open(event)

    def _open(self, part: Part) -> Content | _Text | None:
        where = self._where + part.label
        content = None
        if part.media is not None:
            depth = self._depth + 1
            content = Content(self._tree, f"{where}.", part.media, depth, wide=not part.plain)
        return content if part.plain else _Text(self._tree, where, content)


class _Text:
    """A text: its pieces are given, and looked into."""

    __slots__ = ("_content", "_number", "_tree", "_where")

    def __init__(self, tree: Tree, where: str, content: Content | None) -> None:
        self._tree = tree
        self._where = where
        self._content = content
        tree.texts += 1
        self._number = tree.texts

    def feed(self, data: bytes) -> Iterator[Piece]:
        self._tree.count(len(data))
        yield Piece(self._number, self._where, data, last=False)
        if self._content is not None:
            yield from self._content.feed(data)

    def finish(self) -> Iterator[Piece]:
        if self._content is not None:
            yield from self._content.finish()
        yield Piece(self._number, self._where, b"", last=True)


def readers_by_type(media: Media, first: bytes) -> list[Reader]:
    """Readers that a declared type asks for."""
    kind = media.kind
    if kind.startswith(b"multipart/"):
        boundaries = media.boundaries
        if not boundaries:
            inferred = boundary_of_first_line(first)
            boundaries = (inferred,) if inferred else ()
        return [Multipart(boundary) for boundary in boundaries]
    if kind in (b"message/rfc822", b"message/global"):
        return [Message()]
    if kind == FORM:
        return [Decoded(_Spaces(), "form", None)]
    if kind == _PUSH:
        return [GitPack(request=True)]
    if kind.endswith((b"/xml", b"+xml")) or first.startswith(b"<?xml"):
        return [Decoded(PlainMarkup(), "xml", None)]
    return []


class _Spaces(DecoderBase):
    """A form in which `+` is read as the space it stands for; nothing where there is none."""

    __slots__ = ("_before", "_begun")

    def __init__(self) -> None:
        super().__init__()
        self._begun = False
        self._before = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `Decoder`."""
        if not self._begun:
            data = self._before + data
            self._begun = b"+" in data
            if not self._begun:
                self._before = data[-LOOK:]
                return
        yield data.replace(b"+", b" ")


class _Wide:
    """A reader whose parts are stretches of UTF-16 or UTF-32 text."""

    __slots__ = ("_begun", "_wide")

    def __init__(self) -> None:
        self._wide = WideText()
        self._begun = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """See `Reader`."""
        text = self._wide.feed(data)
        if text:
            if not self._begun:
                self._begun = True
                yield Part("wide", plain=False, media=None)
            yield text
        if self._begun and not self._wide.open:
            self._begun = False
            yield None

    def finish(self) -> Iterator[Event]:
        """See `Reader`."""
        if self._begun:
            yield None
