"""What a jail says at its end about MCP servers that its agent starts without a judge."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from interceptor.mcp.clients import Place, places
from netns.identity import Identity


def bare(home: str, cwd: str, environ: Mapping[str, str]) -> int:
    """Count servers in known configurations that are not wrapped; what cannot be read has none."""
    from interceptor.mcp.config_file import ConfigFile
    from interceptor.mcp.entries import ConfigError

    seen: dict[str, list[Place]] = {}
    for place in places(Path(home), Path(cwd), environ):
        if os.path.lexists(place.path):
            seen.setdefault(os.path.realpath(place.path), []).append(place)
    count = 0
    for found in seen.values():
        with contextlib.suppress(ConfigError):
            file = ConfigFile(found[0].path, [place.row for place in found])
            count += sum(not server.wrapped for server in file.servers())
    return count


def line(identity: Identity, cwd: str, environ: Mapping[str, str]) -> str:
    """A line for the operator, empty where there is nothing to say.

    Files are read in a child with the rights of the agent's user.
    """
    kept = {key: environ[key] for key in ("XDG_CONFIG_HOME",) if key in environ}
    known = places(Path(identity.home), Path(cwd), kept)
    if not identity.home or not any(os.path.lexists(place.path) for place in known):
        return ""
    from interceptor.cli import as_user

    def readers() -> None:
        from interceptor.mcp import config_file, json_text, toml_text, yaml_text

        assert all((config_file, json_text, toml_text, yaml_text))  # noqa: S101

    errand = as_user.send(
        identity, lambda: str(bare(identity.home, cwd, kept)).encode(), first=readers
    )
    try:
        count = int(as_user.result_of(errand))
    except (as_user.UserWorkError, ValueError, OSError):
        return ""
    if not count:
        return ""
    servers = "1 MCP server is" if count == 1 else f"{count} MCP servers are"
    return f"{servers} configured without a judge: egressguard mcp find, egressguard mcp wrap"
