"""Compressed data within other data, decoded or not.

What has a magic number is found by it, at any place. Raw deflate and brotli have none: they are
tried on whole runs that were decoded from a text, and at the start of an item that is no text.

Output comes in pieces, so that a bomb fills the engine's budget of decoded bytes and ends there:
nothing is left out silently, and time grows with what came out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Final, NamedTuple
from zlib import crc32, decompressobj, error

from interceptor.scan.decoders.magics import BZIP2, GZIP, MAGICS, XZ, ZIP, ZLIB, ZSTD
from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.streams import (
    PIECE,
    SHORTEST,
    SLICE,
    Brotli,
    Bzip2,
    DamagedError,
    Found,
    Inflate,
    Reader,
    Stream,
    Xz,
    Zstd,
)

PIXELS: Final = 1 << 16
"""Most bytes that are read of an image's compressed pixels (PNG, chunk IDAT)."""

_ZSTD_SLICE: Final = 64  # four bytes may make a block of 128 KiB (RFC 8878 section 3.1.1.2.2)
_BROTLI_SLICE: Final = 64  # the library keeps back output of much more


def _deflate_begins(text: bytes, at: int) -> bool:
    """Say whether deflate data may begin here (RFC 1951 section 3.2.3)."""
    if len(text) - at < 4:
        return False
    kind = text[at] & 6
    if kind == 0 and len(text) - at > 4:  # stored: the length stands twice
        return text[at + 1] ^ text[at + 3] == 255 and text[at + 2] ^ text[at + 4] == 255
    return kind != 6


def _gzip_body(text: bytes, at: int) -> int:
    """Return where the deflate data of a gzip member begins, or -1 (RFC 1952 section 2.3)."""
    head = text[at : at + 10]
    if len(head) < 10 or head[3] & 0xE0:
        return -1
    flags = head[3]
    at += 10
    if flags & 4:
        at += 2 + int.from_bytes(text[at : at + 2], "little")
    for flag in (8, 16):  # a name, a comment
        if flags & flag:
            at = text.find(b"\0", at, at + 4096) + 1
            if not at:
                return -1
    at += flags & 2
    return at if _deflate_begins(text, at) else -1


def _zlib_body(text: bytes, at: int) -> int:
    return at + 2 if _deflate_begins(text, at + 2) else -1


def _zip_body(text: bytes, at: int) -> int:
    """Return where a deflated file of a zip archive begins, or -1 (APPNOTE section 4.3.7)."""
    head = text[at : at + 30]
    if len(head) < 30 or head[8:10] != b"\x08\0":
        return -1
    at += 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    return at if _deflate_begins(text, at) else -1


def _xz_begins(text: bytes, at: int) -> int:
    """Return `at` if the header's checksum is right there, or -1."""
    flags = text[at + 6 : at + 8]
    return at if crc32(flags) == int.from_bytes(text[at + 8 : at + 12], "little") else -1


def _zstd_begins(text: bytes, at: int) -> int:
    """Return `at` unless reserved bits are set, or a dictionary is asked for, or -1.

    RFC 8878 section 3.1.1.1.1.
    """
    descriptor = text[at + 4 : at + 5]
    return at if descriptor and not descriptor[0] & 0x0B else -1


def _here(_text: bytes, at: int) -> int:
    return at


def _class(members: Iterable[int]) -> str:
    return "[" + "".join(f"\\x{byte:02x}" for byte in sorted(members)) + "]"


class _Kind(NamedTuple):
    """One format that has a magic number."""

    name: str
    gates: tuple[str, ...]
    magics: tuple[bytes, ...]
    begins: Callable[[bytes, int], int]
    """(text, where the magic number is) -> where the stream begins, or -1 if there is none."""
    stream: Callable[[], Stream]
    slice_: int = SLICE
    trailer: int = 0

    def decode(self, text: bytes, _seen: Seen) -> Found:
        """Read every stream in a text; the parts of one that goes on stay together."""
        reader = Reader(self.name, text)
        for magic in self.magics:
            at = text.find(magic)
            end = -1
            while at >= 0:
                start = self.begins(text, at)
                if start >= 0:
                    most = PIXELS if text[at - 4 : at] == b"IDAT" else 0
                    yield from reader.read(
                        self.stream(),
                        start,
                        follows=end in (at, start),
                        slice_=self.slice_,
                        most=most,
                    )
                    end = reader.end + self.trailer if reader.end >= 0 else -1
                at = text.find(magic, max(at + 2, end))
        yield from reader.rest()


_KINDS: Final = (
    _Kind("gzip", (r"\x1f\x8b\x08[\x00-\x1f]",), (GZIP,), _gzip_body, Inflate, trailer=8),
    _Kind(
        "zlib",
        (r"x[\x01\x5e\x9c\xda]" + _class(b for b in range(256) if b & 6 != 6),),
        ZLIB,
        _zlib_body,
        Inflate,
    ),
    _Kind("zip", (r"PK\x03\x04",), (ZIP,), _zip_body, Inflate),
    _Kind("zstd", (r"\x28\xb5\x2f\xfd",), (ZSTD,), _zstd_begins, Zstd, slice_=_ZSTD_SLICE),
    _Kind("bzip2", (r"BZh[1-9]1AY&SY",), (BZIP2,), _here, Bzip2),
    _Kind("xz", (r"\xfd7zXZ\x00",), (XZ,), _xz_begins, Xz),
)


def _brotli_heads(windows: Iterable[int]) -> frozenset[int]:
    """First bytes of streams with these windows (RFC 7932 section 9.1 and 9.2).

    Four bits of window, odd; then whether the first meta-block is the last and empty, and of how
    many nibbles its length is.
    """
    return frozenset(
        window | rest for window in windows for rest in (0x10, 0x50, 0x00, 0x80, 0x20, 0xA0)
    )


_BROTLI_USUAL = _brotli_heads((0x0B, 0x0F))  # 22 and 24: what tools and libraries take
_BROTLI_ANY = _brotli_heads((0x3, 0x5, 0x7, 0x9, 0xB, 0xD, 0xF)) | frozenset(
    byte for byte in range(256) if byte & 0x1F in (0x02, 0x0A) or byte & 0x0F in (0x00, 0x04)
)
SIZES: Final = (256, 40, 0)
"""From how many bytes on there are more beginnings that are tried, in falling order."""


def _deflate_heads(size: int) -> frozenset[int]:
    """First bytes of deflate data, if there is so much of it (RFC 1951 section 3.2.3).

    Fixed codes in a last block; dynamic ones take some space; more blocks, if there is much.
    """
    kinds = (2, 3, 4, 5) if size >= SIZES[0] else (3, 5) if size >= SIZES[1] else (3,)
    return frozenset(byte for byte in range(256) if byte & 7 in kinds)


_DEFLATE: Final = tuple((size, _deflate_heads(size)) for size in SIZES)
_BARE: Final = _BROTLI_ANY | _DEFLATE[0][1]


def first_bytes(size: int) -> frozenset[int]:
    """Return the first bytes of data that `at_start` tries something on.

    Args:
        size: bytes of the data, one of `SIZES`; -1: see `at_start`, `usual`.
    """
    heads = _BROTLI_ANY if size >= SIZES[0] else _BROTLI_USUAL
    if size < 0:
        return heads | {magic[0] for magic in MAGICS}
    return heads | {ZLIB[0][0]} | _deflate_heads(size)


def at_start(data: bytes, *, usual: bool = False) -> Iterable[tuple[str, bytes]]:
    """Undo the compression of what is compressed as a whole: raw deflate and brotli, too.

    These two have no magic number; what does not begin like them in one of the usual ways is left
    at once, most other data after a microsecond.

    Args:
        data: all of it, from its start.
        usual: try all that has a magic number, and brotli of the usual windows. If not, what has a
            magic number of more than two bytes is left to its own decoder.
    """
    size = len(data)
    if size < SHORTEST:
        return ()
    if data.startswith(MAGICS if usual else ZLIB):
        kinds = [kind for kind in _KINDS if data.startswith(kind.magics)]
        return chain.from_iterable(kind.decode(data, set()) for kind in kinds)
    head = data[0]
    found: tuple[Found, ...] = ()
    if not usual and head in next(heads for least, heads in _DEFLATE if size >= least):
        # Most that is no such data is damaged soon: that is the quickest way to tell.
        try:
            decompressobj(-15).decompress(data[:48], 64)
        except error:
            pass
        else:
            found = (_whole("deflate", data, Inflate(), SLICE),)
    if head in (_BROTLI_ANY if size >= SIZES[0] and not usual else _BROTLI_USUAL):
        try:
            Brotli().feed(data[:16], 64)
        except DamagedError:
            pass
        else:
            whole = data[: _undamaged(data)]
            found = (*found, _whole("brotli", whole, Brotli(), _BROTLI_SLICE))
    return chain.from_iterable(found)


def _undamaged(data: bytes) -> int:
    """Return how many bytes of brotli come before an error; all, if much comes out before.

    An error takes the output of its call with it, and bytes behind the end are one. So what failed
    is fed again in an eighth of the pieces, up to the piece that fails, until that is a byte.
    """
    good, step = 0, len(data)
    while True:
        stream = Brotli()
        try:
            stream.feed(data[:good], PIECE)
            while good < len(data) and stream.hungry:
                stream.feed(data[good : good + step], PIECE)
                good += step
        except DamagedError:
            if step == 1:
                return good
            step = max(1, step // 8)
        else:
            return len(data)


def _whole(name: str, data: bytes, stream: Stream, slice_: int) -> Found:
    reader = Reader(name, data)
    yield from reader.read(stream, 0, follows=False, slice_=slice_)
    yield from reader.rest()


COMPRESSED: tuple[Decoder, ...] = (
    *(Decoder(kind.name, kind.gates, kind.decode) for kind in _KINDS),
    Decoder(
        "deflate",
        ("^" + _class(_BARE) + r"[\x00-\xff]{0,14}[\x80-\xff]",),
        lambda text, _seen: at_start(text),
    ),
)
"""Decoders of compressed data."""
