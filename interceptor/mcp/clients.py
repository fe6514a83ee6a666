"""Where clients of MCP keep their servers: a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple


class ClientFile(NamedTuple):
    """A kind of file with servers in it."""

    client: str
    """Name of the client on the command line."""
    title: str
    form: str
    """`json` (with comments or without), `toml` or `yaml`."""
    keys: tuple[str, ...]
    """Way to the servers; `*` stands for any name."""
    paths: tuple[str, ...]
    """`~` is the home, `%c` the folder of configurations (XDG); others lie in the project."""
    macos: tuple[str, ...] = ()
    """Paths that only macOS has."""


_SUPPORT: Final = "~/Library/Application Support/"
_STORAGE: Final = "%c/Code/User/globalStorage/"
_SERVERS: Final = ("mcpServers",)

# fmt: off
TABLE: Final = (
    ClientFile("claude-desktop", "Claude Desktop", "json", _SERVERS,
               ("%c/Claude/claude_desktop_config.json",),
               (_SUPPORT + "Claude/claude_desktop_config.json",)),
    ClientFile("claude-code", "Claude Code", "json", _SERVERS, ("~/.claude.json", ".mcp.json")),
    ClientFile("claude-code", "Claude Code", "json", ("projects", "*", "mcpServers"),
               ("~/.claude.json",)),
    ClientFile("cursor", "Cursor", "json", _SERVERS, ("~/.cursor/mcp.json", ".cursor/mcp.json")),
    ClientFile("vscode", "VS Code", "json", ("servers",),
               ("%c/Code/User/mcp.json", ".vscode/mcp.json"), (_SUPPORT + "Code/User/mcp.json",)),
    ClientFile("vscode", "VS Code", "json", ("mcp", "servers"),
               ("%c/Code/User/settings.json", ".vscode/settings.json"),
               (_SUPPORT + "Code/User/settings.json",)),
    ClientFile("windsurf", "Windsurf", "json", _SERVERS, ("~/.codeium/windsurf/mcp_config.json",)),
    ClientFile("zed", "Zed", "json", ("context_servers",),
               ("%c/zed/settings.json", ".zed/settings.json")),
    ClientFile("codex", "Codex", "toml", ("mcp_servers",),
               ("~/.codex/config.toml", ".codex/config.toml")),
    ClientFile("gemini-cli", "Gemini CLI", "json", _SERVERS,
               ("~/.gemini/settings.json", ".gemini/settings.json")),
    ClientFile("continue", "Continue", "yaml", _SERVERS, ("~/.continue/config.yaml",)),
    ClientFile("cline", "Cline", "json", _SERVERS,
               (_STORAGE + "saoudrizwan.claude-dev/settings/cline_mcp_settings.json",)),
    ClientFile("roo", "Roo Code", "json", _SERVERS,
               (_STORAGE + "rooveterinaryinc.roo-cline/settings/mcp_settings.json",
                ".roo/mcp.json")),
    ClientFile("amazon-q", "Amazon Q Developer", "json", _SERVERS,
               ("~/.aws/amazonq/mcp.json", ".amazonq/mcp.json")),
    ClientFile("kiro", "Kiro", "json", _SERVERS,
               ("~/.kiro/settings/mcp.json", ".kiro/settings/mcp.json")),
    ClientFile("copilot-cli", "Copilot CLI", "json", _SERVERS, ("~/.copilot/mcp-config.json",)),
    ClientFile("lm-studio", "LM Studio", "json", _SERVERS, ("~/.lmstudio/mcp.json",)),
    ClientFile("opencode", "opencode", "json", ("mcp",),
               ("%c/opencode/opencode.json", "%c/opencode/opencode.jsonc", "opencode.json")),
    ClientFile("goose", "Goose", "yaml", ("extensions",), ("%c/goose/config.yaml",)),
)
# fmt: on

CLIENTS: Final = tuple(dict.fromkeys(row.client for row in TABLE))
"""Names on the command line."""


class Place(NamedTuple):
    """A file that may be there."""

    row: ClientFile
    path: Path
    project: bool
    """It belongs to the working directory, not to the user."""


def places(home: Path, cwd: Path, environ: Mapping[str, str], client: str = "") -> Iterator[Place]:
    """Give all files of the table, or those of one client, whether they exist or not."""
    config = environ.get("XDG_CONFIG_HOME", "")
    base = Path(config) if config.startswith("/") else home / ".config"
    for row in TABLE:
        if client in ("", row.client):
            for text in (*row.paths, *row.macos):
                if text.startswith("~/"):
                    yield Place(row, home / text[2:], project=False)
                elif text.startswith("%c/"):
                    yield Place(row, base / text[3:], project=False)
                else:
                    yield Place(row, cwd / text, project=True)


def row_for(path: Path) -> list[ClientFile]:
    """Rows that fit a file by its name; for what is not known, those of its form."""
    exact = [
        row
        for row in TABLE
        if any(path.name == text.rpartition("/")[2] for text in (*row.paths, *row.macos))
    ]
    if exact:
        return exact
    form = {".toml": "toml", ".yaml": "yaml", ".yml": "yaml"}.get(path.suffix, "json")
    seen: dict[tuple[str, tuple[str, ...]], ClientFile] = {}
    for row in TABLE:
        if row.form == form:
            seen.setdefault((row.form, row.keys), row)
    return list(seen.values())
