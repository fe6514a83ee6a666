"""Plugging the NIC of a captive namespace in: made there, or taken in from the caller's namespace.

Everything here runs in the child that `netns.captive` forks, inside the captive namespace. The
host's own links, routes and rules are never touched; what is taken in is gone from the host.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from netns import anyip, link_messages, namespaces, tap
from netns.nic import INTERFACE, Kind, Nic

_ICMPV6_FILTER: Final = 1  # linux/icmpv6.h
_ROUTER_SOLICITATION: Final = 133  # RFC 4861 section 4.1
_ALL_ROUTERS: Final = "ff02::2"
DHCP_PORT: Final = 67

# Before the link is up: our address is fixed, nobody else may advertise or redirect.
# `forwarding` of one link forwards nothing, for that takes the setting of all links: it makes our
# neighbour advertisements say that we are a router, without which the guest forgets its default
# route as soon as it has looked whether we are there (RFC 4861 section 7.3.3; ndisc.c,
# ip6_output.c).
_IPV6_SETTINGS: Final = {"addr_gen_mode": "1", "accept_ra": "0", "accept_redirects": "0",
                         "accept_dad": "0", "dad_transmits": "0", "forwarding": "1"}  # fmt: skip
_IPV4_SETTINGS: Final = {"accept_redirects": "0", "send_redirects": "0", "proxy_arp": "0",
                         "route_localnet": "0", "accept_source_route": "0"}  # fmt: skip


def plug(
    nic: Nic, modules: Sequence[ModuleType], outside: socket.socket | None, *, ipv6: bool
) -> list[int]:
    """Make or take in our end, and configure it.

    Args:
        nic: what it is to be.
        modules: from `anyip.load_messages(links=True)`.
        outside: channel (`anyip.open_channel`) of the namespace where `nic.existing` is.
        ipv6: False leaves IPv6 out.

    Returns:
        Descriptors to hand over: of the tap if one was made.

    Raises:
        OSError: naming the step.
    """
    handed: list[int] = []
    name = INTERFACE
    if nic.existing:
        assert outside is not None  # noqa: S101
        anyip.apply(link_messages.take_in(modules, nic.existing, os.getpid()), outside)
        name = nic.existing
    elif nic.kind is Kind.TAP:
        handed.append(tap.make(INTERFACE))
    else:
        anyip.apply(link_messages.pair(modules, nic))
    _settings(name, ipv6=ipv6)
    index = socket.if_nametoindex(name)
    anyip.apply(link_messages.our_end(modules, nic, index, ipv6=ipv6))
    return handed


def configure_peer(nic: Nic, modules: Sequence[ModuleType], *, ipv6: bool) -> None:
    """Enter the guest's namespace for good and configure its end of the pair.

    Raises:
        OSError: naming the step.
    """
    namespaces.setns(nic.peer, namespaces.Namespace.NET)
    ipv6 = ipv6 and Path("/proc/sys/net/ipv6/conf", nic.peer_name).is_dir()
    index = socket.if_nametoindex(nic.peer_name)
    anyip.apply(link_messages.their_end(modules, nic, index, ipv6=ipv6))


def guest_sockets(*, ipv6: bool) -> list[socket.socket]:
    """Sockets of our DHCP server, and with IPv6 of our router advertisements."""
    return [_dhcp_socket(), _router_socket()] if ipv6 else [_dhcp_socket()]


def _dhcp_socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, INTERFACE.encode())
    made.bind(("", DHCP_PORT))
    return made


def _router_socket() -> socket.socket:
    made = socket.socket(
        socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6
    )
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, INTERFACE.encode())
    index = socket.if_nametoindex(INTERFACE)
    blocked = bytearray(b"\xff" * 32)  # RFC 3542 section 3.2: a bit for each type, in words
    word = int.from_bytes(blocked[16:20], "little") & ~(1 << _ROUTER_SOLICITATION % 32)
    blocked[16:20] = word.to_bytes(4, "little")
    made.setsockopt(socket.IPPROTO_ICMPV6, _ICMPV6_FILTER, bytes(blocked))
    for option in (socket.IPV6_MULTICAST_HOPS, socket.IPV6_UNICAST_HOPS):
        made.setsockopt(socket.IPPROTO_IPV6, option, 255)  # RFC 4861 section 6.1.2
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    group = socket.inet_pton(socket.AF_INET6, _ALL_ROUTERS) + index.to_bytes(4, "little")
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    return made


def _settings(name: str, *, ipv6: bool) -> None:
    # Of some of IPv4's, what is true of all links is true of each (ip-sysctl: accept_redirects).
    places = [("ipv4", "all", _IPV4_SETTINGS), ("ipv4", name, _IPV4_SETTINGS)]
    if ipv6:
        places.append(("ipv6", name, _IPV6_SETTINGS))
    for family, link, settings in places:
        for setting, value in settings.items():
            # Without one of them things are as safe: nothing is forwarded.
            with contextlib.suppress(OSError):
                Path("/proc/sys/net", family, "conf", link, setting).write_text(value, "ascii")
