"""Router advertisements as bytes: how a guest gets IPv6 addresses, a route and a name server.

RFC 4861 sections 4.2 and 4.6, RFC 8106 section 5.1. The kernel puts the checksum in.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

SOLICITATION: Final = 133
"""Type of a router solicitation."""

_ADVERTISEMENT: Final = 134
_HOP_LIMIT: Final = 64
_SOURCE, _PREFIX, _MTU, _NAME_SERVERS = 1, 3, 5, 25
_AUTONOMOUS: Final = 0x40
"""Without the on-link flag: a guest sends to its neighbours by way of us as well; it has none."""

ROUTER_SECONDS: Final = 1_800
PREFERRED_SECONDS: Final = 14_400
VALID_SECONDS: Final = 86_400


def solicited(data: bytes) -> bool:
    """Tell whether an ICMPv6 message is a valid router solicitation (RFC 4861 section 6.1.1).

    Hop limit and checksum were looked at before: by the rules, and by the kernel.
    """
    if len(data) < 8 or data[0] != SOLICITATION or data[1] != 0:
        return False
    at = 8
    while at < len(data):
        if at + 2 > len(data) or data[at + 1] == 0:
            return False
        at += 8 * data[at + 1]
    return at == len(data)


def advertisement(
    prefix: str, name_server: str, hardware: bytes, mtu: int, *, ending: bool = False
) -> bytes:
    """The ICMPv6 message.

    Args:
        prefix: the link's /64, such as `fd00::/64`.
        name_server: IPv6 address.
        hardware: the router's, six bytes.
        mtu: bytes.
        ending: say that this is no router any more.
    """
    network = ipaddress.IPv6Network(prefix)
    lifetime = 0 if ending else ROUTER_SECONDS
    # No flag: neither addresses nor anything else by DHCPv6.
    head = struct.pack("!BBHBBHII", _ADVERTISEMENT, 0, 0, _HOP_LIMIT, 0, lifetime, 0, 0)
    source = bytes((_SOURCE, 1)) + hardware
    units = struct.pack("!BBHI", _MTU, 1, 0, mtu)
    addresses = struct.pack(
        "!BBBBII4x16s", _PREFIX, 4, network.prefixlen, _AUTONOMOUS, VALID_SECONDS,
        PREFERRED_SECONDS, network.network_address.packed,
    )  # fmt: skip
    server = ipaddress.IPv6Address(name_server).packed
    servers = struct.pack("!BBHI16s", _NAME_SERVERS, 3, 0, lifetime, server)
    return head + source + units + addresses + servers
