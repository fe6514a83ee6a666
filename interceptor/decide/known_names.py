"""Names whose address is known without asking anybody.

The data plane judges what a name resolves to. Where nothing is resolved, these names would pass
unjudged although everybody knows where they lead.
"""

from __future__ import annotations

import re
from typing import Final

from interceptor.decide.literals import parse, text_of
from interceptor.decide.metadata import stands_for

_LOOPBACK: Final = ("127.0.0.1", "::1")
_NAMES: Final = {
    # RFC 6761 section 6.3, and what /etc/hosts of Debian and Fedora has
    "localhost": _LOOPBACK,
    "localhost.localdomain": _LOOPBACK,
    "localhost6": ("::1",),
    "ip6-localhost": ("::1",),
    "ip6-loopback": ("::1",),
    # docs.docker.com, "Networking features in Docker Desktop"
    "host.docker.internal": ("192.168.65.254",),
    "gateway.docker.internal": ("192.168.65.1",),
    "kubernetes.docker.internal": ("127.0.0.1",),
}
_BELOW: Final = {
    "localhost": _LOOPBACK,
    # public names for developers, any label below which is the own machine
    "localtest.me": ("127.0.0.1",),
    "lvh.me": ("127.0.0.1",),
    "vcap.me": ("127.0.0.1",),
    "fuf.me": ("127.0.0.1",),
    "lacolhost.com": ("127.0.0.1",),
}
# Services that answer with the addresses written in the name, the last two with each in turn.
_WRITERS: Final = (".nip.io", ".sslip.io", ".xip.io", ".traefik.me", ".rbndr.us", ".1u.ms")
_QUAD: Final = re.compile(
    r"(?<![0-9])([0-9]{1,3})([.-])([0-9]{1,3})\2([0-9]{1,3})\2([0-9]{1,3})(?![0-9])"
)
_HEX: Final = re.compile(r"(?:^|[.-])([0-9a-f]{8})(?=[.-]|\Z)")


def known_addresses(name: str) -> tuple[str, ...]:
    """Return the addresses that a lower-case name without trailing dot is known to have."""
    found = _NAMES.get(name)
    if found is not None:
        return found
    cloud = stands_for(name)
    if cloud is not None:
        return cloud[1]
    for parent, addresses in _BELOW.items():
        if name.endswith(parent) and name[: -len(parent)][-1:] in ("", "."):
            return addresses
    for parent in _WRITERS:
        if name.endswith(parent):
            return _written(name.removesuffix(parent))
    return ()


def _written(labels: str) -> tuple[str, ...]:
    """Return the addresses that labels spell: with dots, with dashes, in hexadecimal."""
    # `fe80--1` is how sslip.io has `fe80::1`
    number = parse(labels.rpartition(".")[2].replace("-", ":"))
    if number is not None and number[0] == 6:
        return (text_of(number),)
    found = [
        ".".join(str(int(quad[group])) for group in (1, 3, 4, 5)) for quad in _QUAD.finditer(labels)
    ]
    if not found:
        hexadecimal = [bytes.fromhex(digits[1]) for digits in _HEX.finditer(labels)]
        found = [".".join(map(str, octets)) for octets in hexadecimal]
    return tuple(found)
