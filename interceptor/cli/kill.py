"""`egressguard kill`: end live jails from outside, politely first."""

from __future__ import annotations

import signal
import sys
import time

import click

from netns.processes import kill_process, signal_process
from netns.registry import Jail, Registry, RegistryError

_POLL_SECONDS = 0.05

EPILOG = """\b
Examples:
  sudo egressguard kill claude-amber-otter
  sudo egressguard kill --all --after 3

\b
Exit codes: 0 every jail has ended; 1 one did not end; 2 no such jail; 125 no registry.
"""


def _ends(registry: Registry, name: str, seconds: float) -> bool:
    """Wait until the jail's entry has no live supervisor any more."""
    deadline = time.monotonic() + seconds
    while any(jail.name == name for jail in registry.list()):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _end(registry: Registry, jail: Jail, after: float) -> str:
    """End one jail; say how, or an empty text when it did not end."""
    agents = [each for each in jail.processes if each.role == "agent"]
    asked = any(signal_process(agent, signal.SIGTERM) for agent in agents)
    if asked and _ends(registry, jail.name, after):
        return "ended"
    for target in reversed(jail.processes):  # the agent before the interceptor
        kill_process(target)
    return "killed" if _ends(registry, jail.name, 5.0) else ""


@click.command("kill", epilog=EPILOG)
@click.option("--all", "every", is_flag=True, help="Every live jail of yours.")
@click.option(
    "--after",
    type=click.FloatRange(0, 3600),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the agent may take to end before it is killed.",
)
@click.argument("names", nargs=-1, metavar="JAIL...")
def command(*, every: bool, after: float, names: tuple[str, ...]) -> None:
    """End live jails: the agent gets SIGTERM, and SIGKILL when it takes too long.

    With the agent everything in its jail ends, and the supervisor cleans up and writes the table of
    the run as ever.
    """
    try:
        registry = Registry()
        live = {jail.name: jail for jail in registry.list()}
    except RegistryError as error:
        click.echo(f"egressguard: {error}", err=True)
        sys.exit(125)
    if every == bool(names):
        raise click.UsageError("name the jails, or say --all")
    unknown = [name for name in names if name not in live]
    if unknown:
        listed = ", ".join(live) or "none"
        click.echo(
            f"egressguard: no live jail {', '.join(unknown)}; live are: {listed}. Fix: "
            "`egressguard ps` lists them (with sudo those that were started with sudo)",
            err=True,
        )
        sys.exit(2)
    failed = False
    for name in live if every else names:
        said = _end(registry, live[name], after)
        failed = failed or not said
        click.echo(f"{name}: {said or 'does not end; see egressguard ps'}")
    sys.exit(1 if failed else 0)
