"""Configurations of clients are edited without harm: nothing else changes, and it can be undone."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.cli import mcp_run, mcp_wrap
from interceptor.cli.mcp import command
from interceptor.mcp.clients import TABLE, ClientFile, places, row_for
from interceptor.mcp.config_file import ConfigFile
from interceptor.mcp.entries import ConfigError, inner
from interceptor.mcp.json_text import read

PROGRAM = ("/opt/eg/scripts/egressguard",)

DESKTOP = """{
  "globalShortcut": "Ctrl+Space",
    "mcpServers": {
        "files": {
      "command": "npx",
      "args": ["-y", "@example/server-files", "/home/dev/\\u00fc b"],
      "env": { "A": "1" }, "disabled": false
    },
    "bare": {"command":"server"},
    "none": { "args": [ ], "command": "x y/z" },
    "remote": { "url": "https://mcp.example.com/mcp", "headers": {} }
  },
  "last": [1, 2.50, null]
}
"""
EDITOR = """// of mine
{
  /* servers { } */
  "servers": {
    "a": {
      "type": "stdio",
      "command": "uvx", // the command
      "args": [
        "one", // first
        "two",
      ],
    },
  },
}"""
ZED = """{"context_servers": {"old": {"command": {"path": "node", "args": ["s.js"], "env": {}}},
  "new": {"source": "custom", "command": "node", "args": ["s.js"]}}, "theme": "One"}"""
OPENCODE = """{"mcp": {"x": {"type": "local", "command": ["npx", "-y", "thing"], "enabled": true},
  "y": {"type": "remote", "url": "https://mcp.example.com"}}}"""
CODEX = """# mine
model = "o"

[mcp_servers.files]
command = "npx" # the command
args = ["-y", '@example/files',
  "/a", # why
]
env = { A = "1" }

[mcp_servers."two words"]
command = 'server'

[mcp_servers.files.tools]
x = 1

[profiles.x]
command = "unrelated"
"""
CONTINUE = """name: mine
mcpServers:
  - name: files   # the files
    command: npx
    args:
      - -y
      - "@example/files"
      - /a b
    env:
      A: "1"
  - name: flow
    command: "uvx"
    args: [ "one", two ]
  - name: bare
    command: server # why
rules: []
"""
GOOSE = """extensions:
  files:
    cmd: uvx
    args: [mcp-files]
    type: stdio
  builtin:
    type: builtin
"""

SAMPLES = {
    "claude_desktop_config.json": (DESKTOP, 3),
    "mcp.json": (EDITOR, 1),
    "settings.json": (ZED, 2),
    "opencode.json": (OPENCODE, 1),
    "config.toml": (CODEX, 2),
    "config.yaml": (CONTINUE, 3),
    "goose.yaml": (GOOSE, 1),
}


def rows(name: str) -> list[ClientFile]:
    if name == "goose.yaml":
        return [row for row in TABLE if row.client == "goose"]
    if name == "config.yaml":
        return [row for row in TABLE if row.client == "continue"]
    return row_for(Path(name))


def data(name: str, text: str) -> object:
    if name.endswith(".toml"):
        return tomllib.loads(text)
    return yaml.safe_load(text) if name.endswith("yaml") else read(text).data


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_wrapping_changes_command_lines_only_and_is_undone_to_the_byte(
    tmp_path: Path, name: str, ends: str
) -> None:
    text, count = SAMPLES[name]
    original = text.replace("\n", ends).encode()
    path = tmp_path / name
    path.write_bytes(original)
    path.chmod(0o640)

    file = ConfigFile(path, rows(name))
    before = {server.name: server.line for server in file.servers()}
    assert len(before) == count
    assert len(file.wrap(PROGRAM, ["--jail"])) == count
    file.save(backup=True)
    assert path.stat().st_mode & 0o777 == 0o640
    assert file.backup.read_bytes() == original

    wrapped = ConfigFile(path, rows(name))
    for server in wrapped.servers():
        assert server.wrapped
        at = inner(server.line)
        assert server.line[:3] == (*PROGRAM, "mcp", "--jail")
        assert server.line[at:] == before[server.name]
    data(name, path.read_bytes().decode())  # still what it was: the parsers of others read it
    assert not wrapped.wrap(PROGRAM, ["--jail"])  # twice is once
    assert not wrapped.changed
    assert len(wrapped.unwrap()) == count
    wrapped.save(backup=False)
    assert path.read_bytes() == original
    assert not file.backup.exists()  # of no use any more
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_what_was_edited_between_stays(tmp_path: Path) -> None:
    path = tmp_path / ".mcp.json"
    path.write_text('{"mcpServers": {"a": {"command": "x", "args": ["1"]}}}')
    file = ConfigFile(path, row_for(path))
    file.wrap(PROGRAM, [])
    file.save(backup=True)
    path.write_text(path.read_text().replace('"1"', '"1", "2"').replace("}}}", '}}, "new": 1}'))
    again = ConfigFile(path, row_for(path))
    again.unwrap()
    again.save(backup=False)
    expected = '{"mcpServers": {"a": {"command": "x", "args": ["1", "2"]}}, "new": 1}'
    assert path.read_text() == expected
    assert file.backup.exists()  # it differs: a person decides


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".mcp.json", '{"mcpServers": {"a": {"command": "x", "command": "y"}}}'),
        (".mcp.json", '{"mcpServers": {"a": {"command": "x", "args": [1]}}}'),
        (".mcp.json", '{"mcpServers": {"a": {"command": "x"}'),
        (".mcp.json", "[" * 5000),
        ("config.toml", '[mcp_servers]\na = { command = "x" }\n'),
        ("config.toml", '[mcp_servers.a]\ncommand = """x"""\n'),
        ("config.toml", 'mcp_servers.a.command = "x"\n'),
        ("config.yaml", "mcpServers:\n  - {name: a, command: x}\n"),
        ("config.yaml", "mcpServers:\n  - name: a\n    command: x\n    args: &b [1]\n    c: *b\n"),
        ("config.yaml", "a: [\n"),
    ],
)
def test_what_cannot_be_edited_is_left_as_it_is(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError):
        ConfigFile(path, rows(name)).wrap(PROGRAM, [])
    assert path.read_text() == text


def test_a_link_stays_one_and_a_race_is_noticed(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.json"
    real.write_text('{"mcpServers": {"a": {"command": "x"}}}')
    link = tmp_path / ".mcp.json"
    link.symlink_to(real)
    file = ConfigFile(link, row_for(link))
    file.wrap(PROGRAM, [])
    file.save(backup=True)
    assert link.is_symlink()
    assert "egressguard" in real.read_text()
    late = ConfigFile(link, row_for(link))
    late.unwrap()
    real.write_text("{}")
    with pytest.raises(ConfigError, match="meanwhile"):
        late.save(backup=False)
    assert real.read_text() == "{}"


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(words, min_size=1, max_size=4, unique=True),
    args=st.lists(words, max_size=4),
    indent=st.sampled_from([None, 1, 4, "\t"]),
    ascii_only=st.booleans(),
)
def test_any_json_is_wrapped_and_unwrapped(
    names: list[str], args: list[str], indent: int | str | None, ascii_only: bool
) -> None:
    servers: dict[str, object] = {name: {"command": "c", "args": args, "x": {}} for name in names}
    servers["last"] = {"command": "c"}
    text = json.dumps({"mcpServers": servers, "b": 1}, indent=indent, ensure_ascii=ascii_only)
    file = ConfigFile.__new__(ConfigFile)
    file.path, file._rows, file.text = Path("x"), row_for(Path(".mcp.json")), text
    assert len(file.wrap(PROGRAM, [], mcp_wrap._named.__get__(""))) == len(servers)
    wrapped = json.loads(file.text)
    for server in file.servers():
        given = server.line[: inner(server.line)]
        name = given[-2] if given[-3] == "--server" else given[-2].removeprefix("--server=")
        assert mcp_run.SERVER.fullmatch(name)
    assert wrapped["mcpServers"][names[0]]["args"][-1 - len(args) :] == ["c", *args]
    file.unwrap()
    assert file.text == text


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, project = tmp_path / "home", tmp_path / "work"
    project.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(project)
    config = home / ".config/Claude/claude_desktop_config.json"
    config.parent.mkdir(parents=True)
    config.write_text(DESKTOP)
    own = project / ".mcp.json"
    own.write_text('{"mcpServers": {"db": {"command": "db-server"}}}')
    broken = home / ".cursor/mcp.json"
    broken.parent.mkdir()
    broken.write_text("{")
    runner = CliRunner()

    found = runner.invoke(command, ["find"])
    assert found.output.count("BARE") == 4
    assert "4 not wrapped" in found.output
    dry = runner.invoke(command, ["wrap", "--client", "claude-desktop", "--dry-run"])
    assert '+      "args": ["mcp", "--server", "files", "--", "npx", "-y",' in dry.output
    assert config.read_text() == DESKTOP
    done = runner.invoke(command, ["wrap"], standalone_mode=False)
    assert done.return_value == 1  # one of them is broken, and said so
    assert "line 1" in done.output
    assert runner.invoke(command, ["find"], standalone_mode=False).return_value == 0
    assert "--server=work.db" in own.read_text()
    runner.invoke(command, ["unwrap"])
    assert config.read_text() == DESKTOP
    assert broken.read_text() == "{"


def test_the_table_is_of_one_piece() -> None:
    for row in TABLE:
        assert row.form in ("json", "toml", "yaml")
        assert row.paths
        assert row.keys
    known = list(places(Path("/h"), Path("/w"), {"XDG_CONFIG_HOME": "/c"}))
    assert any(str(place.path) == "/c/Claude/claude_desktop_config.json" for place in known)
    assert any(place.project and str(place.path) == "/w/.mcp.json" for place in known)
