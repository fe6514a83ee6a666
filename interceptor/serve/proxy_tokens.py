"""Projected service-account tokens, verified offline with the cluster's keys.

A JWT in compact form (RFC 7515 section 7.1) signed with RS256 or ES256, the only algorithms that
Kubernetes issues them with; anything else, `none` above all, is refused before a key is looked for.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

LEEWAY: Final = 60.0
"""Seconds by which clocks of nodes may differ."""
_SMALLEST: Final = 2_048  # bits of an RSA key
_SUBJECT: Final = re.compile(r"system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})")
_POD: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")
_BASE64URL: Final = re.compile(rb"[A-Za-z0-9_-]*+")
_REMEMBERED: Final = 1_024

Key = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class KeysError(ValueError):
    """The file of keys cannot be used."""


class Proved(msgspec.Struct, frozen=True):
    """What a token proves."""

    account: str
    """`namespace/name`."""
    pod: str
    """Name of the pod the token is bound to; empty where it is bound to none."""


def read_keys(data: bytes) -> dict[str, Key]:
    """Read a JWKS document (RFC 7517), as `kubectl get --raw /openid/v1/jwks` prints it, by key id.

    Raises:
        KeysError: it is none, or holds no key of a kind that is used.
    """
    keys: dict[str, Key] = {}
    try:
        for entry in msgspec.json.decode(data)["keys"]:
            if entry.get("use", "sig") != "sig":
                continue
            if entry["kty"] == "RSA":
                numbers = rsa.RSAPublicNumbers(_number(entry["e"]), _number(entry["n"]))
                keys[entry.get("kid", "")] = _large(numbers.public_key())
            elif entry["kty"] == "EC" and entry["crv"] == "P-256":
                point = ec.EllipticCurvePublicNumbers(
                    _number(entry["x"]), _number(entry["y"]), ec.SECP256R1()
                )
                keys[entry.get("kid", "")] = point.public_key()
    except KeysError:
        raise
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise KeysError(f"not a JWKS document ({type(error).__name__})") from None
    if not keys:
        raise KeysError("no RSA or P-256 key in it")
    return keys


class TokenVerifier:
    """Verifies tokens for one audience of one issuer."""

    def __init__(self, keys: Mapping[str, Key], issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._known: dict[bytes, tuple[Proved, float, float]] = {}

    def verify(self, token: bytes, now: float) -> Proved | None:
        """Return what the token proves at `now` (seconds since the epoch); None: nothing."""
        known = self._known.get(token)
        if known is None:
            known = self._verified(token)
            if known is None:
                return None
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[token] = known
        proved, begin, end = known
        return proved if begin - LEEWAY <= now < end + LEEWAY else None

    def _verified(self, token: bytes) -> tuple[Proved, float, float] | None:
        head, _, rest = token.partition(b".")
        body, _, mark = rest.partition(b".")
        try:
            header = msgspec.json.decode(_bytes(head), type=dict[str, Any])
            key = self._keys.get(header.get("kid", ""))
            if key is None or "crit" in header:
                return None
            _check(key, header.get("alg"), token[: len(head) + 1 + len(body)], _bytes(mark))
            return self._read(msgspec.json.decode(_bytes(body), type=dict[str, Any]))
        except (msgspec.MsgspecError, InvalidSignature, ValueError, TypeError):
            return None

    def _read(self, claims: dict[str, Any]) -> tuple[Proved, float, float] | None:
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            return None
        if claims.get("iss") != self._issuer:
            return None
        subject = _SUBJECT.fullmatch(str(claims.get("sub")))
        end, begin = claims.get("exp"), claims.get("nbf", 0)
        if (
            subject is None
            or not isinstance(end, int | float)
            or not isinstance(begin, int | float)
        ):
            return None
        bound = claims.get("kubernetes.io")
        pod = bound.get("pod") if isinstance(bound, dict) else None
        name = str(pod.get("name", "")) if isinstance(pod, dict) else ""
        if name and _POD.fullmatch(name) is None:
            return None
        return Proved(f"{subject[1]}/{subject[2]}", name), float(begin), float(end)


def _large(key: rsa.RSAPublicKey) -> rsa.RSAPublicKey:
    if key.key_size < _SMALLEST:
        raise KeysError(f"an RSA key of {key.key_size} bits")
    return key


def _check(key: Key, algorithm: object, signed: bytes, mark: bytes) -> None:
    """Verify a signature by the algorithm that the key is of.

    Raises:
        InvalidSignature: or the algorithm is another one.
    """
    if isinstance(key, rsa.RSAPublicKey) and algorithm == "RS256":
        key.verify(mark, signed, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm == "ES256" and len(mark) == 64:
        der = encode_dss_signature(int.from_bytes(mark[:32]), int.from_bytes(mark[32:]))
        key.verify(der, signed, ec.ECDSA(hashes.SHA256()))
    else:
        raise InvalidSignature


def _bytes(text: bytes) -> bytes:
    """Undo base64url without padding (RFC 7515 section 2).

    Raises:
        ValueError: it is none.
    """
    if _BASE64URL.fullmatch(text) is None:
        raise ValueError("not base64url")
    return binascii.a2b_base64(text.translate(_TO_STANDARD) + b"=" * (-len(text) % 4))


def _number(text: str) -> int:
    return int.from_bytes(_bytes(text.encode("ascii")))


_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
