"""The rules of the sidecar form as text, and what of /proc they are made of."""

from __future__ import annotations

import re

from interceptor.kubernetes.pod_rules import own_ipv4, own_ipv6, transaction
from netns.nft import DNS_PORT, TCP_PORT

TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 192.168.77.0
        /24 link UNICAST
     |-- 192.168.77.2
        /32 host LOCAL
Local:
  +-- 0.0.0.0/0 3 0 5
        |-- 127.0.0.1
           /32 host LOCAL
     |-- 192.168.77.2
        /32 host LOCAL
     |-- 192.168.77.255
        /32 link BROADCAST
"""
INET6 = """\
2d000077000100000000000000000002 02 40 00 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
"""


def test_own_addresses() -> None:
    assert own_ipv4(TRIE) == ["192.168.77.2"]
    assert own_ipv6(INET6) == ["2d00:0077:0001:0000:0000:0000:0000:0002"]
    for text in ("", "\n", "|--\n", "/32 host LOCAL\n", "x\n\n y"):
        assert own_ipv4(text) == []
        assert own_ipv6(text) == []


def chain(text: str, name: str) -> list[str]:
    match = re.search(rf"chain {name} \{{\n(.*?)\n  \}}", text, re.DOTALL)
    assert match is not None
    return [line.strip() for line in match[1].splitlines()]


def test_what_is_not_the_sidecars_is_dropped_last_of_all() -> None:
    text = transaction(61_183, ["10.1.0.7"], ["fd00::7"])
    hold = chain(text, "hold")
    assert hold[0] == "type filter hook postrouting priority 200; policy drop;"
    accepting = [line for line in hold if line.endswith("accept")]
    # Each asks for the sidecar's uid, a connection's mark, loopback or IPv6's neighbours.
    assert all(re.search(r"skuid 61183|ct mark|\"lo\"|icmpv6 type", line) for line in accepting)
    others = hold.index("meta skuid != 61183 counter name held drop")
    marked = [hold.index(line) for line in hold if "ct mark" in line and "skuid" not in line]
    assert marked
    assert min(marked) > others
    lead = chain(text, "lead")
    assert lead[-1] == f"meta l4proto 6 redirect to :{TCP_PORT}"
    assert f"meta l4proto {{ 6, 17 }} th dport 53 redirect to :{DNS_PORT}" in lead
    assert "ip daddr { 127.0.0.0/8, 10.1.0.7 } accept" in lead
    assert "ip6 daddr { ::1, fd00::7 } accept" in lead
    # The table is replaced whole.
    assert text.startswith("add table inet egressguard_pod\ndelete table inet egressguard_pod\n")


def test_closed_pods_let_nobody_in() -> None:
    assert "ct mark set" in chain(transaction(1), "arrive")[1]
    assert chain(transaction(1, closed=True), "arrive")[1].endswith("drop")
