"""`egressguard doctor`: what this machine offers, what is chosen and why, what mends the rest."""

from __future__ import annotations

import os
import platform
import sys

import click

from netns.probe import Choice, Feature, Need, caller, choose, probe


def _print(features: list[Feature], choice: Choice) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("Feature", "Here", "Needed for", "Detail", "To mend it"):
        table.add_column(heading, overflow="fold")
    for feature in features:
        if feature.present:
            here = Text("yes", "green")
        elif feature.need in {Need.BETTER, Need.INFORMATION}:
            here = Text("no", "yellow")
        else:
            here = Text("no", "bold red")
        # Text, not str: what programs said may hold what rich would read as markup.
        words = (feature.need.value, feature.detail, feature.fix)
        table.add_row(Text(feature.name), here, *(Text(word) for word in words))
    console.print(table)
    verdict = "A jail can run." if choice.runs else "No jail can run."
    style = "bold green" if choice.runs else "bold red"
    console.print(Text(f"{verdict} Linux {platform.release()}, user {caller()}.", style))
    for name, value, reason in (
        ("Mode", choice.mode, choice.mode_reason),
        ("Capture", choice.capture, "no path out; rules only explain and speed up"),
        (
            "Refused packets",
            choice.refused,
            f"shown by: {choice.queue or 'nothing here; only their names are lost'}",
        ),
    ):
        console.print(Text(f"  {name}: {value} ({reason})"))


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(*, as_json: bool) -> None:
    """Say what this machine offers and what is missing.

    Everything is tried in throw-away namespaces; nothing is changed. Run it the way the jail will
    be run: with sudo, or without for rootless jails.

    Exit code 0 when a jail can run, 1 when it cannot.
    """
    features = probe()
    choice = choose(features, root=os.geteuid() == 0)
    if as_json:
        import msgspec

        answer = {"kernel": platform.release(), "choice": choice, "features": features}
        click.echo(msgspec.json.encode(answer))
    else:
        _print(features, choice)
    sys.exit(0 if choice.runs else 1)
