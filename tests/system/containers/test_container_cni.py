"""The CNI plugin: called as runtimes call it, and by one of them (libcni, as Podman has it)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from interceptor.containers import cni_call
from tests.lab import Lab, gateways
from tests.lab.host_files import BUNDLE
from tests.lab.programs import JAIL_ENVIRONMENT, ROOT
from tests.system.containers import bundles

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

POLICY = "/etc/cni.yaml"
_FETCH = 'curl -sk --max-time 20 "https://www.example.com/get?n=$0"'
_STORE = ("--root", "/srv/store", "--runroot", "/srv/runroot", "--network-config-dir", "/srv/net.d")


class Plugin(NamedTuple):
    lab: Lab
    run: str

    def config(self, **more: Any) -> dict[str, Any]:
        return {
            "cniVersion": "1.1.0", "name": "agents", "type": "egressguard-cni", "run": self.run,
            "policy": POLICY, "evidence": "/srv/evidence", **more,
        }  # fmt: skip

    def call(self, verb: str, config: Mapping[str, Any], **environ: str) -> tuple[int, Any]:
        """Exit code, and what was printed."""
        done = self.lab.run(
            [sys.executable, "-m", "interceptor.containers.cni"],
            env={**JAIL_ENVIRONMENT, "CNI_COMMAND": verb, "CNI_PATH": "/srv/bin", **environ},
            input=json.dumps(config).encode(),
            timeout=60,
        )
        assert b"Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout) if done.stdout else None

    def guests(self) -> list[str]:
        shown = gateways.do(self.lab, "gateway", "list", "--json", "--run", self.run)
        return [state["guest"]["name"] for state in json.loads(shown)]


@pytest.fixture(scope="module")
def plugin() -> Iterator[Plugin]:
    if missing := Lab.missing():
        if os.environ.get("EGRESSGUARD_REQUIRE_LAB") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    with Lab() as lab, contextlib.ExitStack() as undo:
        bundles.prepare(lab)
        lab.path("/srv/evidence").mkdir(mode=0o700)
        lab.path(POLICY).write_text(f"version: 1\nupstream: {{ca_file: {BUNDLE}}}\n")
        yield Plugin(lab, undo.enter_context(gateways.running(lab, "/run/gateway-cni")))


@contextlib.contextmanager
def _sandbox(lab: Lab, extra: str = ":") -> Iterator[str]:
    """A network namespace; the path of it."""
    script = f"{extra}; echo $$; exec sleep 100"
    with lab.popen(["unshare", "-n", "sh", "-ec", script]) as holder:
        try:
            assert holder.stdout is not None
            yield f"/proc/{holder.stdout.readline().decode().strip()}/ns/net"
        finally:
            holder.kill()


def _attachment(sandbox: str, container: str = "pod1") -> dict[str, str]:
    return {
        "CNI_CONTAINERID": container, "CNI_IFNAME": "eth0", "CNI_NETNS": sandbox,
        "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=team;K8S_POD_NAME=agent-7",
    }  # fmt: skip


def test_the_life_of_an_attachment(plugin: Plugin) -> None:
    lab, config = plugin.lab, plugin.config()
    lab.clear()
    assert plugin.call("STATUS", config) == (0, None)
    with _sandbox(lab) as sandbox:
        given = _attachment(sandbox)
        code, added = plugin.call("ADD", config, **given)
        assert code == 0, added
        assert added["ips"][0]["address"] == "198.18.0.10/24"
        assert added["interfaces"][0] == {
            "name": "eth0", "mac": added["interfaces"][0]["mac"], "sandbox": sandbox, "mtu": 1500
        }  # fmt: skip
        (guest,) = plugin.guests()
        assert guest.endswith("-agent-7")
        inside = ["nsenter", f"--net={sandbox}"]
        shown = lab.run([*inside, "ip", "-br", "link"]).stdout.decode()
        assert added["interfaces"][0]["mac"] in shown
        resolver = "mount --bind /srv/resolv.conf /etc/resolv.conf"
        lab.path("/srv/resolv.conf").write_text("nameserver 198.18.0.1\n")
        done = lab.run(
            [*inside, "unshare", "-m", "sh", "-ec", f"{resolver}; {_FETCH}", "by-cni"], timeout=60
        )
        assert "/get?n=by-cni" in [request.target for request in lab.requests()], done
        previous = plugin.config(prevResult=added)
        assert plugin.call("CHECK", previous, **given) == (0, None)
        assert plugin.call("CHECK", config, **given)[1]["code"] == cni_call.CONFIGURATION
        assert (
            plugin.call("ADD", config, **given)[1]["code"] == cni_call.REFUSED
        )  # it has a network
        lab.run([*inside, "ip", "link", "add", "way0", "type", "veth"])
        assert plugin.call("CHECK", previous, **given)[1]["code"] == cni_call.NOT_AS_ADDED
        assert plugin.call("DEL", previous, **given) == (0, None)
        assert plugin.call("DEL", previous, **{**given, "CNI_NETNS": ""}) == (0, None)
        assert plugin.guests() == []
    evidence = lab.path(f"/srv/evidence/{guest}.jsonl").read_text("utf-8")
    events = [json.loads(line) for line in evidence.splitlines()]
    assert {event["jail"] for event in events} == {guest}
    assert events[0]["user"] == "team/agent-7"
    assert "www.example.com" in {event.get("host") for event in events}


def test_behind_another_plugin_and_collected(plugin: Plugin) -> None:
    loopback = {"cniVersion": "1.1.0", "interfaces": [{"name": "lo", "sandbox": "x"}],
                "ips": [{"address": "127.0.0.1/8", "interface": 0}]}  # fmt: skip
    config = plugin.config(prevResult=loopback)
    with _sandbox(plugin.lab) as one, _sandbox(plugin.lab) as two:
        for number, sandbox in enumerate((one, two)):
            code, added = plugin.call("ADD", config, **_attachment(sandbox, f"pod{number}"))
            assert code == 0, added
            assert [each["name"] for each in added["interfaces"]] == ["lo", "eth0"]
            assert {each["interface"] for each in added["ips"][1:]} == {1}
        kept = plugin.guests()
        assert len(kept) == 2
        known = [{"containerID": "pod1", "ifname": "eth0"}]
        foreign = plugin.config(name="others", **{"cni.dev/valid-attachments": []})
        assert plugin.call("GC", foreign) == (0, None)
        assert plugin.guests() == kept
        assert plugin.call("GC", plugin.config(**{"cni.dev/valid-attachments": known})) == (0, None)
        assert len(plugin.guests()) == 1
        assert plugin.call("GC", plugin.config(**{"cni.dev/valid-attachments": []})) == (0, None)
        assert plugin.guests() == []


def test_errors_leave_nothing(plugin: Plugin) -> None:
    config = plugin.config()
    with _sandbox(plugin.lab, "ip link add out0 type veth") as sandbox:
        given = _attachment(sandbox)
        code, told = plugin.call("ADD", config, **given)
        assert (code, told["code"]) == (1, cni_call.REFUSED)
        assert "out0" in told["msg"]
    host = _attachment("/proc/1/ns/net")
    assert plugin.call("ADD", config, **host)[1]["code"] == cni_call.REFUSED
    with _sandbox(plugin.lab) as sandbox:
        given = _attachment(sandbox)
        absent = plugin.config(run="/run/nothing-here")
        assert plugin.call("ADD", absent, **given)[1]["code"] == cni_call.LATER
        assert plugin.call("STATUS", absent)[1]["code"] == cni_call.UNAVAILABLE
        wrong = plugin.config(policy="/etc/no-such-policy.yaml")
        assert plugin.call("ADD", wrong, **given)[1]["code"] == cni_call.CONFIGURATION
        gone = {**given, "CNI_NETNS": "/run/netns/gone"}
        assert plugin.call("ADD", config, **gone)[1]["code"] == cni_call.UNKNOWN_CONTAINER
        links = plugin.lab.run(["nsenter", f"--net={sandbox}", "ip", "-br", "link"]).stdout
        assert b"eth0" not in links
    assert plugin.guests() == []


def test_by_a_runtime_of_its_own(plugin: Plugin) -> None:
    """Podman with its CNI back end is a runtime that knows nothing of us."""
    lab = plugin.lab
    if shutil.which("podman") is None:
        pytest.skip("Podman is not installed: apt-get install podman")
    shown = lab.run(["podman", *_STORE[:4], "info", "--format", "{{.Host.NetworkBackend}}"])
    if shown.stdout.strip() != b"cni":
        pytest.skip("this Podman has another network back end")
    lab.clear()
    for place in ("bin", "net.d"):
        lab.path(f"/srv/{place}").mkdir()
    program = lab.path("/srv/bin/egressguard-cni")
    program.write_text(
        f"#!/bin/sh\ncd {ROOT}\nexec {sys.executable} -m interceptor.containers.cni\n"
    )
    program.chmod(0o755)
    own = plugin.config()
    plugins = [{key: own[key] for key in ("type", "run", "policy", "evidence")}]
    conflist = {"cniVersion": "0.4.0", "name": "agents", "plugins": plugins}
    lab.path("/srv/net.d/agents.conflist").write_text(json.dumps(conflist))
    lab.path("/srv/containers.conf").write_text('[network]\ncni_plugin_dirs = ["/srv/bin"]\n')
    root = "/srv/image"
    for folder in ("usr", "tmp", "etc"):
        lab.path(f"{root}/{folder}").mkdir(parents=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        lab.path(f"{root}/{link}").symlink_to(f"usr/{link}")
    words = ("podman", *_STORE)
    done = lab.run(["sh", "-ec", f"tar -C {root} -c . | {' '.join(words)} import - localhost/a"])
    assert done.returncode == 0, done.stderr
    limits = ("--cgroups=disabled", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
    done = lab.run(
        [*words, "run", "--rm", "--network", "agents", *limits, "--volume", "/usr:/usr:ro",
         "localhost/a", "sh", "-c", _FETCH, "by-libcni"],
        env={"CONTAINERS_CONF": "/srv/containers.conf"},
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "/get?n=by-libcni" in [request.target for request in lab.requests()]
    assert plugin.guests() == []
