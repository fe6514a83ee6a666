"""`egressguard mcp pins`: definitions of tools as they were first seen, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interceptor.cli.jail_checks import Fault
from interceptor.cli.main import EXIT_SETUP

if TYPE_CHECKING:
    from interceptor.mcp.pin_store import PinStore

EPILOG = """\b
Examples:
  egressguard mcp pins
  egressguard mcp pins show files read_file
  egressguard mcp pins approve files read_file
  egressguard mcp pins forget files

\b
Exit codes: 0; 1 something waits for approval, or there was no such tool; 125 the store is damaged.
"""


@click.group("pins", epilog=EPILOG, invoke_without_command=True)
@click.option("--state", metavar="DIR", help="Where pins of tools are kept.")
@click.pass_context
def command(context: click.Context, state: str | None) -> int:
    """Show, approve and forget the definitions of tools.

    A tool is pinned when it is first seen. When its definition changes, calls of it are refused
    until somebody has looked at the difference and approved it.
    """
    context.obj = state
    if context.invoked_subcommand is None:
        return _list(state)
    return 0


@command.command("list")
@click.pass_obj
def list_(state: str | None) -> int:
    """List servers, tools and whether one waits for approval."""
    return _list(state)


@command.command("show")
@click.argument("server")
@click.argument("tool")
@click.pass_obj
def show(state: str | None, server: str, tool: str) -> int:
    """Show a definition, or how it has changed."""
    import msgspec

    from interceptor.decide.mcp.pins import difference, visible

    with _store(state) as store:
        pin = store.book.get(server, tool)
    if pin is None:
        click.echo("egressguard: no such tool is pinned: egressguard mcp pins list", err=True)
        return 1
    if pin.pending is None:
        click.echo(f"digest {pin.approved.digest}, since {_when(pin.approved.since)}")
        if pin.approved.value is None:
            click.echo("its definition is too long to be kept")
        else:
            text = msgspec.json.format(msgspec.json.encode(pin.approved.value)).decode()
            for line in text.splitlines():
                click.echo(visible(line, 4096))
        return 0
    click.echo(f"changed since {_when(pin.pending.since)}; pinned {_when(pin.approved.since)}:")
    for line in difference(pin.approved, pin.pending):
        click.echo(line)
    digest = pin.pending.digest[:12]
    click.echo(f"If that is right: egressguard mcp pins approve {server} {tool} --digest {digest}")
    return 1


@command.command("approve")
@click.argument("server")
@click.argument("tools", metavar="TOOL...", nargs=-1)
@click.option("--digest", default="", metavar="HEX", help="Only what has this digest.")
@click.option("--all", "every", is_flag=True, help="All tools of the server that wait.")
@click.pass_obj
def approve(
    state: str | None, /, *, server: str, tools: tuple[str, ...], digest: str, every: bool
) -> int:
    """Take the changed definition for what is right from now on."""
    if every == bool(tools):
        raise click.UsageError("name tools, or write --all")
    with _store(state, save=True) as store:
        if every:
            book = store.book
            tools = tuple(t for s, t, _ in book.pins() if s == server and book.changed(s, t))
        missing = [tool for tool in tools if not store.book.approve(server, tool, digest)]
    for tool in missing:
        click.echo(f"egressguard: {server} {tool}: nothing like that waits for approval", err=True)
    click.echo(f"approved: {len(tools) - len(missing)}", err=True)
    return 1 if missing or not tools else 0


@command.command("forget")
@click.argument("server")
@click.argument("tool", required=False, default="")
@click.pass_obj
def forget(state: str | None, server: str, tool: str) -> int:
    """Forget a tool, or all of a server: what comes next is pinned anew."""
    with _store(state, save=True) as store:
        count = store.book.forget(server, tool)
    click.echo(f"forgotten: {count}", err=True)
    return 0 if count else 1


@command.command("reset")
@click.pass_obj
def reset(state: str | None) -> int:
    """Forget everything, also a store that is damaged."""
    from interceptor.mcp.pin_store import PinStoreError, reset

    try:
        reset(_folder(state))
    except PinStoreError as error:
        raise Fault(str(error), EXIT_SETUP) from None
    return 0


def _list(state: str | None) -> int:
    from interceptor.decide.mcp.pins import visible

    waiting = 0
    with _store(state) as store:
        for server, tool, pin in store.book.pins():
            changed = pin.pending is not None
            waiting += changed
            what = "CHANGED" if changed else "pinned "
            since = _when(pin.approved.since)
            name = f"{visible(server, 64)}  {visible(tool, 128)}"
            click.echo(f"{what}  {pin.approved.digest[:12]}  {since}  {name}")
    return 1 if waiting else 0


def _folder(state: str | None) -> Path:
    from interceptor.evidence.place import directory

    return Path(state) if state else directory()


@contextmanager
def _store(state: str | None, *, save: bool = False) -> Iterator[PinStore]:
    from interceptor.mcp.pin_store import PinStore, PinStoreError

    try:
        store = PinStore(_folder(state))
        yield store
        if save and store.changed:
            store.save()
    except PinStoreError as error:
        raise Fault(str(error), EXIT_SETUP) from None


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
