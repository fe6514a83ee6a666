"""Files that run, or steer what runs, after the jail has ended: what of them the agent has changed.

An agent that may write its user's home can leave a line in a shell's start file, a git hook or an
MCP server's entry, and be run by it outside. Nothing here stops that (`--home ro` and `--home
private` do); the operator is told, and the evidence says so.

Only names, sizes, times and kinds are looked at, without following links below the folders that are
named: the files may have been made to be looked at.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

_HOME: Final = (
    *(".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile"),
    *(".zshrc", ".zshenv", ".zprofile", ".zlogin", ".zlogout", ".kshrc", ".inputrc", ".xprofile"),
    *(".xinitrc", ".xsession", ".pam_environment", ".selected_editor", ".vimrc", ".exrc"),
    *(".gitconfig", ".git-credentials", ".netrc", ".npmrc", ".yarnrc", ".yarnrc.yml", ".pypirc"),
    *(".condarc", ".curlrc", ".wgetrc", ".tmux.conf", ".screenrc", ".gdbinit", ".pythonrc"),
    *(".mcp.json", ".claude.json", ".cursor/mcp.json", ".codeium/windsurf/mcp_config.json"),
    *(".gemini/settings.json", ".codex/config.toml", ".claude/settings.json", ".claude/CLAUDE.md"),
    *(".ssh/config", ".ssh/rc", ".ssh/authorized_keys", ".ssh/environment"),
    *(".cargo/config.toml", ".cargo/env", ".docker/config.json", ".kube/config", ".aws/config"),
)
_HOME_FOLDERS: Final = (
    *("bin", ".local/bin", ".cargo/bin", "go/bin", ".config/autostart", ".config/fish/conf.d"),
    *(
        ".config/fish",
        ".config/git",
        ".config/pip",
        ".config/systemd/user",
        ".config/environment.d",
    ),
    *(".config/nvim", ".vim/plugin", ".local/share/applications", ".claude/commands"),
    *(".claude/hooks", ".claude/agents", ".claude/skills", ".bashrc.d", ".oh-my-zsh/custom"),
)
_PROJECT: Final = (
    *(".git/config", ".git/info/attributes", ".gitattributes", ".gitmodules", ".envrc", ".env"),
    *(".mcp.json", ".vscode/mcp.json", ".vscode/settings.json", ".vscode/tasks.json"),
    *(".vscode/launch.json", ".cursor/mcp.json", ".cursorrules", ".claude/settings.json"),
    *(
        ".claude/settings.local.json",
        "CLAUDE.md",
        "AGENTS.md",
        "GEMINI.md",
        ".npmrc",
        ".yarnrc.yml",
    ),
    *(".pre-commit-config.yaml", ".tool-versions", ".python-version", "sitecustomize.py"),
    *("conftest.py", ".gdbinit", ".exrc", ".lldbinit"),
)
_PROJECT_FOLDERS: Final = (
    *(".git/hooks", ".husky", ".githooks", ".devcontainer", ".cursor/rules", ".claude/commands"),
    *(".claude/hooks", ".claude/agents", ".claude/skills", ".github/workflows", ".vscode"),
)
_ENTRIES: Final = 2_000
"""Files of a folder that are looked at; one with more is compared by its own time alone."""

_LINE: Final = 400
"""Characters of a line of the report."""

_Seen: TypeAlias = tuple[int, int, int, int, int]  # kind and mode, inode, size, mtime and ctime
Snapshot: TypeAlias = Mapping[str, _Seen]


def snapshot(home: str, cwd: str, path: str = "") -> Snapshot:
    """Look at the files that run later.

    Args:
        home: the agent's home directory, or empty.
        cwd: its working directory.
        path: its PATH; directories of it that lie in `home` or `cwd` count, too.
    """
    found: dict[str, _Seen] = {}
    roots = [root for root in (home, cwd) if root]
    folders = [f"{home}/{name}" for name in _HOME_FOLDERS] if home else []
    folders += [f"{cwd}/{name}" for name in _PROJECT_FOLDERS]
    for folder in path.split(":"):
        if any(folder.startswith(f"{root}/") for root in roots):
            folders.append(folder)
    files = [f"{home}/{name}" for name in _HOME] if home else []
    files += [f"{cwd}/{name}" for name in _PROJECT]
    for name in files:
        _look(name, found)
    for folder in dict.fromkeys(folders):
        for name in _entries(folder):
            _look(name, found)
        _look(folder, found, times=False)
    return found


def changed(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """Say what differs: `made PATH`, `changed PATH`, `removed PATH`, sorted by path."""
    said = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is None:
            said.append(f"made {name}")
        elif new is None:
            said.append(f"removed {name}")
        elif old != new:
            said.append(f"changed {name}")
    return tuple(line[:_LINE] for line in said)


def _entries(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                if number >= _ENTRIES:
                    return
                # git's own samples are never run
                if not entry.name.endswith(".sample"):
                    yield entry.path
    except OSError:
        return


def _look(path: str, found: dict[str, _Seen], *, times: bool = True) -> None:
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return
    if stat.S_ISDIR(status.st_mode) and times:
        return  # a folder in a folder: its own line, if it has one, is enough
    moments = (status.st_mtime_ns, status.st_ctime_ns) if times else (0, 0)
    size = status.st_size if times else 0
    found[path] = (status.st_mode, status.st_ino, size, *moments)
