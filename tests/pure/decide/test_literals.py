"""Text that stands for an address: every spelling that some client reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.decide.literals import host_literal, looks_numeric, parse

LITERALS = [
    ("127.0.0.1", "127.0.0.1"),
    ("127.1", "127.0.0.1"),
    ("127.0.1", "127.0.0.1"),
    ("2130706433", "127.0.0.1"),
    ("0x7f000001", "127.0.0.1"),
    ("0X7F.1", "127.0.0.1"),
    ("0177.0.0.1", "127.0.0.1"),
    ("017700000001", "127.0.0.1"),
    ("0x7f.0.0.0x1", "127.0.0.1"),
    ("0", "0.0.0.0"),
    ("0x", "0.0.0.0"),
    ("127.0.0.1.", "127.0.0.1"),
    ("１２７。０．０｡１", "127.0.0.1"),
    ("0x0000000000000a9fea9fe", "169.254.169.254"),
    ("0" * 60 + "177.0.0.1", "127.0.0.1"),
    ("0x" + "0" * 200 + "7f000001", "127.0.0.1"),
    ("①②⑦.⓪.0.①", "127.0.0.1"),
    ("𝟏𝟐𝟕.𝟎.𝟎.𝟏", "127.0.0.1"),
    ("⒈0.0.1", "1.0.0.1"),
    ("0ｘ７ｆ.１", "127.0.0.1"),
    ("١٢٧.٠.٠.١", "127.0.0.1"),
    ("१६९.२५४.१६९.२५४", "169.254.169.254"),
    ("169.254.169\u00ad.254", "169.254.169.254"),
    ("169.\u200b254.169.254", "169.254.169.254"),
    ("169.254\u2060.169.254\ufe0f", "169.254.169.254"),
    ("169\u2024254\ufe52169\uff0e254", "169.254.169.254"),
    ("169\ufe12254。169｡254。", "169.254.169.254"),
    ("［::ffff:１６９.254.169.254］", "::ffff:169.254.169.254"),
    ("[ＦＤ00:ec2::254]", "fd00:ec2::254"),
    ("[fe80::1%25eth0]", "fe80::1"),
    ("é.1", None),
    ("１２７.é", None),
    ("127.0.0.1..", None),
    ("127.0.0.1%eth0", None),
    ("0b1111111.1", None),
    ("0o177.1", None),
    ("425.510.425.510", None),
    ("4294967296", None),
    ("1.2.3.256", None),
    ("1.16777216", None),
    ("1.16777215", "1.255.255.255"),
    ("08.1.1.1", None),
    ("[::1]", "::1"),
    ("::FFFF:10.0.0.1", "::ffff:10.0.0.1"),
    ("[fe80::1%eth0]", "fe80::1"),
    ("example.com", None),
    ("", None),
    (".", None),
    ("1..2", None),
    ("-1", None),
    ("1e3", None),
    ("0x7g", None),
    ("9" * 5000, None),
]


@pytest.mark.parametrize(("text", "expected"), LITERALS)
def test_host_literals(text: str, expected: str | None) -> None:
    assert host_literal(text) == expected


@given(st.text(max_size=40))
def test_any_text_is_a_literal_or_not(text: str) -> None:
    found = host_literal(text)
    if found is not None:
        assert parse(found) is not None
        assert host_literal(found) == found
    looks_numeric(text)


@given(st.integers(0, 2**32 - 1), st.data())
def test_every_spelling_of_a_number(value: int, data: st.DataObject) -> None:
    """One to four parts, each in any base, with any zeros before it, in any script."""
    count = data.draw(st.integers(1, 4))
    octets = list(value.to_bytes(4))
    tail = int.from_bytes(bytes(octets[count - 1 :]))
    words = []
    for part in (*octets[: count - 1], tail):
        zeros = "0" * data.draw(st.integers(0, 12))
        shape = data.draw(st.sampled_from(["d", "o", "x", "X"]))
        word = {
            "d": str(part), "o": f"0{zeros}{part:o}",
            "x": f"0x{zeros}{part:x}", "X": f"0X{zeros}{part:X}",
        }[shape]  # fmt: skip
        words.append(word)
    dot = data.draw(st.sampled_from([".", "。", "．", "｡", "\u2024"]))
    text = dot.join(words) + data.draw(st.sampled_from(["", "."]))
    wide = data.draw(st.booleans())
    if wide:
        text = text.translate({ord("0") + n: ord("０") + n for n in range(10)})
    found = host_literal(text)
    assert found is not None
    assert parse(found) == (4, value)
