"""Addresses: first in, last in, just outside, and every form that hides another."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.decide.addresses import Exceptions, classify
from interceptor.decide.literals import host_literal, looks_numeric, parse, text_of
from interceptor.decide.registries import METADATA, V4, V6
from interceptor.verdict import Reason

PRIVATE, METADATA_, RESERVED = (
    Reason.ADDRESS_PRIVATE,
    Reason.ADDRESS_METADATA,
    Reason.ADDRESS_RESERVED,
)

BOUNDARIES = [
    # just below, first in, last in, just above
    (None, "0.0.0.0", "0.255.255.255", "1.0.0.0", RESERVED),
    ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0", PRIVATE),
    ("100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0", PRIVATE),
    ("126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0", PRIVATE),
    ("169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0", PRIVATE),
    ("172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0", PRIVATE),
    ("191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0", RESERVED),
    ("192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0", RESERVED),
    ("192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0", RESERVED),
    ("192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0", PRIVATE),
    ("198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0", RESERVED),
    ("198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0", RESERVED),
    ("203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0", RESERVED),
    ("223.255.255.255", "224.0.0.0", "239.255.255.255", None, RESERVED),
    (None, "240.0.0.0", "255.255.255.255", None, RESERVED),
    ("168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17", METADATA_),
    ("2000:ffff::", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::", RESERVED),
    ("2001:db7:ffff::", "2001:db8::", "2001:db8:ffff::ffff", "2001:db9::", RESERVED),
    ("2001:ffff::", "2002::", "2002:ffff:ffff::1", "2003::", RESERVED),
    ("3ffe:ffff::", "3fff::", "3fff:fff:ffff::1", None, RESERVED),
    ("3fff:1000::", "4000::", "fbff:ffff::1", None, RESERVED),
    (None, "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, PRIVATE),
    (None, "fe80::", "febf:ffff::1", None, PRIVATE),
    (None, "fec0::", "feff:ffff::1", None, PRIVATE),
    (None, "ff00::", "ffff:ffff::1", None, RESERVED),
    (None, "::1", "::1", None, PRIVATE),
    (None, "::", "::", None, RESERVED),
    (None, "1::", "1fff:ffff::1", "2000::", RESERVED),
]


@pytest.mark.parametrize(("below", "first", "last", "above", "reason"), BOUNDARIES)
def test_boundaries(
    below: str | None, first: str, last: str, above: str | None, reason: Reason
) -> None:
    assert classify(first).reason is reason
    assert classify(last).reason is reason
    assert below is None or classify(below).public
    assert above is None or classify(above).public


def test_every_registry_entry_is_refused() -> None:
    for net, reason, _ in (*V4, *V6):
        network = ipaddress.ip_network(net)
        for address in (network.network_address, network.broadcast_address):
            found = classify(str(address))
            assert not found.public
            assert found.reason in (reason, Reason.ADDRESS_METADATA, RESERVED)
    for text, _ in METADATA:
        assert classify(text).reason is Reason.ADDRESS_METADATA


CARRIERS = [
    "::{v4}",
    "::ffff:{v4}",
    "::ffff:0:{v4}",
    "64:ff9b::{v4}",
    "64:ff9b:1::{v4}",
    "2002:{hi:x}:{lo:x}::1",
    "2001:0:4136:e378:8000:63bf:{nhi:x}:{nlo:x}",
    "fe80::5efe:{v4}",
    "2606:4700::5efe:{v4}",
    "2606:4700::200:5efe:{v4}",
]


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(
    ("v4", "reason"),
    [
        ("10.0.0.1", PRIVATE),
        ("127.0.0.1", PRIVATE),
        ("169.254.169.254", METADATA_),
        ("168.63.129.16", METADATA_),
        ("8.8.8.8", RESERVED),
        ("198.18.0.1", RESERVED),
    ],
)
def test_embedded(carrier: str, v4: str, reason: Reason) -> None:
    value = int(ipaddress.IPv4Address(v4))
    text = carrier.format(
        v4=v4,
        hi=value >> 16,
        lo=value & 0xFFFF,
        nhi=(value >> 16) ^ 0xFFFF,
        nlo=(value & 0xFFFF) ^ 0xFFFF,
    )
    found = classify(text)
    assert found.reason is reason, text
    assert v4 in found.what


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450::1"])
def test_public(text: str) -> None:
    found = classify(text)
    assert found.public
    assert found.text == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "1.2.3", "01.2.3.4", "1.2.3.4.5", "256.1.1.1", "1.2.3.4 ", "fe80::1%eth0"),
        *("[::1]", "::1::", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "::1.2.3"),
        *("１.1.1.1", "1.2.3.4::", "::ffff:1.2.3.4:1", "8.8.8.8\n", "8.8.8.²"),
    ],
)
def test_what_is_no_address_is_reserved(text: str) -> None:
    assert parse(text) is None
    assert classify(text).reason is RESERVED


@given(st.ip_addresses(v=4))
def test_v4_text(address: ipaddress.IPv4Address) -> None:
    assert parse(str(address)) == (4, int(address))
    assert text_of((4, int(address))) == str(address)
    public = address.is_global and not address.is_multicast
    if classify(str(address)).public:
        assert not any((address.is_private, address.is_multicast, address.is_reserved))
    elif public:
        assert classify(str(address)).reason in (METADATA_, RESERVED)


@given(
    st.one_of(
        st.ip_addresses(v=6),
        st.integers(0, 2**64).map(ipaddress.IPv6Address),
        st.lists(st.sampled_from([0, 0, 1, 0xFFFF]), min_size=8, max_size=8).map(
            lambda words: ipaddress.IPv6Address(int("".join(f"{w:04x}" for w in words), 16))
        ),
    )
)
def test_v6_text(address: ipaddress.IPv6Address) -> None:
    assert parse(str(address)) == (6, int(address))
    assert parse(address.exploded.upper()) == (6, int(address))
    text = text_of((6, int(address)))
    assert ipaddress.IPv6Address(text) == address
    assert parse(text) == (6, int(address))
    if address.ipv4_mapped is None:
        assert text == str(address).lower() or "." in str(address)
    if classify(text).public:
        assert int(address) >> 125 == 1
        assert not address.is_private
        assert address.sixtofour is None
        assert address.teredo is None


@given(st.text(alphabet="0123456789abcdefx.:%[]", max_size=30))
def test_agrees_with_the_standard_library(text: str) -> None:
    try:
        theirs: str | None = str(ipaddress.ip_address(text))
    except ValueError:
        theirs = None
    if "%" in text:
        assert parse(text) is None
        return
    number = parse(text)
    assert (number is None) == (theirs is None)


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


def test_exceptions() -> None:
    allowed = Exceptions(["10.1.0.0/16", "169.254.0.0/16", "64:ff9b::/96", "fd00::1", "::1"])
    assert allowed.classify("10.1.2.3").public
    assert not allowed.classify("10.2.0.0").public
    assert allowed.classify("169.254.1.1").public
    assert allowed.classify("169.254.169.254").reason is METADATA_  # takes the single address
    assert Exceptions(["169.254.169.254"]).classify("169.254.169.254").public
    assert allowed.classify("64:ff9b::808:808").public
    assert allowed.classify("64:ff9b::a02:1").reason is PRIVATE  # carries 10.2.0.1
    assert allowed.classify("64:ff9b::a01:1").public  # carries 10.1.0.1, excepted itself
    assert allowed.classify("::ffff:10.1.0.1").reason is PRIVATE
    assert allowed.classify("fd00::1").public
    assert not allowed.classify("fd00::2").public
    assert allowed.classify("8.8.8.8").public
    assert not allowed.classify("nonsense").public
    assert allowed.classify("::1").public
