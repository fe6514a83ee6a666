"""Proxy-Authorization: read strictly, and gone before anything looks at the request."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.wire.heads import RequestHead
from interceptor.wire.http1 import read_request, write_request
from interceptor.wire.proxy_credentials import LONGEST, Credential, credential, parse, without


def head(*lines: bytes) -> RequestHead:
    raw = b"".join(line + b"\r\n" for line in (b"GET http://a.example/ HTTP/1.1", *lines, b""))
    found = read_request(raw, 65_536, 100)
    assert found is not None
    return found[0]


def basic(text: bytes) -> bytes:
    return b"Basic " + base64.b64encode(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (basic(b"one:word"), Credential("one", b"word")),
        (b"basic  " + basic(b"one:a:b")[6:], Credential("one", b"a:b")),
        (basic(b":word"), Credential("", b"word")),
        (b"BEARER abc.def-_~+/=", Credential("", b"abc.def-_~+/=")),
        (basic(b"no colon"), None),
        (basic(b"\xff:word"), None),
        (b"Basic not!base64", None),
        (b"Basic b25lOndvcmQ", None),  # its padding is missing
        (b"Bearer", None),
        (b"Bearer a b", None),
        (b"Bearer a,Basic b", None),
        (b"Digest abc", None),
        (b"", None),
        (b"Bearer " + b"a" * (LONGEST + 1), None),
    ],
)
def test_a_value(value: bytes, expected: Credential | None) -> None:
    assert parse(value) == expected


def test_two_fields_are_none() -> None:
    line = b"Proxy-Authorization: " + basic(b"one:word")
    assert credential(head(b"Host: a.example", line)) == Credential("one", b"word")
    assert credential(head(b"Host: a.example", line, line)) is None
    assert credential(head(b"Host: a.example")) is None


def test_nothing_of_it_remains() -> None:
    line = b"proxy-AUTHORIZATION:" + basic(b"one:word")
    found = without(head(b"Host: a.example", line, b"Accept: */*", line))
    assert b"uthorization" not in found.raw
    assert b"b25lOndvcmQ" not in found.raw
    assert [name for _, name, _ in found.fields] == [b"host", b"accept"]
    assert found.target == b"http://a.example/"
    assert b"b25lOndvcmQ" not in write_request(found, b"/", b"a.example")
    plain = head(b"Host: a.example")
    assert without(plain) is plain


@given(st.binary(max_size=200))
def test_any_value_is_a_credential_or_none(value: bytes) -> None:
    found = parse(value)
    if found is not None:
        assert value.lower().startswith((b"basic ", b"bearer "))


@given(st.text(max_size=20).filter(lambda name: ":" not in name), st.binary(max_size=40))
def test_what_a_client_writes_is_read(name: str, token: bytes) -> None:
    assert parse(basic(name.encode() + b":" + token)) == Credential(name, token)
