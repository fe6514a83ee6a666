"""The gateway's guest `host`: what a unit with NetworkNamespacePath= starts in, and gets out by."""

from __future__ import annotations

import json

import pytest

from interceptor.cli import host_units
from tests.lab import Lab, gateways
from tests.lab.host_files import BUNDLE

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

_POLICY = "/etc/guard-host.yaml"


def _inside(lab: Lab, *command: str) -> tuple[int, str]:
    """Run a program as a guarded unit would: its network, its name server, its trust."""
    script = (
        f"mount --bind {host_units.PLACE}/resolv.conf /etc/resolv.conf && "
        f'exec nsenter --net={host_units.NETWORK} "$@"'
    )
    done = lab.run(["unshare", "-m", "sh", "-c", script, "sh", *command], timeout=60)
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


def test_what_is_guarded_works_and_does_not_get_out(clean_lab: Lab) -> None:
    lab = clean_lab
    lab.path(_POLICY).write_text(f"version: 1\nupstream: {{ca_file: {BUNDLE}}}\n")
    with gateways.running(lab, "/run/guard-host") as run:
        join = ("guard-host", "join", "--policy", _POLICY, "--run", run)
        said = gateways.do(lab, *join)
        # The second time, as after a restart of the unit, it is the same namespace.
        network = lab.path(host_units.NETWORK)
        before = network.stat().st_ino
        gateways.do(lab, *join)
        assert network.stat().st_ino == before
        trust = f"{host_units.PLACE}/ca-bundle.pem"
        fetch = ["curl", "-sS", "--max-time", "30", "--cacert", trust]
        code, shown = _inside(lab, *fetch, "https://www.example.com/get?n=guarded")
        assert code == 0, shown
        assert "/get?n=guarded" in [request.target for request in lab.requests()]
        code, shown = _inside(lab, *fetch, "-o", "/dev/null", "-w", "%{http_code}",
                              "https://metadata.inward.example/")  # fmt: skip
        assert shown.endswith("403"), shown
        attempt = "import socket; socket.create_connection(('9.9.9.9', 4444), 5).sendall(b'x')"
        _inside(lab, "/usr/bin/python3", "-c", attempt)
        assert not lab.oracle.records()
        # The control: the same attempt in the machine's own network.
        lab.run(["/usr/bin/python3", "-c", attempt])
        assert lab.oracle.wait_for("9.9.9.9", 4444)
        evidence = said.strip().rpartition(" ")[2]
        events = [json.loads(line) for line in lab.path(evidence).read_text().splitlines()]
        assert {event["jail"] for event in events} == {host_units.GUEST}
        lab.run(["umount", "-l", host_units.NETWORK])
