"""JSON Web Tokens, signed and encrypted (RFC 7515, 7516, 7519)."""

from __future__ import annotations

import binascii
import re
from typing import Any

_PART = re.compile(rb"[A-Za-z0-9_-]*+=?=?")
_STANDARD = bytes.maketrans(b"-_", b"+/")
_LONGEST = 8192  # bytes of a token whose claims are read
_PARAMETER = re.compile(
    rb"(?:^|[^A-Za-z0-9_.-])(?:access_token|id_token|id_token_hint|refresh_token|token|jwt"
    rb"|assertion|client_assertion|subject_token|actor_token|logout_token)"
    rb"(?:=|\\*[\"']\s{0,4}:\s{0,4}\\*[\"'])\Z"
)
_HOST = re.compile(
    r"(?:https?://)?([a-z0-9-]+(?:\.[a-z0-9-]+)+)(?::[0-9]{1,5})?(?:/.*)?\Z", re.DOTALL
)


def jwt_token(secret: bytes, after: bytes) -> bool:
    """Pass a token whose header is a JSON object with `alg` and whose payload is an object too.

    The token may begin in `secret` and go on in `after`, even beyond it. Short signatures pass, and
    none at all (`alg` is `none`).
    """
    text = secret + after
    end = text.find(b".")
    header = _object(text[:end]) if end >= 0 else None
    if header is None or not isinstance(header.get("alg"), str):
        return False
    rest = text[end + 1 :]
    found = _PART.match(rest)
    payload = found[0] if found is not None else b""
    if len(payload) == len(rest):  # it goes on beyond what can be seen
        return len(payload) >= 4 and _decoded(payload)[:1] == b"{"
    claims = _object(payload)
    if rest[len(payload) : len(payload) + 1] != b"." or claims is None:
        return False
    # The token that every guide shows.
    return not (claims.get("sub") == "1234567890" and claims.get("name") == "John Doe")


def own_hosts(text: bytes, start: int) -> tuple[str, ...]:
    """Return the hosts that a token says it is from (`iss`) and for (`aud`), if it is sent as one.

    That is, as the value of a parameter in which OAuth and OpenID Connect hand tokens over, in a
    query, a form or JSON (RFC 6749 section 6, RFC 6750 section 2, RFC 7521 section 4, RFC 7662,
    RFC 8693, OpenID Connect RP-Initiated Logout). Anywhere else there are none.

    Args:
        text: in which the token stands as it is.
        start: offset at which it begins.
    """
    if _PARAMETER.search(text, max(0, start - 64), start) is None:
        return ()
    parts = text[start : start + _LONGEST].split(b".", 2)
    claims = _object(parts[1]) if len(parts) == 3 else None
    if claims is None:
        return ()
    audience = claims.get("aud")
    said = [claims.get("iss"), *(audience if isinstance(audience, list) else (audience,))]
    found = (_HOST.match(one.lower()) for one in said if isinstance(one, str))
    return tuple(dict.fromkeys(match[1] for match in found if match is not None))


def jwe_token(secret: bytes, _after: bytes) -> bool:
    """Pass the beginning of an encrypted token: a header that names `alg` and `enc`."""
    header = _object(secret.partition(b".")[0])
    return header is not None and all(isinstance(header.get(key), str) for key in ("alg", "enc"))


def _decoded(part: bytes) -> bytes:
    """Decode base64url, padded or not; b"" if it is not."""
    text = part.rstrip(b"=").translate(_STANDARD)
    if len(text) % 4 == 1:
        text = text[:-1]
    try:
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return b""


def _object(part: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a part of a token holds."""
    data = _decoded(part)
    if data[:1] != b"{":
        return None
    import json

    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
