"""Checksums over digits and letters: Luhn, mod 97, and CRC-32 in base 62."""

from __future__ import annotations

import zlib

from interceptor.scan.validators.variety import whole_varied

_BASE62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn(digits: bytes) -> bool:
    """Check digits with the Luhn formula (ISO/IEC 7812-1 annex B); other bytes are skipped."""
    numbers = [byte - 48 for byte in digits if 48 <= byte <= 57]
    if len(numbers) < 2:
        return False
    total = sum(numbers[-1::-2])
    total += sum(_DOUBLED[n] for n in numbers[-2::-2])
    return total % 10 == 0


def mod97(text: bytes) -> int:
    """Return ISO 7064 mod 97-10 of capitals and digits, letters counted as 10 to 35.

    Returns -1 for other bytes. A text that carries its own check digits gives 1.
    """
    if not text.isalnum() or not text.isascii() or text != text.upper():
        return -1
    return int("".join(str(int(chr(byte), 36)) for byte in text)) % 97


def base62_crc32(data: bytes) -> bytes:
    """Return CRC-32 of `data` as six base-62 digits, as GitHub's and npm's tokens end."""
    number = zlib.crc32(data)
    digits = bytearray()
    while number:
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return bytes(reversed(digits)).rjust(6, b"0")


def crc_token(secret: bytes, after: bytes) -> bool:
    """Pass tokens whose checksum holds, and varied ones whose issuer may compute it otherwise.

    The latter only if they end where the pattern does: in URL-safe base64, in which their prefix
    stands by chance, in other values that were joined to them, and turned round, they go on.
    """
    body = secret.rpartition(b"_")[2]
    if len(body) > 6 and base62_crc32(body[:-6]) == body[-6:]:
        return True
    return whole_varied(body, after)
