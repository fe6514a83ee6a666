"""The nft transaction as text, and the reading of its counters."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns import nft, nft_link


def chain(text: str, name: str) -> list[str]:
    found = re.search(rf"^  chain {name} {{\n(.*?)^  }}$", text, re.MULTILINE | re.DOTALL)
    assert found, f"no chain {name}"
    return [line.strip() for line in found[1].splitlines()]


def test_one_transaction_replaces_one_table() -> None:
    lines = nft.transaction().splitlines()
    assert lines[:3] == [
        "add table inet egressguard",
        "delete table inet egressguard",
        "table inet egressguard {",
    ]
    assert "\n".join(lines).count("{") == "\n".join(lines).count("}")
    assert [line for line in lines if not line.startswith(" ")][2:] == [lines[2], "}"]


def test_what_no_rule_takes_is_dropped() -> None:
    text = nft.transaction()
    assert "policy drop;" in chain(text, "process_filter")[0]
    assert "policy drop;" in chain(text, "forward")[0]


def test_own_addresses_come_before_any_redirection() -> None:
    rules = chain(nft.transaction(), "process_redirect")
    assert rules[1:3] == [
        "ip daddr { 127.0.0.0/8, 198.18.0.2 } accept",
        "ip6 daddr { ::1, fd65:6772:6573:7300::2 } accept",
    ]
    assert rules[3:8] == [
        "meta l4proto 6 th dport 53 redirect to :61053",
        "meta l4proto 6 redirect to :61443",
        "ip daddr { 224.0.0.0/4, 255.255.255.255 } udp dport 53 redirect to :61053",
        "ip6 daddr ff00::/8 udp dport 53 redirect to :61053",
        "udp dport 53 dnat to :61053",
    ]


def test_what_opens_quic_goes_to_the_listener_of_its_port_and_keeps_its_address() -> None:
    rules = chain(nft.transaction(), "process_redirect")
    opening = "udp length >= 1208 @th,64,8 & 0xc0 == 0xc0 @th,72,32 != 0"
    many = ("ip daddr { 224.0.0.0/4, 255.255.255.255 }", "ip6 daddr ff00::/8")
    assert rules[8:12] == [
        f"{form} udp dport {port} redirect to :{ours}"
        for port, ours in ((5353, 61535), (5355, 61536))
        for form in many
    ]
    assert rules[12:-1] == [
        "ip daddr { 224.0.0.0/4, 255.255.255.255 } accept",
        "ip6 daddr ff00::/8 accept",
        f"udp dport 443 {opening} dnat to :61443",
        f"udp dport 853 {opening} dnat to :61853",
    ]
    assert rules[-1] == f"udp dport 8443 {opening} dnat to :61844"


def test_every_refusal_is_counted_and_answered_and_the_last_takes_all() -> None:
    rules = chain(nft.transaction(), "process_filter")
    refusing = [rule for rule in rules if "reject" in rule]
    assert all("counter name refused_" in rule for rule in refusing)
    assert "meta l4proto 17 counter name refused_udp reject with icmpx admin-prohibited" in rules
    assert rules[-1] == "counter name refused_other reject with icmpx admin-prohibited"
    assert nft.REFUSALS[-1].match == ""
    assert all(refusal.match for refusal in nft.REFUSALS[:-1])


def test_direct_dials_of_listeners_are_refused_before_own_addresses_are_accepted() -> None:
    rules = chain(nft.transaction(), "process_filter")
    direct = [index for index, rule in enumerate(rules) if "dnat == 0" in rule]
    own = [index for index, rule in enumerate(rules) if rule.startswith(("ip daddr", "ip6 daddr"))]
    assert len(direct) == 2
    assert max(direct) < min(own)


def test_another_form_of_captive_is_another_entry() -> None:
    nic = nft.Entry(name="nic", redirect_hook="prerouting", filter_hook="input")
    text = nft.transaction([nft.PROCESS, nic])
    assert "type nat hook prerouting priority -100" in chain(text, "nic_redirect")[0]
    assert "type filter hook input priority 5; policy drop;" in chain(text, "nic_filter")[0]
    assert not [rule for rule in chain(text, "nic_redirect") if "198.18.0.2" in rule]
    assert chain(text, "process_filter") == chain(nft.transaction(), "process_filter")


@pytest.mark.parametrize("entries", [[], [nft.PROCESS, nft.PROCESS]])
def test_entries_that_make_no_sense_are_errors(entries: list[nft.Entry]) -> None:
    with pytest.raises(ValueError, match="nft transaction"):
        nft.transaction(entries)


def test_ports_are_out_of_reach_of_clients() -> None:
    listeners = (nft.TCP_PORT, nft.DNS_PORT, *nft.QUIC_PORTS.values())
    assert min(listeners) > 60999  # end of ip_local_port_range, ip(7)
    assert max(listeners) < 65536
    assert len({nft.DNS_PORT, *nft.QUIC_PORTS.values()}) == 1 + len(nft.QUIC_PORTS)
    assert ipaddress.ip_address(nft.OWN_IPV4) in ipaddress.ip_network("198.18.0.0/15")
    assert ipaddress.ip_address(nft.OWN_IPV6).is_private


def listing(**packets: int) -> str:
    items: list[dict[str, object]] = [{"metainfo": {"version": "1.0.6"}}]
    for name, count in packets.items():
        counter = {"family": "inet", "table": nft.TABLE, "name": f"refused_{name}"}
        items.append({"counter": {**counter, "packets": count, "bytes": 60 * count}})
    return json.dumps({"nftables": items})


def test_counters_are_read_by_class() -> None:
    counts = {refusal.name: index for index, refusal in enumerate(nft.REFUSALS)}
    assert nft.parse_refusals(listing(**counts)) == counts


def test_a_missing_counter_means_the_rules_are_not_ours() -> None:
    counts = {refusal.name: 1 for refusal in nft.REFUSALS[1:]}
    with pytest.raises(ValueError, match="refused_udp"):
        nft.parse_refusals(listing(**counts))


def test_counters_of_other_tables_do_not_count() -> None:
    text = listing(**{refusal.name: 1 for refusal in nft.REFUSALS})
    with pytest.raises(ValueError, match="no counter"):
        nft.parse_refusals(text.replace(nft.TABLE, "other"))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"nftables": 1}', '{"nftables": [[]]}'])
def test_what_is_not_a_listing_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        nft.parse_refusals(text)


@given(st.data())
def test_a_damaged_listing_is_an_error_or_a_listing(data: st.DataObject) -> None:
    text = listing(**{refusal.name: 7 for refusal in nft.REFUSALS})
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.text(max_size=3)) + text[at + 1 :]
    try:
        counts = nft.parse_refusals(damaged)
    except ValueError:
        return
    assert set(counts) == {refusal.name for refusal in nft.REFUSALS}


def test_rules_are_data() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        nft.PROCESS.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize("queue", [0, None])
def test_the_notice_decides_nothing(queue: int | None, copies: bool) -> None:
    """It stands before the refusing chain, accepts by policy, and has no way to drop or reject."""
    text = nft.notice(queue, copies=copies)
    assert not re.search(r"\b(drop|reject|redirect|dnat to)\b", text)
    shown = "queue num 0 bypass" if queue == 0 else f"meta mark set {nft.MARK:#x} accept"
    assert shown in text
    assert ("dup to" in text) is copies
    for family in ("ip", "ip6"):
        assert f"table {family} {nft.NOTICE} {{" in text
    rules = chain(text, "process_notice")
    assert rules[0] == "type filter hook output priority -5; policy accept;"
    assert rules[1].startswith("ct state untracked")
    filtering = chain(nft.transaction(), "process_filter")
    assert "priority 5" in filtering[0]
    assert filtering.index("ct state untracked drop") < min(
        i for i, rule in enumerate(filtering) if "accept" in rule and "daddr" in rule
    )


def test_what_is_logged_is_what_would_be_shown_and_goes_on() -> None:
    link = nft_link.Link(
        "nic0", "02:65:67:12:34:56", "198.18.0.10", "198.18.0.1", "fd65:6772:6573:7301::/64"
    )
    for entries in ((nft.PROCESS,), nft.guest_entries(link)):
        text = nft.logged(entries)
        assert not re.search(r"\b(drop|reject|redirect|dnat to|queue|dup to)\b", text)
        shown = nft.notice(0, copies=False, entries=entries).splitlines()
        logged = [
            line.replace(f"log group {nft.LOG_GROUP} snaplen {nft.LOG_BYTES}", "queue num 0 bypass")
            for line in text.splitlines()
        ]
        assert logged == [line for line in shown if "ct state untracked" not in line]


def test_each_protocol_has_a_rate_of_its_own() -> None:
    """A flood of one must not hide an attempt with another."""
    rules = chain(nft.notice(0, copies=True), "process_show")
    for at in range(0, len(rules), 2):
        of = rules[at].partition("limit")[0]
        assert rules[at + 1] == f"{of}return"
    assert len(rules) == 8


def test_marked_packets_go_to_the_queue_or_on() -> None:
    assert "--queue-bypass" in nft.xtables(3)
    assert f"--mark {nft.MARK:#x}" in nft.xtables(3)
    assert "--queue-num 3" in nft.xtables(3)
