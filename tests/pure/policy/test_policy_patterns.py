"""Host patterns and networks as operators write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.policy.patterns import parse_network, parse_pattern

GOOD = [
    ("Example.ORG.", ("example.org", False, None)),
    ("*.example.org", ("example.org", True, None)),
    ("*.example.org:8443", ("example.org", True, 8443)),
    ("*", ("", True, None)),
    ("*:22", ("", True, 22)),
    ("192.0.2.1:80", ("192.0.2.1", False, 80)),
    ("[2001:DB8::1]:443", ("2001:db8::1", False, 443)),
    ("2001:db8::1", ("2001:db8::1", False, None)),
    ("bücher.example", ("xn--bcher-kva.example", False, None)),
    ("_srv.example.org", ("_srv.example.org", False, None)),
]


@pytest.mark.parametrize(("text", "expected"), GOOD)
def test_patterns(text: str, expected: tuple[str, bool, int | None]) -> None:
    pattern = parse_pattern(text)
    assert (pattern.host, pattern.subdomains, pattern.port) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ".", "a..b", "-a.example", "a-.example", "a b", "*.*.example", "a.*.example"),
        *("https://example.org", "example.org/x", "example.org:0", "example.org:65536"),
        *("example.org:", "example.org:x", "[::1", "[::1]x", "[example.org]", "*.192.0.2.1"),
        *("1.2.3.4.5", "300.1.1.1", "a" * 64 + ".example", ".".join(["a" * 60] * 5), "exa\nmple"),
    ],
)
def test_bad_patterns(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_pattern(text)


@given(st.text(max_size=40))
def test_any_text_is_a_pattern_or_a_value_error(text: str) -> None:
    try:
        pattern = parse_pattern(text)
    except ValueError:
        return
    assert pattern.host == pattern.host.lower()
    assert pattern.subdomains or pattern.host


@pytest.mark.parametrize("text", ["", "10.0.0.1/8", "10.0.0.0/33", "x", "10.0.0"])
def test_bad_networks(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|host bits"):
        parse_network(text)


def test_networks() -> None:
    assert parse_network("10.0.0.0/30") == (4, 10 << 24, (10 << 24) + 3)
    assert parse_network("::1") == (6, 1, 1)
