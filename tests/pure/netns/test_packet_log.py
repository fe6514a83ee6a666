"""The kernel's packet log as bytes."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from netns import packet_log


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(kind: int, *attributes: bytes) -> bytes:
    body = bytes(4) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def logged(packet: bytes) -> bytes:
    """As the kernel writes one: packet header, prefix, payload (nfnetlink_log.c)."""
    return message(0x0400, attribute(1, bytes(4)), attribute(10, b"\0"), attribute(9, packet))


@given(st.lists(st.binary(min_size=1, max_size=70), max_size=4))
def test_each_packet_of_a_datagram_comes_as_it_is(packets: list[bytes]) -> None:
    other = message(3, attribute(9, b"not a packet"))
    datagram = other + b"".join(map(logged, packets)) + other
    assert list(packet_log.packets(datagram)) == packets


@given(st.binary(max_size=200), st.binary(max_size=40), st.integers(0, 120))
def test_what_is_malformed_ends_it(junk: bytes, packet: bytes, cut: int) -> None:
    datagram = logged(packet)
    for data in (junk, datagram[:cut], datagram[:cut] + junk, datagram + junk):
        assert all(found and found in data for found in packet_log.packets(data))
