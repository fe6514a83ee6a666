"""Whether a value looks drawn at random: neither a placeholder, nor words, nor a run of one digit.

Entropy alone decides little: 40 hexadecimal digits never have more than 4 bits each, and a page of
prose has as many. So these validators stand behind patterns that already fix alphabet and length.
"""

from __future__ import annotations

import math
import re

_PLACEHOLDER = re.compile(
    rb"EXAMPLE|PLACEHOLDER|CHANGE_?ME|REDACTED|YOUR[_-]|_HERE|DUMMY|X{5}|0{6}|\*{3}|\.{3}"
    rb"|12345678|ABCDEFGH|QWERTY|(.)\1{7}",
    re.IGNORECASE,
)
# The scope of a presigned URL (AWS Signature Version 4): the id in it is there to be read.
_SIGNED_REQUEST = re.compile(
    rb"(?:/|%2[Ff])[0-9]{8}(?:/|%2[Ff])[a-z0-9-]{2,32}(?:/|%2[Ff])s3(?:/|%2[Ff])aws4_request"
)
_CASE_CHANGE = re.compile(rb"(?=[a-z][A-Z]|[A-Z][a-z])")
_WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-")


def entropy_of(data: bytes) -> float:
    """Return Shannon entropy in bits per byte; 0.0 for nothing."""
    size = len(data)
    if not size:
        return 0.0
    counts = (data.count(byte) for byte in set(data))
    return -sum(n / size * math.log2(n / size) for n in counts)


def is_placeholder(data: bytes) -> bool:
    """Say whether `data` holds what documentation writes where a secret would stand."""
    return _PLACEHOLDER.search(data) is not None


def filled_in(secret: bytes, _after: bytes) -> bool:
    """Pass what documentation would not write, for values too short to be judged by variety."""
    return not is_placeholder(secret) and len(set(secret)) > 2


def varied(secret: bytes, _after: bytes) -> bool:
    """Pass bytes that look drawn at random: no placeholder words, and varied for their length."""
    if is_placeholder(secret):
        return False
    # So low that of random hexadecimal digits, however few, less than 0.3 % are turned away.
    return entropy_of(secret) >= min(3.0, 0.62 * math.log2(max(len(secret), 2)))


def mixed(secret: bytes, after: bytes) -> bool:
    """Pass varied bytes with a digit and a letter, or whose case changes often, as in no word."""
    has_digit = any(48 <= byte <= 57 for byte in secret)
    has_alpha = any(65 <= byte & 0xDF <= 90 for byte in secret)
    if not has_digit and len(_CASE_CHANGE.findall(secret)) * 4 < len(secret):
        return False
    return has_alpha and varied(secret, after)


def dense(secret: bytes, after: bytes) -> bool:
    """Pass mixed bytes as dense as what is drawn from some sixty characters.

    Of such values of 20 characters or more, less than one in ten thousand is turned away; tables of
    numbers in base64 are, which are full of `A`.
    """
    return mixed(secret, after) and entropy_of(secret) >= 0.78 * math.log2(min(len(secret), 64))


def whole_varied(secret: bytes, after: bytes) -> bool:
    """Pass varied bytes that end where the pattern does: part of a longer word is another thing."""
    return after[:1] not in _ENDS and varied(secret, after)


def whole_mixed(secret: bytes, after: bytes) -> bool:
    """Pass mixed bytes that end where the pattern does."""
    return after[:1] not in _ENDS and mixed(secret, after)


def key_id(secret: bytes, after: bytes) -> bool:
    """Pass varied ids.

    Capitals without a digit that run on are words of a longer text; an id in a presigned URL is
    public. The mappings of source maps are capitals, too, but few of them and mostly the same: of
    ids drawn, one in a thousand is as poor.
    """
    digits = sum(48 <= byte <= 57 for byte in secret)
    if _SIGNED_REQUEST.match(after) or (digits < 3 and entropy_of(secret[4:]) < 2.95):
        return False
    return (digits > 0 or not after[:1].isalnum()) and varied(secret, after)


_ENDS = frozenset(bytes((byte,)) for byte in _WORD)
