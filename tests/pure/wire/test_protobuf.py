"""Protocol Buffers without a schema: the strings, whatever the bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interceptor.wire.protobuf import texts


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes((*out, number))


def string(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def test_strings_in_order() -> None:
    inner = string(1, b"inner") + varint(2 << 3) + varint(300)
    message = (
        string(1, b"first")
        + varint(3 << 3 | 1)
        + bytes(8)
        + string(4, inner)
        + varint(5 << 3 | 5)
        + bytes(4)
        + string(6, b"\xff\x00\xfe")
        + string(7, b"")
        + string(200, b"last, " * 30)
    )
    assert texts(message) == [b"first", b"inner", b"last, " * 30]
    assert texts(b"") == []


def test_what_is_no_message() -> None:
    for data in (
        b"\x0a",
        b"\x0a\x05abc",
        b"\x00\x01",
        b"\x0b\x00",
        b"\xff" * 20,
        b"\x09abc",
        b"plain text, as a client may send it",
    ):
        assert texts(data) is None, data


def test_nesting_is_bounded() -> None:
    message = string(1, b"deep")
    for _ in range(200):
        message = string(1, message)
    assert texts(message) is not None


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    found = texts(data)
    assert found is None or all(value in data and value.isascii() for value in found)


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1)))
def test_every_string_is_found(values: list[str]) -> None:
    message = b"".join(string(i + 1, value.encode()) for i, value in enumerate(values))
    assert texts(message) == [value.encode() for value in values]
