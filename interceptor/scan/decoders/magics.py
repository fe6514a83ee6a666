"""Magic numbers of compressed data."""

from __future__ import annotations

from typing import Final

GZIP: Final = b"\x1f\x8b\x08"
"""RFC 1952 section 2.3.1, with deflate as its method."""
ZLIB: Final = (b"x\x9c", b"x\xda", b"x\x01", b"x^")
"""RFC 1950 section 2.2, with a window of 32 KiB."""
ZSTD: Final = b"\x28\xb5\x2f\xfd"
"""RFC 8878 section 3.1.1."""
BZIP2: Final = b"BZh"
XZ: Final = b"\xfd7zXZ\0"
"""The .xz file format, section 2.1.1.1."""
ZIP: Final = b"PK\x03\x04"
"""APPNOTE section 4.3.7."""

MAGICS: Final = (GZIP, ZSTD, BZIP2, XZ, ZIP, *ZLIB)
