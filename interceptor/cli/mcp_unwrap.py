"""`egressguard mcp unwrap`: take the judge away from configurations of clients."""

from __future__ import annotations

import click

from interceptor.cli.mcp_wrap import change


@click.command("unwrap")
@click.option("--client", metavar="NAME", help="Only of this client, such as claude-desktop.")
@click.option("--config", "config", metavar="FILE", help="Only this file.")
@click.option("--dry-run", is_flag=True, help="Show what would be changed, and change nothing.")
def command(
    client: str | None,
    config: str | None,
    dry_run: bool,  # noqa: FBT001 - click passes flags by name
) -> int:
    """Make configurations what they were before `egressguard mcp wrap`."""
    return change(
        client,
        config,
        lambda file, _prefix: file.unwrap(),
        "unwrapped",
        backup=False,
        dry_run=dry_run,
    )
