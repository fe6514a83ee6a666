"""What data is by its first bytes, where nobody says that it is encoded."""

from __future__ import annotations

from typing import Final

from interceptor.wire.body.ar_archive import MAGIC as AR
from interceptor.wire.body.ar_archive import ArArchive
from interceptor.wire.body.charsets import BYTE_ORDER_MARKS, EBCDIC_XML
from interceptor.wire.body.decoders import Bzip2, Inflate, Xz, Zstd, is_skippable, is_zlib
from interceptor.wire.body.git_pack import MAGIC as PACK
from interceptor.wire.body.git_pack import GitPack
from interceptor.wire.body.media import NO_MEDIA
from interceptor.wire.body.parts import Decoded, Reader, incomplete
from interceptor.wire.body.tar_archive import TarArchive, is_tar
from interceptor.wire.body.zip_archive import LOCAL, ZipArchive, is_zip

LOOK: Final = 512
"""Bytes that tell everything."""

_UNREADABLE: Final = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"MSCF\x00\x00\x00\x00", "a cabinet archive"),
    (b"\x04\x22\x4d\x18", "lz4 data"),
    (b"LZIP\x01", "lzip data"),
    (b"\x1f\x9d\x90", "data of compress"),
    (b"age-encryption.org/v1\n", "an age file"),
    (b"Salted__", "a file encrypted by openssl"),
)
_GZIP: Final = b"\x1f\x8b\x08"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_BZIP2: Final = b"BZh"
_XZ: Final = (b"\xfd7zXZ\x00", b"\x5d\x00\x00")  # and lzma as it was before
_GIT: Final = (PACK, b"# v2 git bundle\n", b"# v3 git bundle\n")
_MARKS: Final = (
    *(_GZIP, _ZSTD, _BZIP2, LOCAL, AR, *_XZ, *_GIT),
    *(bytes((low,)) + b"\x2a\x4d\x18" for low in range(0x50, 0x60)),  # skippable zstd frames
    *(mark for mark, _ in _UNREADABLE),
    *(b"<?xml", EBCDIC_XML, *BYTE_ORDER_MARKS),
)
# The second byte makes both together a multiple of 31 (RFC 1950 section 2.2).
_ZLIB: Final = tuple(
    bytes((first, second))
    for first in range(0x08, 0x80, 0x10)
    for second in range(-(first << 8) % 31, 256, 31)
    if is_zlib(bytes((first, second)))
)
_BY_FIRST: Final = {
    first: tuple(mark for mark in (*_MARKS, *_ZLIB) if mark[0] == first)
    for first in {mark[0] for mark in (*_MARKS, *_ZLIB)}
}
MARKS: Final = tuple(_BY_FIRST.get(first, ()) for first in range(256))
"""For each first byte the beginnings of what is no plain text, for `bytes.startswith`."""


def reader_by_magic(first: bytes) -> Reader | None:
    """Reader for data that begins with `first`, `LOOK` bytes of it if there are as many.

    Raises:
        HttpError: INCOMPLETE for an archive of a kind that cannot be read.
    """
    if not first.startswith(MARKS[first[0]]):
        return TarArchive() if is_tar(first) else None
    if first.startswith(_GZIP) and (len(first) < 4 or not first[3] & 0xE0):
        return Decoded(Inflate(), "gzip", NO_MEDIA)
    if first.startswith(LOCAL):
        return ZipArchive() if is_zip(first) else None
    if first.startswith(_ZSTD) or is_skippable(first[:4]):
        return Decoded(Zstd(), "zstd", NO_MEDIA)
    if first.startswith(_BZIP2):
        return Decoded(Bzip2(), "bzip2", NO_MEDIA)
    if first.startswith(_XZ):
        return Decoded(Xz(), "xz", NO_MEDIA)
    if first.startswith(_GIT):
        return GitPack()
    if first.startswith(AR):
        return ArArchive()
    for mark, what in _UNREADABLE:
        if first.startswith(mark):
            raise incomplete(f"{what} in the body cannot be read")
    if first.startswith(_ZLIB):
        return Decoded(Inflate(b"deflate"), "zlib", NO_MEDIA)
    return TarArchive() if is_tar(first) else None
