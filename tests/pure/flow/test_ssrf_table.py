"""The SSRF table, every row of it, through the real parsers, flows and judge."""

from __future__ import annotations

import collections
import ipaddress

import pytest

from interceptor.decide import metadata
from interceptor.decide.items import Items
from interceptor.decide.judge import Judge
from interceptor.policy.schema import Addresses, Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import load_rules
from tests.ssrf import table
from tests.ssrf.carriers import CARRIERS, Desk
from tests.ssrf.forms import NAMES, TWINS, refused

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return Scanner.build(load_rules(), None)


def desk_of(policy: Policy, scanner: Scanner) -> Desk:
    return Desk(Judge(policy, scanner, b"k" * 16), Items(policy, scanner, b"k" * 16))


@pytest.fixture(scope="module")
def desk(scanner: Scanner) -> Desk:
    return desk_of(Policy(), scanner)


def test_every_row_is_refused_for_the_right_reason(desk: Desk) -> None:
    count = 0
    wrong = []
    for carrier, form in table.rows():
        count += 1
        fault = table.fault(carrier, form, carrier.run(desk, form))
        if fault:
            wrong.append(f"{carrier.name}: {form.text!a} ({form.spelling}): {fault}")
    assert not wrong, f"{len(wrong)} of {count}: " + "\n".join(wrong[:20])
    assert count >= 25_000


def test_every_twin_passes(desk: Desk) -> None:
    count = 0
    wrong = []
    for carrier, form in table.twins():
        count += 1
        fault = table.twin_fault(carrier, form, carrier.run(desk, form))
        if fault:
            wrong.append(f"{carrier.name}: {form.text!a}: {fault}")
    assert not wrong, f"{len(wrong)} of {count}: " + "\n".join(wrong[:20])
    assert count >= 2_500


def test_the_table_sees_what_is_not_refused(scanner: Scanner) -> None:
    """Positive control: where policy opens everything, the same rows lead to the host."""
    single = (address for address, _ in metadata.ADDRESSES)
    opened = Policy(addresses=Addresses(allow=("0.0.0.0/0", "::/0", *single)))
    desk = desk_of(opened, scanner)
    through: collections.Counter[str] = collections.Counter()
    for carrier, form in table.rows():
        if form.spelling in ("dotted", "IPv6") and carrier.twins:
            fault = table.fault(carrier, form, carrier.run(desk, form))
            assert fault.startswith("dialled"), (carrier.name, form, fault)
            through[carrier.name] += 1
    assert set(through) == {carrier.name for carrier in CARRIERS if carrier.twins}


def test_the_forms_are_what_they_say() -> None:
    forms = [*refused()]
    assert len({form.text for form in forms}) >= 1000
    assert len({form.spelling for form in forms}) >= 60
    assert {form.text for form in forms if form.spelling == "name"} == set(NAMES)
    assert not {form.text for form in forms} & {form.text for form in TWINS}
    for name in metadata.NAMES:
        assert name in NAMES
    for form in forms:
        if form.address:
            assert str(ipaddress.ip_address(form.address))
