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

from interceptor.model import View
from interceptor.wire.body import charsets, decoders
from interceptor.wire.body.charsets import codec_of, is_unreadable
from interceptor.wire.body.contents import FORM, Content, Piece, Tree, readers_by_type
from interceptor.wire.body.magic import MARKS
from interceptor.wire.body.media import media_of
from interceptor.wire.content import ContentReader

__all__ = ["BodyStream", "Piece", "body_views", "is_plain", "preload"]


def preload() -> None:
    """Import what is otherwise imported at first use, for where files cannot be read later."""
    decoders.preload()
    charsets.preload()


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
        self._tree = tree = Tree(budget, expansion)
        self._coded: ContentReader | None = None
        if codings:
            self._coded = ContentReader(codings, budget or 0, expansion)
            if budget is None:
                self._coded.lift_budget()
        self._contents = [
            Content(tree, "body:", media_of(value), 0, wide=number == 0)
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
    if len(content_type) > 256:
        return False  # nothing to remember it by
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
    if media.kind == FORM:
        return False
    return True if media.kind.startswith(b"multipart/") or readers_by_type(media, b"") else None


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
