"""What happens to one guest of a gateway, and not to the one beside it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.lab import Lab, gateways
from tests.lab.host_files import BUNDLE
from tests.lab.programs import JAIL_ENVIRONMENT

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

PLACE = "/run/gateway-guests"
_ENTER = """
import os, sys
from pathlib import Path
from interceptor.gateway.client import Gateway
from netns import namespaces
added = Gateway(Path(sys.argv[1], "gateway.sock")).enter(sys.argv[2])
Path(f"/tmp/{sys.argv[2]}.pem").write_text(added.certificate)
namespaces.enter(added.namespace, None)
os.execvp("sh", ["sh", "-c", sys.argv[3]])
"""
_SEND = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
    try:
        end.sendto(b"\\x1b" + bytes(47), ("9.9.9.9", 123))
    except OSError as error:
        print(error.errno)
"""


def _policy(lab: Lab, name: str, denied: str) -> str:
    path = f"/etc/guests-{name}.yaml"
    text = f"version: 1\nupstream: {{ca_file: {BUNDLE}}}\nhosts: {{deny: [{denied}]}}\n"
    lab.path(path).write_text(text)
    return path


def _add(lab: Lab, run: str, name: str, evidence: str, *options: str) -> None:
    policy = _policy(lab, name, "denied.example.com")
    gateways.do(lab, "gateway", "add", name, "--policy", policy, "--evidence", evidence,
                "--run", run, *options)  # fmt: skip


def _inside(lab: Lab, run: str, name: str, *command: str) -> str:
    words = " ".join(f"'{word}'" for word in command)
    entering = [sys.executable, "-c", _ENTER, run, name, f"exec {words}"]
    done = lab.run(entering, env=JAIL_ENVIRONMENT, timeout=60)
    return done.stdout.decode("utf-8", "replace")


def _status(lab: Lab, run: str, name: str, host: str = "www.example.com", path: str = "/") -> str:
    """The answer's status, `000` for none."""
    said = ("-s", "-k", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20")
    return _inside(lab, run, name, "/usr/bin/curl", *said, f"https://{host}{path}")


def _events(lab: Lab, path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lab.path(path).read_text("utf-8").splitlines()]


def _until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def _list(lab: Lab, run: str) -> dict[str, dict[str, Any]]:
    shown = json.loads(gateways.do(lab, "gateway", "list", "--json", "--run", run))
    return {state["guest"]["name"]: state for state in shown}


def _guard(lab: Lab, run: str) -> str:
    """Process id of the packet guard: the gateway's child that lives and is no worker."""
    state = json.loads(gateways.do(lab, "gateway", "status", "--json", "--run", run))
    workers = {str(worker["pid"]) for worker in state["workers"]}
    wanted = ["ps", "-o", "pid=,stat=,args=", "--ppid", str(state["pid"])]
    children = [line.split(None, 2) for line in lab.run(wanted).stdout.decode().splitlines()]
    alive = {pid for pid, how, command in children
             if not how.startswith("Z") and "holder.py" not in command}  # fmt: skip
    (guard,) = alive - workers
    return guard


def test_evidence_policy_and_packets_are_each_guests_own(clean_lab: Lab) -> None:
    lab = clean_lab
    full, good = f"{PLACE}/full/one.jsonl", f"{PLACE}/two.jsonl"
    with gateways.running(lab, PLACE) as run:
        small = f"mkdir {PLACE}/full; mount -t tmpfs -o size=64k,mode=700 tmpfs {PLACE}/full"
        assert lab.run(["sh", "-ec", small]).returncode == 0
        _add(lab, run, "one", full)
        _add(lab, run, "two", good)
        assert [_status(lab, run, name) for name in ("one", "two")] == ["200", "200"]

        # What no listener takes has its name in the evidence of who sent it.
        assert _inside(lab, run, "two", sys.executable, "-c", _SEND).strip() == "1"  # EPERM
        _until(lambda: [e for e in _events(lab, good) if e.get("kind") == "packet"], "no name")
        (named,) = [e for e in _events(lab, good) if e.get("kind") == "packet"]
        assert (named["action"], named["detail"].partition(":")[0]) == ("block", "NTP")
        assert not [e for e in _events(lab, full) if e.get("kind") == "packet"]

        # What cannot be recorded is refused, and only that.
        fill = f"cat /dev/zero > {PLACE}/full/rest 2> /dev/null; true"
        lab.run(["sh", "-c", fill])
        lab.clear()
        shown = [_status(lab, run, "one", path=f"/?n=unseen{number}") for number in range(40)]
        refused = [number for number, status in enumerate(shown) if status != "200"]
        assert refused, "the evidence was never full"
        assert shown[refused[0] :].count("200") == 0
        arrived = {request.target for request in lab.requests()}
        assert not arrived & {f"/?n=unseen{number}" for number in refused}
        assert _status(lab, run, "two", path="/?n=beside") == "200"
        assert "/?n=beside" in {request.target for request in lab.requests()}
        states = _list(lab, run)
        assert states["one"]["lost"] >= 1
        assert (states["two"]["lost"], states["two"]["state"]) == (0, "served")
        lab.path(f"{PLACE}/full/rest").unlink()
        _until(lambda: _status(lab, run, "one") == "200", "it is not served again")

        # Another policy for one of them; what cannot be read leaves the one before in force.
        assert _status(lab, run, "two", "files.example.com") != "403"
        _policy(lab, "two", "www.example.com")
        said = gateways.do(lab, "gateway", "reload", "two", "--run", run)
        assert "two" in said
        assert _status(lab, run, "two") == "403"
        assert _status(lab, run, "one") == "200"
        lab.path("/etc/guests-two.yaml").write_text("version: 1\nhosts: {den: [x]}\n")
        again = [*gateways.START, "gateway", "reload", "two", "--run", run]
        assert lab.run(again, env=JAIL_ENVIRONMENT, timeout=60).returncode == 1
        assert _status(lab, run, "two") == "403"
        resumed = [e["cause"] for e in _events(lab, good) if e["event"] == "resumed"]
        assert resumed == ["policy"]
        assert not [e for e in _events(lab, full) if e["event"] == "resumed"]
        # The judge is another one; the packet guard tells that one.
        assert _inside(lab, run, "two", sys.executable, "-c", _SEND).strip() == "1"
        _until(lambda: len([e for e in _events(lab, good) if e.get("kind") == "packet"]) == 2,
               "no name under the new policy")  # fmt: skip
        # Without the guard it is refused as well, and soon there is another one.
        lab.run(["kill", "-9", _guard(lab, run)])
        assert _inside(lab, run, "two", sys.executable, "-c", _SEND).strip() == "1"
        _until(lambda: (_inside(lab, run, "two", sys.executable, "-c", _SEND)
                        and len([e for e in _events(lab, good) if e.get("kind") == "packet"]) > 2),
               "no guard again")  # fmt: skip
        numbers = [event["seq"] for event in _events(lab, good)]
        assert numbers == list(range(1, len(numbers) + 1))
        gateways.do(lab, "gateway", "remove", "one", "two", "--run", run)
        lab.run(["umount", "-l", f"{PLACE}/full"])
    assert not lab.oracle.records()


def test_an_authority_that_is_kept_outlives_a_reboot(clean_lab: Lab) -> None:
    """A reboot, as far as the gateway knows: nobody holds descriptors any more."""
    lab, place = clean_lab, f"{PLACE}-kept"
    evidence = {name: f"{place}/{name}.jsonl" for name in ("kept", "fresh")}
    with gateways.running(lab, place) as run:
        _add(lab, run, "kept", evidence["kept"], "--keep-authority")
        _add(lab, run, "fresh", evidence["fresh"])
        address = [_inside(lab, run, name, "/usr/bin/getent", "ahostsv4", "www.example.com")
                   for name in evidence]  # fmt: skip
        before = {name: lab.path(f"/tmp/{name}.pem").read_text("ascii") for name in evidence}
        assert lab.path(f"{place}/state/kept.kept").stat().st_mode & 0o777 == 0o600
        assert not lab.path(f"{place}/state/fresh.kept").exists()
    each = 'tr "\\0" " " < $each/cmdline; echo " ${each#/proc/}"'
    listed = lab.run(["sh", "-c", f"for each in /proc/[0-9]*; do {each}; done"]).stdout.decode()
    holders = [line.split()[-1] for line in listed.splitlines() if "/gateway/holder.py" in line]
    assert lab.run(["kill", "-9", *holders]).returncode == 0  # the lab's own processes, all of them
    with gateways.running(lab, place) as run:
        again = _inside(lab, run, "kept", "/usr/bin/getent", "ahostsv4", "www.example.com")
        assert again.split()[0] == address[0].split()[0]  # what a client has cached stands
        trusted = ("-s", "--cacert", "/tmp/kept.pem", "https://www.example.com/get?n=kept")
        assert "kept" in _inside(lab, run, "kept", "/usr/bin/curl", *trusted)
        _inside(lab, run, "fresh", "/bin/true")
        after = {name: lab.path(f"/tmp/{name}.pem").read_text("ascii") for name in evidence}
        gateways.do(lab, "gateway", "remove", *evidence, "--run", run)
        assert not lab.path(f"{place}/state/kept.kept").exists()
    assert {name: after[name] == before[name] for name in evidence} == {
        "kept": True,
        "fresh": False,
    }
