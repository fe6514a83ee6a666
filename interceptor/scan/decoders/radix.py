"""Whole tokens that are one number in another radix: base58 and base36.

Their digits do not stand for bits at a place, so only a token that is encoded as a whole can be
undone, and only a short one in little time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from interceptor.scan.decoders.noise import is_noise

BASE58: Final = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
"""Bitcoin's digits, in order (https://datatracker.ietf.org/doc/html/draft-msporny-base58)."""

_VALUES = bytes(BASE58.find(byte) & 0xFF for byte in range(256))
_GROUP = 58**8


def from_token(token: bytes) -> Iterator[tuple[str, bytes]]:
    """Undo base58 and base36 of a token of letters and digits, if text comes out.

    Args:
        token: ASCII letters and digits, at most a few hundred: time grows with the square.
    """
    if not token.translate(None, BASE58):
        out = _bytes(_from_base58(token))
        if not is_noise(out):
            yield "base58", out
    if token.islower() or token.isupper():
        out = _bytes(int(token, 36))
        if not is_noise(out):
            yield "base36", out


def _from_base58(token: bytes) -> int:
    number = 0
    digits = token.translate(_VALUES)
    odd = len(digits) % 8
    for digit in digits[:odd]:
        number = number * 58 + digit
    for at in range(odd, len(digits), 8):
        a, b, c, d, e, f, g, h = digits[at : at + 8]
        low = ((e * 58 + f) * 58 + g) * 58 + h
        number = number * _GROUP + (((a * 58 + b) * 58 + c) * 58 + d) * 11316496 + low
    return number


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
