"""`egressguard self-test`: tries to get out of a jail, here and now, and shows what came of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

import interceptor
from interceptor.cli.main import EXIT_SETUP, EXIT_USAGE

if TYPE_CHECKING:
    from netns.escapes.play import Result
    from netns.identity import Identity

_NOBODY = 65_534

EPILOG = """\b
Examples:
  sudo egressguard self-test
  egressguard self-test --rootless
  sudo egressguard self-test --failed
  sudo egressguard self-test --json > self-test.json

\b
Exit codes: 0 every attempt that this kernel allows at all got out without the jail and none with
it; 1 one got out, or a control did not work; 125 the self-test itself failed.
"""


@click.command("self-test", epilog=EPILOG)
@click.option("--rootless", is_flag=True, help="Test rootless jails; without root that is implied.")
@click.option("--user", metavar="USER", help="Whom the agent runs as; else who called sudo.")
@click.option("--failed", is_flag=True, help="Show only attempts that were not held.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(*, rootless: bool, user: str | None, failed: bool, as_json: bool) -> int:
    """Try to get out of a jail, and show what the outside saw.

    The attempts of the threat model that need no network are made by real programs in real jails,
    and by the same programs beside them, in namespaces that are thrown away at the end. Sockets,
    sniffers and processes outside record what arrives. No packet leaves this machine, nothing on
    it is changed, and other processes are left alone.

    As root the agent runs as an ordinary user and then as root; without root, in a rootless jail.
    """
    from netns.escapes import report

    root = os.geteuid() == 0
    if rootless and root:
        click.echo("egressguard: --rootless is for ordinary users: leave sudo out", err=True)
        return EXIT_USAGE
    results, faults = _played(_identity(user) if root else None)
    table = report.lines(results)
    about = report.backend(results)
    shown = [line for line in table if line.verdict in report.FAILED] if failed else table
    if as_json:
        import msgspec

        answer = {
            "passed": report.passed(table) and not faults,
            "about": about,
            "faults": faults,
            "attempts": shown,
        }
        click.echo(msgspec.json.encode(answer))
    else:
        from rich.console import Console

        report.show(Console(), table, about, shown)
        for fault in faults:
            click.echo(f"The outside is not complete: {fault}")
    return 0 if report.passed(table) and not faults else 1


def _identity(user: str | None) -> Identity:
    from netns import identity

    try:
        if user is None and os.environ.get("SUDO_UID", "0") == "0":
            user = f"{_NOBODY}:{_NOBODY}"  # root itself: any ordinary user will do
        found = identity.resolve(user, os.environ, os.geteuid(), os.getegid())
    except identity.IdentityError as error:
        raise click.UsageError(str(error)) from error
    if found.uid == 0:
        raise click.UsageError("--user root: root in the jail is tested anyway; name another user")
    return found


def _played(who: Identity | None) -> tuple[list[Result], list[str]]:
    """Run the stage; return the results and what could not be set up."""
    import msgspec

    from netns.escapes.furniture import module
    from netns.escapes.play import Result
    from netns.escapes.stage import Plan

    top = Path(interceptor.__file__).resolve().parents[1]
    start = (
        f"import sys; sys.path.insert(0, {str(top)!r}); sys.argv[0] = 'egressguard'; "
        "from interceptor.cli.main import main; main()"
    )
    plan = Plan(
        command=(sys.executable, "-I", "-c", start),
        keep=tuple(dict.fromkeys((str(top), sys.prefix, sys.base_prefix))),
        uid=who.uid if who else os.geteuid(),
        gid=who.gid if who else os.getegid(),
        rootless=who is None,
    )
    results: list[Result] = []
    faults: list[str] = []
    process = subprocess.Popen(
        [*module("netns.escapes.stage"), msgspec.json.encode(plan).decode()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None  # noqa: S101
    done = False
    with process:
        try:
            for text in process.stdout:
                line = msgspec.json.decode(text)
                if "result" in line:
                    results.append(msgspec.convert(line["result"], Result))
                elif "failed" in line:
                    _fail(line["failed"])
                faults += line.get("faults", ())
                if line.get("code"):
                    faults.append(f"the jail ({line['jail']}) ended with {line['code']}")
                done = done or "done" in line
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    if not done:
        _fail("it ended before its end")
    return results, faults


def _fail(reason: str) -> None:
    click.echo(f"egressguard: the self-test failed: {reason}", err=True)
    sys.exit(EXIT_SETUP)
