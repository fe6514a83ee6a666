"""Validators against values computed elsewhere, and against any bytes."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.scan.validators import VALIDATORS, base62_crc32, entropy_of, luhn


def test_luhn() -> None:
    assert luhn(b"7992739" + b"8713")  # the example of the standard
    assert luhn(b"4111 1111 " + b"1111 1111")
    assert not luhn(b"7992739" + b"8710")
    assert not luhn(b"")
    assert not luhn(b"0")


def test_checksum_of_github() -> None:
    # Body and checksum of a token that GitHub has published as an example, in pieces.
    assert base62_crc32(b"zQWBuTSOoRi4A9" + b"spHcVY5ncnsDkxkJ") == b"0m" + b"Lq17"
    assert base62_crc32(b"") == b"000000"


def test_entropy() -> None:
    assert entropy_of(b"") == 0.0
    assert entropy_of(b"aaaa") == 0.0
    assert entropy_of(b"abcd") == 2.0
    assert entropy_of(bytes(range(256))) == 8.0


def test_jwt() -> None:
    part = base64.urlsafe_b64encode(b'{"alg":"HS256"}').rstrip(b"=")
    assert VALIDATORS["jwt"](part + b".e30.c2ln", b"")
    for text in (b"a.b.c", part, part + b".a", b"e30.e30.x", b"W10.a.b", b"...", b"\xff.\xff.\xff"):
        assert not VALIDATORS["jwt"](text, b"")


@pytest.mark.parametrize(
    ("password", "after", "expected"),
    [
        (b"k3Jx9" + b"QpLm2", b"@db.example.org", True),
        (b"k3Jx9" + b"QpLm2", b"@localhost:5432", False),
        (b"password", b"@db.example.org", False),
        (b"${DB_PASSWORD}", b"@db.example.org", False),
        (b"<password>", b"@db.example.org", False),
        (b"xxxxxxxxxx", b"@db.example.org", False),
        (b"short", b"@db.example.org", False),
    ],
)
def test_url_password(password: bytes, after: bytes, expected: bool) -> None:
    assert VALIDATORS["url-password"](password, after) is expected


@pytest.mark.parametrize("name", VALIDATORS)
@given(secret=st.binary(max_size=200), after=st.binary(max_size=200))
def test_validators_never_raise(name: str, secret: bytes, after: bytes) -> None:
    assert VALIDATORS[name](secret, after) in (True, False)
