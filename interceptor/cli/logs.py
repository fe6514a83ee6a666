"""`egressguard logs`: a jail's evidence for people, live or afterwards."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interceptor.evidence.place import default_path

if TYPE_CHECKING:
    from interceptor.evidence.schema import Event

_POLL_SECONDS = 0.2
_CHUNK = 1 << 16

EPILOG = """\b
Examples:
  sudo egressguard logs claude-amber-otter
  sudo egressguard logs -f --refused
  sudo egressguard logs --json /var/log/egressguard/claude-amber-otter.jsonl | jq .

\b
Exit codes: 0; 1 no evidence can be read; 2 wrong usage.
"""


def _newest() -> tuple[str, str]:
    """Name and evidence file of the jail that was started last and still runs."""
    from netns.registry import Registry, RegistryError

    try:
        live = Registry().list()
    except RegistryError as error:
        raise click.ClickException(str(error)) from None
    if not live:
        raise click.UsageError("no live jail: name one, or a file")
    return live[-1].name, live[-1].evidence


def _place(named: str | None) -> tuple[str, Path]:
    """The jail that is meant, empty for a file, and its evidence file."""
    if named is None:
        name, evidence = _newest()
        return name, Path(evidence)
    if "/" in named or Path(named).exists():
        return "", Path(named)
    from netns.registry import Registry, RegistryError

    try:
        for jail in Registry().list():
            if jail.name == named:
                return named, Path(jail.evidence)
    except RegistryError:
        pass  # ended jails have files all the same
    return named, default_path(named)


def _lines(path: Path, jail: str, *, follow: bool) -> Iterator[bytes]:
    """Whole lines of the file; with `follow` also those to come, until the jail has ended."""
    rest = b""
    with path.open("rb") as file:
        while True:
            data = file.read(_CHUNK)
            if data:
                *lines, rest = (rest + data).split(b"\n")
                yield from lines
                continue
            if not follow or (jail and not _lives(jail) and not file.read(0)):
                data = file.read(_CHUNK)  # what came between the last look and the end
                yield from (rest + data).split(b"\n")
                return
            time.sleep(_POLL_SECONDS)


def _lives(name: str) -> bool:
    from netns.registry import Registry

    return any(jail.name == name for jail in Registry().list())


def _told(event: Event) -> str:
    """One line on one event."""
    from interceptor.evidence import schema

    when = event.time[11:23]
    if isinstance(event, schema.Decision):
        what = f"{event.method} " if event.method else ""
        host = f"[{event.host}]" if ":" in event.host else event.host
        port = f":{event.port}" if event.port else ""  # what speaks on a pipe has none
        where = f"{event.scheme}://{host}{port}{event.path}"
        said = f"{when} {event.action.upper():6} {event.kind:13} {what}{where}"
        if event.action != "allow" or event.reason != "allowed":
            said += f"  {event.reason}" + (f" ({event.rule})" if event.rule else "")
        if event.detail:
            said += f": {event.detail}"
        return said + _owner(event.process)
    if isinstance(event, schema.ProcessSeen):
        return f"{when} {'':6} {'process':13} {event.flow}{_owner(event.process)}"
    if isinstance(event, schema.Completion):
        ended = f"{event.status or event.reason} sent {event.sent} received {event.received}"
        return f"{when} {'':6} {'finished':13} {event.host}:{event.port} {ended}"
    if isinstance(event, schema.Gap):
        return f"{when} {'GAP':6} {event.lost} decisions could not be written; each was refused"
    if isinstance(event, schema.Started):
        return f"{when} {'START':6} {event.jail}: {event.program} as {event.user}, {event.preset}"
    if isinstance(event, schema.Resumed):
        return f"{when} {'RESUME':6} {event.jail}: {event.cause}, {event.preset}"
    refused = f"{event.decisions} decisions, {event.refused} refused"
    return f"{when} {'STOP':6} {event.jail}: exit code {event.code}; {refused}"


def _owner(process: Any) -> str:
    if not isinstance(process, dict):
        return ""
    return f"  [{os.path.basename(process.get('executable', ''))} {process.get('pid', '')}]"  # noqa: PTH119


def _is_refusal(event: Event) -> bool:
    from interceptor.evidence import schema

    refused = isinstance(event, schema.Decision) and event.action != "allow"
    return refused or isinstance(event, schema.Gap)


@click.command("logs", epilog=EPILOG)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until the jail ends.")
@click.option("--refused", is_flag=True, help="Only what was refused.")
@click.option("--json", "as_json", is_flag=True, help="The lines as they stand in the file.")
@click.argument("jail", required=False, metavar="[JAIL|FILE]")
def command(*, follow: bool, refused: bool, as_json: bool, jail: str | None) -> None:
    """Show what a jail has asked for and what became of it.

    Without a name: of the jail that was started last. Lines are shortened for people; the file has
    everything (docs/evidence.md).
    """
    from interceptor.evidence.schema import decode

    name, path = _place(jail)
    try:
        for line in _lines(path, name, follow=follow):
            if not line.strip():
                continue
            try:
                event = decode(line)
            except ValueError:
                click.echo(f"{path}: a line that is no event of ours", err=True)
                continue
            if refused and not _is_refusal(event):
                continue
            click.echo(line if as_json else _told(event))
            if follow:
                sys.stdout.flush()
    except OSError as error:
        raise click.ClickException(
            f"{path}: {error.strerror}. Fix: name a jail of `egressguard ps`, or a file; jails of "
            "root need sudo"
        ) from None
