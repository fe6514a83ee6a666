"""Ordinary clients work in the jail unmodified, whatever their proxy variables say."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.clients import CLIENTS, build_go_client, install_python_clients, missing
from tests.lab.package_index import WHEEL

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]


def _proxies(url: str) -> dict[str, str]:
    names = ("http_proxy", "https_proxy", "all_proxy")
    return {name: url for low in names for name in (low, low.upper())}


PROXIES = {
    "unset": {},
    "nonsense": _proxies("http://no-such-proxy.invalid:9"),
    "attacker": _proxies("http://proxy.attacker.example:3128"),
}


OUTSIDE = _proxies("http://127.0.0.1:9")
"""What the operator's shell says: a proxy that only the host could reach. It does not go along."""


def _inside(proxies: str, argv: list[str]) -> list[str]:
    """A command that sets proxy variables in the jail, as an agent may."""
    return ["env", *(f"{name}={value}" for name, value in PROXIES[proxies].items()), *argv]


@pytest.fixture(scope="module")
def equipped(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The lab with client programs for its user."""
    install_python_clients(lab)
    if not missing("go"):
        build_go_client(lab, tmp_path_factory.mktemp("go"))
    return lab


def _need(name: str) -> None:
    if reason := missing(name):
        if os.environ.get("EGRESSGUARD_REQUIRE_LAB") == "1" and name != "go":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.mark.parametrize("proxies", PROXIES)
@pytest.mark.parametrize("name", CLIENTS)
def test_client_works(equipped: Lab, name: str, proxies: str) -> None:
    _need(name)
    equipped.clear()
    argv = CLIENTS[name]("https://api.example.com/get?client=" + name)
    done = equipped.jail(_inside(proxies, argv), env=OUTSIDE)
    assert done.returncode == 0, done.errors
    seen = json.loads(done.text[done.text.index("{") :])
    assert (seen["name"], seen["host"]) == ("api.example.com", "api.example.com")
    (request,) = equipped.requests()
    assert (request.name, request.target) == ("api.example.com", f"/get?client={name}")
    allowed = [e for e in done.events() if e["event"] == "decision" and e["kind"] == "http_request"]
    assert [(e["host"], e["port"], e["action"]) for e in allowed] == [
        ("api.example.com", 443, "allow")
    ]
    assert equipped.oracle.records() == []
    assert not [q for q in equipped.dns_log() if "proxy" in q.name]


@pytest.mark.parametrize("proxies", PROXIES)
def test_git_clone(equipped: Lab, proxies: str) -> None:
    equipped.clear()
    script = (
        "git clone -q https://git.example.com/git/demo.git /tmp/demo && "
        "git -C /tmp/demo log --format=%s && ls /tmp/demo"
    )
    done = equipped.jail(_inside(proxies, ["sh", "-c", script]), env=OUTSIDE)
    assert (done.returncode, done.text) == (0, "First\nREADME.md\ndata.bin\n"), done.errors
    assert {request.method for request in equipped.requests("git.example.com")} == {"GET", "POST"}
    assert equipped.oracle.records() == []


@pytest.mark.parametrize(
    "url", ["https://v4only.example.com/get", "https://v6only.example.com/get"]
)
@pytest.mark.parametrize("family", ["-4", "-6"])
def test_address_families_do_not_have_to_agree(equipped: Lab, url: str, family: str) -> None:
    """The agent's side may be IPv6 and upstream IPv4, and the other way round."""
    done = equipped.jail(["curl", "-sS", family, url])
    assert '"method": "GET"' in done.text, done.errors


def test_plain_http(equipped: Lab) -> None:
    equipped.clear()
    done = equipped.jail(["curl", "-sS", "http://www.example.com/get"])
    assert '"host": "www.example.com"' in done.text, done.errors
    assert [request.port for request in equipped.requests()] == [80]


def test_pip_download(equipped: Lab) -> None:
    """pip against the lab's package index: pages, redirects, hashes, a wheel."""
    if not Path("/usr/bin/pip3").exists():
        pytest.skip("pip3 is not installed")
    index = "https://index.example.com/simple/"
    pip = ["pip3", "download", "-q", "--no-cache-dir", "--no-deps", "-d", "/tmp/w", "-i", index]
    command = " ".join([*pip, "lab-demo", "&& ls /tmp/w"])
    done = equipped.jail(["sh", "-c", command])
    assert (done.returncode, done.text) == (0, f"{WHEEL}\n"), done.errors


def test_many_clients_at_once(equipped: Lab) -> None:
    equipped.clear()
    loop = (
        "for i in $(seq 20); do curl -sS -o /dev/null -w '%{http_code}\\n' "
        "https://s$i.example.com/get & done; wait"
    )
    done = equipped.jail(["sh", "-c", loop])
    assert done.text.split() == ["200"] * 20, done.errors
    assert len({request.name for request in equipped.requests()}) == 20
