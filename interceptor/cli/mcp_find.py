"""`egressguard mcp find`: servers in the configurations of clients."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from interceptor.mcp.clients import Place
    from interceptor.mcp.config_file import ConfigFile


@click.command("find")
@click.option("--client", metavar="NAME", help="Only of this client.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(client: str | None, as_json: bool) -> int:  # noqa: FBT001 - click passes flags by name
    """List the servers in the known configurations, and whether they are wrapped.

    Looked at are those of the user and of the working directory. Exit code 1: some are not wrapped.
    """
    import msgspec

    from interceptor.mcp.entries import ConfigError

    bare = 0
    for place, file in existing(client):
        try:
            if isinstance(file, Exception):
                raise file
            servers = file.servers()
        except ConfigError as error:
            click.echo(f"egressguard: {error}", err=True)
            continue
        for server in servers:
            bare += not server.wrapped
            if as_json:
                row = {
                    "client": place.row.client,
                    "file": str(place.path),
                    "server": server.name,
                    "command": server.line[0],
                    "wrapped": server.wrapped,
                }
                click.echo(msgspec.json.encode(row))
            else:
                state = "wrapped" if server.wrapped else "BARE   "
                click.echo(f"{state}  {place.row.title}: {server.name}  ({place.path})")
    if bare and not as_json:
        click.echo(f"{bare} not wrapped. To wrap them: egressguard mcp wrap", err=True)
    return 1 if bare else 0


def existing(client: str | None) -> Iterator[tuple[Place, ConfigFile | Exception]]:
    """Give each configuration that is there, once: read, or why it cannot be.

    Raises:
        click.UsageError: no such client.
    """
    from interceptor.mcp.clients import CLIENTS, places
    from interceptor.mcp.config_file import ConfigFile
    from interceptor.mcp.entries import ConfigError

    if client is not None and client not in CLIENTS:
        raise click.UsageError(f"--client {client}: one of {', '.join(CLIENTS)}")
    seen: dict[Path, list[Place]] = {}
    for place in places(Path.home(), Path.cwd(), os.environ, client or ""):
        if os.path.isfile(place.path):  # noqa: PTH113 - does not raise
            seen.setdefault(Path(os.path.realpath(place.path)), []).append(place)
    for found in seen.values():
        try:
            yield found[0], ConfigFile(found[0].path, [place.row for place in found])
        except ConfigError as error:
            yield found[0], error
