"""Leases: one name an address, for good."""

from __future__ import annotations

import ipaddress
import itertools
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.flow.names import IDLE, OFFSETS, RESERVED, SWEEP, LeaseError, Leases, packed

V4 = ipaddress.ip_network("198.18.0.0/15")
V6 = ipaddress.ip_network("fd65:6772:6573:7300::/64")


def test_a_lease_is_stable_and_leads_back() -> None:
    leases = Leases(b"seed")
    v4, v6 = leases.lease("Api.Example.COM.", 0.0)
    assert leases.lease("api.example.com", 1.0) == (v4, v6)
    assert ipaddress.ip_address(v4) in V4
    assert ipaddress.ip_address(v6) in V6
    assert int(ipaddress.ip_address(v4)) & 0x1FFFF == int(ipaddress.ip_address(v6)) & (2**64 - 1)
    for form in (v4, v6, ipaddress.ip_address(v6).exploded, f"::ffff:{v4}"):
        assert leases.name_of(form, 2.0) == "api.example.com"
    assert leases.lease("other.example.com", 3.0)[0] != v4


@pytest.mark.parametrize(
    "address",
    ["", "x", "198.18.0.1", "198.18.0.255", "198.17.255.255", "198.20.0.0", "192.0.2.1", "::1",
     "fd65:6772:6573:7300::2", "fd65:6772:6573:7301::1234", "fd65:6772:6573:7300:1::100",
     "fd65:6772:6573:7300:ffff:ffff:ffff:ffff"],
)  # fmt: skip
def test_what_was_not_leased_has_no_name(address: str) -> None:
    leases = Leases(b"seed")
    for i in range(500):
        leases.lease(f"h{i}.example", 0.0)
    assert leases.name_of(address, 0.0) == ""


def test_a_zone_id_is_not_a_leased_address() -> None:
    leases = Leases(b"seed")
    _, v6 = leases.lease("a.example", 0.0)
    assert leases.name_of(v6, 0.0) == "a.example"
    assert leases.name_of(f"{v6}%lo", 0.0) == ""


def test_every_address_once_and_never_a_reserved_one() -> None:
    leases = Leases(b"seed")
    seen = {leases.offset(f"{i}.example", float(i)) for i in range(OFFSETS - RESERVED)}
    assert len(seen) == len(leases) == OFFSETS - RESERVED
    assert min(seen) == RESERVED
    assert max(seen) == OFFSETS - 1
    with pytest.raises(LeaseError, match="none of them idle"):
        leases.offset("one-more.example", 0.0)
    assert leases.offset("7.example", 0.0) in seen  # those that stand go on


def test_order_depends_on_the_seed() -> None:
    def order(seed: bytes) -> list[int]:
        leases = Leases(seed)
        return [leases.offset(f"{i}.example", 0.0) for i in range(50)]

    assert order(b"one") == order(b"one")
    assert order(b"one") != order(b"two")
    first = order(b"one")
    assert len({b - a for a, b in itertools.pairwise(first)}) > 40


def test_a_full_table_gives_again_what_was_idle_for_a_day_and_nothing_else() -> None:
    leases = Leases(b"seed", capacity=3)
    old = {name: leases.lease(name, 0.0)[0] for name in ("a.example", "b.example", "c.example")}
    with pytest.raises(LeaseError, match="none of them idle"):
        leases.lease("d.example", IDLE - 1)
    assert leases.name_of(old["a.example"], IDLE - 1) == "a.example"  # dialling is use
    assert leases.lease("c.example", IDLE - 1)[0] == old["c.example"]  # so is looking up
    later = IDLE - 1 + SWEEP
    leases.lease("d.example", later)
    assert leases.name_of(old["b.example"], later) == ""
    assert leases.name_of(old["a.example"], later) == "a.example"
    with pytest.raises(LeaseError):  # who comes back late finds no room, or another address
        leases.lease("b.example", later)
    assert len(leases) == 3


def test_when_all_addresses_were_leased_idle_ones_are_leased_again() -> None:
    leases = Leases(b"seed")
    for i in range(OFFSETS - RESERVED):
        leases.offset(f"{i}.example", 0.0)
    kept = leases.offset("3.example", IDLE - 1)
    with pytest.raises(LeaseError):
        leases.offset("new.example", IDLE - 1)
    later = IDLE - 1 + SWEEP
    again = {leases.offset(f"new-{i}.example", later) for i in range(1_000)}
    assert len(again) == 1_000
    assert kept not in again
    assert leases.offset("3.example", later) == kept
    for offset in list(again)[:9]:
        v4, v6 = packed(offset)
        assert leases.name_of_packed(v4, later).startswith("new-")
        assert leases.name_of_packed(v6, later).startswith("new-")


def test_a_flood_of_names_does_not_search_the_table_each_time() -> None:
    leases = Leases(b"seed", capacity=2)
    leases.lease("a.example", 0.0)
    leases.lease("b.example", 0.0)
    with pytest.raises(LeaseError):
        leases.lease("c.example", IDLE - 1)
    with pytest.raises(LeaseError):  # idle by now, but it was looked for a moment ago
        leases.lease("c.example", IDLE)
    assert leases.lease("c.example", IDLE - 1 + SWEEP)
    assert leases.lease("d.example", IDLE - 1 + SWEEP)  # found in the same search


@given(
    st.lists(st.tuples(st.sampled_from("abcdefghij"), st.booleans(), st.floats(0, 50)), max_size=80)
)
def test_an_address_never_changes_its_name_within_a_day(
    steps: list[tuple[str, bool, float]],
) -> None:
    leases = Leases(b"seed", capacity=4)
    owner: dict[str, tuple[str, float]] = {}
    now = 0.0
    for letter, dial, hours in steps:
        now += hours * 3600
        name = f"{letter}.example"
        if dial:
            for address, (was, used) in owner.items():
                found = leases.name_of(address, now)
                assert found == was or now - used >= IDLE
                if found:
                    owner[address] = found, now
            continue
        try:
            pair = leases.lease(name, now)
        except LeaseError:
            continue
        for address in pair:
            was, used = owner.get(address, (name, now))
            assert was == name or now - used >= IDLE
            owner[address] = name, now
            assert leases.name_of(address, now) == name
        assert len(leases) <= 4


def test_packed() -> None:
    assert packed(256) == (
        bytes([198, 18, 1, 0]),
        bytes.fromhex("fd656772657373000000000000000100"),
    )


MEASURE = """
import resource, sys
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() // 1024
sys.path.insert(0, {root!r})
from interceptor.flow.names import Leases
before = resident()
leases = Leases(b"seed")
for i in range(100_000):
    leases.lease(f"host-{{i}}." + {filler!r} + ".example.com", float(i))
print(resident() - before)
"""


@pytest.mark.parametrize("filler", ["region.service", ".".join(["x" * 56] * 4)])
def test_100_000_leases_take_less_than_50_mb(pytestconfig: pytest.Config, filler: str) -> None:
    """Whether the names are ordinary or as long as names can be."""
    code = MEASURE.format(root=str(pytestconfig.rootpath), filler=filler)
    grown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert 1_000 < int(grown.stdout) < 50_000  # KB
    print(f"{int(grown.stdout) / 1000:.1f} MB")
