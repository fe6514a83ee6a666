"""Validators: a second look at what a pattern matched, so that look-alikes give no alarm.

Each takes the matched bytes and a little of what follows, and says whether they may be a secret.
They are pure, fast, and never raise on any input.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import zlib
from collections.abc import Callable

Validator = Callable[[bytes, bytes], bool]
"""(secret, bytes that follow it) -> may it be a secret?"""

_BASE62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PLACEHOLDER = re.compile(
    rb"EXAMPLE|PLACEHOLDER|CHANGE_?ME|REDACTED|YOUR[_-]|_HERE|DUMMY|X{5}|0{6}|\*{3}|\.{3}"
    rb"|12345678|ABCDEFGH|QWERTY",
    re.IGNORECASE,
)
_WEAK = frozenset(
    b"password passwd postgres mysql secret changeme example admin root guest test user "
    b"pass hunter2 letmein qwerty mypassword mysecretpassword yourpassword your_password "
    b"password123 supersecret".split()
)
_LOCAL = re.compile(
    rb"127\.|0\.0\.0\.0|\[::1\]|(?:localhost|db|postgres|mysql|redis|host)(?![A-Za-z0-9.-])"
)
_KEY_BODY = re.compile(rb"[A-Za-z0-9+/]{24}")
_LINE_BREAK = re.compile(rb"\\+[rn]|[\s\"'+,]+")


def entropy_of(data: bytes) -> float:
    """Return Shannon entropy in bits per byte; 0.0 for nothing."""
    size = len(data)
    if not size:
        return 0.0
    counts = (data.count(byte) for byte in set(data))
    return -sum(n / size * math.log2(n / size) for n in counts)


def luhn(digits: bytes) -> bool:
    """Check digits with the Luhn formula (ISO/IEC 7812-1 annex B); other bytes are skipped."""
    numbers = [byte - 48 for byte in digits if 48 <= byte <= 57]
    if len(numbers) < 2:
        return False
    total = sum(numbers[-1::-2])
    total += sum(n * 2 - 9 if n > 4 else n * 2 for n in numbers[-2::-2])
    return total % 10 == 0


def base62_crc32(data: bytes) -> bytes:
    """Return CRC-32 of `data` as six base-62 digits, as GitHub's and npm's tokens end."""
    number = zlib.crc32(data)
    digits = bytearray()
    while number:
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return bytes(reversed(digits)).rjust(6, b"0")


def _varied(secret: bytes, _after: bytes) -> bool:
    """Pass bytes that look drawn at random: no placeholder words, and varied for their length."""
    if _PLACEHOLDER.search(secret):
        return False
    return entropy_of(secret) >= min(3.0, 0.75 * math.log2(max(len(secret), 2)))


def _mixed(secret: bytes, after: bytes) -> bool:
    """Pass varied bytes with at least one digit and one letter: words alone are no key."""
    has_digit = any(48 <= byte <= 57 for byte in secret)
    has_alpha = any(65 <= byte & 0xDF <= 90 for byte in secret)
    return has_digit and has_alpha and _varied(secret, after)


def _key_id(secret: bytes, after: bytes) -> bool:
    """Pass varied ids; capitals without a digit that run on are words of a longer text."""
    has_digit = any(48 <= byte <= 57 for byte in secret)
    return (has_digit or not after[:1].isalnum()) and _varied(secret, after)


def _crc_token(secret: bytes, after: bytes) -> bool:
    """Pass tokens whose checksum holds, and varied ones whose issuer may compute it otherwise."""
    body = secret.rpartition(b"_")[2]
    if len(body) > 6 and base62_crc32(body[:-6]) == body[-6:]:
        return True
    return _varied(body, after)


def _jwt(secret: bytes, _after: bytes) -> bool:
    """Pass three base64url parts whose first is a JSON object with `alg` (RFC 7519)."""
    parts = secret.split(b".")
    if len(parts) != 3:
        return False
    try:
        padded = parts[0] + b"=" * (-len(parts[0]) % 4)
        header = json.loads(base64.urlsafe_b64decode(padded))
    except (binascii.Error, ValueError, RecursionError):
        return False
    return isinstance(header, dict) and isinstance(header.get("alg"), str)


def _pem(_secret: bytes, after: bytes) -> bool:
    """Pass a PEM label that key material follows, line breaks written in any way."""
    head = _LINE_BREAK.sub(b"\n", after).split(b"-----END", 1)[0]
    return any(len(set(found.group())) > 8 for found in _KEY_BODY.finditer(head))


def _url_password(secret: bytes, after: bytes) -> bool:
    """Pass a URL password that is neither a template, a word of documentation nor local."""
    if len(secret) < 8 or secret.lower() in _WEAK or re.search(rb"[${}<>\[\]%*()]", secret):
        return False
    if _LOCAL.match(after.removeprefix(b"@")):
        return False
    return _varied(secret, after) and entropy_of(secret) >= 2.5


VALIDATORS: dict[str, Validator] = {
    "varied": _varied,
    "mixed": _mixed,
    "key-id": _key_id,
    "crc32": _crc_token,
    "jwt": _jwt,
    "pem": _pem,
    "url-password": _url_password,
    "luhn": lambda secret, _after: luhn(secret),
}
"""Validators by the name that rule files use."""
