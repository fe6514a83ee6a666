"""Rules about the NIC of a captive namespace: who is behind it, and its link's own business.

Text for `netns.nft`, which puts it into the chains. What every guest says to its link before and
beside all work (neighbour discovery, DHCP, groups) is let in or dropped here, so that evidence
names attempts and not chatter.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from netns.nft import SPOOFED

SOURCES: Final = 16
"""IPv6 addresses that a guest may have at a time. The kernel's table of neighbours is one for all
namespaces, so a guest that takes more would fill it for everybody."""

_DROP_SPOOFED: Final = f"counter name refused_{SPOOFED} drop"
_FROM_GUEST: Final = "{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert }"
_TO_GUEST: Final = "{ nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert }"
_GROUPS: Final = (
    "{ mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report }"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """The only link of a captive namespace, and the only guest behind it, as the rules know it."""

    interface: str
    """Name inside the namespace."""
    mac: str
    """The guest's hardware address."""
    guest_ipv4: str
    gateway_ipv4: str
    prefix_ipv6: str
    """The /64 that the guest takes its addresses from (RFC 4862)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Chatter:
    """What becomes of a guest's link traffic."""

    wanted: str
    """Verdict on what we answer: RFC 4861, RFC 2131."""
    groups: str
    """Verdict on what nobody wants but every guest says: its groups (IGMP, MLD)."""
    rate: str = ""
    """Limit of DHCP."""


LET_IN: Final = Chatter(
    "accept", "counter name refused_other drop", "limit rate 20/second burst 40 packets "
)
PASSED: Final = Chatter("accept", "accept")


def source_chain(link: Link) -> list[str]:
    """What the guest says it is, before anything else is done with a packet.

    Ahead of the connection tracking. ARP needs no rule: nobody is behind the link but this guest,
    and what the kernel knows of its IPv4 address is fixed (`netns.anyip`).
    """
    return [
        f"set sources {{ type ipv6_addr; flags dynamic, timeout; size {SOURCES}; timeout 10m; }}",
        "chain nic_source {",
        "  type filter hook prerouting priority -300; policy accept;",
        f'  iifname != "{link.interface}" accept',
        f"  ether saddr != {link.mac} {_DROP_SPOOFED}",
        f"  ip saddr {link.guest_ipv4} accept",
        "  ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp dport 67 accept",
        "  ip saddr 0.0.0.0 meta l4proto 2 drop",
        f"  ip6 saddr {{ fe80::/10, {link.prefix_ipv6} }} update @sources {{ ip6 saddr }} accept",
        f"  ip6 saddr :: icmpv6 type {_FROM_GUEST} accept",
        f"  ip6 saddr :: icmpv6 type {_GROUPS} accept",
        f"  {_DROP_SPOOFED}",
        "}",
    ]


def spoofed_notice(link: Link, family: str, show: str) -> list[str]:
    """A chain that shows what `source_chain` will drop; it stands before that and drops nothing.

    What a guest has too many of (`SOURCES`) is dropped without being shown.
    """
    if family == "ip":
        own = [
            f"ip saddr {link.guest_ipv4}",
            "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp dport 67",
            "ip saddr 0.0.0.0 meta l4proto 2",
        ]
    else:
        own = [f"ip6 saddr {{ fe80::/10, {link.prefix_ipv6}, :: }}"]
    return [
        "chain nic_spoofed {",
        "  type filter hook prerouting priority -310; policy accept;",
        f'  iifname != "{link.interface}" accept',
        *(f"  ether saddr {link.mac} {match} accept" for match in own),
        f"  limit rate 20/second burst 40 packets {show}",
        "}",
    ]


def from_guest(link: Link, verdicts: Chatter, family: str = "") -> list[str]:
    """Rules for the link's own business in the input hook.

    Args:
        link: the NIC.
        verdicts: `LET_IN` where packets are refused, `PASSED` where they are shown.
        family: `ip` or `ip6` for a table of that family; empty for one of both.
    """
    rules = []
    if family != "ip":
        rules += [
            f"icmpv6 type {_FROM_GUEST} ip6 hoplimit 255 {verdicts.wanted}",
            f"icmpv6 type {_GROUPS} {verdicts.groups}",
        ]
    if family != "ip6":
        asked = f"ip daddr {{ 255.255.255.255, {link.gateway_ipv4} }} udp dport 67"
        rules += [
            f"{asked} {verdicts.rate}{verdicts.wanted}",
            f"{asked} {verdicts.groups}",
            f"ip daddr 224.0.0.0/24 meta l4proto 2 {verdicts.groups}",
        ]
    return rules


def to_guest(link: Link, family: str = "") -> list[str]:
    """Rules for what the kernel and our DHCP server say to the guest, in the output hook."""
    out = f'oifname "{link.interface}"'
    rules = []
    if family != "ip":
        rules += [f"{out} icmpv6 type {_TO_GUEST} accept", f"{out} icmpv6 type {_GROUPS} accept"]
    if family != "ip6":
        rules.append(f"{out} udp sport 67 udp dport 68 accept")
    return rules
