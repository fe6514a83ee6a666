"""`egressguard canary`: decoys that no task needs, so that whoever sends one is found out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from interceptor.cli.main import EXIT_USAGE

EPILOG = """\b
Examples:
  egressguard canary plant
  egressguard canary list
  egressguard canary print >> deploy/.env.example
  sudo egressguard jail --canary -- claude

\b
A jail of the same user knows what was planted. Whoever sends any of it, anywhere, in whatever
encoding, is refused with the reason `canary`, and the evidence has a finding of severity critical.
Exit codes: 0; 1 something could not be planted or removed; 2 usage.
"""

_USER = click.option(
    "--user", metavar="USER", help="Whose agent: NAME, UID or UID:GID; yours unless root."
)


class _Refused(click.ClickException):
    """One clear line."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.code = exit_code

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """Exit code of the process."""
        return self.code

    def show(self, file: object = None) -> None:  # noqa: ARG002
        """Print it as every message of ours."""
        click.echo(f"egressguard: {self.message}", err=True)


@click.group("canary", epilog=EPILOG)
def command() -> None:
    """Plant decoys, and say which are planted.

    Decoys have the form of real credentials (AWS, GitHub, Stripe, npm, a database, Kubernetes) and
    belong to nobody. Their values are kept in ~/.local/state/egressguard/canaries.json, which only
    its owner can read and which no jail shows. `egressguard jail --canary` makes fresh ones for one
    jail, in its environment and in /run/secrets, and needs none planted.
    """


@command.command("plant")
@click.option("--dir", "folder", metavar="DIR", help="Below DIR instead of the home directory.")
@_USER
def plant(folder: str | None, user: str | None) -> None:
    """Write decoys into files that do not exist yet."""
    from interceptor.cli import canary_store, decoys

    home, run = _user(user)
    target = os.path.abspath(folder) if folder else home  # noqa: PTH100
    baits = decoys.baits()

    def work() -> Any:
        return [
            (entry.path, len(entry.canaries)) for entry in canary_store.plant(home, target, baits)
        ]

    done = run(work)
    for path, count in done:
        click.echo(f"{path}  {count} {'canary' if count == 1 else 'canaries'}")
    if not done:
        raise _Refused(f"nothing planted: every place below {target} is taken")


@command.command("print")
@_USER
def show(user: str | None) -> None:
    """Print fresh decoys as KEY=value lines, for you to place; they are known from now on."""
    from interceptor.cli import canary_store, decoys

    home, run = _user(user)
    made = decoys.for_jail(())
    values = dict(made.canaries)
    run(lambda: canary_store.note(home, [(name, values[name]) for name, _ in made.variables]))
    for name, value in made.variables:
        click.echo(f"{name}={value}")


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_USER
def listed(*, as_json: bool, user: str | None) -> None:
    """List planted decoys: names, digests of their values, and whether the file is as it was."""
    from interceptor.cli import canary_store

    home, run = _user(user)

    def work() -> Any:
        return [
            {"name": canary.name, "digest": canary.digest, "path": entry.path, "state": state}
            for entry in canary_store.load(home)
            for state in (canary_store.state_of(entry),)
            for canary in entry.canaries
        ]

    rows = run(work)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode({"canaries": rows}))
        return
    for row in rows:
        click.echo(f"{row['digest']}  {row['state']:8}  {row['name']}")
    if not rows:
        click.echo("No canary is planted.")


@command.command("remove")
@_USER
def remove(user: str | None) -> None:
    """Take away every decoy that is as it was planted, and forget the printed ones."""
    from interceptor.cli import canary_store

    home, run = _user(user)
    done = run(lambda: canary_store.remove(home))
    for path, state in done:
        click.echo(f"{state:8}  {path or '(printed)'}")
    if any(state == "changed" for _, state in done):
        raise _Refused("files that were changed since still hold decoys: see to them yourself")
    if not done:
        click.echo("No canary is planted.")


def _user(user: str | None) -> tuple[str, Callable[[Callable[[], Any]], Any]]:
    """Return a user's home, and how work is done with that user's rights."""
    import msgspec

    from interceptor.cli import as_user
    from interceptor.cli.canary_store import StoreError
    from netns import identity

    try:
        who = identity.resolve(user, os.environ, os.geteuid(), os.getegid())
    except identity.IdentityError as error:
        raise _Refused(str(error), EXIT_USAGE) from None
    if not who.home:
        raise _Refused(f"{who.name} has no home directory", EXIT_USAGE)

    def run(work: Callable[[], Any]) -> Any:
        def told() -> bytes:
            try:
                return msgspec.json.encode({"done": work()})
            except StoreError as error:
                return msgspec.json.encode({"fault": str(error)})
            except OSError as error:
                return msgspec.json.encode({"fault": f"{error.filename}: {error.strerror}"})

        sys.stdout.flush()
        try:
            answer = msgspec.json.decode(as_user.result_of(as_user.send(who, told)))
        except as_user.UserWorkError as error:
            raise _Refused(str(error)) from None
        if "fault" in answer:
            raise _Refused(answer["fault"])
        return answer["done"]

    return who.home, run
