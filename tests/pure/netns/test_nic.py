"""A guest's NIC as data, and the rules about it."""

from __future__ import annotations

import json
import re

import pytest

from netns import nft
from netns.nic import GATEWAY_MAC, Kind, Nic, NicError, mac_of

NIC = Nic(Kind.TAP, mac_of("worker"))
ENTRIES = nft.guest_entries(NIC.link)


def chain(text: str, name: str) -> list[str]:
    found = re.search(rf"^  chain {name} {{\n(.*?)^  }}$", text, re.MULTILINE | re.DOTALL)
    assert found, f"no chain {name}"
    return [line.strip() for line in found[1].splitlines()]


def test_a_name_has_one_hardware_address() -> None:
    made = {mac_of(f"guest-{number}") for number in range(2000)}
    assert len(made) > 1990
    assert mac_of("worker") == NIC.mac
    assert all(int(mac[:2], 16) & 3 == 2 for mac in made)  # local, of one card
    assert GATEWAY_MAC not in made


def test_guests_live_where_no_name_is_leased() -> None:
    from interceptor.flow import names

    for address in (NIC.guest_ipv4, NIC.gateway_ipv4):
        assert names.V4_BASE <= _number(address) < names.V4_BASE + names.RESERVED
    assert NIC.prefix_ipv6 == "fd65:6772:6573:7301::/64"


def _number(address: str) -> int:
    import ipaddress

    return int(ipaddress.IPv4Address(address))


@pytest.mark.parametrize(
    "wrong",
    [
        {"mac": "02:65:67:12:34"},
        {"mac": "02:65:67:12:34:5G"},
        {"mac": "03:65:67:12:34:56"},
        {"mac": GATEWAY_MAC},
        {"mac": '02:65:67:12:34:56" accept'},
        {"existing": "eth0; rm"},
        {"existing": "a-name-that-is-too-long"},
        {"existing": "."},
        {"peer_name": "a b"},
        {"peer": 3},
        {"kind": Kind.VETH, "peer": 3, "existing": "veth0"},
        {"guest_ipv4": "198.18.1.10"},
        {"guest_ipv4": "198.18.0.1"},
        {"mtu": 576},
    ],
)
def test_what_cannot_be_is_an_error(wrong: dict[str, object]) -> None:
    values: dict[str, object] = {"kind": Kind.TAP, "mac": NIC.mac} | wrong
    with pytest.raises(ValueError, match=r"."):
        Nic(**values)  # type: ignore[arg-type]
    assert issubclass(NicError, ValueError)


def test_what_comes_in_is_looked_at_before_anything_else() -> None:
    rules = chain(nft.transaction(ENTRIES), "nic_source")
    assert rules[0] == "type filter hook prerouting priority -300; policy accept;"
    assert rules[2].startswith(f"ether saddr != {NIC.mac} ")
    assert rules[-1] == "counter name refused_spoofed drop"
    assert not [rule for rule in rules[3:-1] if "saddr" not in rule]


def test_a_guests_rules_are_a_processs_rules_in_other_hooks() -> None:
    text = nft.transaction(ENTRIES)
    assert "type nat hook prerouting priority -100" in chain(text, "nic_redirect")[0]
    assert "type filter hook input priority 5; policy drop;" in chain(text, "nic_filter")[0]
    assert "policy drop;" in chain(text, "forward")[0]
    plain = nft.transaction()
    for name in ("redirect", "filter"):
        ours = chain(plain, f"process_{name}")[1:]
        guests = chain(text, f"nic_{name}")
        # The guest has no addresses of its own here, so nothing is left alone.
        assert [rule for rule in ours if rule not in guests] == [
            rule for rule in ours if "127.0.0.0/8" in rule or "::1," in rule
        ]
        assert guests[1] == 'iifname != "nic0" accept'
        assert set(ours) <= set(chain(text, f"process_{name}"))


def test_a_guests_listeners_are_refused_to_it_before_anything_of_its_is_accepted() -> None:
    rules = chain(nft.transaction(ENTRIES), "nic_filter")
    accepting = [rule for rule in rules if rule.endswith(" accept") and "iifname" not in rule]
    assert accepting[:2] == ["ct state established,related accept", "ct status dnat accept"]
    assert all("icmpv6 type" in rule or "udp dport 67" in rule for rule in accepting[2:])


def test_the_guard_is_shown_the_guests_packets_themselves_and_no_chatter() -> None:
    text = nft.notice(0, copies=True, entries=ENTRIES)
    for name in ("nic_show", "nic_notice"):
        assert "dup" not in "\n".join(chain(text, name))
    notice = [line for line in text.splitlines() if "hook input" in line]
    assert notice == ["    type filter hook input priority -5; policy accept;"] * 2
    assert not re.search(r"\b(drop|reject|redirect|dnat to)\b", text)
    assert "nd-router-solicit" in text
    spoofed = chain(text, "nic_spoofed")
    assert spoofed[0] == "type filter hook prerouting priority -310; policy accept;"
    assert spoofed[-1].endswith("queue num 0 bypass")
    assert all(rule.startswith(f"ether saddr {NIC.mac} ip saddr ") for rule in spoofed[2:-1])
    assert "-A INPUT" in nft.xtables(0, ENTRIES)
    assert "-A INPUT" not in nft.xtables(0)


def test_what_is_spoofed_is_counted_where_there_is_a_guest() -> None:
    assert "counter refused_spoofed" in nft.transaction(ENTRIES)
    assert "spoofed" not in nft.transaction()
    listed = [
        {"table": nft.TABLE, "name": f"refused_{kind.name}", "packets": 0} for kind in nft.REFUSALS
    ]
    listed.append({"table": nft.TABLE, "name": "refused_spoofed", "packets": 7})
    text = json.dumps({"nftables": [{"counter": counter} for counter in listed]})
    assert nft.parse_refusals(text)["spoofed"] == 7
