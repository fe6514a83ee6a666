"""Private keys as programs write them, in every format and wrapping; tokens; and look-alikes."""

from __future__ import annotations

import base64
import itertools
import json
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from hypothesis import given
from hypothesis import strategies as st

from interceptor.scan.engine import Scanner
from interceptor.scan.validators import VALIDATORS

KEY_RULES = {
    *("private-key", "private-key-der", "private-key-hex"),
    *("openssh-private-key", "pkcs12-key-store"),
}
KINDS = [
    *("rsa-1024", "rsa-2048", "rsa-3072", "secp256r1", "secp384r1", "secp521r1", "secp256k1"),
    *("ed25519", "x25519", "ed448"),
]


@cache
def key(kind: str):  # type: ignore[no-untyped-def]
    name, _, size = kind.partition("-")
    if name == "rsa":
        return rsa.generate_private_key(65537, int(size))
    if name == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if name == "x25519":
        return x25519.X25519PrivateKey.generate()
    if name == "ed448":
        return ed448.Ed448PrivateKey.generate()
    return ec.generate_private_key(getattr(ec, name.upper())())


def written(kind: str) -> dict[str, bytes]:
    """The key in every format that its kind has."""
    none, locked = NoEncryption(), BestAvailableEncryption(b"a passphrase")
    texts = {}
    for file, encoding in (("PEM", Encoding.PEM), ("DER", Encoding.DER)):
        for encryption in (none, locked):
            name = f"pkcs8-{file}-{encryption is locked}"
            texts[name] = key(kind).private_bytes(encoding, PrivateFormat.PKCS8, encryption)
        if kind.startswith(("rsa", "secp")):
            form = PrivateFormat.TraditionalOpenSSL
            texts[f"traditional-{file}"] = key(kind).private_bytes(encoding, form, none)
    if kind.startswith(("rsa", "secp256r1", "secp384r1", "secp521r1", "ed25519")):
        texts["openssh"] = key(kind).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, none)
    if kind.startswith(("rsa", "secp")):
        texts["pkcs12"] = serialize_key_and_certificates(b"x", key(kind), None, None, locked)
    return texts


def wrappings(data: bytes) -> dict[str, bytes]:
    """How the bytes of a key stand in a text."""
    bare = data
    if data.startswith(b"-----"):
        bare = base64.b64decode(b"".join(data.split(b"-----")[2].split()))
    coded = base64.b64encode(bare)
    return {
        "as it is": data,
        "base64": coded,
        "in JSON": json.dumps({"key": coded.decode()}).encode(),
        "in lines": base64.encodebytes(bare),
        "within base64": base64.b64encode(b"xy" + bare),
        "hexadecimal": bare.hex().encode(),
        "base64 of the file": base64.b64encode(data),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_in_every_wrapping(scanner: Scanner, kind: str) -> None:
    for (form, data), number in zip(written(kind).items(), itertools.count(), strict=False):
        for name, text in wrappings(data).items():
            assert found(scanner, b"a: " + text + b" \n") & KEY_RULES, (form, name, number)


@pytest.mark.parametrize("kind", KINDS)
def test_pem_with_its_lines_written_otherwise(scanner: Scanner, kind: str) -> None:
    pem = key(kind).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    lines = pem.splitlines()
    for text in (
        pem.replace(b"\n", b"\\n"),
        pem.replace(b"\n", b"\\\\n"),
        pem.replace(b"\n", b"\r\n"),
        pem.replace(b"\n", b" "),
        b'"' + b'" + "'.join(lines) + b'"',
        b"\n".join(b"    " + line for line in lines),
        lines[0]
        + b"\n"
        + b"\n".join(line[at : at + 16] for line in lines[1:3] for at in range(0, 64, 16)),
    ):
        assert "private-key" in found(scanner, text), text


@pytest.mark.parametrize("kind", KINDS)
def test_public_keys_are_none(scanner: Scanner, kind: str) -> None:
    public = key(kind).public_key()
    spki = PublicFormat.SubjectPublicKeyInfo
    forms = [public.public_bytes(Encoding.PEM, spki), public.public_bytes(Encoding.DER, spki)]
    if kind.startswith("rsa"):
        forms.append(public.public_bytes(Encoding.DER, PublicFormat.PKCS1))
    if kind in ("rsa-2048", "secp256r1", "ed25519"):
        forms.append(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    for data in forms:
        for text in (data, base64.b64encode(data), data.hex().encode()):
            assert not found(scanner, text) & KEY_RULES


def test_programs_that_write_keys_hold_none(scanner: Scanner) -> None:
    code = (
        b"_PREFIX = b'0.\\x02\\x01\\x000\\x05\\x06\\x03+en\\x04\"\\x04 '\n"
        b"def private_bytes(self):\n    return _PREFIX + self.raw_bytes()\n"
        b'_MAGIC = b"openssh-key-v1\\0"\n'
        b'_OPEN = "-----BEGIN OPENSSH PRIVATE' + b' KEY-----"\nother_names_and_more_of_them = 1\n'
    )
    assert not found(scanner, code) & KEY_RULES


# --- JSON Web Tokens


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


HEADERS = [
    {"alg": "HS256"},
    {"alg": "none"},
    {"typ": "JWT", "alg": "RS256", "kid": "a" * 40},
    {"alg": "EdDSA", "crit": ["exp"], "exp": 1363284000},
]
CLAIMS = [{"sub": "42", "iat": 1700000000}, {"iss": "https://id.example.com/", "x": "y" * 400}]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("claims", CLAIMS)
@pytest.mark.parametrize("signature", ["", "fakesig", "s" * 43, "s" * 342])
def test_tokens(scanner: Scanner, header: object, claims: object, signature: str) -> None:
    token = f"{part(header)}.{part(claims)}.{signature}"
    for around in ("/x/%s/y", '{"t": "%s"}', "%s", "Bearer %s"):
        assert "jwt" in found(scanner, (around % token).encode())
    for cut in range(20, min(len(token), 120)):
        assert VALIDATORS["jwt"](token.encode()[:cut], token.encode()[cut : cut + 256])


@pytest.mark.parametrize(
    "token",
    [
        f"{part({'typ': 'JWT'})}.{part({'a': 1})}.x",
        f"{part({'alg': 1})}.{part({'a': 1})}.x",
        f"{part(['alg'])}.{part({'a': 1})}.x",
        f"{part({'alg': 'HS256'})}.{part([1, 2])}.x",
        f"{part({'alg': 'HS256'})}.{part({'a': 1})}",
        f"{part({'alg': 'HS256'})}.eyJnot.json.x",
        "..",
        "eyJ.eyJ.",
    ],
)
def test_what_is_no_token(scanner: Scanner, token: str) -> None:
    assert not VALIDATORS["jwt"](token.encode(), b" ")
    assert "jwt" not in found(scanner, f'"{token}"'.encode())


def test_a_token_that_is_none_hides_no_other(scanner: Scanner) -> None:
    decoy = f"{part({'typ': 'JWT'})}.{part({'a': 1})}.x"
    real = f"{part({'alg': 'HS256'})}.{part({'a': 1})}.x"
    assert "jwt" in found(scanner, f"{decoy} {real}".encode())


@pytest.mark.parametrize("wrapped", ["", "k" * 342])
def test_encrypted_tokens(scanner: Scanner, wrapped: str) -> None:
    head = part({"alg": "RSA-OAEP" if wrapped else "dir", "enc": "A256GCM"})
    token = f"{head}.{wrapped}.{'i' * 16}.{'c' * 60}.{'t' * 22}"
    assert "jwe" in found(scanner, f'"{token}"'.encode())
    signed = part({"alg": "HS256"})
    assert "jwe" not in found(scanner, f'"{signed}.{wrapped}.{"i" * 16}.x.y"'.encode())


def test_web_keys(scanner: Scanner) -> None:
    numbers = key("secp256r1").private_numbers()
    fields = {
        "kty": "EC",
        "crv": "P-256",
        "x": coordinate(numbers.public_numbers.x),
        "y": coordinate(numbers.public_numbers.y),
        "d": coordinate(numbers.private_value),
    }
    public = {name: value for name, value in fields.items() if name != "d"}
    rules = {"jwk-private-key", "jwk-private-key-first"}
    for order in (fields, dict(reversed(fields.items()))):
        for indent in (None, 2):
            text = json.dumps(order, indent=indent)
            assert found(scanner, text.encode()) & rules
            assert found(scanner, json.dumps({"file": text}).encode()) & rules
    assert not found(scanner, json.dumps(public).encode()) & rules


def coordinate(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()


@pytest.mark.parametrize("name", ["pem", "der-key", "jwt", "jwe"])
@given(st.binary(max_size=300), st.binary(max_size=256))
def test_any_bytes(name: str, secret: bytes, after: bytes) -> None:
    assert VALIDATORS[name](secret, after) in (True, False)


@given(st.text("eyJhbGciOi.-_=", max_size=80), st.text("eyJ.=_- ", max_size=80))
def test_any_token(secret: str, after: str) -> None:
    for name in ("jwt", "jwe"):
        assert VALIDATORS[name](secret.encode(), after.encode()) in (True, False)


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner), max_leaves=9))
def test_any_json(value: object) -> None:
    assert not VALIDATORS["jwt"](f"{part(value)}.{part(value)}.x".encode(), b"")


def test_deep_json_is_no_error() -> None:
    deep = base64.urlsafe_b64encode(b'{"a":' + b"[" * 100_000).rstrip(b"=")
    assert not VALIDATORS["jwt"](deep + b".e30.", b"")


def found(scanner: Scanner, data: bytes) -> set[str]:
    return {scanner.rules[raw.rule].id for raw in scanner.scan(data, "body").findings}
