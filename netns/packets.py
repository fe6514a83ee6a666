"""Packets that nothing took, named: what was tried, towards what, and what was in it.

Scapy reads the headers; what a datagram carries is told by its bytes first and by its port second,
for a tunnel chooses its port freely. Nothing here decides anything: the packet is refused anyway.

Scapy takes a fifth of a second to import and half a millisecond for a packet, so it is imported
for the first packet, and `netns.nft` limits how many come here.
"""

from __future__ import annotations

import functools
import logging
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from scapy.packet import Packet

PAYLOAD: Final = 2_048
"""Bytes of payload that are handed on for a closer look."""


class Sighting(msgspec.Struct, frozen=True, gc=False):
    """One packet that is refused."""

    protocol: str
    """`udp`, `icmp`, `tcp`, or the name of another IP protocol, lower case."""
    what: str
    """What it is, for people: `ICMP echo request`, `NTP`; holds no byte of the payload."""
    source: str
    """Canonical address text."""
    address: str
    """Where it was sent, canonical address text."""
    source_port: int = 0
    port: int = 0
    size: int = 0
    """Bytes of payload; `payload` may hold fewer."""
    payload: bytes = b""
    names: tuple[str, ...] = ()
    """Host names it asks for, as written: queries of DNS, mDNS and LLMNR."""


_PROTOCOLS: Final = {
    1: ("icmp", "ICMP"),
    2: ("igmp", "IGMP"),
    4: ("ipip", "IP in IP"),
    6: ("tcp", "TCP"),
    17: ("udp", "UDP"),
    33: ("dccp", "DCCP"),
    41: ("ipv6", "IPv6 in IP"),
    47: ("gre", "GRE"),
    50: ("esp", "IPsec ESP"),
    51: ("ah", "IPsec AH"),
    58: ("icmpv6", "ICMPv6"),
    89: ("ospf", "OSPF"),
    94: ("ipip", "IP in IP"),
    97: ("etherip", "Ethernet in IP"),
    103: ("pim", "PIM"),
    112: ("vrrp", "VRRP"),
    115: ("l2tp", "L2TP"),
    132: ("sctp", "SCTP"),
    136: ("udplite", "UDP-Lite"),
    137: ("mpls", "MPLS in IP"),
}
"""IP protocol numbers of IANA that name a way out; others are named by their number."""

_PORTS: Final = {
    19: "character generator",
    67: "DHCP",
    68: "DHCP",
    69: "TFTP",
    123: "NTP",
    137: "NetBIOS name service",
    138: "NetBIOS datagram",
    161: "SNMP",
    162: "SNMP trap",
    443: "UDP on the port of HTTPS",
    500: "IPsec IKE",
    514: "syslog",
    520: "RIP",
    546: "DHCPv6",
    547: "DHCPv6",
    853: "UDP on the port of encrypted DNS",
    1194: "OpenVPN",
    1701: "L2TP",
    1812: "RADIUS",
    1900: "SSDP",
    3478: "STUN",
    3702: "WS-Discovery",
    4500: "IPsec NAT traversal",
    4789: "VXLAN",
    5349: "STUN",
    5353: "mDNS",
    5355: "LLMNR",
    5683: "CoAP",
    6081: "Geneve",
    6881: "BitTorrent",
    11211: "memcached",
    51820: "WireGuard",
}
"""UDP services by their registered port, where the bytes say nothing else."""


def _stun(data: bytes) -> bool:
    """RFC 8489 section 5: two zero bits, the magic cookie, a length that is a multiple of four."""
    return len(data) >= 20 and data[0] < 0x40 and data[4:8] == b"\x21\x12\xa4\x42"


def _wireguard(data: bytes) -> bool:
    """Types 1 to 4, three reserved zeros, and the fixed sizes of the whitepaper, section 5.4."""
    if len(data) < 32 or data[1:4] != b"\0\0\0":
        return False
    sizes = {1: 148, 2: 92, 3: 64}
    return len(data) == sizes.get(data[0], -1) or (data[0] == 4 and len(data) % 16 == 0)


def _quic(data: bytes) -> bool:
    """RFC 9000 section 17.2: long header, fixed bit, a version, ids of at most 20 bytes."""
    if len(data) < 1200 or data[0] & 0xC0 != 0xC0 or data[1:5] == b"\0\0\0\0":
        return False
    ids = data[5]
    return ids <= 20 and 6 + ids < len(data) and data[6 + ids] <= 20


def _torrent(data: bytes) -> bool:
    """BEP 5 (DHT queries are bencoded dictionaries), BEP 15 (connect to a tracker), BEP 29."""
    return data.startswith((b"d1:ad2:id20:", b"d1:rd2:id20:", b"\0\0\x04\x17\x27\x10\x19\x80"))


def _ike(data: bytes) -> bool:
    """RFC 7296 section 3.1: major version 1 or 2, and the length of the whole message."""
    body = data[4:] if data[:4] == b"\0\0\0\0" else data
    return len(body) >= 28 and body[17] in (0x10, 0x20) and int.from_bytes(body[24:28]) == len(body)


def _ntp(data: bytes) -> bool:
    """RFC 5905 section 7.3: 48 bytes or more, versions 1 to 4, modes 1 to 7."""
    return len(data) >= 48 and 1 <= data[0] >> 3 & 7 <= 4 and data[0] & 7 != 0 and len(data) <= 128


def _snmp(data: bytes) -> bool:
    """RFC 3416: a BER sequence of a version and a community or a header."""
    return data[:1] == b"\x30" and len(data) > 8 and b"\x02\x01" in data[2:6] and data[1] != 0


def _ssdp(data: bytes) -> bool:
    return data.startswith((b"M-SEARCH * HTTP/1.1", b"NOTIFY * HTTP/1.1"))


_SIGNATURES: Final[tuple[tuple[str, Callable[[bytes], bool]], ...]] = (
    ("QUIC", _quic),
    ("STUN", _stun),
    ("WireGuard", _wireguard),
    ("BitTorrent", _torrent),
    ("IPsec IKE", _ike),
    ("SSDP", _ssdp),
)
"""What is told by its bytes on any port. NTP and SNMP are too plain for that."""

_BY_BOTH: Final[dict[int, tuple[str, Callable[[bytes], bool]]]] = {
    123: ("NTP", _ntp),
    161: ("SNMP", _snmp),
    162: ("SNMP trap", _snmp),
}
_LOOKUPS: Final = {5353: "mDNS", 5355: "LLMNR", 137: "NetBIOS name service"}


@functools.cache
def _scapy() -> tuple[Any, Any, Any]:
    """Import what dissects: IP, IPv6, DNS. Scapy's own warnings are not for the operator."""
    logging.getLogger("scapy").setLevel(logging.CRITICAL)
    from scapy.layers.dns import DNS
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6

    return IP, IPv6, DNS


def describe(raw: bytes) -> Sighting:
    """Name an IP packet, as netfilter hands it over: from its IP header on.

    Never raises: what cannot be dissected is named so.
    """
    try:
        return _describe(raw)
    except Exception:  # noqa: BLE001 - a dissector of foreign bytes may fail in any way
        return Sighting("unreadable", "a packet that cannot be read", "", "", size=len(raw))


def _describe(raw: bytes) -> Sighting:
    ip, ipv6, _ = _scapy()
    if raw[0] >> 4 == 4:
        packet = ip(raw)
        number = packet.proto
        body = packet.payload
    else:
        packet = ipv6(raw)
        number, body = _behind_extensions(packet)
    name, title = _PROTOCOLS.get(number, (f"ip-{number}", f"IP protocol {number}"))
    payload = bytes(body)
    said = Sighting(name, title, packet.src, packet.dst, size=len(payload), payload=payload)
    if packet.version == 4 and packet.frag:
        return _changed(said, what=f"{title}, a later fragment")
    if number in (1, 58):
        return _icmp(said, body)
    if number in (6, 17, 33, 132, 136) and len(payload) >= 4:
        source_port, port = struct.unpack("!HH", payload[:4])
        said = _changed(said, source_port=source_port, port=port)
        if number == 17:
            return _datagram(said, payload[8:])
    return _changed(said, payload=payload[:PAYLOAD])


def _behind_extensions(packet: Packet) -> tuple[int, Packet]:
    """Return number and content of what stands behind IPv6 extension headers (RFC 8200, 4)."""
    number, body = packet.nh, packet.payload
    for _ in range(8):
        if number not in (0, 43, 44, 51, 60, 135) or not hasattr(body, "nh"):
            break
        number, body = body.nh, body.payload
    return number, body


def _icmp(said: Sighting, body: Packet) -> Sighting:
    """ICMP by its type; what follows the first eight bytes is payload (RFC 792, RFC 4443)."""
    raw = said.payload
    kind = raw[0] if raw else 0
    field = body.get_field("type") if hasattr(body, "type") else None
    names = getattr(field, "i2s", {}) or {}
    word = str(names.get(kind, f"type {kind}")).replace("-", " ").lower()
    payload = raw[8:]
    what = f"{_PROTOCOLS[1 if said.protocol == 'icmp' else 58][1]} {word}"
    return _changed(said, what=what, size=len(payload), payload=payload[:PAYLOAD])


def _datagram(said: Sighting, data: bytes) -> Sighting:
    said = _changed(said, size=len(data), payload=data[:PAYLOAD])
    for title, fits in _SIGNATURES:
        if fits(data):
            return _changed(said, what=_with_port(title, said.port))
    title, check = _BY_BOTH.get(said.port, ("", bool))
    if title:
        return _changed(said, what=title if check(data) else f"UDP to the port of {title}")
    names = _queries(data)
    if names:
        return _changed(said, what=_with_port(_LOOKUPS.get(said.port, "DNS"), said.port),
                        names=names)  # fmt: skip
    return _changed(said, what=_PORTS.get(said.port, "UDP"))


def _with_port(title: str, port: int) -> str:
    usual = title in _PORTS.get(port, "") or _LOOKUPS.get(port) == title
    return title if usual else f"{title} on port {port}"


def _queries(data: bytes) -> tuple[str, ...]:
    """Names a DNS message asks for, if it is one: a query whose questions fill what is there.

    RFC 1035 section 4.1.1: standard query, at least one question, no answers.
    """
    if len(data) < 17 or data[2] & 0xF8 not in (0, 0x28) or not 1 <= data[5] <= 4 or data[4]:
        return ()
    _, _, dns = _scapy()
    message = dns(data)
    if bytes(message.payload):
        return ()
    names = []
    for question in message.qd or ():
        name = question.qname.decode("ascii", "backslashreplace").removesuffix(".")
        if not name or not question.qtype:
            return ()
        names.append(name)
    return tuple(names) if len(names) == message.qdcount else ()


def _changed(said: Sighting, **changes: Any) -> Sighting:
    return msgspec.structs.replace(said, **changes)
