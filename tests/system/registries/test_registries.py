"""pip, npm and curl reach the real package registries through the jail.

The one place that leaves the lab: only through ordinary clients, and only to the registries that
this machine's own configuration names; their hosts are learnt at run time and stand in no file.
Each client first runs without the jail. What does not work there is skipped here.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from interceptor.decide.addresses import classify
from tests.lab.programs import JAIL_ENVIRONMENT, search_path

pytestmark = [pytest.mark.registries, pytest.mark.lab, pytest.mark.timeout(120)]

PYTHON = "/usr/bin/python3"
"""The system's: any user may run it."""
AGENT = 4242
PACKAGE = "is-number"
PIP = (PYTHON, "-m", "pip", "download", "-vv", "--no-cache-dir", "--retries", "0")
PATIENCE = 20.0
"""Seconds that a client without the jail has."""
_PROXY = re.compile(r"(https?|all)_proxy", re.IGNORECASE)
_INDEX_PAGE = re.compile(r"^\* (https?://\S+/)requests/$", re.MULTILINE)
_ANSWER = re.compile(r"^\s*(https?://\S+) \"GET ", re.MULTILINE)


@dataclass
class Registry:
    """What a client said without the jail."""

    url: str
    """Ends with a slash."""
    places: frozenset[tuple[str, int]]
    """Host and port of everything that it had something from."""

    @property
    def host(self) -> str:
        """Host of the registry itself; packages may lie elsewhere."""
        return place(self.url)[0]

    def policy(self) -> dict[str, Any]:
        """A policy with the exceptions that this machine needs: usually none.

        A machine without the internet may have its registries under an address of a reserved
        range, which is refused unless an operator names it.
        """
        addresses = {
            str(entry[4][0])
            for host, port in self.places
            for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        }
        special = sorted(address for address in addresses if not classify(address).public)
        ports = sorted(f"{host}:{port}" for host, port in self.places if port not in (80, 443))
        return {"version": 1, "addresses": {"allow": special}, "hosts": {"allow": ports}}


@dataclass
class Jailed:
    """What a client did in the jail."""

    code: int
    out: str
    err: str
    events: list[dict[str, Any]]

    def allowed(self) -> set[str]:
        """Hosts of HTTP requests that were let through."""
        return {
            event["host"]
            for event in self.events
            if event.get("kind") == "http_request" and event["action"] == "allow"
        }

    def refusals(self) -> list[dict[str, Any]]:
        """Everything that was not let through."""
        return [event for event in self.events if event.get("action", "allow") != "allow"]


def test_curl_reads_an_index_page(pip: Registry, folder: Path) -> None:
    done = jail(["curl", "-sSf", "-o", "page", pip.url + "idna/"], folder, pip)
    assert_passed(done, pip)
    assert b"idna-" in (folder / "page").read_bytes()


def test_pip_downloads_a_package_with_its_dependencies(pip: Registry, folder: Path) -> None:
    done = jail([*PIP, "-q", "-q", "-i", pip.url, "-d", "wheels", "requests"], folder, pip)
    assert_passed(done, pip)
    names = {wheel.name.partition("-")[0] for wheel in (folder / "wheels").glob("*.whl")}
    assert names == {"requests", "certifi", "charset_normalizer", "idna", "urllib3"}


def test_npm_views_a_package(npm: Registry, folder: Path) -> None:
    done = jail(["npm", "view", "--registry", npm.url, PACKAGE, "version"], folder, npm)
    assert_passed(done, npm)
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.out)


def test_npm_installs_a_package(npm: Registry, folder: Path) -> None:
    done = jail(["npm", "install", "--registry", npm.url, PACKAGE], folder, npm)
    assert_passed(done, npm)
    manifest = json.loads((folder / "node_modules" / PACKAGE / "package.json").read_bytes())
    assert manifest["name"] == PACKAGE


def test_what_the_policy_denies_is_refused_here_too(npm: Registry, folder: Path) -> None:
    """The same request, and the machine's own network is there: only the policy says no."""
    done = jail(["curl", "-sS", npm.url + PACKAGE], folder, npm, {"hosts": {"deny": [npm.host]}})
    assert json.loads(done.out)["reason"] == "host_denied"
    assert done.allowed() == set()
    assert {event["reason"] for event in done.refusals()} == {"host_denied"}


@pytest.fixture(scope="module", autouse=True)
def _rights() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: sudo scripts/test")


@pytest.fixture(scope="module")
def pip(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """The package index of pip's configuration, once pip itself has downloaded from it."""
    wheels = tmp_path_factory.mktemp("wheels")
    done = without_jail([*PIP, "-d", str(wheels), "requests"])
    page = _INDEX_PAGE.search(done.stdout)
    if page is None:
        pytest.skip("pip has no index")
    return Registry(page[1], frozenset(map(place, _ANSWER.findall(done.stdout))))


@pytest.fixture(scope="module")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """The registry of npm's configuration, once npm itself has read from it."""
    url = without_jail(["npm", "config", "get", "registry"]).stdout.strip()
    cache = tmp_path_factory.mktemp("cache")  # from its own it answers without a network
    view = ["npm", "view", "--fetch-retries=0", f"--cache={cache}", PACKAGE, "dist.tarball"]
    tarball = without_jail(view).stdout.strip()
    return Registry(url.rstrip("/") + "/", frozenset({place(url), place(tarball)}))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory of the agent's own, below directories that it may enter."""
    with tempfile.TemporaryDirectory() as made:  # pytest's own lie below what is root's alone
        os.chown(made, AGENT, AGENT)
        yield Path(made)


def without_jail(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a client as this machine has it, without a proxy; skip the test if it fails."""
    environment = {name: text for name, text in os.environ.items() if not _PROXY.fullmatch(name)}
    try:
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{argv[0]} does not work without the jail: {type(error).__name__}")
    if done.returncode:
        pytest.skip(f"{argv[0]} does not work without the jail: exit code {done.returncode}")
    return done


def place(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)


def jail(
    argv: Sequence[str], folder: Path, registry: Registry, extra: Mapping[str, Any] | None = None
) -> Jailed:
    """Run a client through `egressguard jail` on the machine itself, as a user of no name."""
    with tempfile.TemporaryDirectory() as own:
        evidence, policy = Path(own) / "evidence.jsonl", Path(own) / "egressguard.yaml"
        policy.write_text(json.dumps({**registry.policy(), **(extra or {})}))
        options = ["--user", f"{AGENT}:{AGENT}", "--policy", str(policy)]
        options += ["--evidence", str(evidence)]
        done = subprocess.run(
            [sys.executable, "-m", "interceptor.cli.main", "jail", *options, "--", *argv],
            env={**os.environ, **JAIL_ENVIRONMENT, "PATH": search_path()},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        lines = evidence.read_text("utf-8").splitlines() if evidence.exists() else []
    return Jailed(done.returncode, done.stdout, done.stderr, [json.loads(line) for line in lines])


def assert_passed(done: Jailed, registry: Registry) -> None:
    """The client did its work, through egressguard, and nothing was refused."""
    assert done.code == 0, done.err
    assert registry.host in done.allowed()
    assert done.refusals() == []
