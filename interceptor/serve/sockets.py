"""What the kernel knows about the agent's connections, and how they are cut."""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Final

_SO_ORIGINAL_DST: Final = 80  # linux/netfilter_ipv4.h; IP6T_SO_ORIGINAL_DST has the same number
_AT_ONCE: Final = struct.pack("ii", 1, 0)  # struct linger, socket(7)


def original_destination(sock: socket.socket) -> tuple[str, int]:
    """Address and port that the agent dialled, before the redirection.

    Raises:
        OSError: when the connection was not redirected.
    """
    if sock.family == socket.AF_INET6:
        raw = sock.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28)
        address = ipaddress.IPv6Address(raw[8:24])
        return str(address.ipv4_mapped or address), int.from_bytes(raw[2:4], "big")
    raw = sock.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, 16)
    return socket.inet_ntoa(raw[4:8]), int.from_bytes(raw[2:4], "big")


def reset_on_close(sock: socket.socket) -> None:
    """Have the next close send RST, so that the peer knows at once (RFC 9293 section 3.10.5).

    Raises:
        OSError: the socket is closed already.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
