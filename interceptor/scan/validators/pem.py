"""Private keys: PEM (RFC 7468) and its relatives, and DER."""

from __future__ import annotations

import re

_KEY_BODY = re.compile(rb"[A-Za-z0-9+/]{24}")
_JOINED_BODY = re.compile(rb"[A-Za-z0-9+/]{64}")
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_LINE_BREAK = re.compile(rb"\\+[rn]|[\"']\s{0,8}\+\s{0,8}[\"']|[\s\"',]+")


def pem_key(_secret: bytes, after: bytes) -> bool:
    """Pass a PEM label that key material follows, line breaks written in any way."""
    head = _LINE_BREAK.sub(b"\n", after).split(b"-----END", 1)[0]
    if any(len(set(found[0])) > 8 for found in _KEY_BODY.finditer(head)):
        return True
    # Shorter lines: joined, words of prose would be as long, but they hold no digits.
    joined = _JOINED_BODY.search(head.replace(b"\n", b""))
    return joined is not None and len(set(joined[0])) > 20 and sum(map(_is_digit, joined[0])) > 3


def _is_digit(byte: int) -> bool:
    return 48 <= byte <= 57


def der_key(secret: bytes, after: bytes) -> bool:
    """Pass the beginning of a key in DER if key material follows, and any in base64.

    Programs that write keys hold the same fixed bytes, but code comes after them.
    """
    if secret.isascii() and not secret.translate(None, _BASE64):
        return len(set(secret)) > 12
    material = (secret[16:] + after)[:64]
    high = sum(byte > 127 for byte in material)
    return len(material) >= 8 and high >= max(3, len(material) // 6)
