"""Runs the client programs of tests/clients, in the jail or beside it; reads what they print."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from tests.lab.clients import LIBRARIES, NODE_PACKAGES, PROGRAMS, install_python_clients
from tests.lab.host import Lab
from tests.lab.host_files import BUNDLE
from tests.lab.programs import Finished
from tests.lab.world import DEV_WORK

NODE = LIBRARIES.replace("/bin/python", "/bin/node")
TRUST = {
    "SSL_CERT_FILE": BUNDLE,
    "REQUESTS_CA_BUNDLE": BUNDLE,
    "NODE_EXTRA_CA_CERTS": BUNDLE,
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": BUNDLE,
}
"""What makes clients outside the jail trust the lab's authority."""


def secret() -> str:
    """A planted credential, put together here so that none stands in the repository."""
    return "AK" + "IA" + "Q3EGRJ7ZK2WVNY5T"


def need(reason: str) -> None:
    """Skip the test when `reason` says that something is missing; where all must be there, fail."""
    import pytest

    if reason and os.environ.get("EGRESSGUARD_REQUIRE_LAB") == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def python(program: str, *arguments: object) -> list[str]:
    """Argument vector of a Python program of tests/clients; what is no text becomes JSON."""
    return [LIBRARIES, f"{PROGRAMS}/{program}", *map(_word, arguments)]


def node(program: str, *arguments: object) -> list[str]:
    """Argument vector of a Node program of tests/clients."""
    words = [NODE, f"{PROGRAMS}/{program}", *map(_word, arguments)]
    return ["env", f"NODE_PATH={NODE_PACKAGES}", *words]


def _word(argument: object) -> str:
    return argument if isinstance(argument, str) else json.dumps(argument)


class Ran(Finished):
    """A program that has run, in the jail or not."""

    def json(self) -> Any:
        """What it printed; the test fails with what it said instead."""
        try:
            return json.loads(self.text)
        except ValueError as error:
            raise AssertionError(f"exit {self.returncode}: {self.text} {self.errors}") from error

    def blocks(self) -> list[dict[str, Any]]:
        """What was refused."""
        return [
            event
            for event in self.evidence
            if event["event"] == "decision" and event["action"] == "block"
        ]


def run(
    lab: Lab,
    argv: Sequence[str],
    *,
    jailed: bool,
    policy: str = "",
    env: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> Ran:
    """Run a program as the lab's user.

    :param jailed: in the jail, or without it: the positive control
    :param policy: YAML of the policy beside its version; empty for the default
    :param env: further variables
    """
    install_python_clients(lab)
    if jailed:
        options = []
        if policy:
            lab.path(f"{DEV_WORK}/policy.yaml").write_text(f"version: 1\n{policy}")
            options = ["--policy", f"{DEV_WORK}/policy.yaml"]
        inside = [f"{name}={value}" for name, value in (env or {}).items()]
        words = ["env", *inside, *argv] if inside else argv
        done: Any = lab.jail(words, *options, timeout=timeout)
    else:
        done = lab.run(argv, user="dev", env={**TRUST, **(env or {})}, timeout=timeout)
    ran = Ran(list(argv), done.returncode, done.stdout, done.stderr)
    ran.evidence = done.evidence if jailed else []
    return ran
