"""Everything that can be read in a body: the body without its codings, and what lies within it.

`BodyStream` is fed a body while it arrives, and gives pieces of numbered texts: the body itself
is not among them. A text is a readable form that does not stand in the body as it is: a part in
base64, a member of an archive, a text in another charset. Texts nest: a gzip file in a part.
What stands in the body or in another text as it is gives no text of its own, since whoever scans
that has seen it.

Memory does not depend on sizes: each level keeps a few 64 KB at most.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from interceptor.model import View
from interceptor.wire.body import charsets, decoders
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
from interceptor.wire.body.media import Media, media_of
from interceptor.wire.body.multipart import Message, Multipart, boundary_of_first_line
from interceptor.wire.body.parts import Decoded, Event, Part, Reader, incomplete
from interceptor.wire.content import FREE_BYTES, ContentReader

MAX_DEPTH: Final = 8
"""Contents within one another: parts, archives, encodings."""

_FORM: Final = b"application/x-www-form-urlencoded"
_PUSH: Final = b"application/x-git-receive-pack-request"


def preload() -> None:
    """Import what is otherwise imported at first use, for where files cannot be read later."""
    decoders.preload()
    charsets.preload()


class Piece(NamedTuple):
    """The next bytes of a text."""

    text: int
    """Number of the text: new for each, rising."""
    where: str
    """Place of the text in the body, such as `body:part[2].gzip`; the same for all its pieces."""
    data: bytes
    last: bool
    """The text ends with this piece, which may be empty."""


class BodyStream:
    """Gives the texts of one body. See the module.

    Raises `HttpError` with `Reason.INCOMPLETE` for what must be read and cannot be: a coding that
    is unknown or damaged, an encrypted archive, a part in an unknown encoding, nesting without
    end, or more text than the budgets.
    """

    def __init__(
        self,
        content_types: Sequence[bytes],
        codings: tuple[bytes, ...],
        budget: int | None,
        expansion: int,
    ) -> None:
        """Begin a body.

        Args:
            content_types: values of Content-Type: none or one, but who sends two must expect
                recipients to differ.
            codings: content codings to undo, see `content_codings`. Where there are any, the body
                without them is text 0 at `body`.
            budget: the most bytes that all texts together may have; None: no limit.
            expansion: how many times the body they may be, beyond the first MiB.
        """
        self._tree = tree = _Tree(budget, expansion)
        self._coded: ContentReader | None = None
        if codings:
            self._coded = ContentReader(codings, budget or 0, expansion)
            if budget is None:
                self._coded.lift_budget()
        self._contents = [
            _Content(tree, "body:", media_of(value), 0, wide=number == 0)
            for number, value in enumerate(content_types or (b"",))
        ]

    @property
    def settled(self) -> bool:
        """True while all that came was given: nothing waits for bytes that are still to come."""
        return all(content.settled for content in self._contents)

    @property
    def undecided(self) -> tuple[int, int]:
        """Contents whose first bytes do not tell yet what they are, so that nothing was given.

        Returns (number of the oldest one, or one that is never reached; number of the newest one
        so far, decided or not). Numbers rise.
        """
        tree = self._tree
        return next(iter(tree.undecided), 1 << 62), tree.contents

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Take the next bytes of the body as received; give pieces of up to 128 KB."""
        self._tree.taken += len(data)
        if self._coded is None:
            yield from self._look(data)
        else:
            for piece in self._coded.feed(data):
                yield Piece(0, "body", piece, last=False)
                yield from self._look(piece)

    def finish(self) -> Iterator[Piece]:
        """The body has ended: give what is left."""
        if self._coded is not None:
            self._coded.finish()
            yield Piece(0, "body", b"", last=True)
        for content in self._contents:
            yield from content.finish()

    def _look(self, data: bytes) -> Iterator[Piece]:
        for content in self._contents:
            yield from content.feed(data)


def is_plain(content_type: bytes, data: bytes) -> bool:
    """Tell at once that a whole body has no texts but itself; almost every one has none."""
    if not data:
        return True
    by_type = _by_type(content_type)
    return (
        (by_type is None or (not by_type and b"+" not in data))
        and b"\0" not in data
        and not data.startswith(MARKS[data[0]])
    )


@functools.lru_cache(maxsize=256)
def _by_type(content_type: bytes) -> bool | None:
    """None if a body of that type may be plain, False if it is as long as no `+` is in it."""
    media = media_of(content_type)
    if codec_of(media.charset, b"") or is_unreadable(media.charset):
        return True
    if media.kind == _FORM:
        return False
    return True if media.kind.startswith(b"multipart/") or _readers_by_type(media, b"") else None


def body_views(content_type: bytes, data: bytes, budget: int, expansion: int) -> list[View]:
    """Return the texts of a whole body or message, besides itself.

    Raises:
        HttpError: INCOMPLETE, see `BodyStream`.
    """
    if is_plain(content_type, data):
        return []
    stream = BodyStream((content_type,), (), budget, expansion)
    texts: dict[int, tuple[str, list[bytes]]] = {}
    for pieces in (stream.feed(data), stream.finish()):
        for piece in pieces:
            texts.setdefault(piece.text, (piece.where, []))[1].append(piece.data)
    return [View(where, b"".join(found)) for where, found in texts.values()]


class _Tree:
    """What all levels of one body share."""

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
        self.given += size
        if self._budget is not None and self.given > self._budget:
            raise incomplete("what the body holds is over limits.decoded_bytes")
        if self.given > FREE_BYTES and self.given > self._expansion * self.taken:
            raise incomplete("what the body holds is over limits.expansion")


class _Content:
    """Bytes that are scanned elsewhere; finds out what they hold."""

    __slots__ = (
        *("_depth", "_first", "_levels", "_media", "_number"),
        *("_tree", "_where", "_wide"),
    )

    def __init__(self, tree: _Tree, where: str, media: Media, depth: int, *, wide: bool) -> None:
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
        if self._levels is None:
            first = self._first
            # Too few bytes to tell: what could begin a mark is taken to do so.
            return not first or not (
                MARKS[first[0]] or b"\0" in first or _readers_by_type(self._media, first)
            )
        return all(level.settled for level in self._levels)

    def feed(self, data: bytes) -> Iterator[Piece]:
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
        if self._levels is None:
            self._levels = self._begin(self._first) if self._first else []
            for level in self._levels:
                yield from level.feed(self._first)
        for level in self._levels:
            yield from level.finish()

    def _begin(self, first: bytes) -> list[_Level]:
        del self._tree.undecided[self._number]
        readers = _readers_by_type(self._media, first)
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
        codec = codec_of(charset, first[:4])
        if codec:
            readers.append(Decoded(Transcoder(codec), codec, None))
        elif self._wide:
            readers.append(_Wide())
        return [_Level(self._tree, reader, self._where, self._depth) for reader in readers]


class _Level:
    """Runs a reader over a content, and opens what it finds."""

    __slots__ = ("_depth", "_part", "_reader", "_tree", "_where")

    def __init__(self, tree: _Tree, reader: Reader, where: str, depth: int) -> None:
        self._tree = tree
        self._reader = reader
        self._where = where
        self._depth = depth
        self._part: _Content | _Text | None = None

    @property
    def settled(self) -> bool:
        # Only this one gives at once whatever it takes.
        return isinstance(self._reader, _Wide)

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

    def _open(self, part: Part) -> _Content | _Text | None:
        where = self._where + part.label
        content = None
        if part.media is not None:
            depth = self._depth + 1
            content = _Content(self._tree, f"{where}.", part.media, depth, wide=not part.plain)
        return content if part.plain else _Text(self._tree, where, content)


class _Text:
    """A text: its pieces are given, and looked into."""

    __slots__ = ("_content", "_number", "_tree", "_where")

    def __init__(self, tree: _Tree, where: str, content: _Content | None) -> None:
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


def _readers_by_type(media: Media, first: bytes) -> list[Reader]:
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
    if kind == _FORM:
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
