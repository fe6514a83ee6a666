"""The rules of the sidecar form as text: one nft(8) transaction, pure, nothing is executed.

Unlike a captive namespace (`netns.nft`) a pod's has a path out, so that here the rules decide:

1. `lead`: TCP of every uid but the sidecar's goes to its listeners on loopback, port 53 of TCP
   and UDP to its name server. The pod's own addresses are left alone.
2. `refuse`: what else those uids send is refused at once, so that programs need not wait.
3. `hold`: the last hook before the wire. It lets pass what the sidecar's sockets begin, answers to
   connections that came in, and the neighbour discovery that IPv6 needs; the rest is dropped. It
   asks for the uid of every packet that has a socket: the port of a connection that the sidecar
   has closed could be an agent's now. What has none any more, as it was closed with data under way,
   goes by the connection's mark, but cannot begin one.
4. `arrive` marks what comes in, or drops it (`closed`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from netns.nft import DNS_PORT, TCP_PORT

TABLE: Final = "egressguard_pod"
_DIALLED: Final = 0x65670001
_INBOUND: Final = 0x65670002
_NEIGHBOURS: Final = (
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept"
)


def transaction(
    uid: int, ipv4: Sequence[str] = (), ipv6: Sequence[str] = (), *, closed: bool = False
) -> str:
    """Text for `nft -f -`: replaces the whole table at once, or changes nothing.

    Args:
        uid: the sidecar's.
        ipv4: the pod's own addresses, besides 127.0.0.0/8.
        ipv6: likewise, besides ::1.
        closed: nobody may connect to the pod, not even the kubelet with its probes.
    """
    own = [
        f"ip daddr {{ {', '.join(['127.0.0.0/8', *ipv4])} }} accept",
        f"ip6 daddr {{ {', '.join(['::1', *ipv6])} }} accept",
    ]
    arriving = "meta l4proto != 58 drop" if closed else f"ct mark set {_INBOUND:#x}"
    body = [
        "counter refused { }",
        "counter held { }",
        "chain lead {",
        "  type nat hook output priority -100; policy accept;",
        f"  meta skuid {uid} accept",
        *(f"  {rule}" for rule in own),
        f"  meta l4proto {{ 6, 17 }} th dport 53 redirect to :{DNS_PORT}",
        f"  meta l4proto 6 redirect to :{TCP_PORT}",
        "}",
        "chain refuse {",
        "  type filter hook output priority 5; policy accept;",
        f"  meta skuid {uid} accept",
        "  ct status dnat accept",
        "  ct direction reply accept",
        *(f"  {rule}" for rule in own),
        f"  {_NEIGHBOURS}",
        "  ip daddr { 224.0.0.0/4, 255.255.255.255 } counter name refused drop",
        "  ip6 daddr ff00::/8 counter name refused drop",
        "  meta l4proto 6 counter name refused reject with tcp reset",
        "  counter name refused reject with icmpx admin-prohibited",
        "}",
        "chain hold {",
        "  type filter hook postrouting priority 200; policy drop;",
        '  oifname "lo" accept',
        f"  meta skuid {uid} ct direction original ct mark set {_DIALLED:#x} accept",
        f"  meta skuid != {uid} ct mark {_INBOUND:#x} ct direction reply accept",
        f"  meta skuid != {uid} counter name held drop",
        f"  tcp flags & (syn | ack) != syn ct mark {_DIALLED:#x} ct direction original accept",
        f"  ct mark {_INBOUND:#x} ct direction reply accept",
        f"  {_NEIGHBOURS}",
        "  counter name held drop",
        "}",
        "chain arrive {",
        "  type filter hook prerouting priority -150; policy accept;",
        f'  iifname != "lo" ct state new {arriving}',
        "}",
        "chain forward {",
        "  type filter hook forward priority 0; policy drop;",
        "}",
    ]
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


def own_ipv4(fib_trie: str) -> list[str]:
    """Addresses of this network namespace, from the text of /proc/net/fib_trie."""
    found: dict[str, None] = {}
    last = ""
    for line in fib_trie.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == "|--":
            last = words[1]
        elif words[:3] == ["/32", "host", "LOCAL"] and last and not last.startswith("127."):
            found[last] = None
    return list(found)


def own_ipv6(if_inet6: str) -> list[str]:
    """The same for IPv6, from the text of /proc/net/if_inet6 (proc_net(5))."""
    found = []
    for line in if_inet6.splitlines():
        digits = line.split()[0] if line.split() else ""
        if len(digits) == 32 and int(digits, 16) != 1:
            found.append(":".join(digits[at : at + 4] for at in range(0, 32, 4)))
    return found
