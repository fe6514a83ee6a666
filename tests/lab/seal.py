"""Proof that the lab leads nowhere: what netlink says about links and routes of its namespaces.

Nothing is sent. A namespace can reach another only through a device, so it is enough that the two
namespaces hold nothing but `lo` and the two ends of one veth pair, each the other's peer.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import msgspec
from pyroute2 import IPRoute

from netns.namespaces import Namespace, setns
from tests.lab.world import GATEWAY_V4, GATEWAY_V6, HOST_LINK, INTERNET_LINK

_UNKNOWN = 1 << 31  # NETNSA_NSID_NOT_ASSIGNED is -1, which may be read unsigned
_LOCAL_TYPE = 2  # RTN_LOCAL, rtnetlink(7)


class Link(msgspec.Struct, frozen=True):
    """One network device."""

    index: int
    name: str
    kind: str
    """`veth`, `dummy`...; empty for `lo`."""
    peer_index: int
    """IFLA_LINK: index of the veth's other end in its namespace; 0 without one."""
    peer_namespace: int
    """IFLA_LINK_NETNSID as this namespace numbers the other; -1 without one."""


class Route(msgspec.Struct, frozen=True):
    """One route of any table."""

    family: int
    destination: str
    """Empty for the default route."""
    length: int
    gateway: str
    link: int
    local: bool
    """Ends in this namespace."""


class Inventory(msgspec.Struct, frozen=True):
    """Everything in a network namespace that could lead out of it."""

    links: tuple[Link, ...]
    routes: tuple[Route, ...]
    inode: int
    """Identity of the namespace."""
    neighbours: dict[int, int]
    """Number by which this namespace knows another -> inode of that other."""


def inventory(namespace: int | None, others: tuple[int, ...] = ()) -> Inventory:
    """Read a network namespace.

    :param namespace: descriptor of it, or None for the caller's own
    :param others: descriptors of namespaces that its links may lead into
    """
    found: list[Inventory] = []
    failed: list[BaseException] = []

    def read() -> None:
        try:
            if namespace is not None:
                setns(namespace, Namespace.NET)  # of this thread only
            found.append(_read(others))
        except BaseException as error:  # noqa: BLE001  # raised again below, in the caller's thread
            failed.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


def _read(others: tuple[int, ...]) -> Inventory:
    with IPRoute() as netlink:
        links = tuple(_link(message) for message in netlink.get_links())
        routes = tuple(_route(message) for message in netlink.get_routes())
        known = {}
        for other in others:
            answer = netlink.get_netnsid(fd=other)
            number = answer["nsid"] if answer else None
            if number is not None and 0 <= number < _UNKNOWN:
                known[int(number)] = os.fstat(other).st_ino
    inode = os.stat(f"/proc/self/task/{threading.get_native_id()}/ns/net").st_ino  # noqa: PTH116
    return Inventory(links, routes, inode, known)


def _link(message: Any) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    number = message.get_attr("IFLA_LINK_NETNSID")
    return Link(
        index=int(message["index"]),
        name=str(message.get_attr("IFLA_IFNAME")),
        kind=str(info.get_attr("IFLA_INFO_KIND")) if info else "",
        peer_index=int(message.get_attr("IFLA_LINK") or 0),
        peer_namespace=-1 if number is None else int(number),
    )


def _route(message: Any) -> Route:
    return Route(
        family=int(message["family"]),
        destination=str(message.get_attr("RTA_DST") or ""),
        length=int(message["dst_len"]),
        gateway=str(message.get_attr("RTA_GATEWAY") or ""),
        link=int(message.get_attr("RTA_OIF") or 0),
        local=int(message["type"]) == _LOCAL_TYPE,
    )


def faults(host: int, internet: int, members: frozenset[int]) -> list[str]:
    """Reasons why the lab is not sealed; empty when it is.

    :param host: descriptor of the host's network namespace
    :param internet: descriptor of the internet's
    :param members: pids of the processes that belong to the lab
    """
    near, far = inventory(host, (internet,)), inventory(internet, (host,))
    outside = inventory(None, (host, internet))
    found = _link_faults(near, HOST_LINK, far) + _link_faults(far, INTERNET_LINK, near)
    if len({near.inode, far.inode, outside.inode}) != 3:
        found.append("host, internet and the caller do not have three different namespaces")
    for link in outside.links:
        if link.peer_namespace >= 0 and link.peer_namespace in outside.neighbours:
            found.append(f"the caller's link {link.name} leads into the lab")
    found += [
        f"host routes {route.destination or 'default'} to {route.gateway}"
        for route in near.routes
        if route.gateway and route.gateway not in (GATEWAY_V4, GATEWAY_V6)
    ]
    found += [
        f"internet routes {route.destination or 'default'} to {route.gateway or route.link}"
        for route in far.routes
        if route.gateway or (not route.local and not route.destination and route.length == 0)
    ]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inode = (process / "ns" / "net").stat().st_ino
        except OSError:
            continue
        if inode in (near.inode, far.inode) and int(process.name) not in members:
            found.append(f"process {process.name} is in the lab's network but not in the lab")
    return found


def _link_faults(own: Inventory, name: str, other: Inventory) -> list[str]:
    """A namespace holds `lo` and one veth whose peer is the veth of the other namespace."""
    found = [
        f"unexpected link {link.name} ({link.kind})"
        for link in own.links
        if link.name not in ("lo", name)
    ]
    ends = [link for link in own.links if link.name == name and link.kind == "veth"]
    peers = [link for link in other.links if link.kind == "veth"]
    if len(ends) != 1 or len(peers) != 1:
        return [*found, f"not exactly one veth on each side of {name}"]
    if own.neighbours.get(ends[0].peer_namespace) != other.inode:
        found.append(f"{name} leads into an unknown namespace")
    if ends[0].peer_index != peers[0].index:
        found.append(f"{name} and {peers[0].name} are not each other's ends")
    return found
