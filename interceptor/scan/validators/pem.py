"""Private keys: PEM (RFC 7468) and its relatives, and DER."""

from __future__ import annotations

import re

_KEY_BODY = re.compile(rb"[A-Za-z0-9+/]{24}")
_JOINED_BODY = re.compile(rb"[A-Za-z0-9+/]{64}")
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_DERIVATIONS = (
    b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c",
    b"\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x04\x0b",
)
"""Object identifiers of PBKDF2 (RFC 8018 appendix A.2) and scrypt (RFC 7914 section 7)."""
_LINE_BREAK = re.compile(rb"\\+[rn]|[\"']\s{0,8}\+\s{0,8}[\"']|[\s\"',]+")


def pem_key(_secret: bytes, after: bytes) -> bool:
    """Pass a PEM label that key material follows, line breaks written in any way."""
    head = _LINE_BREAK.sub(b"\n", after).split(b"-----END", 1)[0]
    if any(len(set(found[0])) > 8 for found in _KEY_BODY.finditer(head)):
        return True
    # Shorter lines: joined, words of prose would be as long, but they hold no digits.
    joined = _JOINED_BODY.search(head.replace(b"\n", b""))
    return joined is not None and len(set(joined[0])) > 20 and any(map(_is_digit, joined[0]))


def _is_digit(byte: int) -> bool:
    return 48 <= byte <= 57


def der_key(secret: bytes, after: bytes) -> bool:
    """Pass the beginning of a key in DER if key material follows, and any in base64.

    Programs that write keys hold the same fixed bytes, but code comes after them.
    """
    if secret.isascii() and not secret.translate(None, _BASE64):
        return len(set(secret)) > 12
    if secret.startswith(b"\x06"):  # encrypted: the key derivation and its salt follow
        return any(oid in after[:20] for oid in _DERIVATIONS) and _high(after[16:80])
    return _high((secret[16:] + after)[:64])


def _high(material: bytes) -> bool:
    """Say whether so many bytes are high as in keys, and hardly ever in programs."""
    high = sum(byte > 127 for byte in material)
    return len(material) >= 8 and high >= max(3, len(material) // 6)
