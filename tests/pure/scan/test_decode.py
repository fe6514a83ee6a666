"""Decoders alone: what they yield, what they leave, and their bounds."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.scan.decoders import DECODERS, Seen, decode
from interceptor.scan.decoders.alphabet import runs
from interceptor.scan.decoders.runs import base64_phases, hex_phases

ALL = (1 << len(DECODERS)) - 1


def decoded(text: bytes, seen: Seen | None = None) -> dict[str, bytes]:
    return {name: out for name, out, _ in decode(text, ALL, set() if seen is None else seen)}


@given(st.binary(max_size=120), st.integers(0, 3))
def test_base64_at_any_offset(data: bytes, offset: int) -> None:
    run = b"A" * offset + base64.b64encode(data).rstrip(b"=")
    assert base64_phases(run)[offset] == data


@given(st.binary(max_size=120), st.booleans())
def test_hex_at_any_offset(data: bytes, odd: bool) -> None:
    run = b"a" * odd + data.hex().encode()
    assert hex_phases(run)[odd] == data


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        (b"%41%2F%2541 %zz", "percent", b"A/%41 %zz"),
        (b"line%0Abreak", "percent", b"line\nbreak"),
        (b"&#65;&#x42;&amp;&lt;&#9999999;", "entities", b"AB&<&#9999999;"),
        (b"\\u0041\\\\u0042\\x43\\104\\/\\u{45}\\u4e2d", "escapes", "ABCD/E中".encode()),
    ],
)
def test_text_decoders(text: bytes, encoding: str, expected: bytes) -> None:
    assert decoded(text)[encoding] == expected


def test_escapes_far_apart_are_decoded_in_pieces() -> None:
    text = b"%41" + b"x" * 50_000 + b"%42" + b"y" * 50_000
    out = decoded(text)["percent"]
    assert len(out) < 20_000
    assert b"A" in out
    assert b"B" in out


@given(st.lists(st.tuples(st.integers(0, 9000), st.sampled_from([b"%41", b"%2E"])), max_size=8))
def test_no_escape_is_left_near_a_block_border(gaps: list[tuple[int, bytes]]) -> None:
    text = b"".join(b"." * gap + escape for gap, escape in gaps)
    out = decoded(text).get("percent", b"")
    assert b"%41" not in out
    assert out.count(b"A") == sum(escape == b"%41" for _, escape in gaps)


def test_a_run_is_decoded_once_in_an_item() -> None:
    seen: Seen = set()
    text = base64.b64encode(b"some text that is long enough")
    assert decoded(text, seen)["base64"]
    assert "base64" not in decoded(text, seen)


@given(st.binary(max_size=400))
def test_any_bytes_decode_within_bounds(data: bytes) -> None:
    for _, out, _ in decode(data, ALL, set()):
        assert len(out) <= 3 * len(data) + 16 * (len(data) // 24 + 1)


def test_runs_at_the_ends() -> None:
    table = bytes(49 if chr(byte).isalnum() else 32 for byte in range(256))
    assert runs(b"abcd", table, 4) == [(0, 4)]
    assert runs(b"abc -abcd", table, 4) == [(5, 9)]
    assert runs(b"", table, 4) == []
