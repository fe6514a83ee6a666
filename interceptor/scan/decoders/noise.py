"""Telling noise from what is worth a scan.

Of several readings of a run at most one is right, and often none. The others are noise, which is
dear to scan: some pattern or gate always fires on enough of it.
"""

from __future__ import annotations

from typing import Final

from interceptor.scan.decoders.alphabet import marks
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
_ENCODED_SMALL: Final = Sieve(*_WIDE, *_PACKED, r"x[\x01\x5e\x9c\xda]")  # zlib: two bytes only


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
