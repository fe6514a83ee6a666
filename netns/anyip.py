"""The network configuration of a captive namespace: `lo`, two addresses, two local routes.

A namespace with a NIC has that link besides (`netns.link_messages`), and nothing else.

A local route for everything (the kernel's AnyIP) makes every address an address of this host, so
every connect ends inside the namespace. The routes stand in `table main`: replies to a NIC's
peers are looked up there too.

The messages are built by pyroute2. Importing all of pyroute2 takes about 95 ms and its message
classes about 30, so only those are loaded (see `load_messages`), and they travel over a plain
rtnetlink(7) socket in one datagram.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import os
import socket
import struct
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final

from netns.nft import OWN_IPV4, OWN_IPV6

LOOPBACK: Final = 1
"""Interface index of `lo`, the same in every network namespace."""

_NETLINK_ROUTE: Final = 0
RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNEIGH = 16, 20, 24, 28
_REQUEST_ACK: Final = 0x1 | 0x4
CREATE_ONLY: Final = 0x400 | 0x200  # NLM_F_CREATE | NLM_F_EXCL
_NLMSG_ERROR: Final = 2
IFF_UP: Final = 1
IFA_F_NODAD: Final = 0x02
TABLE_MAIN, PROTO_STATIC, _TYPE_LOCAL, _SCOPE_HOST = 254, 4, 2, 254
_HEADER = struct.Struct("=IHHII")  # nlmsghdr, netlink(7)
_NAMES: Final = (
    "pyroute2.netlink.rtnl.ifinfmsg",
    "pyroute2.netlink.rtnl.ifaddrmsg",
    "pyroute2.netlink.rtnl.rtmsg",
)
_NEIGHBOURS: Final = "pyroute2.netlink.rtnl.ndmsg"


def load_messages(*, links: bool = False) -> tuple[ModuleType, ...]:
    """Import pyroute2's message classes without the rest of pyroute2.

    `pyroute2/__init__.py` imports every protocol that it knows. An empty parent package stands in
    for it, so call this in a process that needs nothing else of pyroute2: the child that
    `netns.captive` forks. Where pyroute2 is loaded already, or has moved its modules, the
    ordinary import is used.

    Args:
        links: that of neighbours, too, which `netns.link_messages` needs.

    Returns:
        The modules of `ifinfmsg`, `ifaddrmsg`, `rtmsg`, and `ndmsg` where it is asked for.

    Raises:
        ImportError: pyroute2 is not installed.

    """
    names = (*_NAMES, _NEIGHBOURS) if links else _NAMES
    if "pyroute2" not in sys.modules:
        spec = importlib.util.find_spec("pyroute2")
        if spec is None:
            raise ImportError("pyroute2 is not installed", name="pyroute2")
        sys.modules["pyroute2"] = importlib.util.module_from_spec(spec)
        try:
            return tuple(importlib.import_module(name) for name in names)
        except ImportError:
            for name in [name for name in sys.modules if name.partition(".")[0] == "pyroute2"]:
                del sys.modules[name]
    return tuple(importlib.import_module(name) for name in names)


class Batch:
    """Messages for the kernel in the making; sequence numbers count from 1."""

    def __init__(self) -> None:
        self.made: list[tuple[str, bytes]] = []
        """What each message does, for errors, and its bytes."""

    def add(self, what: str, message: Any, kind: int, flags: int) -> None:
        """Encode a message of pyroute2's; `what` is for people."""
        header = message["header"]
        header["type"] = kind
        header["flags"] = _REQUEST_ACK | flags
        header["sequence_number"] = len(self.made) + 1
        message.encode()
        self.made.append((what, bytes(message.data)))


def messages(modules: Sequence[ModuleType], *, ipv6: bool) -> list[tuple[str, bytes]]:
    """Encode the configuration that every captive namespace has.

    Args:
        modules: from `load_messages`.
        ipv6: False leaves IPv6 without address and route.

    Returns:
        What each message does, for errors, and its bytes.

    """
    links, addresses, routes = modules[:3]
    batch = Batch()
    link = links.ifinfmsg()
    link["index"] = LOOPBACK
    link["flags"] = link["change"] = IFF_UP
    batch.add("set lo up", link, RTM_NEWLINK, 0)
    families = [(socket.AF_INET, OWN_IPV4, 32), (socket.AF_INET6, OWN_IPV6, 128)]
    for family, own, bits in families if ipv6 else families[:1]:
        address = addresses.ifaddrmsg()
        address["family"], address["prefixlen"], address["index"] = family, bits, LOOPBACK
        address["flags"] = IFA_F_NODAD
        address["attrs"] = [["IFA_LOCAL", own], ["IFA_ADDRESS", own]]
        batch.add(f"add address {own} to lo", address, RTM_NEWADDR, CREATE_ONLY)
        route = routes.rtmsg()
        route["family"], route["dst_len"] = family, 0
        route["table"], route["proto"], route["type"] = TABLE_MAIN, PROTO_STATIC, _TYPE_LOCAL
        route["scope"] = _SCOPE_HOST if family == socket.AF_INET else 0
        route["attrs"] = [["RTA_TABLE", TABLE_MAIN], ["RTA_OIF", LOOPBACK]]
        batch.add(f"add local route for all of {family.name}", route, RTM_NEWROUTE, CREATE_ONLY)
    return batch.made


def apply(configuration: Sequence[tuple[str, bytes]], channel: socket.socket | None = None) -> None:
    """Send the messages to the kernel and read one answer for each.

    Args:
        configuration: from `messages`.
        channel: from `open_channel`; a new one of the current network namespace if not given.

    Raises:
        OSError: the first message that the kernel refused, named; or no answer in a second.

    """
    if channel is None:
        with open_channel() as own:
            apply(configuration, own)
        return
    channel.sendto(b"".join(data for _, data in configuration), (0, 0))
    answered = 0
    while answered < len(configuration):
        answer = channel.recv(65536)
        while len(answer) >= _HEADER.size + 4:
            size, kind, _, sequence, _ = _HEADER.unpack_from(answer)
            (code,) = struct.unpack_from("=i", answer, _HEADER.size)
            if kind != _NLMSG_ERROR or not 1 <= sequence <= len(configuration):
                raise OSError(errno.EPROTO, f"rtnetlink: unexpected answer of type {kind}")
            if code:
                what = configuration[sequence - 1][0]
                raise OSError(-code, f"{what}: {os.strerror(-code)}")
            answered += 1
            answer = answer[(size + 3) & ~3 :]


def open_channel() -> socket.socket:
    """An rtnetlink(7) socket, for the network namespace that the caller is in now."""
    channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE)
    channel.settimeout(1.0)
    channel.bind((0, 0))
    return channel
