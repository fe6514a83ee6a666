"""A server in a jail of its own, behind the wrapper."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.programs import JAIL_ENVIRONMENT, ROOT
from tests.lab.world import DEV_HOME, DEV_WORK

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

SOURCE = (ROOT / "tests/mcp_peers/server.py").read_text()
LOG = f"{DEV_HOME}/mcp-events.jsonl"


def talk(lab: Lab, *options: str, urls: list[str]) -> tuple[list[str], int, str]:
    """What calls of `fetch` came to, the exit code, and what was said aside."""
    lines: list[dict[str, Any]] = [
        {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}},
        *(
            {
                "jsonrpc": "2.0",
                "id": number,
                "method": "tools/call",
                "params": {"name": "fetch", "arguments": {"text": url}},
            }
            for number, url in enumerate(urls, 1)
        ),
    ]
    own = [sys.executable, "-m", "interceptor.cli.main", "mcp", "--log", LOG, *options]
    done = lab.run(
        [*own, "--state", DEV_HOME, "--", "/usr/bin/python3", "-c", SOURCE, "fetches"],
        user="dev",
        env=dict(JAIL_ENVIRONMENT),
        input="".join(json.dumps(line) + "\n" for line in lines).encode(),
        timeout=90,
        cwd=DEV_WORK,
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [message["id"] for message in said] == list(range(len(urls) + 1)), done.stderr.decode()
    texts = [
        message["result"]["content"][0]["text"] if "result" in message else message["error"]
        for message in said[1:]
    ]
    return texts, done.returncode, done.stderr.decode()


def test_a_jailed_server_reaches_what_its_own_policy_allows(clean_lab: Lab) -> None:
    policy = Path(f"{DEV_HOME}/jail.yaml")
    clean_lab.path(str(policy)).write_text(
        "version: 1\nhosts:\n  others: deny\n  allow: [www.example.com]\n"
    )
    clean_lab.path(str(policy)).chmod(0o644)
    urls = ["http://www.example.com/", "http://api.example.com/"]
    texts, code, said = talk(clean_lab, "--jail", "--jail-policy", str(policy), urls=urls)
    assert texts == ["status 200", "status 403"], said
    assert code == 0
    clean_lab.path(LOG).unlink()
    # The jail, not the wrapper, has refused that: without it the second is reached as well.
    texts, code, said = talk(clean_lab, urls=urls)
    assert texts == ["status 200", "status 200"], said
    clean_lab.path(LOG).unlink()


def test_a_jail_says_which_servers_nobody_judges(clean_lab: Lab) -> None:
    config = clean_lab.path(f"{DEV_HOME}/.cursor/mcp.json")
    config.parent.mkdir(exist_ok=True)
    try:
        config.write_text('{"mcpServers": {"a": {"command": "x"}}}')
        done = clean_lab.jail(["true"])
        assert b"1 MCP server is configured without a judge" in done.stderr
        config.write_text('{"mcpServers": {}}')
        assert b"MCP" not in clean_lab.jail(["true"]).stderr
    finally:
        config.unlink()
        config.parent.rmdir()
