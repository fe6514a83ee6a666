"""What in a pod would be a way round us: refused, not noted.

A manifest that comes out of an injection has one way out, or nothing comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interceptor.kubernetes.documents import Document, Path
from interceptor.kubernetes.parts import PROXY
from interceptor.kubernetes.workloads import Workload

_HARMLESS: Final = frozenset(
    (
        *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
        *("SETFCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "AUDIT_WRITE"),
    )
)
"""Capabilities that a container has by default, without NET_RAW and MKNOD."""
_HOST: Final = {
    "hostNetwork": "shares the node's network, which no NetworkPolicy and no rule in a pod holds",
    "hostPID": "sees every process of the node",
    "hostIPC": "shares memory with processes of the node",
    "shareProcessNamespace": "lets the agent look into the container that holds its way out",
}
_NETWORKS: Final = ("k8s.v1.cni.cncf.io/networks", "v1.multus-cni.io/default-network")
"""Annotations that give a pod another network interface."""
_OPERATORS: Final = frozenset(("In", "NotIn", "Exists", "DoesNotExist"))


def refuse(workload: Workload) -> None:
    """Refuse what gives a pod a way out that nobody here holds.

    Raises:
        ManifestError: naming it, its line, why, and what to do.
    """
    document, spec, path = workload.document, workload.spec, (*workload.path, "spec")
    meta = (*workload.path, "metadata")
    if PROXY in workload.labels:
        raise document.error((*meta, "labels", PROXY), "the proxy's label", "remove it")
    annotations = (workload.template.get("metadata") or {}).get("annotations") or {}
    for name in _NETWORKS:
        if name in annotations:
            why = "another network interface, which is not held"
            raise document.error((*meta, "annotations", name), why, "remove it")
    for key, why in _HOST.items():
        if spec.get(key):
            raise document.error((*path, key), f"cannot be held: {why}", "remove it")
    if spec.get("ephemeralContainers"):
        why = "cannot be held: added to a pod that runs, not written in a template"
        raise document.error((*path, "ephemeralContainers"), why, "remove them")
    system = spec.get("os")
    if isinstance(system, dict) and system.get("name") not in (None, "linux"):
        raise document.error((*path, "os"), "cannot be held: not Linux", "use Linux")
    for index, volume in enumerate(spec.get("volumes") or ()):
        if "hostPath" in volume:
            why = "cannot be held: a path of the node may be its container engine's socket"
            fix = "use an emptyDir, a ConfigMap or a persistent volume claim"
            raise document.error((*path, "volumes", index, "hostPath"), why, fix)
        for source in (volume.get("projected") or {}).get("sources") or ():
            token = source.get("serviceAccountToken")
            if isinstance(token, dict) and token.get("audience") == "egressguard":
                why = "the token is the bridge's; the agent needs none"
                raise document.error((*path, "volumes", index), why, "remove it")
    _check_context(document, (*path, "securityContext"), spec.get("securityContext") or {})
    for where, container in workload.containers():
        context = container.get("securityContext") or {}
        _check_context(document, (*where, "securityContext"), context)


def _check_context(document: Document, path: Path, context: dict[str, Any]) -> None:
    if context.get("privileged"):
        raise document.error(
            (*path, "privileged"), "cannot be held: root on the node", "remove it; give a volume"
        )
    if (context.get("seccompProfile") or {}).get("type") == "Unconfined":
        why = "cannot be held: system calls and sockets (vsock) that engines keep from containers"
        raise document.error((*path, "seccompProfile"), why, "remove it, or use RuntimeDefault")
    if context.get("procMount", "Default") != "Default":
        raise document.error((*path, "procMount"), "cannot be held: /proc unmasked", "remove it")
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        raise document.error((*path, "windowsOptions"), "cannot be held: not Linux", "remove it")
    for index, entry in enumerate(context.get("sysctls") or ()):
        if not isinstance(entry, dict) or str(entry.get("name", "")).startswith("net"):
            why = "cannot be held: changes the pod's network"
            raise document.error((*path, "sysctls", index), why, "remove it")
    capabilities = context.get("capabilities") or {}
    for index, name in enumerate(capabilities.get("add") or ()):
        if str(name).removeprefix("CAP_") not in _HARMLESS:
            where = (*path, "capabilities", "add", index)
            why = f"cannot be held: {name} is more than a container has"
            raise document.error(where, why, "remove it")


def refuse_policy(document: Document, workload: Workload, namespace: str) -> None:
    """Refuse a NetworkPolicy of the same file that would undo ours: policies add up.

    Raises:
        ManifestError: it lets the agent's or the proxy's pods out anywhere.
    """
    _, place, _ = document.identity(namespace)
    if not document.kind.endswith("NetworkPolicy") or place != workload.namespace:
        return
    spec = document.data.get("spec")
    if not isinstance(spec, dict) or not spec.get("egress"):
        return
    labels = {str(key): str(value) for key, value in workload.labels.items()}
    proxy = {PROXY: workload.name}
    for which, whose in ((labels, "the agent's"), (proxy, "the proxy's")):
        if selects(spec.get("podSelector") or {}, which):
            why = f"lets {whose} pods out, and policies add up"
            fix = f"exclude them: matchExpressions with {next(reversed(which))} DoesNotExist"
            raise document.error(("spec", "egress"), why, fix)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector matches; what cannot be read is taken to match."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(str(key)) != str(value):
            return False
    for entry in selector.get("matchExpressions") or ():
        key, operator = str(entry.get("key")), entry.get("operator")
        values = {str(each) for each in entry.get("values") or ()}
        if operator not in _OPERATORS:
            continue
        present = key in labels
        matches = {
            "In": present and labels.get(key) in values,
            "NotIn": not present or labels.get(key) not in values,
            "Exists": present,
            "DoesNotExist": not present,
        }[operator]
        if not matches:
            return False
    return True
