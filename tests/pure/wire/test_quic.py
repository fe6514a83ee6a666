"""Packets as they lie in a datagram, and the refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.wire import quic
from interceptor.wire.quic import QuicError, Type
from tests.quic_packets import DCID, SCID, crypto, hello, long_packet, opening, varint


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("c2197c5eff14e88c", 151288809941952652),  # RFC 9000 appendix A.1
        ("9d7f3e7d", 494878333),
        ("7bbd", 15293),
        ("25", 37),
        ("4025", 37),
    ],
)
def test_integers(data: str, value: int) -> None:
    raw = bytes.fromhex(data)
    assert quic.varint(b"x" + raw + b"y", 1) == (value, 1 + len(raw))
    for cut in range(len(raw)):
        with pytest.raises(QuicError):
            quic.varint(raw[:cut], 0)


def test_an_initial_packet() -> None:
    (packet,) = quic.packets(opening())
    assert (packet.version, packet.type) == (quic.V1, Type.INITIAL)
    assert (packet.dcid, packet.scid) == (DCID, SCID)
    assert (packet.start, packet.number, packet.end) == (0, 5 + 9 + 7 + 1 + 2, 1200)


@pytest.mark.parametrize("version", [quic.V1, quic.V2, quic.DRAFT_29])
@pytest.mark.parametrize("kind", [Type.INITIAL, Type.ZERO_RTT, Type.HANDSHAKE, Type.RETRY])
def test_types_are_numbered_by_version(version: int, kind: Type) -> None:
    (packet,) = quic.packets(long_packet(b"\1" * 20, kind=kind, version=version))
    assert packet.type is kind


@pytest.mark.parametrize("size", [0, 1, 8, 20])
def test_connection_ids_of_any_length(size: int) -> None:
    data = long_packet(b"\1" * 20, dcid=b"d" * size, scid=b"s" * (20 - size))
    (packet,) = quic.packets(data)
    assert (packet.dcid, packet.scid) == (b"d" * size, b"s" * (20 - size))


@pytest.mark.parametrize(("dcid", "scid"), [(21, 0), (0, 21)])
def test_longer_ones_are_for_other_versions(dcid: int, scid: int) -> None:
    data = long_packet(b"\1" * 20, dcid=b"d" * dcid, scid=b"s" * scid)
    with pytest.raises(QuicError, match="connection id"):
        quic.packets(data)


def test_a_token_of_any_size() -> None:
    data = long_packet(crypto(hello()), token=b"t" * 2000, size=3500)
    (packet,) = quic.packets(data)
    assert packet.end == 3500
    with pytest.raises(QuicError, match="missing"):
        quic.packets(data[:21] + varint(1 << 61) + data[29:])


def test_coalesced_packets() -> None:
    parts = [
        long_packet(b"\1" * 20),
        long_packet(b"\1" * 30, number=1),
        long_packet(b"\1" * 40, kind=Type.ZERO_RTT),
        long_packet(b"\1" * 50, kind=Type.HANDSHAKE),
    ]
    found = quic.packets(b"".join(parts) + b"\x41 and a short header")
    assert [packet.type for packet in found] == [
        *(Type.INITIAL, Type.INITIAL, Type.ZERO_RTT, Type.HANDSHAKE)
    ]
    assert [packet.end - packet.start for packet in found] == [len(part) for part in parts]
    assert [packet.start for packet in found[1:]] == [packet.end for packet in found[:-1]]


def test_packets_of_another_connection_are_ignored() -> None:
    first, other = long_packet(b"\1" * 20), long_packet(b"\1" * 20, dcid=b"another")
    assert len(quic.packets(first + other + first)) == 1


def test_what_follows_is_ignored_when_it_makes_no_sense() -> None:
    first = long_packet(b"\1" * 20)
    assert len(quic.packets(first + bytes(100))) == 1
    assert len(quic.packets(first + first[:-1])) == 1


def test_a_datagram_of_many_packets_is_read_in_part() -> None:
    small = long_packet(b"\1" * 4)
    assert len(quic.packets(small * 60)) == quic.MAX_PACKETS


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x40" + opening()[1:],
        b"\xc0\0\0\0\0" + opening()[5:],
        b"\x16\xfe\xfd" + bytes(1300),
        bytes(quic.LARGEST + 1),
        opening() + bytes(quic.LARGEST),
    ],
    ids=["empty", "short header", "version negotiation", "DTLS", "zeros", "too long"],
)
def test_what_is_no_long_header(data: bytes) -> None:
    with pytest.raises(QuicError):
        quic.packets(data)


def test_every_cut_is_an_error() -> None:
    whole = long_packet(b"\1" * 20, token=b"token")
    for cut in range(len(whole)):
        with pytest.raises(QuicError):
            quic.packets(whole[:cut])


def test_an_unknown_version_has_connection_ids_and_no_more() -> None:
    data = b"\xff\x0b\xad\xca\xfe" + b"\xff" + b"d" * 255 + b"\xfe" + b"s" * 254 + bytes(800)
    (packet,) = quic.packets(data)
    assert (packet.type, packet.version) == (Type.UNKNOWN, 0x0BADCAFE)
    assert (packet.dcid, packet.scid) == (b"d" * 255, b"s" * 254)


def test_the_refusal_is_a_version_negotiation_that_offers_nothing() -> None:
    (packet,) = quic.packets(opening())
    said = quic.refusal(packet)
    # RFC 8999 section 6: version 0, the connection ids the other way round, versions
    assert said == b"\xc0" + bytes(4) + b"\6" + SCID + b"\x08" + DCID + b"\x0a\x0a\x0a\x0a"


@pytest.mark.parametrize("version", [quic.V1, 0x0A0A0A0A, 0x1A1A1A1A, 0xFACEB002])
def test_it_never_offers_the_clients_own_version_and_never_amplifies(version: int) -> None:
    data = b"\xc0" + version.to_bytes(4) + b"\x08" + DCID + b"\x06" + SCID + b"\0" + bytes(1178)
    data = long_packet(b"\1" * 20) if version == quic.V1 else data
    said = quic.refusal(quic.packets(data)[0])
    offered = int.from_bytes(said[-4:])
    assert offered != version
    assert offered & 0x0F0F0F0F == 0x0A0A0A0A  # reserved: RFC 9000 section 15
    longest = quic.Packet(version, Type.UNKNOWN, b"d" * 255, b"s" * 255, 0, 0, 0)
    assert len(quic.refusal(longest)) < quic.SMALLEST


@given(st.binary(max_size=200))
def test_any_bytes_are_packets_or_an_error(data: bytes) -> None:
    for head in (b"", b"\xc0\0\0\0\1", b"\xd1\x6b\x33\x43\xcf"):
        try:
            found = quic.packets(head + data)
        except QuicError:
            continue
        assert all(p.start <= p.number <= p.end <= len(head + data) for p in found)


@given(st.integers(0, 60), st.integers(0, 255))
def test_a_damaged_packet_is_packets_or_an_error(at: int, value: int) -> None:
    data = bytearray(opening())
    data[at] = value
    try:
        found = quic.packets(bytes(data))
    except QuicError:
        return
    assert 1 <= len(found) <= quic.MAX_PACKETS
