"""Names whose address is known without asking anybody.

The data plane judges what a name resolves to. Where nothing is resolved, these names would pass
unjudged although everybody knows where they lead.
"""

from __future__ import annotations

import re
from typing import Final

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
}
# Services that answer with the address written in the name: nip.io, sslip.io.
_WRITTEN: Final = re.compile(
    r"(?:^|[.-])([0-9]{1,3})([.-])([0-9]{1,3})\2([0-9]{1,3})\2([0-9]{1,3})\.(?:nip\.io|sslip\.io)\Z"
)
_HEX: Final = re.compile(r"(?:^|[.-])([0-9a-f]{8})\.nip\.io\Z")


def known_addresses(name: str) -> tuple[str, ...]:
    """Return the addresses that a lower-case name without trailing dot is known to have."""
    found = _NAMES.get(name)
    if found is not None:
        return found
    cloud = stands_for(name)
    if cloud is not None:
        return cloud[1]
    if name.endswith((".io", ".me", ".localhost")):
        for parent, addresses in _BELOW.items():
            if name == parent or name.endswith(f".{parent}"):
                return addresses
        written = _WRITTEN.search(name)
        if written is not None:
            return (".".join(str(int(written[group])) for group in (1, 3, 4, 5)),)
        digits = _HEX.search(name)
        if digits is not None:
            return (".".join(str(byte) for byte in bytes.fromhex(digits[1])),)
    return ()
