"""The NIC of a captive namespace: what kind of link, which addresses, who is behind it.

Every guest has a namespace to itself, so all guests have the same addresses; who one is says the
namespace, and the evidence names it. The IPv4 addresses are of the part of the synthetic range that
is never leased to a name (`interceptor.flow.names.RESERVED`).
"""

from __future__ import annotations

import dataclasses
import enum
import re
from typing import Final

from netns.nft_link import Link

INTERFACE: Final = "nic0"
"""Name of the link inside every captive namespace that has one."""

GATEWAY_MAC: Final = "02:65:67:00:00:01"
"""Ours, on every such link: locally administered (IEEE 802, clause 8)."""

GATEWAY_LINK_LOCAL: Final = "fe80::1"

_MAC: Final = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,15}")  # IFNAMSIZ - 1


class Kind(enum.StrEnum):
    """Kinds of link."""

    TAP = "tap"
    """Of a virtual machine: whoever holds its descriptor is the cable."""
    VETH = "veth"
    """Of a container: a pair, whose other end is in the container's namespace."""


class NicError(ValueError):
    """A NIC that cannot be as asked; the message says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Nic:
    """What the host end of a guest's NIC is to be."""

    kind: Kind
    mac: str
    """The guest's hardware address, lower case with colons; packets of any other are dropped."""
    existing: str = ""
    """A link of the caller's own network namespace that is taken in, such as a tap that libvirt
    has made. Empty: one is made inside, which never was anywhere else."""
    peer: int = -1
    """VETH that is made: descriptor of the network namespace that gets the other end, configured
    and up. Not in rootless mode, unless that user namespace owns it."""
    peer_name: str = "eth0"
    guest_ipv4: str = "198.18.0.10"
    gateway_ipv4: str = "198.18.0.1"
    """Also the guest's name server."""
    bits_ipv4: int = 24
    guest_ipv6: str = "fd65:6772:6573:7301::a"
    """Of containers. A machine chooses addresses of its own in the prefix (RFC 4862)."""
    gateway_ipv6: str = "fd65:6772:6573:7301::1"
    mtu: int = 1500
    """Bytes."""

    def __post_init__(self) -> None:
        """Check what is handed to the kernel as text."""
        if not _MAC.fullmatch(self.mac):
            raise NicError(f"{self.mac!r} is no hardware address, such as 02:65:67:12:34:56")
        if int(self.mac[:2], 16) & 1 or self.mac in {GATEWAY_MAC, "00:00:00:00:00:00"}:
            raise NicError(f"{self.mac} cannot be a guest's hardware address")
        for name in filter(None, (self.existing, self.peer_name)):
            if not _NAME.fullmatch(name) or name in {".", ".."}:
                raise NicError(f"{name!r} is no name of a network device")
        if self.kind is Kind.TAP and self.peer >= 0:
            raise NicError("a tap has no other end in a namespace")
        if self.existing and self.peer >= 0:
            raise NicError("a link that exists has its other end already")
        import ipaddress

        guest = ipaddress.IPv4Address(self.guest_ipv4)
        gateway = ipaddress.IPv4Interface(f"{self.gateway_ipv4}/{self.bits_ipv4}")
        if guest not in gateway.network or guest == gateway.ip:
            raise NicError(f"{guest} is not in the network of {gateway}")
        if not 1280 <= self.mtu <= 65_521:  # RFC 8200 section 5
            raise NicError(f"{self.mtu} bytes: an MTU is between 1280 and 65521")

    @property
    def prefix_ipv6(self) -> str:
        """The /64 of the link."""
        import ipaddress

        return str(ipaddress.IPv6Interface(f"{self.gateway_ipv6}/64").network)

    @property
    def link(self) -> Link:
        """What the rules need to know."""
        return Link(INTERFACE, self.mac, self.guest_ipv4, self.gateway_ipv4, self.prefix_ipv6)


def mac_of(name: str) -> str:
    """A hardware address that stands for a guest's name: the same one at every start.

    Locally administered, with a prefix of ours; 24 bits of the name's digest.
    """
    import hashlib

    tail = hashlib.blake2b(name.encode(), digest_size=3).digest()
    if tail[0] == 0:  # 00:00:01 is the gateway's
        tail = b"\x01" + tail[1:]
    return "02:65:67:" + ":".join(f"{octet:02x}" for octet in tail)
