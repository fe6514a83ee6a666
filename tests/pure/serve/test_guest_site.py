"""What a guest is told about its network, and that the way to it opens nothing else."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
import yaml

from interceptor.decide.judge import Judge
from interceptor.model import Target
from interceptor.policy.loading import load
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import load_rules
from interceptor.serve import guest_site
from interceptor.verdict import Reason

PEM = b"-----BEGIN CERTIFICATE-----\nTUlJ\nQUJD\n-----END CERTIFICATE-----\n"
PAGES = guest_site.pages(PEM, "worker-7")


@pytest.fixture(scope="module")
def judge() -> Judge:
    strict = load(None, "strict")
    return Judge(guest_site.with_site(strict), Scanner.build(load_rules(), None), bytes(16))


def test_the_site_is_a_service_of_the_policy_and_nothing_else_is(judge: Judge) -> None:
    site = Target("http", guest_site.NAME, 80)
    assert judge.connection(site).allowed
    verdict, literals = judge.addresses(site, (guest_site.ADDRESS,))
    assert (verdict.allowed, literals) == (True, (guest_site.ADDRESS,))
    others = [
        Target("https", guest_site.NAME, 443),
        Target("http", "www." + guest_site.NAME, 80),
        Target("http", guest_site.ADDRESS, 80),
        Target("http", "other.example", 80),
    ]
    assert not any(judge.connection(target).allowed for target in others)
    # Another name does not lead there, whoever answers for it.
    verdict, literals = judge.addresses(Target("http", "example.com", 80), (guest_site.ADDRESS,))
    assert not verdict.allowed
    assert verdict.reason is not Reason.ALLOWED
    assert literals == ()


def test_services_of_the_operator_stay() -> None:
    policy = Policy(services={"ollama.internal": "127.0.0.1:11434"})
    assert guest_site.with_site(policy).services == {
        "ollama.internal": "127.0.0.1:11434",
        guest_site.NAME: f"{guest_site.ADDRESS}:80",
    }


def test_what_is_served() -> None:
    assert guest_site.answer(b"GET /ca.pem HTTP/1.1\r\nHost: x", PAGES).endswith(PEM)
    for path, (kind, content) in PAGES.items():
        said = guest_site.answer(f"GET {path}?x=1 HTTP/1.1".encode(), PAGES)
        head, _, body = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert f"Content-Length: {len(content)}".encode() in head
        assert f"Content-Type: {kind}".encode() in head
        assert body == content
        assert guest_site.answer(f"HEAD {path} HTTP/1.1".encode(), PAGES) == head + b"\r\n\r\n"
    assert b" 404 " in guest_site.answer(b"GET /../etc/passwd HTTP/1.1", PAGES)
    assert b" 405 " in guest_site.answer(b"PUT /ca.pem HTTP/1.1", PAGES)
    assert b" 405 " in guest_site.answer(b"", PAGES)


def test_the_seed_is_one_that_cloud_init_reads() -> None:
    seed = yaml.safe_load(PAGES["/cloud-init/user-data"][1])
    assert PAGES["/cloud-init/user-data"][1].startswith(b"#cloud-config\n")
    assert seed["ca_certs"]["trusted"] == [PEM.decode()]
    meta = yaml.safe_load(PAGES["/cloud-init/meta-data"][1])
    assert meta == {"instance-id": "egressguard-worker-7", "local-hostname": "worker-7"}


def test_the_script_installs_the_certificate(tmp_path: Path) -> None:
    """With the places of a system made up: the script's own lines, another root."""
    store = tmp_path / "usr/local/share/ca-certificates"
    store.mkdir(parents=True)
    script = PAGES["/install.sh"][1].decode().replace("\n/usr", f"\n{tmp_path}/usr")
    script = script.replace(" update-ca-certificates\n", " echo updated\n")
    done = subprocess.run(
        ["sh"], input=script.encode(), capture_output=True, check=False, cwd=tmp_path
    )
    assert done.stdout == b"updated\n", done.stderr
    assert (store / "egressguard.crt").read_bytes() == PEM
    nowhere = PAGES["/install.sh"][1].decode().replace("\n/", f"\n{tmp_path}/none/")
    done = subprocess.run(["sh"], input=nowhere.encode(), capture_output=True, check=False)
    assert done.returncode == 1
    assert b"ca.pem" in done.stderr


def test_a_connection_to_the_site_is_a_socket_of_this_process() -> None:
    async def talk() -> bytes:
        loop = asyncio.get_running_loop()
        sock = await guest_site.opener(PEM, "worker-7", loop)()
        reader, writer = await asyncio.open_unix_connection(sock=sock)
        for piece in (b"GET /ca.p", b"em HTTP/1.1\r\n", b"Host: x\r\n\r", b"\n"):
            writer.write(piece)
            await asyncio.sleep(0)
        data = await reader.read()
        writer.close()
        return data

    assert asyncio.run(talk()).endswith(PEM)
