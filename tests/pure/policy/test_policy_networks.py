"""Networks and addresses as an operator writes them."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.policy.patterns import parse_network, parse_pattern


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.1.0.0/16", "10.1.0.0/16"),
        (" 10.1.2.3 ", "10.1.2.3/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("fd00::/8", "fd00::/8"),
        ("::1", "::1/128"),
        ("64:ff9b::/96", "64:ff9b::/96"),
        ("::/0", "::/0"),
    ],
)
def test_networks(text: str, network: str) -> None:
    wanted = ipaddress.ip_network(network)
    ends = (int(wanted.network_address), int(wanted.broadcast_address))
    assert parse_network(text) == (wanted.version, *ends)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10.1.2.3/16", "write 10.1.0.0/16"),
        ("fd00::1/8", "write fd00::/8"),
        *(
            (text, "expected an address or a CIDR network")
            for text in (
                *("", "/", "10.1", "0x7f.1", "127.1", "010.0.0.1", "10.0.0.0/33", "10.0.0.0/-1"),
                *("10.0.0.0/255.0.0.0", "10.0.0.0/0.0.0.255", "fe80::1%eth0", "１０.0.0.1", "eth0"),
                *("10.0.0.1-10.0.0.9", "10.0.0.0/8/8", "localhost", "::1/129", "[::1]"),
            )
        ),
    ],
)
def test_what_is_no_network(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_network(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "0x7f000001",
            "0x7f.0.0.0x1",
            "2130706433",
            "127.1",
            "127.0.0.1.",
            "１２７.0.0.1",
            "x.0x",
        ),
        *("[fe80::1%eth0]", "[fe80::1%25eth0]:80", "fe80::1%eth0", "*.10.0.0.1", "*.0x1"),
    ],
)
def test_a_pattern_is_no_address_in_disguise(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_pattern(text)


@given(st.text(alphabet="0123456789abcdef.:/%x ", max_size=24))
def test_any_text_is_a_network_or_an_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        version, first, last = parse_network(text)
        assert version in (4, 6)
        assert 0 <= first <= last < 1 << (32 if version == 4 else 128)
        assert (last - first + 1).bit_count() == 1
