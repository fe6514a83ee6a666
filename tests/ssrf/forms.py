"""Spellings of hosts, as data and as a generator, and the honest twins that must pass."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from interceptor.verdict import Reason

PRIVATE, METADATA, RESERVED = (
    Reason.ADDRESS_PRIVATE,
    Reason.ADDRESS_METADATA,
    Reason.ADDRESS_RESERVED,
)


class Form(NamedTuple):
    """One spelling of a host."""

    text: str
    """As written where a URL has its host; IPv6 in brackets."""
    address: str
    """What it stands for, canonical; empty for a name."""
    spelling: str
    reason: Reason = Reason.ALLOWED
    """Why it is refused by whoever can read it."""

    @property
    def on_the_wire(self) -> bool:
        """True if it is a host as HTTP has it (RFC 9110 section 4.2, RFC 3986 section 3.2.2).

        Anything else is for URL parsers, which turn it into one before they send it.
        """
        return self.text.isascii() and "%" not in self.text and "\t" not in self.text

    @property
    def name(self) -> str:
        """The host without brackets."""
        return self.text.removeprefix("[").removesuffix("]")


V4: Final = (
    ("169.254.169.254", METADATA),
    ("169.254.170.2", METADATA),
    ("100.100.100.200", METADATA),
    ("168.63.129.16", METADATA),
    ("192.0.0.192", METADATA),
    ("127.0.0.1", PRIVATE),
    ("127.255.255.254", PRIVATE),
    ("10.0.0.5", PRIVATE),
    ("172.16.0.1", PRIVATE),
    ("172.31.255.254", PRIVATE),
    ("192.168.77.2", PRIVATE),
    ("100.64.0.1", PRIVATE),
    ("169.254.1.1", PRIVATE),
    ("0.0.0.0", RESERVED),
    ("192.0.2.33", RESERVED),
    ("224.0.0.1", RESERVED),
    ("255.255.255.255", RESERVED),
)
V6: Final = (
    ("fd00:ec2::254", METADATA),
    ("fd20:ce::254", METADATA),
    ("fd00:c1::a9fe:a9fe", METADATA),
    ("fe80::a9fe:a9fe", METADATA),
    ("::1", PRIVATE),
    ("::", RESERVED),
    ("fe80::1", PRIVATE),
    ("fec0::1", PRIVATE),
    ("fc00::1", PRIVATE),
    ("fd12:3456:789a::5", PRIVATE),
    ("ff02::1", RESERVED),
    ("2001:db8::1", RESERVED),
    ("3fff::1", RESERVED),
    ("100::1", RESERVED),
    ("5f00::1", RESERVED),
    ("4000::1", RESERVED),
)
NAMES: Final = (
    *("metadata.google.internal", "metadata.goog", "metadata", "instance-data"),
    *("instance-data.ec2.internal", "instance-data.eu-west-1.compute.internal"),
    *("metadata.azure.internal", "metadata.tencentyun.com", "api.metadata.cloud.ibm.com"),
    *("metadata.exoscale.com", "metadata.packet.net", "metadata.platformequinix.com"),
    *("data-server", "rancher-metadata", "rancher-metadata.rancher.internal", "_api.internal"),
    *("kubernetes", "kubernetes.default", "kubernetes.default.svc"),
    *("kubernetes.default.svc.cluster.local", "kubernetes.default.svc.prod.corp.example"),
)
"""Names of platforms' own services: refused as metadata before anything is resolved."""


def _octets(address: str) -> tuple[int, int, int, int]:
    a, b, c, d = ipaddress.IPv4Address(address).packed
    return a, b, c, d


def _number(address: str) -> int:
    return int(ipaddress.IPv4Address(address))


def _script(zero: int) -> Callable[[str], str]:
    table = {ord("0") + n: zero + n for n in range(10)}
    return lambda text: text.translate(table)


def _circled(text: str) -> str:
    return "".join("⓪①②③④⑤⑥⑦⑧⑨"[int(c)] if c.isdigit() else c for c in text)


def _escaped(text: str, letters: str = "") -> str:
    return "".join(f"%{ord(c):02x}" if not letters or c in letters else c for c in text)


SPELLINGS_V4: Final[dict[str, Callable[[str], str]]] = {
    "dotted": str,
    "trailing dot": lambda t: f"{t}.",
    "decimal": lambda t: str(_number(t)),
    "hexadecimal": lambda t: hex(_number(t)),
    "HEXADECIMAL": lambda t: f"0X{_number(t):08X}",
    "hexadecimal, many zeros": lambda t: f"0x{_number(t):040x}",
    "octal": lambda t: f"0{_number(t):o}",
    "octal parts": lambda t: ".".join(f"0{n:o}" for n in _octets(t)),
    "padded octal parts": lambda t: ".".join(f"0000{n:o}" for n in _octets(t)),
    "hexadecimal parts": lambda t: ".".join(hex(n) for n in _octets(t)),
    "mixed parts": lambda t: "{:#x}.{}.0{:o}.{}".format(*_octets(t)),
    "three parts": lambda t: "{}.{}.{}".format(*_octets(t)[:2], _number(t) & 0xFFFF),
    "two parts": lambda t: f"{_octets(t)[0]}.{_number(t) & 0xFFFFFF}",
    "two parts, mixed": lambda t: f"0{_octets(t)[0]:o}.{_number(t) & 0xFFFFFF:#x}",
    "decimal, trailing dot": lambda t: f"{_number(t)}.",
    "full-width digits": _script(ord("０")),
    "full-width dots": lambda t: t.replace(".", "．"),
    "ideographic dots": lambda t: t.replace(".", "。"),
    "half-width dots": lambda t: t.replace(".", "｡"),
    "one-dot leaders": lambda t: t.replace(".", "\u2024"),
    "circled digits": _circled,
    "bold digits": _script(0x1D7CE),
    "subscript digits": _script(ord("₀")),
    "Arabic digits": _script(ord("٠")),
    "Devanagari digits": _script(ord("०")),
    "full-width hexadecimal": lambda t: f"０ｘ{_number(t):x}",
    "soft hyphen": lambda t: t[:2] + "\u00ad" + t[2:],
    "zero-width space": lambda t: t.replace(".", "\u200b.", 1),
    "word joiner": lambda t: t + "\u2060",
    "percent-encoded": _escaped,
    "percent-encoded dots": lambda t: _escaped(t, "."),
    "percent-encoded full-width": lambda t: "".join(
        f"%{byte:02X}" for byte in _script(ord("０"))(t).encode()
    ),
}  # fmt: skip


def _mapped(high: int, low: int, prefix: int) -> Callable[[str], str]:
    """Put the address at the end of 128 bits that begin with these words."""
    return lambda t: str(ipaddress.IPv6Address(high << 64 | low << prefix | _number(t)))


def _translated(prefix: str, length: int) -> Callable[[str], str]:
    """RFC 6052 section 2.2."""

    def made(text: str) -> str:
        bits = f"{int(ipaddress.IPv6Address(prefix)):0128b}"[:length]
        for bit in f"{_number(text):032b}":
            bits += "0" * 8 * (len(bits) == 64) + bit
        return str(ipaddress.IPv6Address(int(bits.ljust(128, "0"), 2)))

    return made


def _teredo(server: str, client: str) -> str:
    words = 0x20010000 << 96 | _number(server) << 64
    return str(ipaddress.IPv6Address(words | ~_number(client) & 0xFFFFFFFF))


EMBEDDINGS: Final[dict[str, Callable[[str], str]]] = {
    "IPv4-mapped": lambda t: f"::ffff:{t}",
    "IPv4-mapped, hexadecimal": lambda t: _mapped(0, 0xFFFF, 32)(t),
    "IPv4-mapped, exploded": lambda t: ipaddress.IPv6Address(f"::ffff:{t}").exploded,
    "IPV4-MAPPED": lambda t: f"::FFFF:{t}",
    "IPv4-compatible": lambda t: f"::{t}",
    "IPv4-translated": lambda t: f"::ffff:0:{t}",
    "NAT64": lambda t: f"64:ff9b::{t}",
    "local NAT64 /96": _translated("64:ff9b:1::", 96),
    "local NAT64 /64": _translated("64:ff9b:1:7::", 64),
    "local NAT64 /56": _translated("64:ff9b:1:100::", 56),
    "local NAT64 /48": _translated("64:ff9b:1::", 48),
    "6to4": lambda t: str(ipaddress.IPv6Address(0x2002 << 112 | _number(t) << 80 | 1)),
    "Teredo client": lambda t: _teredo("8.8.8.8", t),
    "Teredo server": lambda t: _teredo(t, "8.8.8.8"),
    "ISATAP": lambda t: f"2d00:77::5efe:{t}",
    "ISATAP, universal": lambda t: f"2d00:77::200:5efe:{t}",
    "ISATAP, link-local": lambda t: f"fe80::5efe:{t}",
}  # fmt: skip
SPELLINGS_V6: Final[dict[str, Callable[[str], str]]] = {
    "IPv6": str,
    "IPv6, exploded": lambda t: ipaddress.IPv6Address(t).exploded,
    "IPV6": str.upper,
    "IPv6, zone": lambda t: f"{t}%eth0",
    "IPv6, zone as in RFC 6874": lambda t: f"{t}%25eth0",
    "IPv6, full-width": _script(ord("０")),
}
SPELLINGS_NAME: Final[dict[str, Callable[[str], str]]] = {
    "name": str,
    "NAME": str.upper,
    "name, trailing dot": lambda t: f"{t}.",
    "name, percent-encoded": lambda t: _escaped(t[:3]) + t[3:],
}


def refused() -> Iterator[Form]:
    """Every spelling of every host that must not be reached."""
    for address, reason in V4:
        for spelling, write in SPELLINGS_V4.items():
            yield Form(write(address), address, spelling, reason)
        for spelling, write in EMBEDDINGS.items():
            text = write(address)
            yield Form(f"[{text}]", _canonical(text), spelling, _inner(address, reason))
    for address, reason in V6:
        for spelling, write in SPELLINGS_V6.items():
            yield Form(f"[{write(address)}]", address, spelling, reason)
    for length in (96, 64, 56, 48, 40, 32):
        text = _translated("2d00:77::", length)("169.254.169.254")
        yield Form(f"[{text}]", text, f"translated /{length}", METADATA)
    for name in NAMES:
        for spelling, write in SPELLINGS_NAME.items():
            yield Form(write(name), "", spelling, METADATA)


def _canonical(text: str) -> str:
    """RFC 5952, with the mapped form as Python 3.13 writes it."""
    address = ipaddress.IPv6Address(text)
    return f"::ffff:{address.ipv4_mapped}" if address.ipv4_mapped else str(address)


def _inner(address: str, reason: Reason) -> Reason:
    """What is said of an IPv6 address that carries this one: `::0.0.0.0` is `::` itself."""
    return RESERVED if reason is RESERVED or address == "0.0.0.0" else reason


_BESIDE: Final = (
    *("9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0"),
    *("168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255"),
    *("172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "1.0.0.0"),
    *("223.255.255.255", "11.22.33.10", "169.22.33.10"),
)
_BESIDE_V6: Final = (
    *("2d00:77::10", "2600::1", "2001:200::1", "2003::1", "3fff:1000::1", "2d00:77::a9fe:a9ff"),
    *("2d00:77::a00:5", "2d00:77::7f00:1", "2001:db9::1"),
)
_ALIKE: Final = (
    *("example.com", "API.example.com", "api.example.com.", "a.b.c.d.e.f.example.com"),
    *("10.0.0.1.example.com", "10-0-0-1.example.com", "169.254.169.254.example.com"),
    *("0x7f.example.com", "127001.example.com", "2130706433.example.com", "7f000001.example.com"),
    *("metadata.example.com", "kubernetes.example.com", "kubernetes.io", "cloud.google.com"),
    *("metadata.google.example", "instance-data.example.com", "localhost.example.com"),
    *("local.example.com", "x" * 63 + ".example.com", "metadata.google.internal.example.com"),
)
TWINS: Final = (
    *(Form(text, text, "dotted") for text in _BESIDE),
    *(Form(f"[{text}]", text, "IPv6") for text in _BESIDE_V6),
    *(Form(text, "", "name") for text in _ALIKE),
)
"""Hosts that look alike, or stand right beside, and are honest."""
