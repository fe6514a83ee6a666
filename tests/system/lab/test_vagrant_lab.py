"""The lab of three machines: its provisioning scripts, and `escape-suite` on its agent.

Of namespaces and of QEMU, behind egressguard; and open, which is the control: the same attempts get
out where a router stands in egressguard's place.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.lab import Lab, guest_image
from tests.lab.programs import ROOT

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

REACHES = {
    *("udp", "udp6", "tcp-22", "tcp-4444", "tcp6", "quic", "quic-odd-port", "dot", "doq", "ntp"),
    *("stun", "wireguard", "icmp-raw", "icmpv6-raw", "protocol-47", "protocol-50", "lan"),
    *("every-protocol", "metadata", "spoofed-mac", "spoofed-neighbour", "dns-name", "dns-odd-udp"),
}
"""Attempts that must get out of an open lab, on any kernel."""


class Machines(NamedTuple):
    form: str
    name: str

    def do(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "tests.machines", "--name", self.name, *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=280,
            check=False,
        )

    def say(self, machine: str, script: str) -> str:
        """Standard output of a script on a machine."""
        return self.do("ssh", machine, "-c", script).stdout.decode("utf-8", "replace")

    def suite(self) -> tuple[int, dict[str, dict[str, Any]]]:
        """Exit code of `escape-suite`, and its attempts.

        Under emulation a few of each kind: a machine with all of them is `tests/system/vm`'s.
        """
        chosen = sorted(REACHES - {"every-protocol"}) if self.form == "qemu" else []
        done = self.do("ssh", "agent", "-c", " ".join(["escape-suite --json", *chosen]))
        said = done.stdout.decode("utf-8", "replace").strip()
        assert said.startswith("["), said + done.stderr.decode("utf-8", "replace")
        return done.returncode, {each["id"]: each for each in json.loads(said)}


@pytest.fixture(scope="module", params=["namespaces", "qemu", "open"])
def machines(request: pytest.FixtureRequest) -> Iterator[Machines]:
    form = request.param
    missing = Lab.missing() or (guest_image.missing() if form == "qemu" else "")
    if missing:
        if os.environ.get("EGRESSGUARD_REQUIRE_LAB") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    made = Machines(form, f"test-{form}-{os.getpid()}")
    how = ("--with", "namespaces", "--open") if form == "open" else ("--with", form)
    done = made.do("up", *how)
    try:
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
        yield made
    finally:
        made.do("down")
        assert not Path("/run/egressguard-lab", made.name).exists()


def test_escape_suite_on_the_agent(machines: Machines) -> None:
    code, attempts = machines.suite()
    out = {name for name, attempt in attempts.items() if attempt["arrived"]}
    assert len(attempts) >= (20 if machines.form == "qemu" else 60)
    if machines.form == "open":
        assert code == 1
        assert out >= REACHES, {name: attempts[name]["saw"] for name in REACHES - out}
    else:
        assert (code, out) == (0, set()), {name: attempts[name] for name in out}
        # They were made: the agent had a way, as far as it could tell, by IPv4 and by IPv6.
        assert [name for name, each in attempts.items() if each["saw"] == "ENETUNREACH"] == []


def test_the_agent_has_no_other_way(machines: Machines) -> None:
    card = "eth0" if machines.form == "qemu" else "eth1"
    cards = machines.say("agent", "ls /sys/class/net").split()
    assert set(cards) <= {card, "lo"} | {each for each in cards if each.startswith(("tunl", "sit"))}
    routes = machines.say("agent", "ip route; ip -6 route").splitlines()
    outward = [line for line in routes if line.startswith("default")]
    assert outward
    assert all(f"dev {card}" in line for line in outward)
    # On the machines beside it there is no card that leads anywhere else, either.
    assert set(machines.say("internet", "ls /sys/class/net").split()) & {"eth0", "eth1"} == set()
    beside = {"eth2"} if machines.form != "open" else {"eth1", "eth2"}
    there = {each for each in machines.say("gateway", "ls /sys/class/net").split()
             if each.startswith("eth")}  # fmt: skip
    assert there == beside


def test_the_evidence_on_the_gateway_names_the_agent(machines: Machines) -> None:
    if machines.form == "open":
        return
    # The suite has run; what it sent last is named within a moment.
    end = time.monotonic() + 30
    while True:
        text = machines.say("gateway", "cat /var/log/egressguard-agent.jsonl")
        events = [json.loads(line) for line in text.splitlines()]
        packets = [event for event in events if event.get("kind") == "packet"]
        if len({event["detail"].partition(":")[0] for event in packets}) >= 6:
            break
        assert time.monotonic() < end, packets
        time.sleep(0.2)
    assert {event["jail"] for event in events} == {"agent"}
    assert {event["action"] for event in packets} == {"block"}
    worked = {e.get("path") for e in events if e.get("action") == "allow" and e.get("path")}
    assert {"/ca.pem", "/escape-suite.tar"} <= worked


def test_status_says_what_runs(machines: Machines) -> None:
    done = machines.do("status")
    said = done.stdout.decode()
    assert done.returncode == 0, said
    assert said.count(" runs") == 3
    assert ("open: no egressguard" in said) is (machines.form == "open")
    again = machines.do("up")
    assert again.returncode == 125
    assert b"there is a lab" in again.stderr
