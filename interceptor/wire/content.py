"""Content codings, undone within a budget (RFC 9110 section 8.4.1).

A coding that cannot be undone is an error, never a reason to pass the bytes unread.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from interceptor.verdict import Reason
from interceptor.wire.http1 import HttpError

_PIECE: Final = 65536
_CODINGS: Final = frozenset((b"gzip", b"x-gzip", b"deflate"))


def content_codings(value: bytes | None) -> tuple[bytes, ...]:
    """Codings that a Content-Encoding names, in the order applied; identity left out."""
    if not value:
        return ()
    found = [item.strip(b" \t").lower() for item in value.split(b",")]
    return tuple(item for item in found if item not in (b"", b"identity"))


class ContentReader:
    """Undoes a chain of codings, piece by piece, in constant memory.

    Raises `HttpError` with `Reason.INCOMPLETE` for an unknown coding, damaged data, or when more
    than `budget` bytes would come out.
    """

    __slots__ = ("_budget", "_fed", "_stages")

    def __init__(self, codings: tuple[bytes, ...], budget: int) -> None:
        """Undo `codings`, last applied first; `budget` is the most bytes to give out."""
        for coding in codings:
            if coding not in _CODINGS:
                # Its name is the agent's text, and may be anything: it is not repeated.
                raise HttpError(Reason.INCOMPLETE, "a content coding that cannot be read")
        if len(codings) > 4:
            raise HttpError(Reason.INCOMPLETE, "more than four content codings")
        self._stages = [_Inflate(coding) for coding in reversed(codings)]
        self._budget: int | None = budget
        self._fed = False

    def lift_budget(self) -> None:
        """Decode without end from now on: what comes out is no longer kept, so it costs nothing."""
        self._budget = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give decoded pieces of at most 64 KB each."""
        self._fed = self._fed or bool(data)
        for piece in self._run(data, 0):
            if self._budget is not None:
                self._budget -= len(piece)
                if self._budget < 0:
                    raise HttpError(Reason.INCOMPLETE, "the decoded body is over the budget")
            yield piece

    def finish(self) -> None:
        """Tell that the body has ended; a stream that stops in the middle is an error."""
        if self._fed and not all(stage.complete for stage in self._stages):
            raise HttpError(Reason.INCOMPLETE, "the compressed body is cut short")

    def _run(self, data: bytes, depth: int) -> Iterator[bytes]:
        if depth == len(self._stages):
            if data:
                yield data
            return
        for piece in self._stages[depth].feed(data):
            yield from self._run(piece, depth + 1)


class _Inflate:
    __slots__ = ("_coding", "_head", "_z", "complete")

    def __init__(self, coding: bytes) -> None:
        self._coding = coding
        self._head = b""
        self._z: zlib._Decompress | None = None
        self.complete = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        data = self._head + data
        self._head = b""
        while data:
            if self._z is None or self.complete:
                if self._z is not None and self._coding == b"deflate":
                    # Something that only some readers would see.
                    raise HttpError(Reason.INCOMPLETE, "bytes after the compressed body")
                if len(data) < 2:
                    self._head = data
                    self.complete = False
                    return
                self._z = zlib.decompressobj(self._window(data))
                self.complete = False
            try:
                out = self._z.decompress(data, _PIECE)
            except zlib.error:
                raise HttpError(Reason.INCOMPLETE, "the compressed body is damaged") from None
            data = self._z.unconsumed_tail or self._z.unused_data
            self.complete = self._z.eof
            if out:
                yield out

    def _window(self, data: bytes) -> int:
        """Window bits for zlib: gzip members may follow each other (RFC 1952 section 2.2).

        `deflate` means zlib (RFC 1950), but many senders leave its header out; the header is
        known by its check (RFC 1950 section 2.2: a multiple of 31).
        """
        if self._coding != b"deflate":
            return 31
        zlib_header = data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
        return 15 if zlib_header else -15
