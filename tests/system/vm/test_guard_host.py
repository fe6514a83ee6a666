"""The gateway's guest `host`: what a unit with NetworkNamespacePath= starts in, and gets out by."""

from __future__ import annotations

import json
import sys
import time

import pytest

from interceptor.cli import host_units
from tests.lab import Lab
from tests.lab.host_files import BUNDLE
from tests.lab.programs import JAIL_ENVIRONMENT

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

_START = (sys.executable, "-m", "interceptor.cli.main")
_RUN, _STATE = "/run/guard-host", "/run/guard-host-state"
_POLICY = "/etc/guard-host.yaml"


def _inside(lab: Lab, *command: str) -> tuple[int, str]:
    """Run a program as a guarded unit would: its network, its name server, its trust."""
    script = (
        f"mount --bind {host_units.PLACE}/resolv.conf /etc/resolv.conf && "
        f"exec nsenter --net={host_units.NETWORK} \"$@\""
    )  # fmt: skip
    done = lab.run(["unshare", "-m", "sh", "-c", script, "sh", *command], timeout=60)
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


def test_what_is_guarded_works_and_does_not_get_out(clean_lab: Lab) -> None:
    lab = clean_lab
    lab.path(_POLICY).write_text(f"version: 1\nupstream: {{ca_file: {BUNDLE}}}\n")
    gateway = lab.popen(
        [*_START, "gateway", "run", "--run", _RUN, "--state", _STATE, "--workers", "1"],
        env=JAIL_ENVIRONMENT,
        stdout=None,
        stderr=None,
    )
    try:
        end = time.monotonic() + 90
        while not lab.path(f"{_RUN}/gateway.sock").exists():
            assert gateway.poll() is None, "the gateway has ended"
            assert time.monotonic() < end
            time.sleep(0.1)
        join = [*_START, "guard-host", "join", "--policy", _POLICY, "--run", _RUN]
        # The second time, as after a restart of the unit, it is the same namespace.
        first, second = (lab.run(join, env=JAIL_ENVIRONMENT, timeout=60) for _ in range(2))
        assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
        trust = f"{host_units.PLACE}/ca-bundle.pem"
        fetch = ["curl", "-sS", "--max-time", "30", "--cacert", trust]
        code, said = _inside(lab, *fetch, "https://www.example.com/get?n=guarded")
        assert code == 0, said
        assert "/get?n=guarded" in [request.target for request in lab.requests()]
        code, said = _inside(lab, *fetch, "-o", "/dev/null", "-w", "%{http_code}",
                             "https://metadata.inward.example/")  # fmt: skip
        assert said.endswith("403"), said
        attempt = "import socket; socket.create_connection(('9.9.9.9', 4444), 5).sendall(b'x')"
        _inside(lab, "/usr/bin/python3", "-c", attempt)
        assert not lab.oracle.records()
        # The control: the same attempt in the machine's own network.
        lab.run(["/usr/bin/python3", "-c", attempt])
        assert lab.oracle.wait_for("9.9.9.9", 4444)
        evidence = first.stdout.decode().strip().rpartition(" ")[2]
        events = [json.loads(line) for line in lab.path(evidence).read_text().splitlines()]
        assert {event["jail"] for event in events} == {host_units.GUEST}
    finally:
        gateway.terminate()
        gateway.wait(30)
        lab.run(["umount", "-l", host_units.NETWORK])
