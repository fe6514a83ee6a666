"""Packets made by Scapy and by hand are named, and no bytes make the naming fail."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.flow.packet_flow import Seen
from netns.packets import PAYLOAD, Sighting, describe

inet = pytest.importorskip("scapy.layers.inet")
inet6 = pytest.importorskip("scapy.layers.inet6")
layers = pytest.importorskip("scapy.layers.dns")

V4, V6 = "203.0.113.9", "2001:db8::9"


def udp(port: int, data: bytes, address: str = V4) -> Sighting:
    head = inet6.IPv6(dst=address) if ":" in address else inet.IP(dst=address)
    return describe(bytes(head / inet.UDP(sport=4000, dport=port) / data))


def question(name: str, flags: int = 0x0100) -> bytes:
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split("."))
    return struct.pack("!HHHHHH", 7, flags, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


DATAGRAMS = {
    "NTP": (123, b"\x23" + bytes(47)),
    "UDP to the port of NTP": (123, b"not a clock at all, but forty-eight bytes of text"),
    "STUN": (3478, b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12)),
    "STUN on port 4000": (4000, b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12)),
    "WireGuard": (51820, b"\1\0\0\0" + bytes(144)),
    "WireGuard on port 53000": (53000, b"\4\0\0\0" + bytes(28)),
    "QUIC on port 4433": (4433, b"\xc0\0\0\0\1\x08" + bytes(8) + b"\0" + bytes(1200)),
    "BitTorrent": (6881, b"d1:ad2:id20:" + bytes(20)),
    "IPsec IKE": (500, bytes(17) + b"\x20" + bytes(6) + struct.pack("!I", 28)),
    "SSDP": (1900, b"M-SEARCH * HTTP/1.1\r\n\r\n"),
    "SNMP": (161, b"\x30\x18\x02\x01\x01\x04\x06" + bytes(20)),
    "mDNS": (5353, question("a.local", 0)),
    "LLMNR": (5355, question("a", 0)),
    "DNS on port 5300": (5300, question("a.example.com")),
    "syslog": (514, b"<13>hello"),
    "UDP": (7777, b"hello"),
}


@pytest.mark.parametrize("address", [V4, V6])
@pytest.mark.parametrize("what", DATAGRAMS)
def test_datagrams(what: str, address: str) -> None:
    port, data = DATAGRAMS[what]
    seen = udp(port, data, address)
    assert (seen.protocol, seen.what, seen.port, seen.source_port) == ("udp", what, port, 4000)
    assert (seen.address, seen.size, seen.payload) == (address, len(data), data)


def test_names_that_are_asked_for() -> None:
    assert udp(5353, question("printer.local", 0)).names == ("printer.local",)
    assert udp(5300, question("a.example.com")).names == ("a.example.com",)
    assert udp(5300, question("a.example.com") + b"more").names == ()
    assert udp(5300, question("a.example.com")[:-3]).names == ()


@pytest.mark.parametrize(
    ("packet", "protocol", "what"),
    [
        (inet.IP(dst=V4) / inet.ICMP() / b"text", "icmp", "ICMP echo request"),
        (inet.IP(dst=V4) / inet.ICMP(type=13) / b"text", "icmp", "ICMP timestamp request"),
        (inet6.IPv6(dst=V6) / inet6.ICMPv6EchoRequest(data=b"text"), "icmpv6",
         "ICMPv6 echo request"),
        (inet.IP(dst=V4, proto=47) / b"\0\0\x08\0text", "gre", "GRE"),
        (inet.IP(dst=V4, proto=132) / b"\0\1\0\2text", "sctp", "SCTP"),
        (inet.IP(dst=V4, proto=50) / b"text", "esp", "IPsec ESP"),
        (inet.IP(dst=V4, proto=2) / b"\x16\0\0\0text", "igmp", "IGMP"),
        (inet.IP(dst=V4, proto=253) / b"text", "ip-253", "IP protocol 253"),
        (inet.IP(dst=V4, proto=17, frag=3) / b"text", "udp", "UDP, a later fragment"),
        (inet6.IPv6(dst=V6) / inet6.IPv6ExtHdrDestOpt() / inet.UDP(dport=7) / b"text", "udp",
         "UDP"),
        (inet.IP(dst=V4) / inet.TCP(dport=61443), "tcp", "TCP"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_other_protocols(packet: object, protocol: str, what: str) -> None:
    seen = describe(bytes(packet))  # type: ignore[call-overload]
    assert (seen.protocol, seen.what) == (protocol, what)
    if protocol != "tcp":
        assert seen.payload.endswith(b"text")


def test_payload_is_bounded_and_its_size_is_said() -> None:
    seen = udp(7777, b"x" * 3000)
    assert (seen.size, len(seen.payload)) == (3000, PAYLOAD)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\x45", b"\x60", b"\x4f"]))
def test_no_bytes_make_it_fail(data: bytes, first: bytes) -> None:
    seen = describe(first + data)
    assert seen.what
    assert data[:40] not in seen.what.encode() or len(data) < 4


def test_every_cut_of_a_packet_is_named() -> None:
    whole = bytes(inet.IP(dst=V4) / inet.UDP(dport=5353) / question("a.local", 0))
    assert all(describe(whole[:cut]).what for cut in range(len(whole)))


def test_the_interceptor_reads_what_the_guard_says() -> None:
    assert Seen.__struct_fields__ == Sighting.__struct_fields__
    assert Seen.__struct_defaults__ == Sighting.__struct_defaults__
