"""Host patterns and networks as an operator writes them.

Every function raises ValueError with one clause: what is wrong and what was expected.
"""

from __future__ import annotations

import ipaddress
import re

import msgspec

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")


class HostPattern(msgspec.Struct, frozen=True):
    """A parsed host pattern."""

    host: str
    """Lower-case name or canonical address; empty for `*`, which fits any host."""
    subdomains: bool
    """True for `*.host`: any subdomain, not `host` itself."""
    port: int | None
    """The only port the pattern speaks about; None for every port."""


def parse_pattern(text: str) -> HostPattern:
    """Parse `example.org`, `*.example.org`, `*`, `192.0.2.1` or `[2001:db8::1]`, with `:port`.

    Raises:
        ValueError: the text is none of these.
    """
    if "://" in text or "/" in text:
        raise ValueError("a host pattern has no scheme and no path")
    host, port = _split_port(text.strip())
    if host == "*":
        return HostPattern("", subdomains=True, port=port)
    subdomains = host.startswith("*.")
    name = host[2:] if subdomains else host
    if "*" in name:
        raise ValueError("`*` may stand only for the leading labels, as in `*.example.org`")
    if "%" in name:
        raise ValueError("an address with a zone means something on one machine only")
    literal = _address(name)
    if literal is not None:
        if subdomains:
            raise ValueError("an address has no subdomains")
        return HostPattern(literal, subdomains=False, port=port)
    return HostPattern(_name(name), subdomains=subdomains, port=port)


def parse_network(text: str) -> tuple[int, int, int]:
    """Parse an address or a CIDR network into (version, first, last), the ends as integers.

    Raises:
        ValueError: not an address or network, or host bits are set.
    """
    text = text.strip()
    expected = "expected an address or a CIDR network such as 10.1.0.0/16"
    _, slash, length = text.partition("/")
    if "%" in text or (slash and not length.isdecimal()):  # zones and masks, which it would take
        raise ValueError(expected)
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        message = str(error)
        if "host bits" in message:
            fixed = ipaddress.ip_network(text, strict=False)
            raise ValueError(f"the network has host bits set; write {fixed}") from None
        raise ValueError(expected) from None
    return network.version, int(network.network_address), int(network.broadcast_address)


class ServiceEntry(msgspec.Struct, frozen=True):
    """A parsed entry of `services`."""

    name: str
    """Lower-case name."""
    port: int
    """Port in the jail."""
    address: str
    """Where the service is: canonical address text."""
    service_port: int


_UNRESOLVED = frozenset(("localhost", "local", "onion", "alt", "arpa"))
"""Top labels below which a jail's resolver gives no name an address that we would see."""


def parse_service(name: str, place: str) -> ServiceEntry:
    """Parse `NAME: ADDRESS:PORT` or `NAME:PORT: ADDRESS:PORT` of the `services` section.

    Raises:
        ValueError: not a name, not an address with a port, or an address that nobody can dial.
    """
    if "/" in name or "*" in name:
        raise ValueError("a service has a plain name: no scheme, no path, no `*`")
    host, port = _split_port(name.strip())
    if _address(host) is not None:
        raise ValueError("a service has a name; an address is opened under addresses.allow")
    host = _name(host)
    top = host.rpartition(".")[2]
    first = host.partition(".")[0]
    if top in _UNRESOLVED or first in ("wpad", "isatap"):
        what = f"`.{top}`" if top in _UNRESOLVED and "." in host else f"`{first}`"
        raise ValueError(f"{what} is never looked up in DNS; use a name such as ollama.internal")
    if place.strip().startswith(("unix:", "/")):
        raise ValueError("unix sockets are not reached; let the service listen on a TCP port")
    text, service_port = _split_port(place.strip())
    literal = _address(text)
    if literal is None or service_port is None or "%" in text:
        raise ValueError("expected an address and a port such as 127.0.0.1:11434 or [::1]:11434")
    address = ipaddress.ip_address(literal)
    if address.is_unspecified or address.is_multicast or getattr(address, "ipv4_mapped", None):
        raise ValueError(f"{literal} is not the address of one host")
    return ServiceEntry(host, port or service_port, literal, service_port)


def _split_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket:
            raise ValueError("`[` is not closed")
        if rest and not rest.startswith(":"):
            raise ValueError("only `:port` may follow `]`")
        if _address(host) is None or ":" not in host:
            raise ValueError("expected an IPv6 address between `[` and `]`")
        return host, _port(rest[1:]) if rest else None
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, _port(port)
    return text, None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError("the port must be a number from 1 to 65535")
    return int(text)


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _name(text: str) -> str:
    name = text.removesuffix(".").lower()
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError("the name cannot be written in A-labels (IDNA)") from None
    if not name or len(name) > 253:
        raise ValueError("a host name has 1 to 253 characters")
    labels = name.split(".")
    for label in labels:
        if not _LABEL.match(label):
            raise ValueError(
                "each label has 1 to 63 letters, digits, hyphens or underscores "
                "and neither starts nor ends with a hyphen"
            )
    if labels[-1].isdigit() or re.fullmatch(r"0x[0-9a-f]*", labels[-1]) is not None:
        raise ValueError("the last label is a number, and yet this is no address")
    return name
