# ruff: noqa: E501 - templates of texts
"""Cryptography that anybody may see: certificates, public keys, signatures, fingerprints."""

from __future__ import annotations

import base64
import datetime as dt
import json
import random
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.false_alarms.drawing import b64, encoded, guid, hexa, jwt, text, url64
from tests.false_alarms.items import Item


@cache
def _key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number + 7, ec.SECP256R1())


def _public(number: int) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return _key(number).public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def _certificate(number: int) -> str:
    """A certificate signed by its own key; the signature is drawn anew by the library each time."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"host{number}.example.com")])
    begin = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(_key(number).public_key())
        .serial_number(number + 1)
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=90))
        .sign(_key(number), hashes.SHA256(), ecdsa_deterministic=True)
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def _ssh(number: int) -> str:
    form = serialization.PublicFormat.OpenSSH
    line = _key(number).public_key().public_bytes(serialization.Encoding.OpenSSH, form).decode()
    return f"{line} jane@laptop\n|1|{base64.b64encode(bytes(20)).decode()}|x= {line}\n"


def _pgp(draw: random.Random) -> str:
    body = base64.encodebytes(draw.randbytes(1200)).decode()
    return f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{body}={text(draw, 'abcdABCD0123', 4)}\n-----END PGP PUBLIC KEY BLOCK-----\n"


def _signature(draw: random.Random) -> str:
    body = base64.encodebytes(draw.randbytes(300)).decode()
    return f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nRelease 1.0\n-----BEGIN PGP SIGNATURE-----\n\n{body}-----END PGP SIGNATURE-----\n"


def _attestation(draw: random.Random, number: int) -> str:
    payload = encoded(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha512": hexa(draw, 128)}}],
        }
    )
    log = {
        "logId": {"keyId": b64(draw, 32)},
        "inclusionProof": {"hashes": [b64(draw, 32) for _ in range(12)]},
        "canonicalizedBody": b64(draw, 600),
    }
    certificate = {"rawBytes": _certificate(number).replace("\n", "")[27:-25]}
    return json.dumps(
        {
            "dsseEnvelope": {"payload": payload, "signatures": [{"sig": b64(draw, 70)}]},
            "verificationMaterial": {"certificate": certificate, "tlogEntries": [log]},
        }
    )


def _jwks(draw: random.Random) -> str:
    keys = [
        {
            "kty": "RSA",
            "kid": hexa(draw, 40),
            "use": "sig",
            "alg": "RS256",
            "n": url64(draw, 256),
            "e": "AQAB",
            "x5t": url64(draw, 20),
        }
        for _ in range(3)
    ]
    return json.dumps(
        {"keys": [*keys, {"kty": "EC", "crv": "P-256", "x": url64(draw, 32), "y": url64(draw, 32)}]}
    )


def _known(draw: random.Random) -> str:
    fingerprints = "\n".join(
        f"{':'.join(hexa(draw, 2).upper() for _ in range(32))}  host{n}.example.com"
        for n in range(12)
    )
    return f"{fingerprints}\nage1{text(draw, 'qpzry9x8gf2tvdw0s3jn54khce6mua7l', 58)}\nuntrusted comment: minisign public key\nRWQ{b64(draw, 41)}\n"


def _expired(draw: random.Random) -> str:
    """A guide to tokens: the same sample stands in every such guide."""
    sample = f"{encoded({'alg': 'HS256', 'typ': 'JWT'})}.{encoded({'sub': '1234567890', 'name': 'John Doe', 'iat': 1516239022})}"
    return (
        f"A JWT is three parts: `{sample}.`... The header says `alg`. Never log {hexa(draw, 8)}.\n"
    )


def public_key(draw: random.Random, number: int) -> Item:
    """Something public of this kind, published or sent to be checked."""
    makers = (
        lambda: _certificate(number),
        lambda: _public(number),
        lambda: _ssh(number),
        lambda: _pgp(draw),
        lambda: _signature(draw),
        lambda: _attestation(draw, number),
        lambda: _jwks(draw),
        lambda: _known(draw),
        lambda: _expired(draw),
        lambda: json.dumps(
            {"csr": _certificate(number), "pubkey": _public(number), "id": guid(draw)}
        ),
    )
    content = makers[number % len(makers)]()
    if number // len(makers) % 2:
        content = json.dumps({"content": content, "integrity": f"sha256-{b64(draw, 32)}"})
    fields = (("Content-Type", "text/plain"), ("Authorization", f"Bearer {jwt(draw)}"))
    return Item(
        f"public-key/{number % len(makers)}-{number}",
        "keys.example.com",
        "/publish",
        "POST",
        fields,
        content.encode(),
    )
