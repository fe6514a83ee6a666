"""Questions to neighbours: on record, once in a while."""

from __future__ import annotations

import pytest

from interceptor.flow.dns_neighbours import GROUPS, WINDOW, Neighbours
from interceptor.verdict import Action, Reason
from netns import nft


@pytest.mark.parametrize(("port", "name"), [(5353, "multicast DNS"), (5355, "LLMNR")])
def test_one_of_a_kind_is_recorded_in_a_window(port: int, name: str) -> None:
    neighbours = Neighbours()
    record = neighbours.asked(port, 10.0, ipv6=False)
    assert record is not None
    verdict = record.verdict
    assert (verdict.action, verdict.reason) == (Action.BLOCK, Reason.DNS_BYPASS)
    assert verdict.detail == f"{name}; ordinary DNS answers every name"
    assert (record.target.host, record.target.port) == (GROUPS[port][1], port)
    assert neighbours.asked(port, 9.0 + WINDOW, ipv6=False) is None
    other = neighbours.asked(port, 11.0, ipv6=True)
    assert other is not None
    assert other.target.host == GROUPS[port][2]
    assert neighbours.asked(port, 10.0 + WINDOW, ipv6=False) == record


def test_the_rules_lead_here() -> None:
    assert set(nft.NEIGHBOUR_PORTS) == set(GROUPS)
