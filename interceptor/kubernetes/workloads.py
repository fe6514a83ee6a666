"""Workloads: where their pod template is, and changes that both forms make.

Changes can be made again: what an earlier injection has added is taken out first.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from interceptor.kubernetes.documents import Document, Path
from interceptor.kubernetes.parts import AGENT

TEMPLATES: Final[Mapping[str, Path]] = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "PodTemplate": ("template",),
}
"""Kind: where its pod template stands (the Pod is its own)."""

BRIDGE: Final = "egressguard-bridge"
SIDECAR: Final = "egressguard"
RULES: Final = "egressguard-rules"
CONTAINERS: Final = ("initContainers", "containers")
_OURS: Final = frozenset((BRIDGE, SIDECAR, RULES))
_NAME: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?")  # a Service's begins so
_SPACE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_OWN_PREFIX: Final = "egressguard"
_LISTS: Final = {"container": ("env", "volumeMounts", "ports"), "pod": (*CONTAINERS, "volumes")}


class Workload(msgspec.Struct):
    """A workload of the input, to be rewritten."""

    document: Document
    data: dict[str, Any]
    """A copy of the whole, in which `template` lies."""
    template: dict[str, Any]
    name: str
    namespace: str
    path: Path
    """Of the template."""

    @property
    def spec(self) -> dict[str, Any]:
        """Spec of the pod."""
        spec: dict[str, Any] = self.template["spec"]
        return spec

    @property
    def labels(self) -> dict[str, Any]:
        """Labels of the pods."""
        labels: dict[str, Any] = (self.template.get("metadata") or {}).get("labels") or {}
        return labels

    def containers(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Path and content of every container of the agent's."""
        for group in CONTAINERS:
            for index, container in enumerate(self.spec.get(group) or ()):
                yield (*self.path, "spec", group, index), container


def find(document: Document, namespace: str) -> Workload | None:
    """Read the workload of a document, or None where it is none.

    Raises:
        ManifestError: it is one, but not as Kubernetes wants it.
    """
    kind = document.kind
    if kind not in TEMPLATES:
        return None
    data = copy.deepcopy(document.data)
    template = data
    path = TEMPLATES[kind]
    for index, part in enumerate((*path, "spec")):
        inner = template.get(part)
        if not isinstance(inner, dict):
            place = (*path, "spec")[: index + 1]
            raise document.error(place, f"{kind} without {part}", "write the whole workload")
        if part != "spec" or index < len(path):
            template = inner
    metadata = data.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(name, str):
        fix = "give it metadata.name; names of what stands around it follow (no generateName)"
        raise document.error(("metadata", "name"), f"{kind} without a name", fix)
    if _NAME.fullmatch(name) is None:
        fix = "a letter, then a-z, 0-9 and hyphens, 40 at most, as names of ours follow"
        raise document.error(("metadata", "name"), f"{name!r} cannot be used", fix)
    place_ = metadata.get("namespace") or namespace
    if not isinstance(place_, str) or _SPACE.fullmatch(place_) is None:
        fix = "a-z, 0-9 and hyphens, 63 at most"
        raise document.error(("metadata", "namespace"), f"{place_!r} cannot be used", fix)
    workload = Workload(document, data, template, name, place_, path)
    _check_shape(workload)
    return workload


def _check_shape(workload: Workload) -> None:
    """What the rest relies on: lists of mappings where they belong."""
    document, spec, path = workload.document, workload.spec, (*workload.path, "spec")

    def need(place: Path, value: Any, kind: type, word: str) -> None:
        if value is not None and not isinstance(value, kind):
            raise document.error(place, f"not a {word}", f"write a {word}")

    def need_list(place: Path, value: Any) -> None:
        need(place, value, list, "list")
        for index, each in enumerate(value or ()):
            if not isinstance(each, dict):
                raise document.error((*place, index), "not a mapping", "write a mapping")

    for part in _LISTS["pod"]:
        need_list((*path, part), spec.get(part))
    if not spec.get("containers"):
        raise document.error((*path, "containers"), "no containers", "write at least one")
    for part in ("securityContext", "dnsConfig"):
        need((*path, part), spec.get(part), dict, "mapping")
    _check_context(document, (*path, "securityContext"), spec.get("securityContext"))
    options = (spec.get("dnsConfig") or {}).get("options")
    need_list((*path, "dnsConfig", "options"), options)
    for index, volume in enumerate(spec.get("volumes") or ()):
        need((*path, "volumes", index, "projected"), volume.get("projected"), dict, "mapping")
        sources = (volume.get("projected") or {}).get("sources")
        need_list((*path, "volumes", index, "projected", "sources"), sources)
    for where, container in workload.containers():
        if not isinstance(container.get("name"), str):
            raise document.error(where, "a container without a name", "give it a name")
        for part in _LISTS["container"]:
            need_list((*where, part), container.get(part))
        need((*where, "securityContext"), container.get("securityContext"), dict, "mapping")
        _check_context(document, (*where, "securityContext"), container.get("securityContext"))
    meta = workload.template.get("metadata")
    place = (*workload.path, "metadata")
    need(place, meta, dict, "mapping")
    for part in ("labels", "annotations"):
        need((*place, part), (meta or {}).get(part), dict, "mapping")


def _check_context(document: Document, path: Path, context: dict[str, Any] | None) -> None:
    parts = {"capabilities": dict, "windowsOptions": dict, "sysctls": list, "seccompProfile": dict}
    for part, kind in parts.items():
        value = (context or {}).get(part)
        if value is not None and not isinstance(value, kind):
            raise document.error((*path, part), f"not a {kind.__name__}", "see the API's reference")
    capabilities = (context or {}).get("capabilities") or {}
    for part in ("add", "drop"):
        if not isinstance(capabilities.get(part) or [], list):
            raise document.error((*path, "capabilities", part), "not a list", "write a list")


def strip(workload: Workload, kept: str) -> None:
    """Take out what an earlier injection has added, so that it can be made anew.

    Args:
        workload: to be changed in place.
        kept: name of the container that tells the form that is wanted now.

    Raises:
        ManifestError: it was injected in the other form, or pretends to be injected.
    """
    document, spec, path = workload.document, workload.spec, (*workload.path, "spec")
    marked = workload.labels.get(AGENT)
    again = "inject the manifest as it was before"
    if marked is not None and marked != workload.name:
        where = (*workload.path, "metadata", "labels", AGENT)
        raise document.error(where, f"a label of ours with the value {marked!r}", again)
    for where, container in workload.containers():
        name = container["name"]
        ours = where[-2] == "initContainers" and marked is not None and name in _OURS
        if name.startswith(_OWN_PREFIX) and not ours:
            raise document.error((*where, "name"), "a name of ours", "take another one")
    added = {each["name"] for each in spec.get("initContainers") or () if each["name"] in _OURS}
    if added and kept not in added:
        raise document.error((*path, "initContainers"), "injected in the other form", again)
    _keep(spec, "initContainers", lambda each: each["name"] not in _OURS)
    _keep(spec, "volumes", lambda each: not _is_ours(each.get("name")))
    for _, container in workload.containers():
        _keep(container, "volumeMounts", lambda each: not _is_ours(each.get("name")))


def _is_ours(name: Any) -> bool:
    return isinstance(name, str) and name.startswith(f"{_OWN_PREFIX}-")


def _keep(holder: dict[str, Any], part: str, wanted: Any) -> None:
    """Keep of a list what is wanted; the key keeps its place, as ours come back."""
    if holder.get(part):
        holder[part] = [each for each in holder[part] if wanted(each)]


def set_variables(container: dict[str, Any], variables: Mapping[str, str]) -> None:
    """Set variables of a container, in place of those of the same name."""
    kept = [entry for entry in container.get("env") or () if entry.get("name") not in variables]
    container["env"] = [
        *kept,
        *({"name": name, "value": value} for name, value in variables.items()),
    ]


def mount(container: dict[str, Any], name: str, path: str) -> None:
    """Mount a volume of ours, for reading."""
    entry = {"name": name, "mountPath": path, "readOnly": True}
    container["volumeMounts"] = [*(container.get("volumeMounts") or ()), entry]


def add_volumes(spec: dict[str, Any], *volumes: dict[str, Any]) -> None:
    """Add volumes of ours to a pod."""
    spec["volumes"] = [*(spec.get("volumes") or ()), *volumes]


def default_seccomp(workload: Workload, container: dict[str, Any]) -> None:
    """Give a container the engine's usual filter where nobody says one: kubelets set none."""
    pod = workload.spec.get("securityContext") or {}
    context = container["securityContext"]
    if not context.get("seccompProfile") and not pod.get("seccompProfile"):
        context["seccompProfile"] = {"type": "RuntimeDefault"}


def label(workload: Workload) -> None:
    """Mark the pods as held."""
    metadata = workload.template.get("metadata") or {}
    workload.template["metadata"] = metadata
    metadata["labels"] = {**workload.labels, AGENT: workload.name}
