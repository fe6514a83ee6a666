"""Telling noise from what is worth a scan.

Of several readings of a run at most one is right, and often none. The others are noise, which is
dear to scan: some pattern or gate always fires on enough of it.
"""

from __future__ import annotations

from typing import Final

from interceptor.scan.decoders.alphabet import marks, runs
from interceptor.scan.decoders.near import merged
from interceptor.scan.decoders.sieve import Sieve

SMALL: Final = 1024
"""Bytes of output that are looked at in every way."""

_TEXT = b"\t\n\r" + bytes(range(32, 127))
# What UTF-8 has invisible, full-width, Greek, Cyrillic and mathematical letters of.
_FOLDABLE = b"\xc2\xcc\xcd\xce\xcf\xd0\xd1\xe2\xef\xf0\xf3" + bytes(range(0x80, 0xC0))
_MARK_TEXT = marks(_TEXT)
_MARK_FOLDABLE = marks(_TEXT + _FOLDABLE)

# Runs of sixteen and more are looked for five times as fast as shorter ones.
_READABLE: Final = Sieve(
    r"[\t\n\r\x20-\x7e]{16}",
    r"[\t\n\r\x20-\x7e\x80-\xbf\xc2\xcc-\xd1\xe2\xef\xf0\xf3]{44}",
)
# UTF-16 and UTF-32 of ASCII, of the same letters and of what is invisible; compressed data.
_WIDE = (
    r"(?:[\x01-\xff][\x00\x03\x04\x20\xfe\xff]){8}",
    r"(?:[\x00\x03\x04\x20\xfe\xff][\x01-\xff]){8}",
    r"[\x20-\x7e]\x00\x00\x00[\x20-\x7e]\x00\x00\x00[\x20-\x7e]\x00\x00\x00",
)
_PACKED = (
    r"\x1f\x8b\x08[\x00-\x1f]",
    r"\x28\xb5\x2f\xfd",
    r"BZh[1-9]1AY&SY",
    r"\xfd7zXZ\x00",
    r"PK\x03\x04",
)
_ENCODED: Final = Sieve(*_WIDE, *_PACKED)
_WIDE_TEXT: Final = Sieve(*_WIDE)
_PACKED_DATA: Final = Sieve(*_PACKED)
_ENCODED_SMALL: Final = Sieve(*_WIDE, *_PACKED, r"x[\x01\x5e\x9c\xda]")  # zlib: two bytes only


_BLOCK: Final = 4096
_AHEAD: Final = 1 << 16  # what readable words stand before, such as a stream in a PDF
_SEAM: Final = 64  # bytes over the seam of two blocks in which evidence may lie

# No text in UTF-8 has these; of noise they are the twentieth part.
_IMPOSSIBLE: Final = bytes((0xC0, 0xC1, *range(0xF5, 0x100)))
_SHORTEST_RUN: Final = 20
_MARK_LETTERS = marks(
    _TEXT
    + b"\xc2\xd8\xe1\xe2\xe3\xea\xef\xf0\xf3"
    + bytes((*range(0x80, 0xC0), *range(0xC9, 0xD7)))
)
"""Readable text and all that `folding` knows of."""


def without_noise(out: bytes, *, turned: bool = False) -> bytes:
    """Return what of an output may hold something, with what is around it and comes after it.

    In a megabyte of noise there is a readable word by chance.

    Args:
        out: what is no noise as a whole.
        turned: see `is_noise`.
    """
    if len(out) <= 4 * _BLOCK:
        return out
    spans: list[tuple[int, int]] = []
    for at in range(0, len(out), _BLOCK):
        block = out[at : at + _BLOCK + _SEAM]
        if not turned and _PACKED_DATA.holds(block):
            spans.append((at, len(out)))
            break
        if _READABLE.holds(block) or (not turned and _WIDE_TEXT.holds(block)):
            spans.append((at - _BLOCK, at + _AHEAD))
    return b"\n".join([out[start:end] for start, end in merged(spans)])


def readable(text: bytes, table: bytes = _MARK_LETTERS) -> bytes:
    """Return a text without its noise: of stretches that are no UTF-8, only what may be read.

    For decoders of text, to whom noise is full of what looks like their work.

    Args:
        text: any bytes.
        table: makes `1` of what may be read.
    """
    size = len(text)
    if size <= 4 * _BLOCK or len(text.translate(None, _IMPOSSIBLE)) * 64 >= size * 63:
        return text
    spans: list[tuple[int, int]] = []
    for at in range(0, size, _BLOCK):
        block = text[at : at + _BLOCK]
        if len(block.translate(None, _IMPOSSIBLE)) * 64 >= len(block) * 63:
            spans.append((at, at + _BLOCK))
            continue
        start = max(0, at - _SEAM)
        around = text[start : at + _BLOCK + _SEAM]
        spans += [
            (start + first, start + last) for first, last in runs(around, table, _SHORTEST_RUN)
        ]
    return b"\n".join([text[start:end] for start, end in merged(spans)])


def is_noise(out: bytes, *, turned: bool = False, thorough: bool = False) -> bool:
    """Say whether nothing in an output can hold a credential or another encoding of one.

    Both need a dozen readable characters in a row (with NULs between them in UTF-16), or some more
    bytes of letters that look alike, or the head of compressed data. At the wrong alignment, or
    made of an ordinary word or number, almost no output has that.

    Args:
        out: what a decoder has made.
        turned: it was reversed or in ROT13 besides; of a long one only readable text counts then.
        thorough: look as closely as at a short one: `out` is put together of short ones.
    """
    if len(out) > SMALL and not thorough:
        return not (_READABLE.holds(out) or (not turned and _ENCODED.holds(out)))
    return (
        b"1" * 12 not in out.translate(_MARK_TEXT)
        and b"1" * 24 not in out.translate(_MARK_FOLDABLE)
        and not _ENCODED_SMALL.holds(out)
    )
