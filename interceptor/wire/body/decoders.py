"""Compressed data, undone piece by piece: gzip, deflate, br, zstd, bzip2, xz.

A decoder gives pieces of bounded size, so that a bomb costs time and never memory; how much may
come out in all is its user's to say. Libraries are imported at first use: call `preload` where
files cannot be read later.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import bz2
    import lzma

PIECE: Final = 65_536
"""Largest piece of most decoders, in bytes; brotli and zstd give up to twice as much."""
_SLICE: Final = 65_536  # input handed over at once: what is left over is copied
_ZSTD_WINDOW: Final = 8 << 20  # RFC 9659: the window that every recipient must support
_ZSTD_BLOCK: Final = 128 << 10  # RFC 8878 section 3.1.1.2.4
_XZ_MEMORY: Final = 18 << 20  # presets up to 7; the higher ones want a window of 32 MiB or more


class Decoder(Protocol):
    """Undoes one encoding.

    Attributes:
        complete: the encoded data may end here.
        damaged: what came is not encoded like that; nothing more comes out.
        beyond: it is encoded like that, but reading it takes more memory than is given, or a
            dictionary.
    """

    complete: bool
    damaged: bool
    beyond: bool

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give decoded pieces; to be consumed to the end, or not at all any more."""

    def flush(self) -> Iterator[bytes]:
        """Give what is left when the encoded data ends."""


def preload() -> None:
    """Import what the decoders import at first use."""
    import bz2
    import lzma

    import brotli  # type: ignore[import-untyped]
    import zstandard

    assert all((bz2, lzma, brotli, zstandard))  # noqa: S101


class DecoderBase:
    """What decoders have in common."""

    __slots__ = ("beyond", "complete", "damaged")

    def __init__(self) -> None:
        self.complete = False
        self.damaged = False
        self.beyond = False

    def flush(self) -> Iterator[bytes]:
        """See `Decoder`: nothing is left."""
        return iter(())


class Inflate(DecoderBase):
    """gzip (RFC 1952, several members), zlib (RFC 1950), or deflate as HTTP senders mean it.

    `deflate` means zlib (RFC 9110 section 8.4.1.2), but many senders leave its header out; the
    header is known by its check (RFC 1950 section 2.2: a multiple of 31).
    """

    __slots__ = ("_coding", "_head", "_z")

    def __init__(self, coding: bytes = b"gzip") -> None:
        """Decode `gzip` or `deflate`."""
        super().__init__()
        self._coding = coding
        self._head = b""
        self._z: zlib._Decompress | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `Decoder`."""
        data = self._head + data
        self._head = b""
        view = memoryview(data)
        for at in range(0, len(data), _SLICE):
            yield from self._feed(bytes(view[at : at + _SLICE]))
            if self.damaged:
                return

    def _feed(self, data: bytes) -> Iterator[bytes]:
        data = self._head + data
        self._head = b""
        while data:
            if self._z is None or self.complete:
                if self._z is not None and self._coding == b"deflate":
                    self.damaged = True  # bytes after the end: some readers only would see them
                    return
                if len(data) < 2:
                    self._head = data
                    self.complete = False
                    return
                self._z = zlib.decompressobj(self._window(data))
                self.complete = False
            try:
                out = self._z.decompress(data, PIECE)
            except zlib.error:
                self.damaged = True
                self.complete = False
                return
            data = self._z.unconsumed_tail or self._z.unused_data
            self.complete = self._z.eof
            if out:
                yield out

    def _window(self, data: bytes) -> int:
        if self._coding != b"deflate":
            return 31
        return 15 if is_zlib(data) else -15


def is_zlib(data: bytes) -> bool:
    """Tell whether data of two bytes or more begins like a zlib stream (RFC 1950 section 2.2)."""
    return data[0] & 0x8F == 8 and (data[0] << 8 | data[1]) % 31 == 0


class Brotli(DecoderBase):
    """br (RFC 7932)."""

    __slots__ = ("_error", "_z")

    def __init__(self) -> None:
        super().__init__()
        import brotli

        self._z = brotli.Decompressor()
        self._error: type[Exception] = brotli.error

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `Decoder`."""
        view = memoryview(data)
        for at in range(0, len(data), _SLICE):
            given: memoryview | bytes = view[at : at + _SLICE]
            while True:
                try:
                    out = self._z.process(given, output_buffer_limit=PIECE)
                except self._error:
                    self.damaged = True
                    self.complete = False
                    return
                if not out:
                    break
                yield out
                given = b""
        self.complete = self._z.is_finished()


class Zstd(DecoderBase):
    """zstd (RFC 8878): frames after one another, skippable ones left out.

    The library gives all that an input holds at once, so it is fed block by block: a block holds
    at most 128 KiB.
    """

    __slots__ = ("_buffer", "_checksum", "_error", "_frame", "_header", "_module", "_skip", "_z")

    def __init__(self) -> None:
        super().__init__()
        import zstandard

        self._module = zstandard
        self._error = zstandard.ZstdError
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._z = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._buffer = b""
        self._header = b""
        self._skip = 0
        self._checksum = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `Decoder`."""
        data = self._buffer + data
        at = 0
        size = len(data)
        while at < size and not self.damaged:
            self.complete = False
            if self._skip:
                step = min(self._skip, size - at)
                self._skip -= step
                at += step
                self.complete = not self._skip
                continue
            step, out = self._block(data, at) if self._frame else (self._begin(data, at), b"")
            if not step:
                break
            at += step
            if out:
                yield out
        self._buffer = data[at:]

    def _begin(self, data: bytes, at: int) -> int:
        """Begin a frame; return the size of its header, or 0 if more is needed."""
        head = data[at : at + 18]
        if len(head) >= 4 and head[:4] != b"\x28\xb5\x2f\xfd" and not is_skippable(head[:4]):
            self.damaged = True
            return 0
        if len(head) < 8:
            return 0
        if is_skippable(head[:4]):
            self._skip = int.from_bytes(head[4:8], "little")
            self.complete = not self._skip
            return 8
        try:
            size = self._module.frame_header_size(head)
            if size > len(head):
                return 0
            frame = self._module.get_frame_parameters(head)
        except self._error:
            self.damaged = True
            return 0
        if frame.window_size > _ZSTD_WINDOW or frame.dict_id:
            self.damaged = self.beyond = True
            return 0
        self._checksum = frame.has_checksum
        self._frame = self._z.decompressobj()
        self._header = head[:size]
        return size

    def _block(self, data: bytes, at: int) -> tuple[int, bytes]:
        """Decode the next block; return its size and content, size 0 if more is needed."""
        if len(data) - at < 3:
            return 0, b""
        word = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = word & 1, word >> 1 & 3, word >> 3
        if kind == 3 or size > _ZSTD_BLOCK:
            self.damaged = True
            return 0, b""
        end = at + 3 + (1 if kind == 1 else size) + (4 if last and self._checksum else 0)
        if end > len(data):
            return 0, b""
        assert self._frame is not None  # noqa: S101
        try:
            out = self._frame.decompress(self._header + data[at:end])
        except self._error:
            self.damaged = True
            return 0, b""
        self._header = b""
        if last:
            self._frame = None
            self.complete = True
        return end - at, out


def is_skippable(magic: bytes) -> bool:
    """Tell whether four bytes begin a skippable frame (RFC 8878 section 3.1.2)."""
    return magic[1:4] == b"\x2a\x4d\x18" and magic[:1] >= b"\x50" and magic[:1] <= b"\x5f"


class _Streams(DecoderBase):
    """bzip2 or xz: complete streams after one another."""

    __slots__ = ("_z",)

    _padding = b"\0"  # between streams (xz file format, section 2.2); tar pads with it too

    def __init__(self) -> None:
        super().__init__()
        self._z: bz2.BZ2Decompressor | lzma.LZMADecompressor | None = None

    def _open(self) -> bz2.BZ2Decompressor | lzma.LZMADecompressor:
        raise NotImplementedError

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `Decoder`."""
        view = memoryview(data)
        for at in range(0, len(data), _SLICE):
            yield from self._feed(bytes(view[at : at + _SLICE]))
            if self.damaged:
                return

    def _feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self._z is None or self._z.eof:
                data = data.lstrip(self._padding)
                if not data:
                    return
                self._z = self._open()
                self.complete = False
            try:
                out = self._z.decompress(data, PIECE)
            except Exception as error:  # noqa: BLE001 - OSError, LZMAError, ValueError, EOFError
                self.damaged = True
                self.beyond = "emory usage limit" in str(error)  # xz alone has one
                return
            if out:
                yield out
            self.complete = self._z.eof
            data = self._z.unused_data if self._z.eof else b""
            if not out and not data:
                return


class Bzip2(_Streams):
    """bzip2, as its own tool writes it."""

    __slots__ = ()

    def _open(self) -> bz2.BZ2Decompressor:
        import bz2

        return bz2.BZ2Decompressor()


class Xz(_Streams):
    """xz, and the older lzma; windows up to 16 MiB."""

    __slots__ = ()

    def _open(self) -> lzma.LZMADecompressor:
        import lzma

        return lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=_XZ_MEMORY)
