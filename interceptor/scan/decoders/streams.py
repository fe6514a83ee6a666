"""Compressed streams, read step by step from the middle of a text.

A bomb costs time and never memory: output comes in pieces. Bytes that do not belong to a stream end
it quietly, after what could be read. Libraries other than zlib are imported at their first use.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final, Protocol

from interceptor.scan.decoders.noise import is_noise

PIECE: Final = 1 << 18
"""About the most bytes that are given at once."""
OVERLAP: Final = 8192
"""Bytes that a piece repeats of the one before: longer than any match."""
SHORTEST: Final = 12
"""Fewer bytes hold neither a credential nor another encoding of one."""
NOISE: Final = 1 << 26
"""Bytes of noise in one text that are passed over; more of it is given out like anything else, so
that it is the caller's budget that says where a bomb ends."""
SLICE: Final = 1 << 16
"""Most bytes that are handed to a library at once: what it does not take is copied."""

_ZSTD_WINDOW: Final = 8 << 20  # RFC 9659: the window that every recipient must support
_XZ_MEMORY: Final = 18 << 20  # presets up to 7

Found = Iterator[tuple[str, bytes]]


class DamagedError(Exception):
    """Not, or no longer, data of the kind that was looked for."""


class Stream(Protocol):
    """One compressed stream.

    Attributes:
        hungry: whether more input is needed before more comes out.
        ended: whether the stream is complete.
        unused: bytes of the last input that lie behind its end.
    """

    hungry: bool
    ended: bool
    unused: int

    def feed(self, data: bytes, most: int) -> bytes:
        """Take input, nothing where it is not hungry; return output, about `most` bytes.

        Raises:
            DamagedError: not data of this kind.
        """


class _Stream:
    __slots__ = ("ended", "hungry", "unused")

    def __init__(self) -> None:
        self.hungry = True
        self.ended = False
        self.unused = 0


class Inflate(_Stream):
    """Raw deflate (RFC 1951). Checksums around it are left alone: a wrong one hides nothing."""

    __slots__ = ("_z",)

    def __init__(self) -> None:
        super().__init__()
        self._z = zlib.decompressobj(-15)

    def feed(self, data: bytes, most: int) -> bytes:
        """See `Stream`."""
        z = self._z
        try:
            out = z.decompress(data or z.unconsumed_tail, most)
        except zlib.error:
            raise DamagedError from None
        if z.eof:
            self.ended = True
            self.unused = len(z.unused_data)
        self.hungry = not z.unconsumed_tail and len(out) < most
        return out


class Brotli(_Stream):
    """Brotli (RFC 7932). Bytes behind its end are an error of the library."""

    __slots__ = ("_error", "_z")

    def __init__(self) -> None:
        super().__init__()
        import brotli  # type: ignore[import-untyped]

        self._z = brotli.Decompressor()
        self._error: type[Exception] = brotli.error

    def feed(self, data: bytes, most: int) -> bytes:
        """See `Stream`."""
        z = self._z
        try:
            out: bytes = z.process(data, output_buffer_limit=most)
        except self._error:
            raise DamagedError from None
        self.hungry = z.can_accept_more_data()
        self.ended = z.is_finished()
        return out


class Zstd(_Stream):
    """One frame of zstd (RFC 8878)."""

    __slots__ = ("_error", "_z")

    def __init__(self) -> None:
        super().__init__()
        import zstandard

        self._error = zstandard.ZstdError
        self._z = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()

    def feed(self, data: bytes, _most: int) -> bytes:
        """See `Stream`; all that the input holds comes out, so it should be short."""
        try:
            out = self._z.decompress(data)
        except self._error:
            raise DamagedError from None
        self.ended = self._z.eof
        self.unused = len(self._z.unused_data)
        return out


class Bzip2(_Stream):
    """One stream of bzip2."""

    __slots__ = ("_z",)

    def __init__(self) -> None:
        super().__init__()
        import bz2

        self._z = bz2.BZ2Decompressor()

    def feed(self, data: bytes, most: int) -> bytes:
        """See `Stream`."""
        z = self._z
        try:
            out = z.decompress(data, most)
        except (OSError, ValueError, EOFError):
            raise DamagedError from None
        self.hungry = z.needs_input
        self.ended = z.eof
        self.unused = len(z.unused_data)
        return out


class Xz(_Stream):
    """One stream of xz."""

    __slots__ = ("_error", "_z")

    def __init__(self) -> None:
        super().__init__()
        import lzma

        self._error = lzma.LZMAError
        self._z = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def feed(self, data: bytes, most: int) -> bytes:
        """See `Stream`."""
        z = self._z
        try:
            out = z.decompress(data, most)
        except (self._error, ValueError, EOFError):
            raise DamagedError from None
        self.hungry = z.needs_input
        self.ended = z.eof
        self.unused = len(z.unused_data)
        return out


class Reader:
    """Reads streams from one text, and gives what comes out in pieces that overlap.

    Attributes:
        end: where the last stream ended; -1 if it was damaged or cut short.
    """

    def __init__(self, name: str, text: bytes) -> None:
        self.end = -1
        self._name = name
        self._text = text
        self._parts: list[bytes] = []
        self._size = 0
        self._before = b""
        self._count = self._skipped = 0

    def read(
        self, stream: Stream, at: int, *, follows: bool, slice_: int = SLICE, most: int = 0
    ) -> Found:
        """Read one stream; give the pieces that are full.

        Args:
            stream: a new one.
            at: where its data begins.
            follows: it continues the stream that was read before.
            slice_: most bytes of input at once.
            most: output after which reading stops; 0 for all.
        """
        text = self._text
        wanted = 64  # little at first, because an error takes the output of its call with it
        taking = min(512, slice_)
        total = 0
        mark = len(self._parts)
        gap = b"" if follows or not mark else b"\n"
        try:
            while not stream.ended and (not most or total < most):
                data = b""
                if stream.hungry:
                    data = text[at : at + taking]
                    if not data:
                        break
                    at += len(data)
                    taking = min(2 * taking, slice_)
                out = stream.feed(data, wanted)
                wanted = min(2 * wanted, PIECE)
                if out:
                    total += len(out)
                    self._size += len(out)
                    self._parts.append(gap + out)
                    gap = b""
                    if self._size >= PIECE:
                        yield from self._piece()
        except DamagedError:
            pass
        self.end = at - stream.unused if stream.ended else -1
        if not stream.ended and total < SHORTEST:
            del self._parts[mark:]
            self._size -= total

    def rest(self) -> Found:
        """Give what was not given yet, unless it is too short to matter."""
        if self._size >= SHORTEST:
            yield from self._piece()

    def _piece(self) -> Found:
        """Give what was read since the last piece, unless it is noise."""
        out = self._before + b"".join(self._parts)
        # Numbered, so that what repeats itself is not taken for what was seen, and counts.
        self._before = b"%d\n" % self._count + out[-OVERLAP:]
        self._count += 1
        self._parts = []
        self._size = 0
        if self._skipped < NOISE and is_noise(out):
            self._skipped += len(out)
        else:
            yield self._name, out
