"""Leases: one name an address, for good."""

from __future__ import annotations

import ipaddress
import itertools
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.flow.names import GRACE, OFFSETS, RESERVED, LeaseError, Leases, packed

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
    leases = Leases(b"seed", capacity=10, grace=0.0)
    seen = {leases.offset(f"{i}.example", float(i)) for i in range(OFFSETS - RESERVED)}
    assert len(seen) == OFFSETS - RESERVED
    assert min(seen) == RESERVED
    assert max(seen) == OFFSETS - 1
    with pytest.raises(LeaseError, match="epoch"):
        leases.offset("one-more.example", 1e9)
    assert len(leases) <= 10


def test_order_depends_on_the_seed() -> None:
    def order(seed: bytes) -> list[int]:
        leases = Leases(seed)
        return [leases.offset(f"{i}.example", 0.0) for i in range(50)]

    assert order(b"one") == order(b"one")
    assert order(b"one") != order(b"two")
    first = order(b"one")
    assert len({b - a for a, b in itertools.pairwise(first)}) > 40


def test_at_capacity_the_least_recently_used_goes_and_its_address_stays_dead() -> None:
    leases = Leases(b"seed", capacity=3)
    old = {name: leases.lease(name, 0.0)[0] for name in ("a.example", "b.example", "c.example")}
    with pytest.raises(LeaseError, match="leases were used"):
        leases.lease("d.example", GRACE - 1)
    assert leases.name_of(old["a.example"], GRACE - 1) == "a.example"  # use refreshes
    leases.lease("d.example", GRACE + 1)
    assert leases.name_of(old["b.example"], GRACE + 1) == ""
    assert leases.name_of(old["a.example"], GRACE + 1) == "a.example"
    assert leases.lease("c.example", GRACE + 1)[0] == old["c.example"]
    again = leases.lease("b.example", 3 * GRACE)[0]
    assert again not in old.values()


@given(
    st.lists(st.tuples(st.sampled_from("abcdefghij"), st.booleans(), st.floats(0, 50)), max_size=80)
)
def test_an_address_never_changes_its_name(steps: list[tuple[str, bool, float]]) -> None:
    leases = Leases(b"seed", capacity=4, grace=20.0)
    owner: dict[str, str] = {}
    now = 0.0
    for letter, dial, pause in steps:
        now += pause
        name = f"{letter}.example"
        if dial:
            for address, was in owner.items():
                assert leases.name_of(address, now) in {was, ""}
            continue
        try:
            pair = leases.lease(name, now)
        except LeaseError:
            continue
        for address in pair:
            assert owner.setdefault(address, name) == name
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
    leases.lease(f"host-{{i}}.region.service.example.com", float(i))
print(resident() - before)
"""


def test_100_000_leases_take_less_than_50_mb(pytestconfig: pytest.Config) -> None:
    code = MEASURE.format(root=str(pytestconfig.rootpath))
    grown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert 1_000 < int(grown.stdout) < 50_000  # KB
