"""The sidecar form: transparent, within the agent's pod, and weaker for it.

An init container with CAP_NET_ADMIN writes rules into the pod's network namespace and ends; they
lead every connection of every uid but one to a sidecar that runs as that uid
(`interceptor.kubernetes.pod_rules`). The pod has a path out, so the rules must hold: whoever gets
CAP_NET_ADMIN there, or that uid, is out. So the agent's containers run without root, capabilities
and new privileges, and under another uid. The companion form is the stronger.

The authority is the pod's own: its key lies in a volume in memory that the sidecar alone mounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interceptor.kubernetes import known, ways_round
from interceptor.kubernetes.documents import Path
from interceptor.kubernetes.parts import (
    AGENT,
    PROXY_UID,
    TRUST,
    Options,
    certificate,
    confined,
    new_object,
    resources,
    way_out,
)
from interceptor.kubernetes.workloads import (
    RULES,
    SIDECAR,
    Workload,
    add_volumes,
    default_seccomp,
    label,
    mount,
    set_variables,
    strip,
)

_AUTHORITY: Final = "/run/egressguard/authority"


def rewrite(workload: Workload, options: Options, trust: Mapping[str, str]) -> None:
    """Change the workload in place: rules, sidecar, trust, no capabilities, another uid.

    Raises:
        ManifestError: there is a way round that cannot be taken away, or no uid is said.
    """
    strip(workload, SIDECAR)
    ways_round.refuse(workload)
    spec = workload.spec
    label(workload)
    spec["automountServiceAccountToken"] = False
    pod = spec.get("securityContext") or {}
    for where, container in workload.containers():
        _confine(workload, where, container, pod.get("runAsUser", options.agent_uid))
        set_variables(container, certificate(trust))
        mount(container, "egressguard-trust", TRUST)
    # The agent's resolver asks for a name as it is first; with five dots the cluster's domains come
    # first, and each of them would be judged.
    dns = dict(spec.get("dnsConfig") or {})
    kept = [each for each in dns.get("options") or () if each.get("name") != "ndots"]
    dns["options"] = [*kept, {"name": "ndots", "value": "1"}]
    spec["dnsConfig"] = dns
    spec["initContainers"] = [
        _rules(options, closed=not options.ingress and not _probed(workload)),
        _sidecar(workload.name, options, known.environment(workload, trust)),
        *(spec.get("initContainers") or ()),
    ]
    add_volumes(
        spec,
        {"name": "egressguard-trust", "emptyDir": {"sizeLimit": "1Mi"}},
        {"name": "egressguard-authority", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "egressguard-policy", "configMap": {"name": f"{workload.name}-egressguard"}},
        {"name": "egressguard-scratch", "emptyDir": {"sizeLimit": "64Mi"}},
    )


def _confine(
    workload: Workload, where: Path, container: dict[str, Any], fallback: int | None
) -> None:
    """Take from a container of the agent's what could change the rules or pass for the sidecar."""
    context = dict(container.get("securityContext") or {})
    path = (*where, "securityContext", "runAsUser")
    uid = context.get("runAsUser", fallback)
    if uid is None:
        why = "no uid is said, and the sidecar must know that it is not its own"
        raise workload.document.error(path, why, "set runAsUser, or give --agent-uid 1000")
    if not isinstance(uid, int) or isinstance(uid, bool) or uid < 0:
        raise workload.document.error(path, "not a uid", "write a number such as 1000")
    if uid == 0:
        why = "root in the pod could come to change the rules that hold it"
        raise workload.document.error(path, why, "run as another uid, or use --form companion")
    if uid == PROXY_UID:
        why = f"{uid} is the sidecar's uid, which may go out"
        raise workload.document.error(path, why, "take another one")
    container["securityContext"] = context | {
        "runAsUser": uid,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    default_seccomp(workload, container)


def around_workload(
    workload: Workload,
    options: Options,
    trust: Mapping[str, str],  # noqa: ARG001 - as of the other form
) -> list[dict[str, Any]]:
    """Return what the rewritten workload needs."""
    name, namespace = f"{workload.name}-egressguard", workload.namespace
    held: dict[str, Any] = {
        "podSelector": {"matchLabels": {AGENT: workload.name}},
        "policyTypes": ["Egress"] if options.ingress else ["Ingress", "Egress"],
        "egress": way_out(),  # of the sidecar: the agent's part is held by the rules
    }
    if not options.ingress:
        held["ingress"] = []
    data = {"egressguard.yaml": options.policy}
    return [
        new_object("v1", "ConfigMap", namespace, name, data=data),
        new_object("networking.k8s.io/v1", "NetworkPolicy", namespace, name, spec=held),
    ]


def _probed(workload: Workload) -> bool:
    """Whether the kubelet connects to the pod, to see whether it lives."""
    probes = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
    return any(part in each for _, each in workload.containers() for part in probes)


def _rules(options: Options, *, closed: bool) -> dict[str, Any]:
    """Return the init container that writes the rules, looks whether they hold, and ends."""
    context = confined(0) | {"runAsNonRoot": False}
    context["capabilities"] = {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    return {
        "name": RULES,
        "image": options.image,
        "args": ["k8s", "pod-rules", f"--uid={PROXY_UID}", *(["--closed"] if closed else [])],
        "securityContext": context,
        "resources": resources("32Mi", "128Mi"),
    }


def _sidecar(name: str, options: Options, secrets: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sidecar: listens on loopback, dials from the pod's network as its own uid."""
    return {
        "name": SIDECAR,
        "image": options.image,
        "restartPolicy": "Always",
        "args": [
            "k8s",
            "pod-serve",
            f"--name={name}",
            "--policy=/etc/egressguard/egressguard.yaml",
            f"--ca-dir={_AUTHORITY}/ca",
            f"--trust={TRUST}",
            "--evidence=-",
        ],
        **secrets,
        "securityContext": confined(),
        # It writes the certificate when it serves.
        "startupProbe": {
            "exec": {"command": ["test", "-s", f"{TRUST}/ca.crt"]},
            "periodSeconds": 1,
            "failureThreshold": 60,
        },
        "resources": resources("96Mi", "512Mi"),
        "volumeMounts": [
            {"name": "egressguard-policy", "mountPath": "/etc/egressguard", "readOnly": True},
            {"name": "egressguard-authority", "mountPath": _AUTHORITY},
            {"name": "egressguard-trust", "mountPath": TRUST},
            {"name": "egressguard-scratch", "mountPath": "/tmp"},  # noqa: S108
        ],
    }
