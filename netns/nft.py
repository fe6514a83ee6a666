"""The rules of a captive namespace as text: one nft(8) transaction, pure, nothing is executed.

Rules decide explanation and speed, not security: a captive namespace has no path out, so losing
them loses the redirection and the quick refusals, and every connect is refused by an empty port.

What the rules say, in order, for each `Entry` (the place where captive packets come in):

1. TCP and UDP to port 53 go to the DNS listener, all other TCP goes to the TCP listener.
   Questions to neighbours (multicast DNS, LLMNR) go to listeners that put them on record.
2. UDP that opens a QUIC connection, on the ports where clients try it, goes to the QUIC listener
   of that port, which reads whom it is for and refuses it in QUIC's own terms.
3. The agent's own addresses (127.0.0.0/8, ::1, and the two addresses of `lo` that make the
   namespace look online) are left alone: a program that serves itself, or dials what
   `hostname -I` prints, works as ever. Nothing but the agent is ever behind them.
4. Dialling our listeners directly is refused: such a connection has no original destination.
5. Everything else is refused at once and counted by class.

A NIC brings what a guest sends: before all of that its addresses must be the guest's
own, and what every guest says to its link is let in or dropped (`netns.nft_link`).

Datagrams get another port and keep their address (`dnat to :port`): every address is local here,
so the listener receives them, and IP_PKTINFO tells it what the agent dialled.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

# `netns.nft_link` is imported where there is a link: no jail has one, and its start is counted.
if TYPE_CHECKING:
    from netns.nft_link import Link

TABLE: Final = "egressguard"
"""Name of the only table, family inet."""

TCP_PORT: Final = 61443
"""Port of the TCP listeners. Above the ephemeral range (32768-60999), so no client gets it."""

DNS_PORT: Final = 61053
"""Port of the DNS listeners, UDP and TCP."""

QUIC_PORTS: Final[Mapping[int, int]] = MappingProxyType({443: 61443, 853: 61853, 8443: 61844})
"""Ports where clients try QUIC, and the ports of our listeners for them, UDP only: HTTP/3 on the
port of HTTPS (RFC 9114 section 3.1) and on its usual alternative, DNS over QUIC (RFC 9250). A
client that tries elsewhere is refused like all UDP."""

OWN_IPV4: Final = "198.18.0.2"
OWN_IPV6: Final = "fd65:6772:6573:7300::2"
"""Addresses of `lo` besides the loopback ones; never leased to a name."""

NEIGHBOUR_PORTS: Final[Mapping[int, int]] = MappingProxyType({5353: 61535, 5355: 61536})
"""Ports where programs ask their neighbours for names, by multicast, and those of our listeners for
them, UDP only: multicast DNS (RFC 6762) and LLMNR (RFC 4795). The listeners put it on record."""


_LISTENING: Final = tuple(
    sorted({DNS_PORT, TCP_PORT, *QUIC_PORTS.values(), *NEIGHBOUR_PORTS.values()})
)
_TO_OURS: Final = f"th dport {{ {', '.join(map(str, _LISTENING))} }}"
_COPY: Final = "ct state untracked"
"""What `dup` makes; a process cannot send the like, for it takes a rule to stop the tracking."""


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """One class of packets that no listener takes."""

    name: str
    """Key in the run's summary; the kernel's counter is `refused_<name>`."""
    match: str
    """nft expression; empty matches all."""
    answer: str
    """What the sender is told, at once."""


_QUIC: Final = "udp length >= 1208 @th,64,8 & 0xc0 == 0xc0 @th,72,32 != 0"
"""A client's first packet (RFC 9000 sections 14.1 and 17.2): 1200 bytes or more behind eight of
UDP header, long header, fixed bit, and a version. A nat chain sees a connection's first packet, and
the rest of it goes where that went."""

_MANY_IPV4: Final = "224.0.0.0/4, 255.255.255.255"
_MANY_IPV6: Final = "ff00::/8"
"""Multicast and broadcast: an answer cannot come from such an address."""

NOTICE: Final = "egressguard_notice"
"""Table of the rules that show refused packets to the guard."""

MARK: Final = 0x6567
"""Mark of a packet that is to be shown, where the kernel queues by iptables' target only."""

LOG_GROUP: Final = 0
"""Number of the log group (nfnetlink_log); groups are numbered within a network namespace."""

LOG_BYTES: Final = 4_096
"""Bytes of each packet that the kernel logs."""

_SHOWN: Final = ("17", "{ 1, 58 }", "6", "")
"""Protocols that have a rate of their own each, so that none hides behind a flood of another."""

_RATE: Final = "limit rate 100/second burst 200 packets"

_PROHIBITED: Final = "reject with icmpx admin-prohibited"  # RFC 1812 5.2.7.1, RFC 4443 3.1

SPOOFED: Final = "spoofed"
"""Class of what a guest sends under an address that is not its own; only where there is a guest."""

REFUSALS: Final[tuple[Refusal, ...]] = (
    Refusal("udp", "meta l4proto 17", _PROHIBITED),
    Refusal("icmp", "meta l4proto { 1, 58 }", _PROHIBITED),
    Refusal("tcp", "meta l4proto 6", "reject with tcp reset"),
    Refusal("other", "", _PROHIBITED),
)
"""First match counts. The last one matches all, and after it stands the chain's policy: drop."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """Where captive packets meet the rules: one for each form of captive."""

    name: str
    """Prefix of the two chains."""
    redirect_hook: str
    """Hook of the nat chain: `output` for processes, `prerouting` for what a NIC brings."""
    filter_hook: str
    """Hook of the filter chain: `output` for processes, `input` for what a NIC brings."""
    own_ipv4: tuple[str, ...] = ()
    """Addresses and prefixes that belong to the captive itself and are left alone."""
    own_ipv6: tuple[str, ...] = ()
    link: Link | None = None
    """The NIC of this namespace: what it brings, or what leaves by it towards the guest."""


PROCESS: Final = Entry(
    name="process",
    redirect_hook="output",
    filter_hook="output",
    own_ipv4=("127.0.0.0/8", OWN_IPV4),
    own_ipv6=("::1", OWN_IPV6),
)
"""Processes inside the namespace: `egressguard jail`."""


def guest_entries(link: Link) -> tuple[Entry, Entry]:
    """Entries of a namespace that holds a NIC: its guest, and processes that live beside it."""
    guest = Entry(name="nic", redirect_hook="prerouting", filter_hook="input", link=link)
    return dataclasses.replace(PROCESS, link=link), guest


def _elsewhere(entry: Entry) -> list[str]:
    """A rule that lets pass, first of all, what comes in by `lo`: it has met the output hook."""
    if entry.link is None or entry.filter_hook == "output":
        return []
    return [f'iifname != "{entry.link.interface}" accept']


def _chatter(entry: Entry, family: str = "", *, passed: bool = False) -> list[str]:
    """Rules for the link's own business, before anything is refused, or shown (`passed`)."""
    if entry.link is None:
        return []
    from netns import nft_link

    if entry.filter_hook == "output":
        return nft_link.to_guest(entry.link, family)
    verdicts = nft_link.PASSED if passed else nft_link.LET_IN
    return nft_link.from_guest(entry.link, verdicts, family)


def _own(entry: Entry) -> list[str]:
    rules = []
    if entry.own_ipv4:
        rules.append(f"ip daddr {{ {', '.join(entry.own_ipv4)} }} accept")
    if entry.own_ipv6:
        rules.append(f"ip6 daddr {{ {', '.join(entry.own_ipv6)} }} accept")
    return rules


def _redirect_chain(entry: Entry) -> list[str]:
    """A nat chain sees the first packet of a connection only; conntrack does the rest."""
    return [
        f"chain {entry.name}_redirect {{",
        f"  type nat hook {entry.redirect_hook} priority -100; policy accept;",
        *(f"  {rule}" for rule in _elsewhere(entry)),
        *(f"  {rule}" for rule in _own(entry)),
        f"  meta l4proto 6 th dport 53 redirect to :{DNS_PORT}",
        f"  meta l4proto 6 redirect to :{TCP_PORT}",
        f"  ip daddr {{ {_MANY_IPV4} }} udp dport 53 redirect to :{DNS_PORT}",
        f"  ip6 daddr {_MANY_IPV6} udp dport 53 redirect to :{DNS_PORT}",
        f"  udp dport 53 dnat to :{DNS_PORT}",
        *(
            f"  {many} udp dport {port} redirect to :{ours}"
            for port, ours in NEIGHBOUR_PORTS.items()
            for many in (f"ip daddr {{ {_MANY_IPV4} }}", f"ip6 daddr {_MANY_IPV6}")
        ),
        f"  ip daddr {{ {_MANY_IPV4} }} accept",
        f"  ip6 daddr {_MANY_IPV6} accept",
        *(f"  udp dport {port} {_QUIC} dnat to :{ours}" for port, ours in QUIC_PORTS.items()),
        "}",
    ]


def _filter_chain(entry: Entry) -> list[str]:
    """Established first: it is the rule nearly every packet meets.

    `related` lets our own refusals reach the sender: the kernel attaches them to the connection
    that they refuse.
    """
    tcp = f"tcp dport {{ {DNS_PORT}, {TCP_PORT} }}"
    listeners = (DNS_PORT, *QUIC_PORTS.values(), *NEIGHBOUR_PORTS.values())
    udp = f"udp dport {{ {', '.join(map(str, listeners))} }}"
    direct = "ct status and dnat == 0"
    refused = []
    for refusal in REFUSALS:
        parts = (refusal.match, f"counter name refused_{refusal.name}", refusal.answer)
        refused.append(" ".join(part for part in parts if part))
    return [
        f"chain {entry.name}_filter {{",
        f"  type filter hook {entry.filter_hook} priority 5; policy drop;",
        *(f"  {rule}" for rule in _elsewhere(entry)),
        "  ct state established,related accept",
        "  ct status dnat accept",
        *(f"  {rule}" for rule in _chatter(entry)),
        f"  {_COPY} drop",
        f"  {tcp} {direct} counter name refused_tcp reject with tcp reset",
        f"  {udp} {direct} counter name refused_udp {_PROHIBITED}",
        *(f"  {rule}" for rule in _own(entry)),
        *(f"  {rule}" for rule in refused),
        "}",
    ]


def transaction(entries: Sequence[Entry] = (PROCESS,)) -> str:
    """Text for `nft -f -`: replaces the whole table at once, or changes nothing.

    Args:
        entries: forms of captive that this namespace serves, each with a name of its own.

    Returns:
        The transaction. Applying it again gives the same table with counters at zero.

    Raises:
        ValueError: no entry, or two of one name: rules for nothing would look like rules.
    """
    if not entries:
        raise ValueError("an nft transaction needs at least one entry")
    if len({entry.name for entry in entries}) != len(entries):
        raise ValueError("two entries of an nft transaction have the same name")
    body = [f"counter refused_{refusal.name} {{ }}" for refusal in REFUSALS]
    for link in {entry.link for entry in entries if entry.link is not None}:
        from netns import nft_link

        body += [f"counter refused_{SPOOFED} {{ }}", *nft_link.source_chain(link)]
    for entry in entries:
        body += _redirect_chain(entry)
        body += _filter_chain(entry)
    # Nothing is ever forwarded; the sysctls say so, and this says it again.
    body += ["chain forward {", "  type filter hook forward priority 0; policy drop;", "}"]
    return "\n".join(
        [
            f"add table inet {TABLE}",  # so that the deletion cannot fail
            f"delete table inet {TABLE}",
            f"table inet {TABLE} {{",
            *(f"  {line}" for line in body),
            "}",
            "",
        ]
    )


def notice(queue: int | None, *, copies: bool, entries: Sequence[Entry] = (PROCESS,)) -> str:
    """Text for `nft -f -` that shows what will be refused to the packet guard.

    Tables of their own, before the one that refuses and without a verdict: a packet that was looked
    at, or could not be, goes on to its refusal.

    Args:
        queue: number of the queue; None where the kernel has no `queue` statement: packets are
            marked then, for the rules of `xtables`.
        copies: show a copy, and let the packet itself go on at once. A process learns of a refusal
            in the output hook from its own system call then (EPERM); of a packet that was taken
            out of it, by ICMP alone, and a socket that is not connected never does (udp(7)).
        entries: as of `transaction`.
    """
    take = f"meta mark set {MARK:#x} accept" if queue is None else f"queue num {queue} bypass"
    copy = "dup to {} device lo return" if copies else take
    return _shown(take, copy, entries, logs=False)


def logged(entries: Sequence[Entry] = (PROCESS,)) -> str:
    """Text for `nft -f -` that has the kernel log what will be refused (`netns.packet_log`).

    Nothing waits for whoever reads it, and reading takes no rights: so one process may read the
    logs of many namespaces. The tables are those of `notice`, which it replaces.
    """
    log = f"log group {LOG_GROUP} snaplen {LOG_BYTES}"
    return _shown(log, log, entries, logs=True)


def _shown(take: str, copy: str, entries: Sequence[Entry], *, logs: bool) -> str:
    """Tables that show packets: by `take`, and in the output hook by `copy`.

    What is shown in the output hook by a copy comes there again, and is taken then.
    """
    lines = []
    for family, loopback in (("ip", "127.0.0.1"), ("ip6", "::1")):
        body = []
        for entry in entries:
            own = [rule for rule in _own(entry) if rule.startswith(f"{family} ")]
            output = entry.filter_hook == "output"
            # Whom a NIC brings learns of a refusal from the network only: no copy is needed.
            show = copy.format(loopback) if output else take
            shown = []
            for number in _SHOWN:
                of = f"meta l4proto {number} " if number else ""
                shown += [f"  {of}{_RATE} {show}", f"  {of}return"]
            if entry.link is not None and not output:
                from netns import nft_link

                body += nft_link.spoofed_notice(entry.link, family, take)
            body += [
                f"chain {entry.name}_show {{",
                *shown,
                "}",
                f"chain {entry.name}_notice {{",
                f"  type filter hook {entry.filter_hook} priority -5; policy accept;",
                *(f"  {rule}" for rule in _elsewhere(entry)),
                *(f"  {rule}" for rule in _chatter(entry, family, passed=True)),
                *([f"  {_COPY} {take}"] if output and not logs else ()),
                "  meta mark set 0",  # root inside may have set one
                "  ct state established,related accept",
                "  ct status dnat accept",
                f"  meta l4proto {{ 6, 17 }} {_TO_OURS} jump {entry.name}_show",
                f"  meta l4proto {{ 6, 17 }} {_TO_OURS} return",
                *(f"  {rule}" for rule in own),
                f"  jump {entry.name}_show",
                "}",
            ]
        lines += [
            f"add table {family} {NOTICE}",
            f"delete table {family} {NOTICE}",
            f"table {family} {NOTICE} {{",
            *(f"  {line}" for line in body),
            "}",
        ]
    return "\n".join([*lines, ""])


def xtables(queue: int, entries: Sequence[Entry] = (PROCESS,)) -> str:
    """Text for `iptables-nft-restore`, and for the one of IPv6: marked packets to the queue."""
    rule = f"-m mark --mark {MARK:#x} -j NFQUEUE --queue-num {queue} --queue-bypass"
    chains = "".join(f"-A {entry.filter_hook.upper()} {rule}\n" for entry in entries)
    return f"*filter\n{chains}COMMIT\n"


LIST_REFUSALS: Final = ("-j", "list", "counters", "table", "inet", TABLE)
"""Arguments of nft(8) whose output `parse_refusals` reads."""


def parse_refusals(text: str) -> Mapping[str, int]:
    """Packets refused so far, by class, from `nft -j list counters` (libnftables-json(5)).

    Args:
        text: standard output of nft with `LIST_REFUSALS`.

    Returns:
        One entry for each class of `REFUSALS`, in that order, and where there is a guest
        `SPOOFED`.

    Raises:
        ValueError: not the JSON of our table, or a counter is missing: the rules are not ours.
    """
    packets: dict[str, int] = {}
    try:
        for item in json.loads(text)["nftables"]:
            counter = item.get("counter")
            if counter is not None and counter["table"] == TABLE:
                packets[counter["name"]] = int(counter["packets"])
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"nft -j answered in an unknown form: {error!r}") from error
    try:
        found = {refusal.name: packets[f"refused_{refusal.name}"] for refusal in REFUSALS}
    except KeyError as error:
        raise ValueError(f"nft table {TABLE} has no counter {error}: rules were replaced") from None
    if f"refused_{SPOOFED}" in packets:
        found[SPOOFED] = packets[f"refused_{SPOOFED}"]
    return found
