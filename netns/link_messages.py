"""The link of a captive namespace as messages for rtnetlink(7): made, taken in, configured.

One link, one guest behind it: its IPv4 address is a fixed neighbour, so that no ARP of the guest's
changes where answers go. That address and the /64 of its IPv6 addresses are routes of the link. All
else stays a local route, also what the guest thinks to be on its own network: the kernel answers
ARP for it, and what is dialled there ends at the listeners as well.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final

from netns.anyip import (
    CREATE_ONLY,
    IFA_F_NODAD,
    IFF_UP,
    LOOPBACK,
    PROTO_STATIC,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
    RTM_NEWROUTE,
    TABLE_MAIN,
    Batch,
)
from netns.nic import GATEWAY_LINK_LOCAL, GATEWAY_MAC, INTERFACE, Nic

_NUD_PERMANENT: Final = 0x80
_TYPE_UNICAST: Final = 1
_SCOPE_LINK: Final = 253
Messages = list[tuple[str, bytes]]


def take_in(modules: Sequence[ModuleType], name: str, pid: int) -> Messages:
    """Move the link `name` of the channel's namespace into that of process `pid`."""
    batch = Batch()
    link = modules[0].ifinfmsg()
    link["attrs"] = [["IFLA_IFNAME", name], ["IFLA_NET_NS_PID", pid]]
    batch.add(f"take {name} into the captive namespace", link, RTM_NEWLINK, 0)
    return batch.made


def pair(modules: Sequence[ModuleType], nic: Nic) -> Messages:
    """Make a veth pair: our end here, the guest's in the namespace of `nic.peer`, or here."""
    batch = Batch()
    theirs: list[list[Any]] = [["IFLA_IFNAME", nic.peer_name], ["IFLA_ADDRESS", nic.mac]]
    theirs.append(["IFLA_MTU", nic.mtu])
    if nic.peer >= 0:
        theirs.append(["IFLA_NET_NS_FD", nic.peer])
    peer = {"attrs": [["VETH_INFO_PEER", {"attrs": theirs}]]}
    link = modules[0].ifinfmsg()
    link["attrs"] = [
        ["IFLA_IFNAME", INTERFACE],
        ["IFLA_LINKINFO", {"attrs": [["IFLA_INFO_KIND", "veth"], ["IFLA_INFO_DATA", peer]]}],
    ]
    batch.add(f"make a veth pair, {INTERFACE} and {nic.peer_name}", link, RTM_NEWLINK, CREATE_ONLY)
    return batch.made


def our_end(modules: Sequence[ModuleType], nic: Nic, index: int, *, ipv6: bool) -> Messages:
    """Name and configure the link with the number `index`, and set it up."""
    batch = Batch()
    link = modules[0].ifinfmsg()
    link["index"], link["change"] = index, IFF_UP  # and down: a link that is up keeps its name
    link["attrs"] = [
        ["IFLA_IFNAME", INTERFACE],
        ["IFLA_ADDRESS", GATEWAY_MAC],
        ["IFLA_MTU", nic.mtu],
    ]
    batch.add(f"configure {INTERFACE}", link, RTM_NEWLINK, 0)
    _set_up(batch, modules, index)
    addresses = [
        (socket.AF_INET, nic.gateway_ipv4, 32),
        (socket.AF_INET6, nic.gateway_ipv6, 64),
        (socket.AF_INET6, GATEWAY_LINK_LOCAL, 64),
    ]
    _add_addresses(batch, modules, index, addresses, ipv6=ipv6)
    _add_route(batch, modules, index, (socket.AF_INET, nic.guest_ipv4, 32))
    neighbour = modules[3].ndmsg()
    neighbour["family"], neighbour["ifindex"] = socket.AF_INET, index
    neighbour["state"] = _NUD_PERMANENT
    neighbour["attrs"] = [["NDA_DST", nic.guest_ipv4], ["NDA_LLADDR", nic.mac]]
    batch.add(f"fix the neighbour {nic.guest_ipv4}", neighbour, RTM_NEWNEIGH, CREATE_ONLY)
    return batch.made


def their_end(modules: Sequence[ModuleType], nic: Nic, index: int, *, ipv6: bool) -> Messages:
    """Configure the guest's end of a veth pair, in the guest's namespace."""
    batch = Batch()
    _set_up(batch, modules, LOOPBACK)
    _set_up(batch, modules, index)
    addresses = [
        (socket.AF_INET, nic.guest_ipv4, nic.bits_ipv4),
        (socket.AF_INET6, nic.guest_ipv6, 128),
    ]
    _add_addresses(batch, modules, index, addresses, ipv6=ipv6)
    _add_route(batch, modules, index, (socket.AF_INET, "", 0), nic.gateway_ipv4)
    if ipv6:
        _add_route(batch, modules, index, (socket.AF_INET6, "", 0), GATEWAY_LINK_LOCAL)
    return batch.made


_Place = tuple[int, str, int]
"""Family, address, length of the prefix."""


def _add_route(
    batch: Batch, modules: Sequence[ModuleType], index: int, place: _Place, gateway: str = ""
) -> None:
    family, text, bits = place
    route = modules[2].rtmsg()
    route["family"], route["dst_len"], route["table"] = family, bits, TABLE_MAIN
    route["proto"], route["type"] = PROTO_STATIC, _TYPE_UNICAST
    route["scope"] = 0 if gateway or family == socket.AF_INET6 else _SCOPE_LINK
    route["attrs"] = [["RTA_OIF", index]]
    if bits:
        route["attrs"].append(["RTA_DST", text])
    if gateway:
        route["attrs"].append(["RTA_GATEWAY", gateway])
    batch.add(f"add the route to {text or 'all'}", route, RTM_NEWROUTE, CREATE_ONLY)


def _add_addresses(
    batch: Batch, modules: Sequence[ModuleType], index: int, wanted: Sequence[_Place], *, ipv6: bool
) -> None:
    for family, text, bits in wanted:
        if family == socket.AF_INET6 and not ipv6:
            continue
        address = modules[1].ifaddrmsg()
        address["family"], address["prefixlen"], address["index"] = family, bits, index
        address["flags"] = IFA_F_NODAD
        address["attrs"] = [["IFA_LOCAL", text], ["IFA_ADDRESS", text]]
        batch.add(f"add address {text} to the link", address, RTM_NEWADDR, CREATE_ONLY)


def _set_up(batch: Batch, modules: Sequence[ModuleType], index: int) -> None:
    link = modules[0].ifinfmsg()
    link["index"] = index
    link["flags"] = link["change"] = IFF_UP
    batch.add(f"set link {index} up", link, RTM_NEWLINK, 0)
