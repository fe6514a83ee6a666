"""`egressguard container run` and `attach` with Podman, and the CNI plugin, in the lab."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from interceptor.containers import hook
from tests.lab import Lab, gateways
from tests.lab.host_files import BUNDLE
from tests.lab.programs import JAIL_ENVIRONMENT
from tests.system.containers import bundles

pytestmark = [pytest.mark.lab, pytest.mark.timeout(200)]

POLICY = "/etc/containers.yaml"
STORE = ("--root", "/srv/store", "--runroot", "/srv/runroot", "--cgroup-manager", "cgroupfs")
# What this machine's root may lack is the runtime's to set: limits, and a place for its groups.
HERE = ("--cgroups=disabled", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
IMAGE = "localhost/agent"
SHARED = ("--volume", "/usr:/usr:ro")
FETCH = 'wget -qO- --tries=1 --timeout=20 "https://www.example.com/get?n=$1"'


class Host(NamedTuple):
    lab: Lab
    run: str
    """Directory of the gateway's sockets."""

    def container(self, *words: str, seconds: float = 90) -> subprocess.CompletedProcess[bytes]:
        return self.lab.run(
            [*gateways.START, "container", *words], env=JAIL_ENVIRONMENT, timeout=seconds
        )

    def podman(self, *words: str) -> str:
        done = self.lab.run(["podman", *STORE, *words], timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().strip()

    def events(self, name: str) -> list[dict[str, Any]]:
        text = self.lab.path(f"/var/log/egressguard/{name}.jsonl").read_text("utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def guests(self) -> list[str]:
        shown = gateways.do(self.lab, "gateway", "list", "--json", "--run", self.run)
        return [state["guest"]["name"] for state in json.loads(shown)]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A gateway, and Podman with an image whose programs are this machine's."""
    missing = Lab.missing() or ("" if bundles.runtime() else "no OCI runtime: apt-get install crun")
    if missing:
        if os.environ.get("EGRESSGUARD_REQUIRE_LAB") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    with Lab() as lab, contextlib.ExitStack() as undo:
        bundles.prepare(lab)
        lab.path(POLICY).write_text(f"version: 1\nupstream: {{ca_file: {BUNDLE}}}\n")
        yield Host(lab, undo.enter_context(gateways.running(lab, "/run/gateway-engines")))


@pytest.fixture(scope="module")
def podman(host: Host) -> Host:
    if shutil.which("podman") is None:
        pytest.skip("Podman is not installed: apt-get install podman")
    root = f"{bundles.PLACE}/image"
    for folder in ("usr", "tmp", "etc/ssl/certs"):
        host.lab.path(f"{root}/{folder}").mkdir(parents=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        host.lab.path(f"{root}/{link}").symlink_to(f"usr/{link}")
    packed = f"tar -C {root} -c . | podman {' '.join(STORE)} import - {IMAGE}"
    done = host.lab.run(["sh", "-ec", packed], timeout=60)
    assert done.returncode == 0, done.stderr
    return host


def _run(host: Host, name: str, *words: str, options: tuple[str, ...] = ()) -> Any:
    start = ("run", "--run", host.run, "--policy", POLICY, "--name", name, *options)
    return host.container(*start, "--", "podman", *STORE, "run", *HERE, *SHARED, *words)


def _fetch(word: str) -> tuple[str, ...]:
    return (IMAGE, "sh", "-c", FETCH, "sh", word)


def test_a_container_works_and_its_guest_ends_with_it(podman: Host) -> None:
    podman.lab.clear()
    done = _run(podman, "box-works", "--rm", *_fetch("by-podman"))
    assert done.returncode == 0, done.stderr
    assert "/get?n=by-podman" in [request.target for request in podman.lab.requests()]
    events = podman.events("box-works")
    assert {event["jail"] for event in events} == {"box-works"}
    assert events[0]["user"] == f"container {IMAGE}"
    assert [event["event"] for event in events][-1] == "stopped"
    assert podman.guests() == []
    assert podman.podman("ps", "--all", "--quiet") == ""
    assert not podman.lab.path("/run/egressguard-containers/box-works").exists()


def test_every_capability_in_a_user_namespace_reaches_nothing_else(podman: Host) -> None:
    podman.lab.clear()
    leak = "for kind in tcp udp; do echo leak-of-a-box > /dev/$kind/9.9.9.9/4444; done"
    script = f"grep CapEff /proc/self/status; {leak}; exit 7"
    userns = ("--uidmap", "0:100000:65536", "--cap-add", "all")
    done = _run(podman, "box-all", "--rm", *userns, IMAGE, "bash", "-c", script)
    assert done.returncode == 7, done.stderr
    ours = podman.lab.run(["grep", "CapEff", "/proc/self/status"]).stdout
    assert done.stdout == ours  # Podman gives what it has itself
    assert not podman.lab.oracle.records()
    podman.lab.run(["bash", "-c", leak])  # the control
    _until(lambda: len(podman.lab.oracle.records()) >= 2, "the control reaches nothing")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--privileged",), "--privileged"),
        (("--network", "host"), "--network host"),
        (("--net=bridge",), "--net bridge"),
        (("--pid", "host"), "--pid host"),
        (("--ipc=host",), "--ipc host"),
        (("-v", "/run/docker.sock:/var/run/docker.sock"), "/run/docker.sock"),
        (("-v", "/run:/host"), "the host is governed"),
        (("--security-opt", "seccomp=unconfined"), "seccomp=unconfined"),
    ],
)
def test_what_leads_past_us_is_refused_before_anything_is_made(
    host: Host, words: tuple[str, ...], told: str
) -> None:
    done = _run(host, "box-refused", *words, *_fetch("never"))
    assert done.returncode == 2
    assert told in done.stderr.decode()
    assert "Fix: " in done.stderr.decode()


def test_rights_of_the_hosts_root_are_refused_by_the_configuration(podman: Host) -> None:
    done = _run(podman, "box-rights", "--cap-add", "NET_ADMIN", *_fetch("never"))
    assert done.returncode == 125
    assert "CAP_NET_ADMIN" in done.stderr.decode()
    assert podman.podman("ps", "--all", "--quiet") == ""
    assert podman.guests() == []


def test_without_a_gateway_nothing_starts(podman: Host) -> None:
    start = ("run", "--run", "/run/no-gateway", "--", "podman", *STORE, "run", *HERE)
    done = podman.container(*start, *_fetch("never"))
    assert done.returncode == 125
    assert "no gateway answers" in done.stderr.decode()
    assert podman.podman("ps", "--all", "--quiet") == ""


def test_a_running_container_is_attached_and_its_guest_goes_when_it_is_killed(
    podman: Host,
) -> None:
    lab = podman.lab
    lab.clear()
    wait = "while ! [ -e /tmp/go ]; do sleep 0.1; done; curl -sk --max-time 20 $0; sleep 60"
    lab.path("/srv/resolv.conf").write_text("nameserver 192.0.2.53\n")  # any address will do
    named = ("--volume", "/srv/resolv.conf:/etc/resolv.conf:ro")
    given = ("--detach", "--name", "box-late", "--network", "none", *HERE, *SHARED, *named)
    command = ("sh", "-c", wait, "https://www.example.com/get?n=late")
    podman.podman("run", *given, IMAGE, *command)
    options = ("--run", podman.run, "--policy", POLICY)
    pid = podman.podman("inspect", "--format", "{{.State.Pid}}", "box-late")
    done = podman.container("attach", *options, "--pid", pid, "--name", "box-late")
    assert done.returncode == 0, done.stderr
    assert podman.guests() == ["box-late"]
    lab.path(f"/proc/{pid}/root/tmp/go").write_text("")
    _until(lambda: "/get?n=late" in [request.target for request in lab.requests()], "no request")
    again = podman.container("attach", *options, "--pid", pid, "--name", "box-twice")
    assert "eth0" in again.stderr.decode()
    lab.run(["kill", "-9", pid])
    _until(lambda: podman.guests() == [], "the guest stays")
    podman.podman("rm", "--force", "box-late")


def _until(condition: Any, what: str) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


@pytest.fixture(scope="module")
def hooks(podman: Host) -> tuple[str, ...]:
    """Options with which Podman runs our hook for every container, whoever starts it."""
    words = ("hook-file", "--all", "--policy", POLICY, "--run", podman.run)
    done = podman.container(*words)
    assert done.returncode == 0, done.stderr
    podman.lab.path("/srv/hooks.d").mkdir()
    podman.lab.path("/srv/hooks.d/egressguard.json").write_bytes(done.stdout)
    profile = podman.container("seccomp")
    podman.lab.path("/srv/seccomp.json").write_bytes(profile.stdout)
    podman.lab.path("/srv/resolv.conf").write_text("nameserver 192.0.2.53\n")
    return ("--hooks-dir", "/srv/hooks.d")


def test_the_hook_plugs_what_an_engine_starts_by_itself(
    podman: Host, hooks: tuple[str, ...]
) -> None:
    podman.lab.clear()
    named = ("--volume", "/srv/resolv.conf:/etc/resolv.conf:ro")
    profile = ("--security-opt", "seccomp=/srv/seccomp.json")
    fetch = 'curl -sk --max-time 20 "https://www.example.com/get?n=by-hook"'
    podman.podman(*hooks, "run", "--cidfile", "/srv/hooked", "--rm", "--network", "none", *profile,
                  *HERE, *SHARED, *named, IMAGE, "sh", "-c", fetch)  # fmt: skip
    assert "/get?n=by-hook" in [request.target for request in podman.lab.requests()]
    name = "container-" + podman.lab.path("/srv/hooked").read_text()[:12]
    events = podman.events(name)
    assert {event["jail"] for event in events} == {name}
    assert events[-1]["event"] == "stopped"
    assert podman.guests() == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--network", "host"), "shares the host's network namespace"),
        (("--network", "none", "--ipc", "host"), "shares the host's ipc namespace"),
        (("--network", "none", "--privileged"), "CAP_"),
        (("--network", "none", "--volume", "/run:/host"), "the host is governed"),
        (("--network", "none", "--cap-add", "SYS_ADMIN"), "CAP_SYS_ADMIN"),
    ],
)
def test_the_hook_lets_no_container_start_that_has_another_way(
    podman: Host, hooks: tuple[str, ...], words: tuple[str, ...], told: str
) -> None:
    started = "touch /var/tmp/it-has-started"
    volume = ("--volume", "/var/tmp:/var/tmp")
    done = podman.lab.run(
        ["podman", *STORE, *hooks, "run", "--rm", *words, *HERE, *SHARED, *volume,
         IMAGE, "sh", "-c", started], timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    # crun shows nobody what a hook says.
    assert told in podman.lab.path(hook.LOG).read_text("utf-8").splitlines()[-1], done.stderr
    assert not podman.lab.path("/var/tmp/it-has-started").exists()
    assert podman.guests() == []


def test_a_user_runs_podman_without_root(podman: Host) -> None:
    """Rootless: their engine makes the namespaces, and root's gateway plugs them."""
    lab = podman.lab
    if shutil.which("newuidmap") is None:
        pytest.skip("newuidmap is not installed: apt-get install uidmap")
    lab.clear()
    packed = lab.path("/srv/image.tar")
    done = lab.run(["tar", "-C", f"{bundles.PLACE}/image", "-cf", "/srv/image.tar", "."])
    assert done.returncode == 0, done.stderr
    packed.chmod(0o644)
    prepare = "echo dev:100000:65536 > /etc/subuid; cp /etc/subuid /etc/subgid"
    lab.run(
        ["sh", "-ec", f"mkdir -p -m 700 /run/user/$0; chown $0:$0 /run/user/$0; {prepare}", "1000"]
    )
    own = ("podman", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs")
    imported = lab.run([*own, "import", "/srv/image.tar", IMAGE], user="dev", timeout=60)
    assert imported.returncode == 0, imported.stderr
    done = podman.container(
        "run", "--run", podman.run, "--policy", POLICY, "--name", "box-dev", "--user", "dev", "--",
        *own, "run", "--rm", *HERE, *SHARED, *_fetch("by-dev"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "/get?n=by-dev" in [request.target for request in lab.requests()]
    assert {event["jail"] for event in podman.events("box-dev")} == {"box-dev"}


def test_a_detached_container_outlives_the_command_and_the_gateway(podman: Host) -> None:
    """Its guest is bound to it: offline while no gateway is there, and gone when it has ended."""
    lab = podman.lab
    loop = (
        "n=0; while sleep 0.2; do n=$((n+1));"
        ' wget -qO- --tries=1 --timeout=3 "https://www.example.com/get?n=$n"; done'
    )
    place = "/run/gateway-again"
    with gateways.running(lab, place) as run:
        again = podman._replace(run=run)
        done = _run(again, "box-stays", "--detach", "--name", "stays", IMAGE, "sh", "-c", loop)
        assert done.returncode == 0, done.stderr
        ends = _run(again, "box-ends", "--detach", "--name", "ends", IMAGE, "sh", "-c", "sleep 60")
        assert ends.returncode == 0, ends.stderr
        assert again.guests() == ["box-ends", "box-stays"]
        lab.clear()
        _until(lambda: len(lab.requests()) > 2, "it does not work")
        served = json.loads(gateways.do(lab, "gateway", "status", "--json", "--run", run))
        pids = [str(served["pid"]), *(str(worker["pid"]) for worker in served["workers"])]
        lab.run(["kill", "-9", pids[0]])
        _until(lambda: lab.run(["kill", "-0", *pids]).returncode, "a worker lives on")
        podman.podman("rm", "--force", "--time", "0", "ends")
        time.sleep(0.5)
        lab.clear()
        time.sleep(1.0)
        assert not lab.requests()
        with gateways.running(lab, place):
            _until(lambda: lab.requests(), "it does not come back")
            assert again.guests() == ["box-stays"]
            podman.podman("rm", "--force", "--time", "0", "stays")
            _until(lambda: again.guests() == [], "its guest stays")
    causes = [event.get("cause") for event in podman.events("box-stays")]
    assert "restart" in causes


def test_a_terminal_and_the_exit_code_are_the_containers(podman: Host) -> None:
    start = ("run", "--run", podman.run, "--policy", POLICY, "--quiet", "--")
    command = ("podman", *STORE, "run", "-it", "--rm", *HERE, *SHARED, IMAGE)
    script = "test -t 0 && test -t 1 && echo on-a-terminal; exit 5"
    done = podman.lab.run(
        [*gateways.START, "container", *start, *command, "sh", "-c", script],
        env=JAIL_ENVIRONMENT, timeout=60, tty=True,
    )  # fmt: skip
    assert b"on-a-terminal" in done.stdout
    assert done.returncode == 5
