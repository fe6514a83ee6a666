"""Router advertisements: what a guest reads in them, and what counts as a question."""

from __future__ import annotations

import ipaddress
import struct

from hypothesis import given
from hypothesis import strategies as st

from interceptor.wire import router_advertisement as ra

MAC = bytes.fromhex("026567000001")
PREFIX, SERVER = "fd65:6772:6573:7301::/64", "fd65:6772:6573:7301::1"


def options_of(data: bytes) -> dict[int, bytes]:
    found, at = {}, 16
    while at < len(data):
        size = data[at + 1] * 8
        assert size
        found[data[at]] = data[at : at + size]
        at += size
    assert at == len(data)
    return found


def test_what_an_advertisement_says() -> None:
    data = ra.advertisement(PREFIX, SERVER, MAC, 1500)
    kind, code, _, hops, flags, lifetime, _, _ = struct.unpack_from("!BBHBBHII", data)
    assert (kind, code, hops, flags, lifetime) == (134, 0, 64, 0, ra.ROUTER_SECONDS)
    options = options_of(data)
    assert options[1] == b"\1\1" + MAC
    assert options[5][4:] == struct.pack("!I", 1500)
    assert options[3][2:4] == b"\x40\x40"  # 64 bits; addresses are made from it, nothing is on-link
    assert options[3][16:] == ipaddress.IPv6Network(PREFIX).network_address.packed
    preferred, valid = struct.unpack("!II", options[3][4:12])[::-1]
    assert preferred <= valid
    assert options[25][8:] == ipaddress.IPv6Address(SERVER).packed


def test_the_end_of_a_router() -> None:
    data = ra.advertisement(PREFIX, SERVER, MAC, 1500, ending=True)
    assert data[6:8] == b"\0\0"
    assert options_of(data)[25][4:8] == bytes(4)


def test_questions() -> None:
    asked = b"\x85\0\0\0\0\0\0\0"
    assert ra.solicited(asked)
    assert ra.solicited(asked + b"\1\1" + MAC)
    for wrong in (b"", asked[:7], b"\x86" + asked[1:], b"\x85\1" + asked[2:],
                  asked + b"\1\0" + MAC, asked + b"\1\2" + MAC, asked + b"\1"):  # fmt: skip
        assert not ra.solicited(wrong)


@given(st.binary(max_size=200))
def test_noise(data: bytes) -> None:
    ra.solicited(data)
    ra.solicited(b"\x85\0" + data)
