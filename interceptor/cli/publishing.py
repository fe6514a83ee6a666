"""`--publish [HOSTIP:]HOSTPORT:JAILPORT`: what it says, and the listeners on the host."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from collections.abc import Sequence
from typing import Final

from interceptor.cli.plan import SetupError
from interceptor.serve.messages import Published

MOST: Final = 16
"""Ports one jail may publish."""
_FORM: Final = re.compile(r"(?:(\[[0-9A-Fa-f:.]+\]|[0-9.]+):)?([0-9]{1,5}):([0-9]{1,5})")
_BACKLOG: Final = 128


def parse(texts: Sequence[str]) -> tuple[Published, ...]:
    """Read the values of `--publish`.

    Raises:
        ValueError: with what is wrong, and what would be right.
    """
    found: dict[tuple[str, int], Published] = {}
    for text in texts:
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(
                f"--publish {text}: expected [HOSTIP:]HOSTPORT:JAILPORT, such as 3000:3000"
            )
        try:
            address = str(ipaddress.ip_address((match[1] or "127.0.0.1").strip("[]")))
        except ValueError:
            raise ValueError(f"--publish {text}: {match[1]} is no address") from None
        port, jail_port = int(match[2]), int(match[3])
        if not (0 < port < 65536 and 0 < jail_port < 65536):
            raise ValueError(f"--publish {text}: ports are numbers from 1 to 65535")
        if (address, port) in found:
            raise ValueError(f"--publish {text}: {address} port {port} is published twice")
        found[address, port] = Published(address, port, jail_port)
    if len(found) > MOST:
        raise ValueError(f"--publish: more than {MOST} ports")
    return tuple(found.values())


def listen(published: Sequence[Published]) -> list[socket.socket]:
    """Listen on the host's side of each.

    Raises:
        SetupError: a port is taken, or may not be had; names it.
    """
    listeners: list[socket.socket] = []
    try:
        for place in published:
            listeners.append(_listener(place))
    except OSError as error:
        for listener in listeners:
            listener.close()
        fix = {
            errno.EADDRINUSE: "another program listens there; publish on another port",
            errno.EACCES: "ports below 1024 take root; publish on a higher one",
            errno.EADDRNOTAVAIL: "this machine has no such address",
        }
        number = error.errno or errno.EIO
        said = fix.get(number, os.strerror(number))
        raise SetupError(f"--publish {place.text}: {said}") from error
    return listeners


def _listener(place: Published) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((place.address, place.port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
