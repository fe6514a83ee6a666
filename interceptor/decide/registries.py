"""Address space that is not the public internet's, as data.

| table | source | as of |
|---|---|---|
| `V4`, `V6` | IANA IPv4 and IPv6 Special-Purpose Address Registries | RFC 9780 (May 2025) |
| | (www.iana.org/assignments/iana-ipv4-special-registry, iana-ipv6-special-registry; RFC 6890, | |
| | RFC 8190), every row; the multicast registries (RFC 5771, RFC 4291) as one row each | |
| `GLOBAL_UNICAST` | IANA IPv6 Address Space (www.iana.org/assignments/ipv6-address-space) | 2025 |
| `EMBEDDED` | the RFCs named there | |

The rows were written from the RFCs that make them; the registries' pages were not fetched. What
clouds use is in `interceptor.decide.metadata`.
"""

from __future__ import annotations

from typing import NamedTuple

from interceptor.verdict import Reason

_PRIVATE = Reason.ADDRESS_PRIVATE
_RESERVED = Reason.ADDRESS_RESERVED


class Row(NamedTuple):
    """One row of a registry. A row within another one takes its addresses out of it."""

    network: str
    what: str
    """Name and source."""
    allocated: str
    """Year and month."""
    reason: Reason | None
    """Why it is not dialled; None: it is, as the registry calls it globally reachable."""


V4: tuple[Row, ...] = (
    Row("0.0.0.0/8", "this network, RFC 791", "1981-09", _RESERVED),
    Row("0.0.0.0/32", "this host on this network, RFC 1122", "1981-09", _RESERVED),
    Row("10.0.0.0/8", "private use, RFC 1918", "1996-02", _PRIVATE),
    Row("100.64.0.0/10", "shared address space (carrier-grade NAT), RFC 6598", "2012-04", _PRIVATE),
    Row("127.0.0.0/8", "loopback, RFC 1122", "1981-09", _PRIVATE),
    Row("169.254.0.0/16", "link-local, RFC 3927", "2005-05", _PRIVATE),
    Row("172.16.0.0/12", "private use, RFC 1918", "1996-02", _PRIVATE),
    Row("192.0.0.0/24", "IETF protocol assignments, RFC 6890", "2010-01", _RESERVED),
    Row("192.0.0.0/29", "IPv4 service continuity, RFC 7335", "2011-06", _RESERVED),
    Row("192.0.0.8/32", "IPv4 dummy address, RFC 7600", "2015-03", _RESERVED),
    # The next two are globally reachable, and answered by whatever router is nearest.
    Row("192.0.0.9/32", "Port Control Protocol anycast, RFC 7723", "2015-10", _RESERVED),
    Row("192.0.0.10/32", "TURN anycast, RFC 8155", "2017-02", _RESERVED),
    Row("192.0.0.170/32", "NAT64 discovery, RFC 8880", "2013-02", _RESERVED),
    Row("192.0.0.171/32", "NAT64 discovery, RFC 8880", "2013-02", _RESERVED),
    Row("192.0.2.0/24", "documentation (TEST-NET-1), RFC 5737", "2010-01", _RESERVED),
    Row("192.31.196.0/24", "AS112-v4, RFC 7535", "2014-12", None),
    Row("192.52.193.0/24", "AMT, RFC 7450", "2014-12", None),
    Row("192.88.99.0/24", "6to4 relay anycast, RFC 7526", "2001-06", _RESERVED),
    Row("192.88.99.2/32", "6a44 relay anycast, RFC 6751", "2012-10", _RESERVED),
    Row("192.168.0.0/16", "private use, RFC 1918", "1996-02", _PRIVATE),
    Row("192.175.48.0/24", "direct delegation AS112 service, RFC 7534", "1996-01", None),
    Row(
        *("198.18.0.0/15", "benchmarking, RFC 2544; synthetic addresses here", "1999-03"),
        reason=_RESERVED,
    ),
    Row("198.51.100.0/24", "documentation (TEST-NET-2), RFC 5737", "2010-01", _RESERVED),
    Row("203.0.113.0/24", "documentation (TEST-NET-3), RFC 5737", "2010-01", _RESERVED),
    Row("224.0.0.0/4", "multicast, RFC 5771", "1989-08", _RESERVED),
    Row("240.0.0.0/4", "reserved, RFC 1112", "1989-08", _RESERVED),
    Row("255.255.255.255/32", "limited broadcast, RFC 919", "1984-10", _RESERVED),
)
"""IPv4."""

V6: tuple[Row, ...] = (
    Row("::/128", "unspecified, RFC 4291", "2006-02", _RESERVED),
    Row("::1/128", "loopback, RFC 4291", "2006-02", _PRIVATE),
    Row("::ffff:0:0/96", "IPv4-mapped, RFC 4291", "2006-02", _RESERVED),
    Row("64:ff9b::/96", "NAT64, RFC 6052", "2010-10", _RESERVED),
    Row("64:ff9b:1::/48", "local-use NAT64, RFC 8215", "2017-06", _RESERVED),
    Row("100::/64", "discard only, RFC 6666", "2012-06", _RESERVED),
    Row("100:0:0:1::/64", "dummy prefix, RFC 9780", "2025-04", _RESERVED),
    Row("2001::/23", "IETF protocol assignments, RFC 2928", "2000-09", _RESERVED),
    Row("2001::/32", "Teredo, RFC 4380", "2006-01", _RESERVED),
    # Globally reachable, and answered by whatever is nearest: the next three, and AMT.
    Row("2001:1::1/128", "Port Control Protocol anycast, RFC 7723", "2015-10", _RESERVED),
    Row("2001:1::2/128", "TURN anycast, RFC 8155", "2017-02", _RESERVED),
    Row("2001:1::3/128", "DNS-SD service registration anycast, RFC 9665", "2024-04", _RESERVED),
    Row("2001:2::/48", "benchmarking, RFC 5180", "2008-04", _RESERVED),
    Row("2001:3::/32", "AMT, RFC 7450", "2014-12", _RESERVED),
    Row("2001:4:112::/48", "AS112-v6, RFC 7535", "2014-12", _RESERVED),
    Row("2001:10::/28", "ORCHID, deprecated, RFC 4843", "2007-03", _RESERVED),
    # Identifiers of other layers, nobody's address in a packet.
    Row("2001:20::/28", "ORCHIDv2, RFC 7343", "2014-07", _RESERVED),
    Row("2001:30::/28", "drone remote identification, RFC 9374", "2022-12", _RESERVED),
    Row("2001:db8::/32", "documentation, RFC 3849", "2004-07", _RESERVED),
    Row("2002::/16", "6to4, RFC 3056", "2001-02", _RESERVED),
    Row("2620:4f:8000::/48", "direct delegation AS112 service, RFC 7534", "2011-05", None),
    Row("3fff::/20", "documentation, RFC 9637", "2024-07", _RESERVED),
    Row("5f00::/16", "segment routing SIDs, RFC 9602", "2024-04", _RESERVED),
    Row("fc00::/7", "unique local, RFC 4193", "2005-10", _PRIVATE),
    Row("fe80::/10", "link-local, RFC 4291", "2006-02", _PRIVATE),
    Row("fec0::/10", "site-local, RFC 3879", "2004-09", _PRIVATE),
    Row("ff00::/8", "multicast, RFC 4291", "2006-02", _RESERVED),
)
"""IPv6. What is neither here nor in `GLOBAL_UNICAST` is reserved."""

GLOBAL_UNICAST = "2000::/3"

EMBEDDED: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("::/96", "IPv4-compatible, RFC 4291", (96,)),
    ("::ffff:0:0/96", "IPv4-mapped, RFC 4291", (96,)),
    ("::ffff:0:0:0/96", "IPv4-translated, RFC 2765", (96,)),
    ("64:ff9b::/96", "NAT64, RFC 6052", (96,)),
    ("64:ff9b:1::/48", "local-use NAT64, RFC 8215", (96, 64, 56, 48)),
    ("2001::/32", "Teredo, RFC 4380", (-96, 32)),
    ("2002::/16", "6to4, RFC 3056", (16,)),
)
"""IPv6 networks that carry an IPv4 address, what they are, and the bits, counted from the left,
at which it may begin. Bits 64 to 71 are left out where it would lie over them (RFC 6052 section
2.2). -96: the last 32 bits, inverted (RFC 4380 section 4)."""

ISATAP = (0x00005EFE, 0x02005EFE)
"""Bits 64 to 95 of an interface identifier that ends in an IPv4 address (RFC 5214 section 6.1)."""

TRANSLATED = (96, 64, 56, 48, 40, 32)
"""Where an IPv4 address begins in one that a translator of some network makes: it may have any
prefix of these lengths (RFC 6052 section 2.2)."""
