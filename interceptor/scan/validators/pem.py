"""Private keys in text: PEM (RFC 7468)."""

from __future__ import annotations

import re

_KEY_BODY = re.compile(rb"[A-Za-z0-9+/]{24}")
_LINE_BREAK = re.compile(rb"\\+[rn]|[\s\"'+,]+")


def pem_key(_secret: bytes, after: bytes) -> bool:
    """Pass a PEM label that key material follows, line breaks written in any way."""
    head = _LINE_BREAK.sub(b"\n", after).split(b"-----END", 1)[0]
    return any(len(set(found.group())) > 8 for found in _KEY_BODY.finditer(head))
