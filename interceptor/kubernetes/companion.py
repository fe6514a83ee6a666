"""The companion form: a proxy of its own pods, and NetworkPolicies that leave no other way.

The agent's pod reaches TCP port 8888 of the proxy's pods and nothing else, no DNS either: the proxy
resolves. It proves who it is by a projected service-account token, which a bridge in the pod reads
and the agent does not have. What holds the agent stands outside of its pod, so that root in there
changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interceptor.kubernetes import known, ways_round
from interceptor.kubernetes.parts import (
    AGENT,
    BRIDGE_PORT,
    PROXY,
    PROXY_PORT,
    PROXY_UID,
    SECRET_SUFFIX,
    TRUST,
    Options,
    authority_volume,
    certificate,
    confined,
    new_object,
    proxies,
    resources,
    way_out,
)
from interceptor.kubernetes.workloads import (
    BRIDGE,
    Workload,
    add_volumes,
    default_seccomp,
    label,
    mount,
    set_variables,
    strip,
)

AUDIENCE: Final = "egressguard"
_TOKEN: Final = "/run/egressguard/token"  # noqa: S105 - a directory


def rewrite(workload: Workload, options: Options, trust: Mapping[str, str]) -> None:
    """Change the workload in place: label, bridge, trust, variables, no DNS, no cluster's token.

    Raises:
        ManifestError: there is a way round that cannot be taken away.
    """
    strip(workload, BRIDGE)
    ways_round.refuse(workload)
    spec = workload.spec
    for where, container in workload.containers():
        for index, port in enumerate(container.get("ports") or ()):
            if port.get("containerPort") == BRIDGE_PORT:
                place = (*where, "ports", index)
                why = f"port {BRIDGE_PORT} of the pod is the bridge's"
                raise workload.document.error(place, why, "take another one")
    label(workload)
    spec["serviceAccountName"] = _account(workload)
    spec.pop("serviceAccount", None)
    spec["automountServiceAccountToken"] = False
    spec["enableServiceLinks"] = True  # how the bridge finds the proxy without DNS
    spec["dnsPolicy"] = "None"
    spec["dnsConfig"] = {"nameservers": ["127.0.0.1"]}
    variables = certificate(trust) | proxies(BRIDGE_PORT)
    for _, container in workload.containers():
        set_variables(container, variables)
        mount(container, "egressguard-trust", TRUST)
        context = dict(container.get("securityContext") or {})
        capabilities = dict(context.get("capabilities") or {})
        drop = list(capabilities.get("drop") or ())
        if "ALL" not in drop:  # what forges packets
            drop += [each for each in ("NET_RAW", "MKNOD") if each not in drop]
        capabilities["drop"] = drop
        context["capabilities"] = capabilities
        container["securityContext"] = context
        default_seccomp(workload, container)
    spec["initContainers"] = [_bridge(workload.name, options), *(spec.get("initContainers") or ())]
    token = {"path": "token", "audience": AUDIENCE, "expirationSeconds": 3_600}
    # Readable by every uid, and mounted in the bridge alone: fsGroup would change the group of the
    # agent's own volumes.
    projected = {"sources": [{"serviceAccountToken": token}], "defaultMode": 0o444}
    add_volumes(
        spec,
        authority_volume("egressguard-trust", secret_of(workload.name, options), key=False),
        {"name": "egressguard-token", "projected": projected},
    )


def _account(workload: Workload) -> str:
    """Service account of the agent: its own, as whoever has `default` could be any pod."""
    spec, path = workload.spec, (*workload.path, "spec", "serviceAccountName")
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account in (None, "default"):
        return agents_account(workload.name)
    if not isinstance(account, str):
        raise workload.document.error(path, "not a name", "write the account's name")
    return account


def agents_account(name: str) -> str:
    """Service account that is made for the agents of a workload that names none."""
    return f"{name}-egressguard-agent"


def secret_of(name: str, options: Options) -> str:
    """Name of the Secret with the authority of a workload."""
    return options.authority or f"{name}-{SECRET_SUFFIX}"


def around_workload(
    workload: Workload, options: Options, trust: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return what stands around the rewritten workload; see `around`."""
    account = workload.spec["serviceAccountName"]
    secrets = known.environment(workload, {*trust, *proxies(BRIDGE_PORT)})
    return around(workload.name, workload.namespace, account, options, secrets)


def around(
    name: str,
    namespace: str,
    account: str,
    options: Options,
    secrets: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Return what stands around a workload, in the order to be applied.

    Args:
        name: of the workload.
        namespace: of all.
        account: service account of the agent's pods.
        options: see there.
        secrets: the agent's own, as `known.environment` has them.
    """
    full, proxy = f"{name}-egressguard", {PROXY: name}
    agents = f"{name} serviceaccount:{namespace}/{account}\n"
    data = {"egressguard.yaml": options.policy, "agents": agents}
    found = [
        new_object("v1", "ConfigMap", namespace, full, data=data),
        *_policies(name, namespace, options),
        new_object("v1", "ServiceAccount", namespace, full, automountServiceAccountToken=False),
    ]
    if account == agents_account(name):
        found.append(
            new_object(
                "v1", "ServiceAccount", namespace, account, automountServiceAccountToken=False
            )
        )
    port = {"name": "proxy", "port": PROXY_PORT, "targetPort": "proxy", "protocol": "TCP"}
    # An agent's state is its replica's: pieces of a secret must meet in one memory.
    service = {
        "selector": proxy,
        "ports": [port],
        "sessionAffinity": "ClientIP",
        "ipFamilyPolicy": "PreferDualStack" if options.ipv6 else "SingleStack",
    }
    # Not minAvailable: with one replica no node could ever be drained.
    budget = {"maxUnavailable": 1, "selector": {"matchLabels": proxy}}
    deployment = _deployment(name, options, secrets or {})
    return [
        *found,
        new_object("v1", "Service", namespace, full, spec=service),
        new_object("apps/v1", "Deployment", namespace, full, spec=deployment),
        new_object("policy/v1", "PodDisruptionBudget", namespace, full, spec=budget),
    ]


def _policies(name: str, namespace: str, options: Options) -> list[dict[str, Any]]:
    agent, proxy = {AGENT: name}, {PROXY: name}
    port = [{"port": PROXY_PORT, "protocol": "TCP"}]
    to_proxy = {"to": [{"podSelector": {"matchLabels": proxy}}], "ports": port}
    held: dict[str, Any] = {
        "podSelector": {"matchLabels": agent},
        "policyTypes": ["Egress"] if options.ingress else ["Ingress", "Egress"],
        "egress": [to_proxy],
    }
    if not options.ingress:
        held["ingress"] = []
    dials = {
        "podSelector": {"matchLabels": proxy},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": agent}}], "ports": port}],
        "egress": way_out(),
    }
    version, full = "networking.k8s.io/v1", f"{name}-egressguard"
    return [
        new_object(version, "NetworkPolicy", namespace, f"{full}-agent", spec=held),
        new_object(version, "NetworkPolicy", namespace, full, spec=dials),
    ]


def _deployment(name: str, options: Options, secrets: Mapping[str, Any]) -> dict[str, Any]:
    labels = {PROXY: name}
    mounts = [
        {"name": "configuration", "mountPath": "/etc/egressguard", "readOnly": True},
        {"name": "keys", "mountPath": "/etc/egressguard-keys", "readOnly": True},
        {"name": "authority", "mountPath": "/run/authority", "readOnly": True},
        {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108 - the container's own
    ]
    listeners = [f"--listen=0.0.0.0:{PROXY_PORT}"]
    if options.ipv6:
        listeners.append(f"--listen=[::]:{PROXY_PORT}")
    container = {
        "name": "proxy",
        "image": options.image,
        "args": [
            "proxy",
            *listeners,
            f"--name={name}",
            "--policy=/etc/egressguard/egressguard.yaml",
            "--agents=/etc/egressguard/agents",
            "--service-account-keys=/etc/egressguard-keys/jwks.json",
            f"--issuer={options.issuer}",
            f"--audience={AUDIENCE}",
            "--ca-dir=/run/authority",
            "--evidence=-",
            "--quiet",
        ],
        **secrets,
        "ports": [{"name": "proxy", "containerPort": PROXY_PORT, "protocol": "TCP"}],
        "readinessProbe": {"tcpSocket": {"port": "proxy"}, "periodSeconds": 5},
        "livenessProbe": {"tcpSocket": {"port": "proxy"}, "periodSeconds": 20},
        "securityContext": confined(),
        "resources": resources("96Mi", "512Mi"),
        "volumeMounts": mounts,
    }
    volumes = [
        {"name": "configuration", "configMap": {"name": f"{name}-egressguard"}},
        {"name": "keys", "configMap": {"name": options.keys}},
        authority_volume("authority", secret_of(name, options), key=True),
        {"name": "scratch", "emptyDir": {"sizeLimit": "64Mi"}},
    ]
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    pod = {
        "serviceAccountName": f"{name}-egressguard",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"fsGroup": PROXY_UID},  # by which it reads the key
        "topologySpreadConstraints": [spread],
        "containers": [container],
        "volumes": volumes,
    }
    return {
        "replicas": options.replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }


def _bridge(name: str, options: Options) -> dict[str, Any]:
    """Return the bridge, a sidecar that starts before everything else (Kubernetes 1.29)."""
    host = f"{name}-egressguard".upper().replace("-", "_")
    return {
        "name": BRIDGE,
        "image": options.image,
        "restartPolicy": "Always",
        "args": [
            "proxy",
            "bridge",
            f"--listen=127.0.0.1:{BRIDGE_PORT}",
            # Of the Service: the agent's pod resolves no names.
            f"--to=$({host}_SERVICE_HOST):{PROXY_PORT}",
            f"--token-file={_TOKEN}/token",
        ],
        "securityContext": confined(),
        "resources": resources("32Mi", "128Mi"),
        "volumeMounts": [{"name": "egressguard-token", "mountPath": _TOKEN, "readOnly": True}],
    }
