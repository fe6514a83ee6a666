"""Datagram sockets of the captive namespace: what address was dialled, and answering from it.

Every address is local there. A listener on all of them learns from IP_PKTINFO which one a datagram
was sent to (ip(7), RFC 3542 section 6), and its answer must come from that one, or neither the
connection tracking nor the client knows it for an answer.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any, Final

CONTROL: Final = socket.CMSG_SPACE(20)
"""Room for the control data of one datagram: a struct in6_pktinfo."""

Control = list[tuple[int, int, bytes]]

_IP_PKTINFO: Final = 8  # ip(7); the socket module of Python 3.11 does not name it
_IPV6_FREEBIND: Final = 78  # linux/in6.h
_IN_PKTINFO: Final = struct.Struct("=I4s4s")
_IN6_PKTINFO: Final = struct.Struct("=16sI")


def prepare(sock: socket.socket) -> None:
    """Make a bound socket tell what was dialled, and able to answer from it; it will not block."""
    sock.settimeout(0)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        # IPv6 answers from an AnyIP address only with this; IPv4 asks for nothing.
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def received(
    sock: socket.socket, buffer: bytearray, most: int
) -> Iterator[tuple[bytes, str, int, tuple[Any, ...]]]:
    """The datagrams that wait, at most so many: data, what `asked_address` says, and the sender.

    One that is longer than the buffer is cut off.
    """
    for _ in range(most):
        try:
            size, control, _, sender = sock.recvmsg_into([buffer], CONTROL)
        except BlockingIOError:
            return
        except OSError:
            continue  # an ICMP error of an earlier answer; reading it clears it
        address, interface = asked_address(control)
        yield bytes(buffer[:size]), address, interface, sender


def asked_address(control: Control) -> tuple[str, int]:
    """The address a datagram was sent to, canonical text, and the interface it came in on.

    The interface is 0 where the address is the same on all of them. No address: ("", 0).
    """
    for level, kind, data in control:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _, _, address = _IN_PKTINFO.unpack(data[: _IN_PKTINFO.size])
            return socket.inet_ntoa(address), 0
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            address, interface = _IN6_PKTINFO.unpack(data[: _IN6_PKTINFO.size])
            scoped = address[0] in {0xFE, 0xFF}
            return socket.inet_ntop(socket.AF_INET6, address), interface if scoped else 0
    return "", 0


def answer_from(address: str, interface: int = 0) -> Control:
    """The control data that makes a datagram come from `address`; as `asked_address` gave it."""
    if not address:
        return []
    if ":" in address:
        info = _IN6_PKTINFO.pack(socket.inet_pton(socket.AF_INET6, address), interface)
        return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info)]
    info = _IN_PKTINFO.pack(0, socket.inet_aton(address), bytes(4))
    return [(socket.IPPROTO_IP, _IP_PKTINFO, info)]
