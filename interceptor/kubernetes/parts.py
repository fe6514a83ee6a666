"""What both forms are made of: variables of trust and proxies, contexts, names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

AGENT: Final = "egressguard-agent"
"""Label of pods that are held; its value is the workload's name."""
PROXY: Final = "egressguard-proxy"
"""Label of the proxy's pods: what has it may go out."""
MANAGER: Final = "app.kubernetes.io/managed-by"
"""Label of every object that we add, with `egressguard` as its value."""
TRUST: Final = "/run/egressguard/trust"
"""Where agents find the authority's certificate: `ca.crt` in it."""
BRIDGE_PORT: Final = 18_888
PROXY_PORT: Final = 8_888
PROXY_UID: Final = 61_183
"""Uid of our containers: below systemd's dynamic range, and of no distribution's user."""
SECRET_SUFFIX: Final = "egressguard-authority"  # noqa: S105 - the name of an object
_PROXIES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_NOT_PUBLIC4: Final = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"),
)
_NOT_PUBLIC6: Final = ("::/8", "64:ff9b::/96", "fc00::/7", "fe80::/10", "ff00::/8")


class Options(msgspec.Struct, frozen=True):
    """What `egressguard k8s inject` was asked for."""

    image: str
    policy: str
    """Text of the policy file."""
    issuer: str = "https://kubernetes.default.svc.cluster.local"
    """Issuer of the cluster's service-account tokens."""
    keys: str = "egressguard-keys"
    """ConfigMap with the cluster's keys, `jwks.json` in it."""
    authority: str = ""
    """Secret with the authority, `ca.crt` and `ca.key`; made up of the workload's name if empty."""
    replicas: int = 2
    ipv6: bool = False
    """The cluster has IPv6: the proxy listens there, too."""
    ingress: bool = False
    """Leave the agent's ingress as it is; otherwise nobody connects to it."""
    agent_uid: int | None = None
    """Uid of agents whose manifest says none (sidecar form)."""
    around: bool = True
    """Emit what stands around the workload; False: a chart has made it."""


def new_object(version: str, kind: str, namespace: str, name: str, **rest: Any) -> dict[str, Any]:
    """Return an object of ours."""
    metadata = {"name": name, "namespace": namespace, "labels": {MANAGER: "egressguard"}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def certificate(trust: Mapping[str, str]) -> dict[str, str]:
    """Variables by which runtimes trust the authority.

    `trust` names for each variable a file or a word; every file becomes ours: no other server is
    ever talked to, so no other root is needed.
    """
    path = f"{TRUST}/ca.crt"
    return {name: path if value.startswith("/") else value for name, value in trust.items()}


def proxies(port: int) -> dict[str, str]:
    """Variables by which programs find a proxy on loopback."""
    url = f"http://127.0.0.1:{port}"
    found = dict.fromkeys(_PROXIES, url) | dict.fromkeys(map(str.lower, _PROXIES), url)
    own = "localhost,127.0.0.1,::1"
    return found | {"NO_PROXY": own, "no_proxy": own}


def confined(uid: int = PROXY_UID) -> dict[str, Any]:
    """Security context of a container of ours."""
    return {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": uid,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def resources(memory: str, most: str) -> dict[str, Any]:
    """Resources of a container of ours."""
    return {"requests": {"cpu": "20m", "memory": memory}, "limits": {"memory": most}}


def way_out() -> list[dict[str, Any]]:
    """Egress rules of what dials for agents: the cluster's DNS, and public addresses."""
    system = {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}
    names = {
        "to": [{"namespaceSelector": system}],
        "ports": [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")],
    }
    public = {
        "to": [
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(_NOT_PUBLIC4)}},
            {"ipBlock": {"cidr": "::/0", "except": list(_NOT_PUBLIC6)}},
        ]
    }
    return [names, public]


def authority_volume(name: str, secret: str, *, key: bool) -> dict[str, Any]:
    """Volume of the authority: its key only where it signs."""
    items = [{"key": "ca.crt", "path": "ca.crt"}]
    if key:
        items.append({"key": "ca.key", "path": "ca.key"})
    mode = 0o440 if key else 0o444
    return {"name": name, "secret": {"secretName": secret, "items": items, "defaultMode": mode}}
