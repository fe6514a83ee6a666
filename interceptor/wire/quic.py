"""QUIC packets as they lie in a datagram: what can be read before any key is made.

RFC 8999 (what all versions share), RFC 9000 sections 16 and 17 (version 1), RFC 9369 (version 2).
We are never a QUIC server: an Initial packet is read to learn whom a client wants, and refused.
Keys and frames have files of their own, `quic_keys` and `quic_frames`.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

V1: Final = 0x00000001
V2: Final = 0x6B3343CF  # RFC 9369
DRAFT_29: Final = 0xFF00001D
"""Version 1 with another salt; the last draft that shipped in clients."""

SMALLEST: Final = 1_200
"""Bytes that a datagram with a client's Initial packet must have (RFC 9000 section 14.1)."""
LARGEST: Final = 4_096
"""Most bytes of a datagram that we read; no path's clients send so many."""
MAX_PACKETS: Final = 16
"""Most packets of one datagram that we read. Clients coalesce two or three."""

_MAX_ID: Final = 20  # bytes of a connection id in the versions we know
_RESERVED: Final = (0x0A0A0A0A, 0x1A1A1A1A)  # RFC 9000 section 15: never a real version


class QuicError(ValueError):
    """The bytes are no QUIC that can be read. The message repeats none of them."""


class Type(enum.IntEnum):
    """Types of packets with a long header, numbered as version 1 numbers them."""

    INITIAL = 0
    ZERO_RTT = 1
    HANDSHAKE = 2
    RETRY = 3
    UNKNOWN = 4
    """Of a version we do not know: only version and connection ids mean anything."""


class Packet(msgspec.Struct, frozen=True, gc=False):
    """A packet with a long header, by its place in the datagram."""

    version: int
    type: Type
    dcid: bytes
    """Destination connection id: the receiver's, or the client's first choice for it."""
    scid: bytes
    start: int
    """Where its first byte lies."""
    number: int
    """Where its protected packet number lies; `end` for RETRY and UNKNOWN."""
    end: int


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer (RFC 9000 section 16), and where it ends.

    Raises QuicError if it does not fit.
    """
    first = data[at : at + 1]
    if not first:
        raise QuicError("a number is missing")
    end = at + (1 << (first[0] >> 6))
    if end > len(data):
        raise QuicError("a number is cut off")
    size = 8 * (end - at) - 2
    return int.from_bytes(data[at:end]) & ((1 << size) - 1), end


def packets(datagram: bytes) -> tuple[Packet, ...]:
    """The packets with a long header at the start of a datagram, at least one.

    What follows them and is none of the same connection is ignored (RFC 9000 section 12.2).

    Raises:
        QuicError: the first one is none.
    """
    if len(datagram) > LARGEST:
        raise QuicError(f"a datagram longer than {LARGEST} bytes")
    found = [_packet(datagram, 0)]
    dcid = found[0].dcid
    while found[-1].end < len(datagram) and len(found) < MAX_PACKETS:
        try:
            packet = _packet(datagram, found[-1].end)
        except QuicError:
            break
        if packet.dcid != dcid:
            break
        found.append(packet)
    return tuple(found)


def refusal(packet: Packet) -> bytes:
    """A Version Negotiation packet for a client's first packet that offers what nobody speaks.

    A client that gets it must abandon the connection (RFC 9000 section 6.2), and all do, at once:
    CONNECTION_CLOSE leaves some in a draining period and makes curl try again until its time-out.
    The version is a reserved one (section 15), and not the client's own, or it would be ignored.
    """
    offered = _RESERVED[packet.version == _RESERVED[0]]
    return b"".join(
        (
            b"\xc0\0\0\0\0",
            *(len(packet.scid).to_bytes(1), packet.scid),
            *(len(packet.dcid).to_bytes(1), packet.dcid),
            offered.to_bytes(4),
        )
    )


def _packet(data: bytes, start: int) -> Packet:
    """One packet; RFC 8999 section 5.1 and RFC 9000 section 17.2."""
    head = data[start : start + 6]
    if len(head) < 6 or head[0] < 0x80:
        raise QuicError("no long header")
    version = int.from_bytes(head[1:5])
    if version == 0:
        raise QuicError("a version negotiation from a client")
    dcid, at = _id(data, start + 5)
    scid, at = _id(data, at)
    if version not in (V1, V2, DRAFT_29):
        return Packet(version, Type.UNKNOWN, dcid, scid, start, len(data), len(data))
    if len(dcid) > _MAX_ID or len(scid) > _MAX_ID:
        raise QuicError(f"a connection id of more than {_MAX_ID} bytes")
    number = head[0] >> 4 & 3
    # Version 2 has the same four types, one further on (RFC 9369 section 3.2).
    kind = Type((number - 1) % 4 if version == V2 else number)
    if kind is Type.RETRY:
        return Packet(version, kind, dcid, scid, start, len(data), len(data))
    if kind is Type.INITIAL:
        size, at = varint(data, at)
        at += size
    size, at = varint(data, at)
    if at + size > len(data):
        raise QuicError("a packet runs over its datagram")
    return Packet(version, kind, dcid, scid, start, at, at + size)


def _id(data: bytes, at: int) -> tuple[bytes, int]:
    """A connection id with its length, and where it ends."""
    if at >= len(data):
        raise QuicError("a connection id is missing")
    end = at + 1 + data[at]
    if end > len(data):
        raise QuicError("a connection id is cut off")
    return data[at + 1 : end], end
