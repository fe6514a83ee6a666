"""The official SDKs' clients and servers work through the wrapper as they do without it."""

from __future__ import annotations

import functools
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.programs import ROOT, clients_environment
from tests.mcp_peers.client import environ, wrapper

CLIENTS = clients_environment()
MODULES = CLIENTS / "node" / "node_modules"
NODE = str(CLIENTS / "bin" / "node")
PATIENCE = 90

pytestmark = pytest.mark.skipif(
    not (CLIENTS / "bin" / "mcp-server-git").exists()
    or not (MODULES / "@modelcontextprotocol" / "sdk").exists(),
    reason="the SDKs of MCP are not installed: scripts/test does, where the registries are reached",
)


def node_server(name: str, *args: str) -> list[str]:
    return [NODE, str(MODULES / ".bin" / f"mcp-server-{name}"), *args]


def python_server(name: str, *args: str) -> list[str]:
    return [str(CLIENTS / "bin" / f"mcp-server-{name}"), *args]


def agent(kind: str, home: Path, calls: list[Any], command: list[str], **env: str) -> Any:
    """Run an agent to its end; returns all that it was told."""
    if kind == "python":
        own = [str(CLIENTS / "bin" / "python"), str(ROOT / "tests/clients/mcp_sdk.py")]
    else:
        own = [NODE, str(ROOT / "tests/clients/mcp_sdk.mjs"), str(MODULES)]
    done = subprocess.run(
        [*own, json.dumps(calls), *command],
        env=environ(home, **env),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def both(
    kind: str, home: Path, calls: list[Any], command: list[str], *options: str
) -> tuple[Any, Any, list[dict[str, Any]]]:
    """What an agent was told without the wrapper and with it, and the refusals in the evidence."""
    log = home / "events.jsonl"
    own = wrapper("--log", str(log), "--state", str(home / "pins"), *options)
    # The SDKs hand few variables on: ours finds its rules where others left them.
    cache = f"XDG_CACHE_HOME={environ(home)['XDG_CACHE_HOME']}"
    direct = agent(kind, home, calls, command)
    wrapped = agent(kind, home, calls, ["/usr/bin/env", cache, *own, "--", *command])
    refused = [
        event
        for line in log.read_text().splitlines()
        if (event := json.loads(line)).get("action", "allow") != "allow"
    ]
    return direct, wrapped, refused


@pytest.mark.parametrize("kind", ["python", "node"])
def test_filesystem(tmp_path: Path, kind: str) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "README.md").write_text("# A project\n\nRun `make`, then look at the output.\n" * 50)
    (work / "notes.txt").touch()
    calls = [
        ["list_directory", {"path": str(work)}],
        ["read_text_file", {"path": str(work / "README.md")}],
        ["write_file", {"path": str(work / "notes.txt"), "content": "one\ntwo\n"}],
        ["search_files", {"path": str(work), "pattern": "*.md"}],
        ["read_text_file", {"path": "/etc/hostname"}],
    ]
    direct, wrapped, refused = both(kind, tmp_path, calls, node_server("filesystem", str(work)))
    assert wrapped == direct
    assert "A project" in json.dumps(wrapped["calls"][1])
    assert not refused


@pytest.mark.parametrize("kind", ["python", "node"])
def test_everything(tmp_path: Path, kind: str) -> None:
    calls = [
        ["echo", {"message": "grüße"}],
        ["get-sum", {"a": 20, "b": 22}],
        ["get-structured-content", {"location": "Chicago"}],
        ["get-annotated-message", {"messageType": "error", "includeImage": True}],
        ["get-resource-links", {"count": 3}],
        ["get-tiny-image", {}],
        ["trigger-long-running-operation", {"duration": 0.2, "steps": 2}],
    ]
    direct, wrapped, refused = both(kind, tmp_path, calls, node_server("everything"))
    for said in (direct, wrapped):  # what has the time in it
        for key in [key for key in said if key.startswith("read ")]:
            del said[key]
        said["calls"][2:3] = []
    assert wrapped == direct
    assert "42" in json.dumps(wrapped["calls"][1])
    assert not refused


def test_memory(tmp_path: Path) -> None:
    thing = {"name": "egress", "entityType": "idea", "observations": ["it leaves"]}
    calls = [
        ["create_entities", {"entities": [thing]}],
        ["search_nodes", {"query": "egress"}],
        ["read_graph", {}],
        ["delete_entities", {"entityNames": ["egress"]}],
    ]
    server = ["/usr/bin/env", f"MEMORY_FILE_PATH={tmp_path / 'm.jsonl'}", *node_server("memory")]
    direct, wrapped, refused = both("node", tmp_path, calls, server)
    assert wrapped == direct
    assert "it leaves" in json.dumps(wrapped["calls"][2])
    assert not refused


def test_git(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    (repository / "a.py").write_text("print(1)\n")
    subprocess.run([*git, "add", "a.py"], check=True)
    subprocess.run([*git, "commit", "-qm", "One"], check=True)
    (repository / "a.py").write_text("print(2)\n")
    where = {"repo_path": str(repository)}
    calls = [["git_status", where], ["git_diff_unstaged", where], ["git_log", where]]
    server = python_server("git", "-r", str(repository))
    direct, wrapped, refused = both("python", tmp_path, calls, server)
    assert wrapped == direct
    assert "+print(2)" in json.dumps(wrapped["calls"][1])
    assert not refused


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<html><body><h1>Weather</h1><p>Sunny, 21 degrees.</p></body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def page() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=functools.partial(server.serve_forever, 0.05))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/page"
        server.shutdown()
        thread.join()


def test_fetch(tmp_path: Path, page: str) -> None:
    policy = tmp_path / "policy.yaml"
    place = page.split("/")[2]  # the judge looks at URLs in arguments as at those of requests
    policy.write_text(
        f'version: 1\naddresses:\n  allow: ["127.0.0.1"]\nhosts:\n  allow: ["{place}"]\n'
    )
    server = python_server("fetch", "--ignore-robots-txt", "--allow-private-ips")
    calls = [["fetch", {"url": page}], ["fetch", {"url": page, "raw": True}]]
    direct, wrapped, refused = both("python", tmp_path, calls, server, "--policy", str(policy))
    assert wrapped == direct
    assert "21 degrees" in json.dumps(wrapped["calls"][0])
    assert not refused


def test_a_client_on_the_command_line_of_a_shell(tmp_path: Path) -> None:
    """The wrapper's own words are no part of what the server gets."""
    server = [sys.executable, "-c", "import os, sys; sys.exit(sys.argv[1:] != ['--policy', '--'])"]
    own = wrapper("--log", str(tmp_path / "l"), "--state", str(tmp_path))
    done = subprocess.run(
        [*own, "--", *server, "--policy", "--"],
        stdin=subprocess.DEVNULL,
        env=environ(tmp_path),
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0
    assert os.listdir(tmp_path)  # noqa: PTH208
