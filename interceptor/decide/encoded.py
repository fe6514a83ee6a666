"""A quick look at text that was put together: does it end in ASCII under an encoding?

Pieces of a secret may be pieces of its encoding. To decode all that is put together would cost more
than everything else; random values hardly ever decode to sixteen bytes of ASCII.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

_LEAST: Final = 24  # characters of encoded text that are looked at
_HEX: Final = b"0123456789abcdefABCDEF"
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_NOT_BASE64: Final = bytes(byte for byte in range(256) if byte not in _BASE64)
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_BASE32: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_GZIP: Final = b"H4sI"  # what gzip (RFC 1952) begins with in base64


def may_hide(text: bytes) -> bool:
    """Say whether the last bytes of `text` decode to ASCII from base64, hex or base32."""
    end = text[-40:]
    if len(end) < _LEAST:
        return False
    upper = end.upper()
    if end != upper and end != end.lower():
        return _base64(end) or (_GZIP in text)
    if not end[-32:].translate(None, _HEX):
        return _hex(end[-32:])
    return len(end) >= 32 and not end.isalpha() and _base32(upper.rstrip(b"=")[-32:])


def _base64(end: bytes) -> bool:
    run = end.translate(_STANDARD, _NOT_BASE64)
    for drop in range(4):
        last = len(run) - drop
        if last < _LEAST:
            return False
        if binascii.a2b_base64(run[last - _LEAST : last]).isascii():
            return True
    return False


def _hex(end: bytes) -> bool:
    if end.isdigit():  # numbers are common, and many of them would do
        return False
    even = end[len(end) % 2 :]
    return binascii.unhexlify(even).isascii() or binascii.unhexlify(even[1:-1]).isascii()


def _base32(end: bytes) -> bool:
    if len(end) < 32 or end.translate(None, _BASE32):
        return False
    for drop in range(8):  # what is put together need not end where a group of eight does
        body = end[: 32 - drop]
        if base64.b32decode(body[len(body) % 8 :]).isascii():
            return True
    return False
