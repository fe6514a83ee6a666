"""`egressguard ps`: live jails, and what dead ones left behind."""

from __future__ import annotations

import sys
import time

import click

from netns.registry import Jail, Reclaimed, Registry, RegistryError


def _said(found: Reclaimed) -> str:
    """One sentence on one orphan, for people."""
    if found.note:
        return f"Left by {found.name}: {found.note}."
    if not found.killed:
        return f"Reclaimed {found.name}: its supervisor had ended and nothing else was running."
    ended = ", ".join(f"{target.role} ({target.pid})" for target in found.killed)
    return f"Reclaimed {found.name}: its supervisor had ended; killed {ended}."


def _age(seconds: float) -> str:
    """A duration as people write it, in its largest unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _table(jails: tuple[Jail, ...], now: float) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("Jail", "Age", "Policy", "Processes", "Command", "Evidence"):
        table.add_column(heading, overflow="fold")
    for jail in jails:
        running = " ".join(f"{each.role}={each.pid}" for each in jail.processes)
        cells = (jail.name, _age(now - jail.began), jail.policy, running)
        # Text, not str: a command may hold what rich would read as markup.
        rest = (" ".join(jail.command), jail.evidence)
        table.add_row(*(Text(cell) for cell in (*cells, *rest)))
    Console().print(table)


@click.command("ps")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(*, as_json: bool) -> None:
    """List live jails and reclaim what dead ones left.

    A jail counts as live while its supervisor holds the lock of its entry. What a killed
    supervisor left running is killed, and what was done is said. Each user sees their own jails;
    run it with sudo for those that were started with sudo.

    Exit code 0; 125 when the registry cannot be read.
    """
    try:
        registry = Registry()
        reclaimed = registry.reclaim()
        jails = registry.list()
    except RegistryError as error:
        click.echo(f"egressguard: {error}", err=True)
        sys.exit(125)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode({"jails": jails, "reclaimed": reclaimed}))
        return
    for found in reclaimed:
        click.echo(_said(found))
    if jails:
        _table(jails, time.time())
    else:
        click.echo("No live jail.")
