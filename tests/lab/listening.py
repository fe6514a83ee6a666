"""Sockets of the lab's servers, bound to addresses that AnyIP routes make local."""

from __future__ import annotations

import socket

_IP_FREEBIND = 15  # <linux/in.h>
_IPV6_FREEBIND = 78  # <linux/in6.h>


def bound_socket(
    address: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM
) -> socket.socket:
    """Non-blocking socket bound to any address; listening already when it is TCP's."""
    six = ":" in address
    bound = socket.socket(socket.AF_INET6 if six else socket.AF_INET, kind)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if six:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    else:
        bound.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
    bound.bind((address, port))
    if kind == socket.SOCK_STREAM:
        bound.listen(512)
    bound.setblocking(False)
    return bound
