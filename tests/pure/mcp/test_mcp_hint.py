"""A jail says at its end which servers nobody judges."""

from __future__ import annotations

import os
from pathlib import Path

from interceptor.cli import mcp_hint
from netns.identity import Identity


def test_servers_without_a_judge_are_counted(tmp_path: Path) -> None:
    who = Identity(os.getuid(), os.getgid(), (), "dev", str(tmp_path), "/bin/sh")
    assert mcp_hint.line(who, str(tmp_path / "work"), {}) == ""
    config = tmp_path / ".cursor" / "mcp.json"
    config.parent.mkdir()
    config.write_text('{"mcpServers": {"a": {"command": "x"}, "b": {"url": "https://e.test"}}}')
    os.mkfifo(tmp_path / ".claude.json")  # nobody waits for it
    assert mcp_hint.line(who, str(tmp_path / "work"), {}).startswith("1 MCP server is configured")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / ".mcp.json").write_text(
        '{"mcpServers": {"c": {"command": "egressguard", "args": ["mcp", "--", "x"]},'
        ' "d": {"command": "y", "args": []}}}'
    )
    assert mcp_hint.line(who, str(tmp_path / "work"), {}).startswith("2 MCP servers are")
