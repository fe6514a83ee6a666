"""Address space that is never dialled, as data.

Compiled in 2025 from the RFCs named at each entry, which are what these registries hold: IANA
IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 as updated by RFC 8190), IPv6 Global
Unicast Address Assignments (only 2000::/3 is global unicast), the multicast registries; and from
the cloud vendors' pages on instance metadata. The registries themselves were not fetched. Ranges
they mark "globally reachable" inside public space (AS112, AMT) are left public.
"""

from __future__ import annotations

from interceptor.verdict import Reason

_PRIVATE = Reason.ADDRESS_PRIVATE
_RESERVED = Reason.ADDRESS_RESERVED

V4: tuple[tuple[str, Reason, str], ...] = (
    ("0.0.0.0/8", _RESERVED, "this network, RFC 791"),
    ("10.0.0.0/8", _PRIVATE, "private use, RFC 1918"),
    ("100.64.0.0/10", _PRIVATE, "carrier-grade NAT, RFC 6598"),
    ("127.0.0.0/8", _PRIVATE, "loopback, RFC 1122"),
    ("169.254.0.0/16", _PRIVATE, "link-local, RFC 3927"),
    ("172.16.0.0/12", _PRIVATE, "private use, RFC 1918"),
    ("192.0.0.0/24", _RESERVED, "IETF protocol assignments, RFC 6890"),
    ("192.0.2.0/24", _RESERVED, "documentation, RFC 5737"),
    ("192.88.99.0/24", _RESERVED, "6to4 relay anycast, RFC 7526"),
    ("192.168.0.0/16", _PRIVATE, "private use, RFC 1918"),
    ("198.18.0.0/15", _RESERVED, "benchmarking, RFC 2544; synthetic addresses here"),
    ("198.51.100.0/24", _RESERVED, "documentation, RFC 5737"),
    ("203.0.113.0/24", _RESERVED, "documentation, RFC 5737"),
    ("224.0.0.0/4", _RESERVED, "multicast, RFC 5771"),
    ("240.0.0.0/4", _RESERVED, "reserved and broadcast, RFC 1112"),
)
"""IPv4 networks, reason, and what they are. They do not overlap."""

V6: tuple[tuple[str, Reason, str], ...] = (
    ("::/128", _RESERVED, "unspecified, RFC 4291"),
    ("::1/128", _PRIVATE, "loopback, RFC 4291"),
    ("100::/64", _RESERVED, "discard only, RFC 6666"),
    ("100:0:0:1::/64", _RESERVED, "dummy prefix, RFC 9780"),
    ("2001::/23", _RESERVED, "IETF protocol assignments, RFC 2928"),
    ("2001:db8::/32", _RESERVED, "documentation, RFC 3849"),
    ("3fff::/20", _RESERVED, "documentation, RFC 9637"),
    ("5f00::/16", _RESERVED, "segment routing SIDs, RFC 9602"),
    ("fc00::/7", _PRIVATE, "unique local, RFC 4193"),
    ("fe80::/10", _PRIVATE, "link-local, RFC 4291"),
    ("fec0::/10", _PRIVATE, "site-local, RFC 3879"),
    ("ff00::/8", _RESERVED, "multicast, RFC 4291"),
)
"""IPv6 networks, reason, and what they are. They do not overlap. What is neither here nor in
`GLOBAL_UNICAST` is reserved."""

GLOBAL_UNICAST = "2000::/3"

EMBEDDED: tuple[tuple[str, int, str], ...] = (
    ("::/96", 0, "IPv4-compatible, RFC 4291"),
    ("::ffff:0:0/96", 0, "IPv4-mapped, RFC 4291"),
    ("::ffff:0:0:0/96", 0, "IPv4-translated, RFC 2765"),
    ("64:ff9b::/96", 0, "NAT64, RFC 6052"),
    ("64:ff9b:1::/48", 0, "local-use NAT64, RFC 8215"),
    ("2001::/32", -1, "Teredo, RFC 4380"),
    ("2002::/16", 80, "6to4, RFC 3056"),
)
"""IPv6 networks that carry an IPv4 address, the shift (bits from the right) where it stands,
and what they are. Shift -1: the last 32 bits, inverted."""

METADATA: tuple[tuple[str, str], ...] = (
    ("169.254.169.254", "instance metadata of AWS, GCP, Azure, Oracle, OpenStack and others"),
    ("169.254.169.253", "resolver of AWS"),
    ("169.254.169.123", "time service of AWS"),
    ("169.254.170.2", "task credentials of AWS ECS"),
    ("169.254.170.23", "pod credentials of AWS EKS"),
    ("169.254.0.23", "instance metadata of Tencent Cloud"),
    ("100.100.100.200", "instance metadata of Alibaba Cloud"),
    ("168.63.129.16", "platform address of Azure"),
    ("192.0.0.192", "instance metadata of Oracle Cloud"),
    ("fd00:ec2::254", "instance metadata of AWS"),
    ("fd00:ec2::253", "resolver of AWS"),
    ("fd00:ec2::23", "pod credentials of AWS EKS"),
    ("fd00:c1::a9fe:a9fe", "instance metadata of Oracle Cloud"),
    ("fd00:42::42", "instance metadata of Scaleway"),
    ("fd20:ce::254", "instance metadata of GCP"),
)
"""Cloud metadata addresses, refused with a reason of their own."""
