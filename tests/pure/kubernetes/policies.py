"""What NetworkPolicies allow, worked out from the API's documentation alone.

A pod that no policy of a direction selects is open in it; otherwise what any of them allows is
allowed (networking.k8s.io/v1, NetworkPolicySpec). Knows nothing of egressguard.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Peer(NamedTuple):
    """An end: a pod with labels, or an address outside of the cluster."""

    address: str
    labels: Mapping[str, str] | None = None
    namespace: str = ""
    namespace_labels: Mapping[str, str] = {}


def reachable(
    source: Peer, target: Peer, port: int, protocol: str, policies: Iterable[Mapping[str, Any]]
) -> bool:
    """Whether `source` may open a connection to `target`."""
    found = list(policies)
    return _allowed("Egress", source, target, port, protocol, found) and _allowed(
        "Ingress", target, source, port, protocol, found
    )


def _allowed(
    direction: str,
    held: Peer,
    other: Peer,
    port: int,
    protocol: str,
    policies: list[Mapping[str, Any]],
) -> bool:
    if held.labels is None:
        return True
    bound = [each for each in policies if _binds(each, held, direction)]
    return not bound or any(
        _rule_allows(rule, direction, each["metadata"]["namespace"], other, port, protocol)
        for each in bound
        for rule in each["spec"].get(direction.lower()) or ()
    )


def _binds(policy: Mapping[str, Any], pod: Peer, direction: str) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes")
    if types is None:
        types = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    assert pod.labels is not None
    return (
        policy["metadata"]["namespace"] == pod.namespace
        and direction in types
        and selects(spec["podSelector"], pod.labels)
    )


def _rule_allows(
    rule: Mapping[str, Any], direction: str, namespace: str, other: Peer, port: int, protocol: str
) -> bool:
    peers = rule.get("to" if direction == "Egress" else "from")
    ports = rule.get("ports")
    return (not peers or any(_is(each, namespace, other) for each in peers)) and (
        not ports or any(_fits(each, port, protocol) for each in ports)
    )


def _fits(entry: Mapping[str, Any], port: int, protocol: str) -> bool:
    if entry.get("protocol", "TCP") != protocol:
        return False
    first = entry.get("port")
    return first is None or first <= port <= entry.get("endPort", first)


def _is(peer: Mapping[str, Any], namespace: str, other: Peer) -> bool:
    block = peer.get("ipBlock")
    if block is not None:
        return _in(other.address, block["cidr"]) and not any(
            _in(other.address, each) for each in block.get("except") or ()
        )
    if other.labels is None:
        return False
    spaces, pods = peer.get("namespaceSelector"), peer.get("podSelector")
    if spaces is None and other.namespace != namespace:
        return False
    if spaces is not None and not selects(spaces, other.namespace_labels):
        return False
    return pods is None or selects(pods, other.labels)


def _in(address: str, network: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(network)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches all."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for entry in selector.get("matchExpressions") or ():
        key, values = entry["key"], entry.get("values") or []
        if not {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[entry["operator"]]:
            return False
    return True
