"""`egressguard mcp wrap`: put the judge before the servers in configurations of clients."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interceptor.cli.jail_checks import Fault
from interceptor.cli.main import EXIT_USAGE

if TYPE_CHECKING:
    from interceptor.mcp.config_file import ConfigFile


@click.command("wrap")
@click.option("--client", metavar="NAME", help="Only of this client, such as claude-desktop.")
@click.option("--config", "config", metavar="FILE", help="Only this file.")
@click.option("--policy", metavar="FILE", help="Policy that the servers get.")
@click.option("--jail", "jailed", is_flag=True, help="Run the servers in jails.")
@click.option("--dry-run", is_flag=True, help="Show what would be changed, and change nothing.")
def command(
    client: str | None,
    config: str | None,
    policy: str | None,
    jailed: bool,  # noqa: FBT001 - click passes flags by name
    dry_run: bool,  # noqa: FBT001
) -> int:
    """Put `egressguard mcp` before each server's command, in all known configurations.

    All else in a file stays as it is; a copy is kept beside it. `egressguard mcp unwrap` makes it
    what it was, to the byte.
    """
    from interceptor.cli.mcp_run import program
    from interceptor.policy.loading import PolicyError, load

    options: list[str] = []
    if policy:
        try:
            load(Path(policy), None)
        except PolicyError as error:
            raise Fault(str(error), EXIT_USAGE) from None
        options += ["--policy", str(Path(policy).absolute())]
    if jailed:
        options.append("--jail")

    def edit(file: ConfigFile, prefix: str) -> list[str]:
        return file.wrap(program(), options, lambda name: _named(prefix, name))

    return change(client, config, edit, "wrapped", backup=True, dry_run=dry_run)


def _named(prefix: str, name: str) -> str:
    """The name that tools are pinned under: that of a project's server names the project, too."""
    text = f"{prefix}.{name}" if prefix else name
    shown = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in text)
    return shown.strip()[:64].strip() or "server"


def change(
    client: str | None,
    config: str | None,
    edit: Callable[[ConfigFile, str], list[str]],
    done: str,
    *,
    backup: bool,
    dry_run: bool,
) -> int:
    """Edit configurations; say what was done.

    Args:
        client: only those of this one.
        config: only this file.
        edit: changes one; gets a project's name, or "".
        done: what it has done to a server, for people.
        backup: keep a copy.
        dry_run: show the difference and write nothing.

    Returns:
        Exit code: 1 when some file could not be edited.
    """
    from interceptor.mcp.entries import ConfigError

    code = count = 0
    for found, prefix in _files(client, config):
        try:
            if isinstance(found, Exception):
                raise found
            before = found.text
            names = edit(found, prefix)
            if dry_run:
                _show(found.path, before, found.text)
            elif found.changed:
                found.save(backup=backup)
        except ConfigError as error:
            click.echo(f"egressguard: {error}", err=True)
            code = 1
            continue
        count += len(names)
        for name in names:
            click.echo(f"{'would be ' if dry_run else ''}{done}: {name}  ({found.path})", err=True)
        if names and backup and not dry_run:
            click.echo(f"  as it was: {found.backup}", err=True)
    if not count and not code:
        click.echo("nothing to change", err=True)
    return code


def _files(client: str | None, config: str | None) -> Iterator[tuple[ConfigFile | Exception, str]]:
    from interceptor.cli.mcp_find import existing
    from interceptor.mcp.clients import row_for
    from interceptor.mcp.config_file import ConfigFile
    from interceptor.mcp.entries import ConfigError

    if config is not None:
        if client is not None:
            raise click.UsageError("--client or --config, not both")
        path = Path(config)
        try:
            yield ConfigFile(path, row_for(path)), ""
        except ConfigError as error:
            raise Fault(str(error), EXIT_USAGE) from None
        return
    for place, file in existing(client):
        yield file, Path.cwd().name if place.project else ""


def _show(path: Path, before: str, after: str) -> None:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), str(path), str(path), lineterm=""
    )
    for line in lines:
        click.echo(line)
