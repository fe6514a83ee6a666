"""Random workloads, as people write them."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

KINDS = ("Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob")
_VERSIONS = {"Pod": "v1", "Job": "batch/v1", "CronJob": "batch/v1"}

names = st.from_regex(r"[a-z](?:[a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
# Words that a reader of YAML takes for numbers and truth values stand among them.
words = st.sampled_from(["a", "1e3", "y", "no", "0o17", "017", "1_000", "=", "~", "x: y", "#", ""])
labels = st.dictionaries(st.sampled_from(["app", "tier", "example.com/team"]), words, max_size=2)


_plain = st.fixed_dictionaries(
    {"name": st.sampled_from(["A", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE", "ACME_URL"])},
    optional={"value": words},
)
_secret = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["ACME_TOKEN", "WORD", "LD_PRELOAD", "PATH", "SSL_CERT_FILE"]),
        "valueFrom": st.builds(
            lambda key: {"secretKeyRef": {"name": "keys", "key": key}}, st.sampled_from(["a", "b"])
        ),
    }
)
variables: st.SearchStrategy[dict[str, Any]] = st.one_of(_plain, _secret)


def containers(prefix: str) -> st.SearchStrategy[dict[str, Any]]:
    """A container, with fields that nothing here knows."""
    optional = {
        "command": st.lists(words, min_size=1, max_size=3),
        "env": st.lists(
            variables,
            max_size=2,
            unique_by=lambda each: str(each["name"]),
        ),
        "envFrom": st.just([{"secretRef": {"name": "keys"}}]),
        "volumeMounts": st.just([{"name": "data", "mountPath": "/data"}]),
        "ports": st.just([{"containerPort": 8080}]),
        "workingDir": words.filter(bool),
        "imagePullPolicy": st.just("Always"),
        "securityContext": st.fixed_dictionaries(
            {},
            optional={
                "runAsUser": st.integers(1, 50_000),
                "readOnlyRootFilesystem": st.booleans(),
                "capabilities": st.sampled_from(
                    [{"add": ["NET_BIND_SERVICE"]}, {"drop": ["ALL"]}, {"drop": ["CHOWN"]}]
                ),
            },
        ),
    }
    fixed = {"name": names.map(lambda name: prefix + name), "image": st.just("example.com/a:1")}
    return st.fixed_dictionaries(fixed, optional=optional)


# Made once: a strategy takes longer to make than a workload.
_kinds = st.sampled_from(KINDS)
_mains = st.lists(containers("c"), min_size=1, max_size=2, unique_by=lambda each: each["name"])
_others: tuple[tuple[str, st.SearchStrategy[Any]], ...] = (
    ("initContainers", st.lists(containers("i"), max_size=1)),
    ("serviceAccountName", st.sampled_from(["default", "worker"])),
    ("automountServiceAccountToken", st.just(True)),
    ("dnsPolicy", st.just("ClusterFirst")),
    ("securityContext", st.just({"runAsUser": 1000, "fsGroup": 2000})),
    ("nodeSelector", st.just({"disk": "ssd"})),
)
_any = st.booleans()


@st.composite
def workloads(draw: st.DrawFn) -> dict[str, Any]:
    """A workload of any kind, valid, and without a way round."""
    kind = draw(_kinds)
    spec: dict[str, Any] = {
        "containers": draw(_mains),
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    for part, strategy in _others:
        if draw(_any):
            spec[part] = copy.deepcopy(draw(strategy))
    if kind in ("Job", "CronJob"):
        spec["restartPolicy"] = "Never"
    own = {"app": "a"} | draw(labels)
    metadata = {"name": draw(names), "annotations": {"note": draw(words)}}
    if draw(_any):
        metadata["namespace"] = draw(names)
    top: dict[str, Any] = {"apiVersion": _VERSIONS.get(kind, "apps/v1"), "kind": kind}
    top["metadata"] = metadata
    template = {"metadata": {"labels": own}, "spec": spec}
    if kind == "Pod":
        metadata["labels"] = own
        return top | {"spec": spec}
    inner: dict[str, Any] = {"template": template}
    if kind not in ("Job", "CronJob"):
        inner["selector"] = {"matchLabels": {"app": own["app"]}}
    if kind == "StatefulSet":
        inner["serviceName"] = "a"
    if kind == "CronJob":
        inner = {"schedule": "* * * * *", "jobTemplate": {"spec": inner}}
    return top | {"spec": inner}


def pod_of(workload: dict[str, Any]) -> dict[str, Any]:
    """The pod that a workload starts: metadata and spec."""
    if workload["kind"] == "Pod":
        return workload
    if workload["kind"] == "CronJob":
        workload = workload["spec"]["jobTemplate"]
    template: dict[str, Any] = workload["spec"]["template"]
    return template
