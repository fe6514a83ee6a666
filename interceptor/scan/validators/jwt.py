"""JSON Web Tokens, signed and encrypted (RFC 7515, 7516, 7519)."""

from __future__ import annotations

import base64
import binascii
import json


def jwt(secret: bytes, _after: bytes) -> bool:
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
