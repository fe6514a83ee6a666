"""Addresses of the machine that dials and the networks it is attached to, kept up to date.

Read from the kernel by rtnetlink(7), which needs no rights. Messages are read here and not by
pyroute2, whose import alone costs 24 MB and 120 ms of an interceptor that has 60 MB in all; the
tests hold the two against each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Final

from interceptor.decide.addresses import HostNetwork

# <linux/netlink.h>, <linux/rtnetlink.h>, <linux/if_addr.h>
_NETLINK_ROUTE, _SOL_NETLINK, _GET_STRICT_CHK = 0, 270, 12
_REQUEST, _DUMP, _INTERRUPTED = 0x1, 0x300, 0x10
_ERROR, _DONE = 2, 3
_GET_ADDRESS, _GET_ROUTE = 22, 26
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_GATEWAY, _RTA_TABLE = 1, 5, 15
_TABLE_LOCAL: Final = 255
_LOCAL_TYPES: Final = (2, 4)  # RTN_LOCAL, RTN_ANYCAST
_GROUPS: Final = 0x10 | 0x40 | 0x100 | 0x400  # RTMGRP: addresses and routes of both families
_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr
_ADDRESS: Final = struct.Struct("=BBBBI")  # ifaddrmsg
_ROUTE: Final = struct.Struct("=BBBBBBBBI")  # rtmsg
_ATTRIBUTE: Final = struct.Struct("=HH")  # rtattr
_ABSENT: Final = frozenset(
    (errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.ENETUNREACH, errno.EHOSTUNREACH)
)
_FAMILIES: Final = (
    # An address of the documentation, by whose route the default gateway is found; nothing is sent.
    (socket.AF_INET, 32, 8, socket.inet_pton(socket.AF_INET, "192.0.2.1")),
    (socket.AF_INET6, 128, 16, socket.inet_pton(socket.AF_INET6, "2001:db8::1")),
)
"""Family, bits, the shortest prefix of a network to be attached to, and the address looked up.
Tunnels for everything have shorter ones: what is behind them is the internet, not near."""
_NUMBERS: Final = itertools.count(1)
_TRIES: Final = 5
_SECONDS: Final = 1.0
"""Changes that come faster are read together."""


class HostNetworks:
    """Reads them, and reads them again whenever the kernel says that they have changed.

    Attributes:
        now: as read last.
    """

    def __init__(self) -> None:
        """Read them. Call it in the network namespace that is dialled from.

        Raises:
            OSError: the kernel does not tell.
        """
        self._asking = _channel(0)
        try:
            self._news = _channel(_GROUPS)
        except OSError:
            self._asking.close()
            raise
        self._news.setblocking(False)  # noqa: FBT003
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told: Callable[[tuple[HostNetwork, ...]], None] = _nobody
        self._due: asyncio.TimerHandle | None = None
        self._last = 0.0
        self.now = read(self._asking)

    def watch(
        self, loop: asyncio.AbstractEventLoop, told: Callable[[tuple[HostNetwork, ...]], None]
    ) -> None:
        """Call `told` with what is there, now and after each change."""
        self._loop = loop
        self._told = told
        told(self.now)
        loop.add_reader(self._news, self._changed)

    def close(self) -> None:
        """Read no more."""
        if self._loop is not None:
            self._loop.remove_reader(self._news)
        if self._due is not None:
            self._due.cancel()
        self._news.close()
        self._asking.close()

    def _changed(self) -> None:
        # What the news say is of no interest, and may be incomplete: all is read again.
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    self._news.recv(1)
                except OSError as error:
                    if error.errno != errno.ENOBUFS:
                        raise
        if self._due is None:
            loop = asyncio.get_running_loop()
            wait = max(0.0, self._last + _SECONDS - loop.time())
            self._due = loop.call_later(wait, self._read)

    def _read(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = None
        self._last = loop.time()
        try:
            found = read(self._asking)
        except OSError:  # those known stay in force until it tells
            self._due = loop.call_later(_SECONDS, self._read)
            return
        if found != self.now:
            self.now = found
            self._told(found)


def _nobody(_: tuple[HostNetwork, ...]) -> None:
    """Is told until somebody watches."""


def read(channel: socket.socket) -> tuple[HostNetwork, ...]:
    """Ask the kernel: addresses, their networks, local routes (AnyIP), the default gateways.

    Raises:
        OSError: it does not tell, or its answer is malformed.
    """
    try:
        return tuple(dict.fromkeys(_networks(channel)))
    except struct.error as error:
        raise OSError(errno.EPROTO, f"rtnetlink: {error}") from error


def _networks(channel: socket.socket) -> Iterator[HostNetwork]:
    shortest = {family: (bits, least) for family, bits, least, _ in _FAMILIES}
    request = _ADDRESS.pack(0, 0, 0, 0, 0)
    for payload in _ask(channel, _GET_ADDRESS, _DUMP, request):
        family, length, *_ = _ADDRESS.unpack_from(payload)
        if family not in shortest:
            continue
        given = _attributes(payload[_ADDRESS.size :])
        network = given.get(_IFA_ADDRESS, b"")
        own = given.get(_IFA_LOCAL, network)  # the other end's, where there are but two
        bits, least = shortest[family]
        yield HostNetwork(f"{_text(family, own)}/{bits}", "an address of this host")
        if least <= length <= bits and (length < bits or network != own):
            yield _network(family, network, length, "a network of this host")
    for family, bits, least, probe in _FAMILIES:
        request = _ROUTE.pack(family, 0, 0, 0, _TABLE_LOCAL, 0, 0, 0, 0)
        for payload in _ask(channel, _GET_ROUTE, _DUMP, request):
            _, length, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(payload)
            given = _attributes(payload[_ROUTE.size :])
            (table,) = struct.unpack("=I", given.get(_RTA_TABLE, struct.pack("=I", table)))
            if table == _TABLE_LOCAL and kind in _LOCAL_TYPES and length >= least:
                yield _network(family, given.get(_RTA_DST, b""), length, "an address of this host")
        request = _ROUTE.pack(family, bits, 0, 0, 0, 0, 0, 0, 0)
        request += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(probe), _RTA_DST) + probe
        for payload in _ask(channel, _GET_ROUTE, 0, request):
            gateway = _attributes(payload[_ROUTE.size :]).get(_RTA_GATEWAY)
            if gateway is not None:
                yield HostNetwork(f"{_text(family, gateway)}/{bits}", "the gateway of this host")


def _network(family: int, address: bytes, length: int, what: str) -> HostNetwork:
    bits = 8 * len(address)
    mask = (1 << bits) - (1 << bits - length) if length <= bits else 0
    first = (int.from_bytes(address) & mask).to_bytes(len(address))
    return HostNetwork(f"{_text(family, first)}/{length}", what)


def _text(family: int, address: bytes) -> str:
    try:
        return socket.inet_ntop(family, address)
    except ValueError as error:
        raise OSError(errno.EPROTO, "rtnetlink: an address of another length") from error


def _channel(groups: int) -> socket.socket:
    channel = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE
    )
    try:
        with contextlib.suppress(OSError):  # Linux before 4.20 sends all tables
            channel.setsockopt(_SOL_NETLINK, _GET_STRICT_CHK, 1)
        channel.settimeout(_SECONDS)
        channel.bind((0, groups))
    except OSError:
        channel.close()
        raise
    return channel


def _ask(channel: socket.socket, kind: int, flags: int, request: bytes) -> list[bytes]:
    """Send one request and return the payloads of the answer."""
    for _ in range(_TRIES):
        number = next(_NUMBERS)
        header = _HEADER.pack(_HEADER.size + len(request), kind, _REQUEST | flags, number, 0)
        channel.sendto(header + request, (0, 0))
        found = _answers(channel, number, dump=bool(flags))
        if found is not None:
            return found
    raise OSError(errno.EAGAIN, "rtnetlink: the addresses change faster than they can be read")


def _answers(channel: socket.socket, number: int, *, dump: bool) -> list[bytes] | None:
    """Read what belongs to a request; None: it changed meanwhile, so ask again."""
    found: list[bytes] = []
    whole = True
    while True:
        for kind, flags, sequence, payload in messages(channel.recv(1 << 17)):
            if sequence != number:
                continue  # of a request that was given up
            whole = whole and not flags & _INTERRUPTED
            if kind == _ERROR:
                (code,) = struct.unpack_from("=i", payload)
                if -code in _ABSENT:
                    return []
                raise OSError(-code, f"rtnetlink: {os.strerror(-code)}")
            if kind == _DONE:
                return found if whole else None
            found.append(payload)
            if not dump:
                return found


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Take one datagram apart: type, flags, sequence number and payload of each message.

    Raises:
        OSError: it is malformed.
    """
    while len(data) >= _HEADER.size:
        size, kind, flags, sequence, _ = _HEADER.unpack_from(data)
        if not _HEADER.size <= size <= len(data):
            raise OSError(errno.EPROTO, "rtnetlink: a message of another length")
        yield kind, flags, sequence, data[_HEADER.size : size]
        data = data[size + 3 & ~3 :]


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(data) >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= size <= len(data):
            raise OSError(errno.EPROTO, "rtnetlink: an attribute of another length")
        found[kind] = data[_ATTRIBUTE.size : size]
        data = data[size + 3 & ~3 :]
    return found
