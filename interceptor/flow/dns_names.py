"""Names that are answered otherwise than by a lease: reserved ones, and those clients probe with.

docs/dns.md gives the reasons, one by one. What is answered here is answered without asking anybody.
"""

from __future__ import annotations

import re
from typing import Final

CANARIES: Final = frozenset({"use-application-dns.net", "mask.icloud.com", "mask-h2.icloud.com"})
"""Names whose absence tells Firefox and Apple's relay not to bypass the system's resolver."""

LOOPBACK: Final = {4: b"\x7f\0\0\x01", 6: bytes(15) + b"\x01"}
"""127.0.0.1 and ::1, by family."""

IPV4_ONLY: Final = (b"\xc0\0\0\xaa", b"\xc0\0\0\xab")
"""Addresses of ipv4only.arpa, which has no IPv6 ones: there is no NAT64 here (RFC 8880)."""

_NEVER: Final = frozenset({"onion", "alt"})
"""Not for DNS at all: RFC 7686 section 2, RFC 9476 section 2."""
_UNLESS_OPENED: Final = frozenset({"local"})
"""For multicast DNS (RFC 6762 section 22.1), and for company networks all the same."""
_PROBES: Final = frozenset({"wpad", "isatap"})
"""First labels that software asks for by itself, to be configured by whoever answers."""

_HOST: Final = re.compile(
    r"(?=.{1,253}\Z)(?!(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\Z)"
    r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
    r"(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*",
)


def is_host(name: str) -> bool:
    """True for what may be the name of a host, and is no address in disguise."""
    return _HOST.fullmatch(name) is not None


def is_local(name: str) -> bool:
    """True for names of the own machine (RFC 6761 section 6.3), as systemd-resolved has them."""
    return name.endswith("localhost.localdomain") and (
        name == "localhost.localdomain" or name.endswith(".localhost.localdomain")
    )


def absent(name: str, top: str) -> bool:
    """True for what does not exist, whatever policy says; `top` is the last label of `name`."""
    return top in _NEVER or name in CANARIES


def absent_unless_opened(name: str, top: str) -> bool:
    """True for what does not exist unless policy names it."""
    return top in _UNLESS_OPENED or name.partition(".")[0] in _PROBES or name.endswith(".home.arpa")


def reverse_address(labels: list[str]) -> bytes | None:
    """The address that the labels of a name below in-addr.arpa or ip6.arpa spell (RFC 3596, 2.5).

    Empty for a name above an address (a zone cut), None for one that spells nothing.
    """
    digits = labels[-3::-1]
    if labels[-2] == "ip6":
        if len(digits) > 32 or any(len(d) != 1 or d not in "0123456789abcdef" for d in digits):
            return None
        return bytes.fromhex("".join(digits)) if len(digits) == 32 else b""
    octets = [int(d) if d.isdecimal() and d.isascii() and len(d) <= 3 else 256 for d in digits]
    if len(octets) > 4 or any(octet > 255 for octet in octets):
        return None
    return bytes(octets) if len(octets) == 4 else b""
