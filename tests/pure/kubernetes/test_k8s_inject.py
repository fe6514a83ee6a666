"""What comes out of an injection: valid, stable, and with one way out."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interceptor.cli import main
from interceptor.kubernetes.documents import ManifestError, dump, parse
from interceptor.kubernetes.inject import FORMS, inject
from interceptor.kubernetes.parts import PROXY_PORT, PROXY_UID, Options
from netns import trust
from tests.pure.kubernetes.policies import Peer, reachable
from tests.pure.kubernetes.workloads import KINDS, pod_of, workloads

OPTIONS = Options(image="egressguard:1", policy="version: 1\npreset: balanced\n", agent_uid=1000)
POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: agent
spec:
  containers:
  - name: main
    image: example.com/agent:1
"""
some = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def injected(text: str, form: str = "companion", options: Options = OPTIONS) -> str:
    return inject(
        text, "a.yaml", form=form, namespace="default", options=options, trust=trust.variables()
    ).text


def objects(text: str) -> list[dict[str, Any]]:
    return [each.data for each in parse(text, "out.yaml")]


def check_schemas(made: list[dict[str, Any]]) -> None:
    for each in made:
        kubernetes_validate.validate(each, "1.37", strict=True)


def agent_pod(made: list[dict[str, Any]]) -> tuple[dict[str, Any], Peer]:
    """The pod of the agent (which stands last), and the same as an end of connections."""
    workload = made[-1]
    pod = pod_of(workload)
    namespace = workload["metadata"].get("namespace", "default")
    return pod, Peer("10.1.0.7", pod["metadata"]["labels"], namespace, space(namespace))


def space(name: str) -> dict[str, str]:
    return {"kubernetes.io/metadata.name": name}


def policies_of(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in made if each["kind"] == "NetworkPolicy"]


addresses = st.one_of(
    st.ip_addresses().map(str),
    st.sampled_from(["8.8.8.8", "2001:4860::1", "10.96.0.10", "169.254.169.254", "fd00::1", "::1"]),
)
others = st.builds(
    Peer,
    addresses,
    st.one_of(st.none(), st.just({"app": "a"}), st.just({"k8s-app": "kube-dns"})),
    st.sampled_from(["kube-system", "default", "other"]),
    st.sampled_from([space("kube-system"), space("default"), {}]),
)


@some
@given(workloads(), others, st.integers(1, 65_535), st.sampled_from(["TCP", "UDP", "SCTP"]))
def test_the_agent_reaches_the_proxy_alone(
    workload: dict[str, Any], other: Peer, port: int, protocol: str
) -> None:
    made = objects(injected(dump(workload)))
    pod, agent = agent_pod(made)
    held = policies_of(made)
    for numbers in ((port, protocol), (53, "UDP"), (53, "TCP"), (443, "TCP")):
        assert not reachable(agent, other, *numbers, held)
        assert not reachable(other, agent, *numbers, held)
        # The control: without ours everything is open.
        assert reachable(agent, other, *numbers, [])
    (deployment,) = (each for each in made[:-1] if each["kind"] == "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    proxy = Peer("10.1.0.8", labels, agent.namespace, space(agent.namespace))
    assert reachable(agent, proxy, PROXY_PORT, "TCP", held)
    assert not reachable(agent, proxy, PROXY_PORT + 1, "TCP", held)
    assert not reachable(agent, proxy, PROXY_PORT, "UDP", held)
    elsewhere = proxy._replace(namespace="elsewhere", namespace_labels=space("elsewhere"))
    assert not reachable(agent, elsewhere, PROXY_PORT, "TCP", held)
    # And the proxy: the world, names, and nothing of the cluster's.
    assert reachable(proxy, Peer("8.8.8.8"), 443, "TCP", held)
    assert reachable(proxy, Peer("2001:4860::1"), 443, "TCP", held)
    dns = Peer("10.96.0.10", {"k8s-app": "kube-dns"}, "kube-system", space("kube-system"))
    assert reachable(proxy, dns, 53, "UDP", held)
    assert not reachable(proxy, dns, 443, "TCP", held)
    for inner in ("10.0.0.9", "172.20.1.1", "192.168.0.1", "169.254.169.254", "fd00::9", "fe80::1"):
        assert not reachable(proxy, Peer(inner), 443, "TCP", held)
    assert pod["spec"]["dnsPolicy"] == "None"


@some
@given(workloads(), others, st.integers(1, 65_535), st.sampled_from(["TCP", "UDP"]))
def test_a_pod_with_a_sidecar_reaches_the_world_alone(
    workload: dict[str, Any], other: Peer, port: int, protocol: str
) -> None:
    """Its rules hold the agent (tests/system/kubernetes); the policies hold the sidecar."""
    made = objects(injected(dump(workload), "sidecar"))
    _, agent = agent_pod(made)
    held = policies_of(made)
    assert not reachable(other, agent, port, protocol, held)
    for inner in ("10.0.0.9", "169.254.169.254", "fd00::9"):
        assert not reachable(agent, Peer(inner), port, protocol, held)
        assert reachable(agent, Peer(inner), port, protocol, [])
    if other.labels is not None and other.namespace_labels != space("kube-system"):
        inside = other._replace(address="10.0.0.9")
        assert not reachable(agent, inside, port, protocol, held)
    assert reachable(agent, Peer("8.8.8.8"), 443, "TCP", held)


@some
@given(workloads(), st.sampled_from(FORMS))
def test_what_comes_out_is_valid_stable_and_keeps_the_rest(
    workload: dict[str, Any], form: str
) -> None:
    check_schemas([workload])
    text = injected(dump(workload), form)
    made = objects(text)
    check_schemas(made[-1:])
    assert injected(text, form) == text
    pod, _ = agent_pod(made)
    spec = pod["spec"]
    assert spec["automountServiceAccountToken"] is False
    before = pod_of(workload)["spec"]
    own = {each["name"] for part in GROUPS for each in before.get(part, ())}
    for part in GROUPS:
        for container in before.get(part, ()):
            (after,) = (each for each in spec[part] if each["name"] == container["name"])
            changed = {"env", "volumeMounts", "securityContext"}
            assert {k: v for k, v in after.items() if k not in changed} == {
                k: v for k, v in container.items() if k not in changed
            }
            values = {each["name"]: each.get("value") for each in after["env"]}
            assert values["SSL_CERT_FILE"] == "/run/egressguard/trust/ca.crt"
            if form == "companion":
                assert values["HTTPS_PROXY"] == values["http_proxy"] == "http://127.0.0.1:18888"
            _check_container(after, spec, form)
    assert spec.get("nodeSelector") == before.get("nodeSelector")
    # Ours come first, so that the agent's own initial containers are held, too.
    names = [each["name"] for each in spec["initContainers"]]
    ours = [name for name in names if name not in own]
    assert names[: len(ours)] == ours == OURS[form]


GROUPS = ("initContainers", "containers")
OURS = {
    "companion": ["egressguard-bridge"],
    "sidecar": ["egressguard-rules", "egressguard"],
}


def _check_container(container: dict[str, Any], spec: dict[str, Any], form: str) -> None:
    """The agent's container sees the certificate, and neither the key nor the token."""
    volumes = {each["name"]: each for each in spec["volumes"]}
    for each in container["volumeMounts"]:
        held = json.dumps(volumes[each["name"]])
        assert "ca.key" not in held
        assert "serviceAccountToken" not in held
        assert not each["name"].startswith("egressguard-") or (
            each["name"] == "egressguard-trust" and each["readOnly"] is True
        )
    context = container["securityContext"]
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    if form == "companion":
        assert {"ALL", "NET_RAW"} & set(context["capabilities"]["drop"])
    else:
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["runAsNonRoot"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["runAsUser"] not in (0, PROXY_UID)


def serving(made: list[dict[str, Any]]) -> dict[str, Any]:
    """The container that serves: the proxy's, or the sidecar."""
    for each in made:
        if each["kind"] in KINDS:
            spec = pod_of(each)["spec"]
            for container in [*spec.get("initContainers", ()), *spec["containers"]]:
                if container["name"] in ("egressguard", "proxy"):
                    return dict(container)
    raise AssertionError("nobody serves")


@some
@given(workloads(), st.sampled_from(FORMS))
def test_what_serves_knows_the_agents_secrets(workload: dict[str, Any], form: str) -> None:
    container = serving(objects(injected(dump(workload), form)))
    given_ = {each["name"]: each for each in container["env"]}
    assert len(given_) == len(container["env"])
    values = [each.get("valueFrom") for each in container["env"]]
    spec = pod_of(workload)["spec"]
    for agent in [*spec.get("initContainers", ()), *spec["containers"]]:
        assert not agent.get("envFrom") or container["envFrom"] == agent["envFrom"]
        for entry in agent.get("env", ()):
            if entry["name"] in ("ACME_TOKEN", "WORD") and "valueFrom" in entry:
                assert entry["valueFrom"] in values
    # Nothing of the agent's says what is loaded or trusted, and nothing in a Secret can.
    assert given_["SSL_CERT_FILE"]["value"] == "/etc/ssl/certs/ca-certificates.crt"
    assert given_["LD_PRELOAD"]["value"] == ""
    assert given_["PATH"]["value"].startswith("/usr/")
    assert not {"HTTPS_PROXY", "no_proxy", "A"} & set(given_)


def test_secrets_of_one_name_are_both_known() -> None:
    pod = yaml.safe_load(POD)
    for name, key in (("one", "a"), ("two", "b"), ("three", "b")):
        source = {"secretKeyRef": {"name": "keys", "key": key}}
        pod["spec"]["containers"].append(
            {"name": name, "image": "i", "env": [{"name": "API_KEY", "valueFrom": source}]}
        )
    found = [each for each in serving(objects(injected(dump(pod))))["env"] if "valueFrom" in each]
    assert [each["name"] for each in found] == ["API_KEY", "API_KEY_2"]


def test_what_stands_around_is_valid() -> None:
    for form in FORMS:
        for options in (
            OPTIONS,
            Options(image="e:1", policy="", agent_uid=1, ipv6=True, ingress=True),
        ):
            check_schemas(objects(injected(POD, form, options)))
    with pytest.raises(kubernetes_validate.ValidationError):  # the control
        check_schemas([yaml.safe_load(POD) | {"spec": {"container": []}}])


def test_our_containers_have_no_rights() -> None:
    found = 0
    for form in FORMS:
        made = objects(injected(POD, form))
        pods = [pod_of(each) for each in made if each["kind"] in KINDS]
        for pod in pods:
            for container in [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]:
                if not container["image"].startswith("egressguard"):
                    continue
                found += 1
                context = container["securityContext"]
                assert context["readOnlyRootFilesystem"] is True
                assert context["allowPrivilegeEscalation"] is False
                added = context["capabilities"].get("add", [])
                rules = container["name"] == "egressguard-rules"
                assert added == (["NET_ADMIN"] if rules else [])
                assert rules or context["runAsUser"] == PROXY_UID
                # And it ends before the agent starts.
                assert not rules or "restartPolicy" not in container
    assert found == 4


def test_the_proxy_checks_who_comes() -> None:
    """The token's audience and account are those that the proxy is told to look for."""
    made = {(each["kind"], each["metadata"]["name"]): each for each in objects(injected(POD))}
    pod = made["Pod", "agent"]["spec"]
    (token,) = (each for each in pod["volumes"] if each["name"] == "egressguard-token")
    projected = token["projected"]["sources"][0]["serviceAccountToken"]
    proxy = made["Deployment", "agent-egressguard"]["spec"]["template"]["spec"]["containers"][0]
    assert f"--audience={projected['audience']}" in proxy["args"]
    assert "--service-account-keys=/etc/egressguard-keys/jwks.json" in proxy["args"]
    agents = made["ConfigMap", "agent-egressguard"]["data"]["agents"]
    assert agents == f"agent serviceaccount:default/{pod['serviceAccountName']}\n"
    assert ("ServiceAccount", pod["serviceAccountName"]) in made
    (mount,) = pod["initContainers"][0]["volumeMounts"]
    assert f"--token-file={mount['mountPath']}/token" in pod["initContainers"][0]["args"]
    budget = made["PodDisruptionBudget", "agent-egressguard"]["spec"]["selector"]["matchLabels"]
    assert budget == made["Service", "agent-egressguard"]["spec"]["selector"]


def changed(**parts: Any) -> str:
    """The pod with changes; `container__x` is of its container."""
    pod = yaml.safe_load(POD)
    for name, value in parts.items():
        if name.startswith("container__"):
            pod["spec"]["containers"][0][name.removeprefix("container__")] = value
        elif name.startswith("metadata__"):
            pod["metadata"][name.removeprefix("metadata__")] = value
        else:
            pod["spec"][name] = value
    return dump(pod)


def context(**parts: Any) -> str:
    return changed(container__securityContext=parts)


REFUSED = {
    "hostNetwork": changed(hostNetwork=True),
    "hostPID": changed(hostPID=True),
    "hostIPC": changed(hostIPC=True),
    "shareProcessNamespace": changed(shareProcessNamespace=True),
    "ephemeralContainers": changed(ephemeralContainers=[{"name": "debug", "image": "a"}]),
    "privileged": context(privileged=True),
    "NET_ADMIN": context(capabilities={"add": ["NET_ADMIN"]}),
    "CAP_SYS_ADMIN": context(capabilities={"add": ["CAP_SYS_ADMIN"]}),
    "net_raw": context(capabilities={"add": ["net_raw"]}),
    "ALL": context(capabilities={"add": ["ALL"]}),
    "system calls": context(seccompProfile={"type": "Unconfined"}),
    "seccompProfile": changed(securityContext={"seccompProfile": {"type": "Unconfined"}}),
    "procMount": context(procMount="Unmasked"),
    "sysctls": changed(securityContext={"sysctls": [{"name": "net.ipv4.x", "value": "1"}]}),
    "hostPath": changed(
        volumes=[{"name": "s", "hostPath": {"path": "/run/containerd/containerd.sock"}}]
    ),
    "networks": changed(metadata__annotations={"k8s.v1.cni.cncf.io/networks": "other"}),
    "os": changed(os={"name": "windows"}),
    "proxy's label": changed(metadata__labels={"egressguard-proxy": "agent"}),
    "label of ours": changed(metadata__labels={"egressguard-agent": "other"}),
    "name of ours": changed(container__name="egressguard-bridge"),
    "token is the bridge's": changed(
        volumes=[
            {
                "name": "t",
                "projected": {
                    "sources": [{"serviceAccountToken": {"path": "t", "audience": "egressguard"}}]
                },
            }
        ]
    ),
    "managed-by": POD
    + "---\n"
    + dump(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "x", "labels": {"app.kubernetes.io/managed-by": "egressguard"}},
        }
    ),
    "another of this name": POD + "---\n" + POD,
    "kind that is not known": POD
    + "---\n"
    + dump({"kind": "Rollout", "spec": {"template": {"spec": {"containers": [{"image": "a"}]}}}}),
    "policies add up": POD
    + "---\n"
    + dump(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "all"},
            "spec": {"podSelector": {}, "egress": [{}]},
        }
    ),
    "stands twice": POD + "  hostNetwork: false\n  hostNetwork: true\n",
    "not YAML": POD + "  a: [\n",
    "no workload": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
    "without a name": POD.replace("  name: agent\n", "  generateName: agent-\n"),
    "cannot be used": POD.replace("name: agent", "name: Agent.X"),
    "no containers": "kind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n",
    "not a mapping": "kind: Pod\nmetadata: {name: a}\nspec: {containers: [1]}\n",
}


def test_what_cannot_be_held_is_refused_with_its_place() -> None:
    assert injected(POD)  # the control
    for cause, text in REFUSED.items():
        for form in FORMS:
            with pytest.raises(ManifestError) as caught:
                injected(text, form)
            message = str(caught.value)
            assert re.match(r"a\.yaml:[0-9]+: ", message), message
            assert cause.lower() in message.lower(), message
            assert ". Fix: " in message
    with pytest.raises(ManifestError, match=r"^a\.yaml:6: spec\.hostNetwork: cannot be held"):
        injected(POD.replace("spec:\n", "spec:\n  hostNetwork: true\n"))


def test_the_sidecar_wants_agents_without_root() -> None:
    for uid, cause in ((0, "root in the pod"), (PROXY_UID, "the sidecar's uid"), ("x", "not a")):
        with pytest.raises(ManifestError, match=cause):
            injected(context(runAsUser=uid), "sidecar")
        with pytest.raises(ManifestError, match=cause):
            injected(changed(securityContext={"runAsUser": uid}), "sidecar")
    with pytest.raises(ManifestError, match="no uid is said"):
        injected(POD, "sidecar", Options(image="egressguard:1", policy=""))
    with pytest.raises(ManifestError, match="in the other form"):
        injected(injected(POD), "sidecar")


def test_a_tampered_result_is_made_good_again() -> None:
    """Nothing of an earlier injection is taken on trust."""
    for form in FORMS:
        text = injected(POD, form)
        first, *_, last = objects(text)
        for container in last["spec"]["initContainers"]:
            container["image"] = "example.com/evil:1"
            container["securityContext"] = {"privileged": True}
        last["spec"]["volumes"] = []
        first["data"] = {"egressguard.yaml": "version: 1\npreset: audit\n"}
        tampered = "---\n".join(
            dump(each) for each in (first, *objects(text)[1:-1], last) if each["kind"] != "Service"
        )
        assert injected(tampered, form) == text


def test_lists_and_what_is_not_ours() -> None:
    service = "apiVersion: v1\nkind: Service # a comment\nmetadata: {name: other}\n"
    text = injected(service + "---\n" + POD)
    assert "kind: Service # a comment" in text
    pods = [yaml.safe_load(POD.replace("agent", name)) for name in ("one", "two")]
    listed = dump({"apiVersion": "v1", "kind": "List", "items": [*pods, yaml.safe_load(service)]})
    apart = "---\n".join([*map(dump, pods), dump(yaml.safe_load(service))])
    assert injected(listed) == injected(apart)
    # As the API answers: the items need not say what they are.
    bare = [{key: each[key] for key in ("metadata", "spec")} for each in pods]
    typed = {"apiVersion": "v1", "kind": "PodList", "items": bare}
    made = objects(injected(dump(typed)))
    assert sum(each["kind"] == "Pod" for each in made) == 2
    check_schemas(made)
    broken = dump({"kind": "List", "items": [pods[0] | {"spec": {"hostNetwork": True}}]})
    with pytest.raises(ManifestError, match=r"a\.yaml:7: spec\.containers"):
        injected(broken)


# fmt: off
KEYS = (
    "add", "annotations", "capabilities", "containers", "dnsConfig", "env", "initContainers",
    "items", "kind", "labels", "metadata", "name", "options", "ports", "projected",
    "securityContext", "sources", "spec", "sysctls", "template", "volumeMounts", "volumes",
)
# fmt: on
words = st.text(max_size=30)
trees = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), words),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=25,
)


@settings(max_examples=150, deadline=None)
@given(trees, st.sampled_from([*KINDS, "List", "x"]), st.sampled_from(FORMS))
def test_nonsense_is_a_manifest_error(tree: Any, kind: str, form: str) -> None:
    if isinstance(tree, dict):
        tree = {"metadata": {"name": "a"}} | tree | {"kind": kind}
        if isinstance(tree.get("spec"), dict) and kind == "Pod":
            tree["spec"] = {"containers": [{"name": "c", **_mapping(tree)}]} | tree["spec"]
    with_errors(dump(tree), form)


def _mapping(tree: dict[str, Any]) -> dict[str, Any]:
    return next((each for each in tree["spec"].values() if isinstance(each, dict)), {})


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(POD)), st.text("-:{}[]&*!|>'\"%@`#\n\t a\0\x85", max_size=6))
def test_damage_is_a_manifest_error(place: int, damage: str) -> None:
    with_errors(POD[:place] + damage + POD[place:], "companion")


def with_errors(text: str, form: str) -> None:
    message = "a.yaml:1: "
    try:
        injected(text, form)
    except ManifestError as error:
        message = str(error)
    assert re.match(r"a\.yaml:[0-9]+: ", message)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(words, st.from_regex(r"[-+.0-9eExoyYnN_:]{1,6}", fullmatch=True))))
def test_texts_stay_texts(values: list[str]) -> None:
    assert parse(dump(values), "x")[0].data == values if values else True
    for value in values:
        if re.fullmatch(r"[-+.]?[0-9].*|[yYnN]", value):  # what Go's readers may take for a number
            assert dump([value])[2] in "'\""


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main.run(["k8s", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, policy, out = tmp_path / "a.yaml", tmp_path / "p.yaml", tmp_path / "out.yaml"
    file.write_text(POD)
    policy.write_text("version: 1\npreset: strict\n")
    inject_ = functools.partial(run, capsys, "inject", "-f", str(file))
    code, text, told = inject_("--policy", str(policy), "--namespace", "agents")
    assert code == 0
    assert "agents/agent: held, companion form" in told
    assert "create secret generic agent-egressguard-authority" in told
    configuration = objects(text)[0]
    assert configuration["data"]["egressguard.yaml"] == "version: 1\npreset: strict\n"
    assert configuration["metadata"]["namespace"] == "agents"
    assert inject_("-o", str(out), "--form", "sidecar", "--agent-uid", "7")[0] == 0
    assert (
        objects(out.read_text())[-1]["spec"]["containers"][0]["securityContext"]["runAsUser"] == 7
    )
    assert len(objects(inject_("--no-around")[1])) == 1
    # Wrong usage is 2, says why, and writes nothing.
    policy.write_text("version: 1\npreset: strict\nhosts: 7\n")
    wrong = (
        (["--policy", str(policy)], "hosts"),
        (["--policy", str(tmp_path / "none")], "no such file"),
        (["--namespace", "A B"], "--namespace"),
        (["--image", "a b"], "--image"),
        (["--form", "other"], "--form"),
        (["-f", str(tmp_path / "none")], "none"),
        (["-f", str(tmp_path)], "directory"),
    )
    for words_, cause in wrong:
        code, text, told = inject_(*words_)
        assert (code, text) == (2, ""), words_
        assert cause.lower() in told.lower()
    assert inject_("-o", str(tmp_path / "no" / "out"))[0] == 125
    code, text, _ = run(capsys, "--help")
    assert code == 0
    assert "Examples:" in text
    assert "Exit codes:" in text
    code, text, _ = run(capsys, "dockerfile")
    assert code == 0
    assert "USER 61183:61183" in text
    assert f"--uid {PROXY_UID}" in text
