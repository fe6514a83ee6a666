"""Values of requests: paths, pairs, JSON whole and cut off, forms, multiparts, messages."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.decide.values import (
    LONGEST,
    Value,
    body_tokens,
    cut,
    leaves,
    pair_values,
    plain,
    segment_value,
    undone,
)


def read(kind: bytes, body: bytes) -> list[Value]:
    tokens, reads = body_tokens(kind, body)
    return [value for token in tokens for value in reads(token)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": "x", "b": 12, "c": true}', [("a", "x"), ("b", "12")]),
        ('{"a":"x","b":-1.5e3,"c":null}', [("a", "x"), ("b", "-1.5e3")]),
        ('{"a": ["x", "y"], "b": {"c": "z"}}', [("a", "x"), ("a", "y"), ("c", "z")]),
        ("[1, 2, 33]", [("", "1"), ("", "2"), ("", "33")]),
        ('["x", 5, "y"]', [("", "x"), ("", "5"), ("", "y")]),
        ('"x"', [("", "x")]),
        ("17", [("", "17")]),
        ('{"a": "say \\"hi\\"", "b": "c:\\\\d"}', [("a", 'say "hi"'), ("b", "c:\\d")]),
        ('{"a": "\\u0041\\u004b", "b": "x\\/y"}', [("a", "AK"), ("b", "x/y")]),
        ('{"a": "x", "b": "cut o', [("a", "x"), ("b", "cut o")]),
        ('{"a": "x", "b', [("a", "x"), ("a", "b")]),
        ('{"a": "bad \\q escape"}', [("a", "bad \\q escape")]),
        ("", []),
        ("{}", []),
    ],
)
def test_leaves(text: str, expected: list[tuple[str, str]]) -> None:
    assert leaves(text.encode()) == [(key.encode(), value.encode()) for key, value in expected]


_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
_JSON = st.recursive(
    st.one_of(_TEXTS, st.integers(0, 10**9)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)


def flat(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in flat(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in flat(inner)]
    return [str(value)]


@given(value=_JSON, indent=st.sampled_from([None, 2]), plain=st.booleans())
def test_leaves_are_those_of_the_parser(value: Any, indent: int | None, plain: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=not plain).encode()
    assert [leaf for _, leaf in leaves(text)] == [leaf.encode() for leaf in flat(value)]


_VALUES = st.text('xy"\\,{: ').filter(lambda text: not text.rstrip().endswith(","))


@given(value=st.dictionaries(st.text('abc"\\{ ', min_size=1), _VALUES, max_size=5))
def test_members_are_cut_where_they_end(value: dict[str, str]) -> None:
    for separators in ((", ", ": "), (",", ":")):
        body = json.dumps(value, separators=separators).encode()
        found = [leaf for _, leaf in read(b"application/json", body)]
        # JSON within a string is read, too; empty values are no piece of anything.
        found = [leaf for leaf in found if leaf]
        expected = [v.encode() for v in value.values() if v and v[0] != "{"]
        rest = iter(found)
        assert all(v in rest for v in expected)  # in this order
        if not any(v.startswith("{") for v in value.values()):
            assert found == expected


@given(st.binary(max_size=400), st.sampled_from([b"", b"application/json", b"multipart/x",
       b"application/x-www-form-urlencoded", b"application/grpc", b"text/plain"]))  # fmt: skip
def test_any_body_is_read(body: bytes, kind: bytes) -> None:
    for slot, value in read(kind, body):
        assert slot.startswith(b".")
        assert len(value) <= LONGEST + 1


def test_forms_and_multiparts() -> None:
    assert read(b"application/x-www-form-urlencoded; charset=utf-8", b"a=1+2&b=%41%4B&c") == [
        (b".a", b"1 2"),
        (b".b", b"AK"),
        (b".", b"c"),
    ]
    body = (
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\n\r\ncontent\r\n'
        b'--x\r\nContent-Disposition: form-data; name="g"\r\n\r\nmore\r\n--x--\r\n'
    )
    assert read(b"multipart/form-data; boundary=x", body) == [
        (b".filename", b"n.txt"),
        (b".f", b"content"),
        (b".g", b"more"),
    ]


def test_messages() -> None:
    assert read(b"application/grpc", b"\0\0\0\0\x07\x0a\x05piece") == [(b".", b"piece")]
    assert read(b"", b"\x01\x02run\x00other run\xff") == [
        (b".", b"run"),
        (b".", b"other"),
        (b".", b"run"),
    ]
    assert read(b"", b"  a text\n") == [(b".", b"a text")]


def test_long_bodies_are_read_at_their_ends() -> None:
    members = ", ".join(f'"k{n}": "value {n}"' for n in range(20_000))
    body = ("{" + members + "}").encode()
    found = read(b"application/json", body)
    assert len(found) <= 1024
    assert found[0] == (b".k0", b"value 0")
    assert found[-1] == (b".k19999", b"value 19999")


def test_places() -> None:
    segments = b"/api/users/123/posts".split(b"/")
    assert [segment_value(segments, at)[0] for at in range(1, 5)] == [
        b"/",
        b"/api",
        b"/users",
        b"/#",
    ]
    assert segment_value([b"", b"a%2Fb"], 1) == (b"/", b"a/b")
    assert pair_values(b"?", b"key=va=lue") == [(b"?key", b"va=lue")]
    assert pair_values(b"?", b"") == []
    assert pair_values(b"?", b"k%65y=%") == [(b"?key", b"%")]


def test_what_is_long_counts_by_its_ends() -> None:
    assert cut(b"x" * LONGEST) == b"x" * LONGEST
    assert cut(b"a" * 500 + b"b" * 500) == b"a" * 128 + b"\n" + b"b" * 128
    assert len(plain(b"%41" * 1000)) == LONGEST + 1


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20))
def test_what_is_encoded_for_itself(text: str) -> None:
    piece = text.encode()
    assert undone(piece.hex().encode()) == piece
    coded = base64.b64encode(piece)
    if set(coded.rstrip(b"=")) - set(b"0123456789abcdefABCDEF"):  # else it may be hexadecimal
        assert undone(coded) == undone(coded.rstrip(b"=")) == piece


@given(st.binary(min_size=1, max_size=40))
def test_anything_may_be_undone(value: bytes) -> None:
    assert undone(value).isascii()


def test_ordinary_words_and_numbers_say_nothing() -> None:
    for value in (b"users", b"v1", b"12345", b"8f", b"a-b-c", b"id", b"42d1", b"search"):
        assert undone(value) == b"" or len(value) <= 4, value
