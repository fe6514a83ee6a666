"""`egressguard gateway`: the long-running service of many captive namespaces, and its clients."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from interceptor.cli.main import EXIT_SETUP, EXIT_USAGE

if TYPE_CHECKING:
    from interceptor.gateway.client import Gateway, GatewayError
    from interceptor.policy.schema import Policy

RUN = "/run/egressguard"
STATE = "/var/lib/egressguard-gateway"
CACHE = "/var/cache/egressguard"

EPILOG = """\b
Examples:
  sudo egressguard gateway run
  sudo egressguard gateway add build-7 --policy /etc/egressguard/build.yaml
  sudo egressguard gateway list
  egressguard gateway unit | sudo tee /etc/systemd/system/egressguard-gateway.service

\b
Exit codes: 0; 1 the gateway did not do it; 2 wrong usage or policy; 125 no gateway, or it cannot
run.
"""

_run_option = click.option(
    "--run", "run_directory", default=RUN, show_default=True, metavar="DIR", help="Its sockets."
)


@click.group("gateway", epilog=EPILOG)
def command() -> None:
    """Serve many captive namespaces, one for each machine or container.

    Each guest has its own policy, authority and evidence file. `run` is the service; the other
    commands speak with it.
    """


@command.command("run")
@click.option("--state", default=STATE, show_default=True, metavar="DIR", help="Its guests.")
@_run_option
@click.option("--cache", default=CACHE, show_default=True, metavar="DIR", help="Compiled rules.")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Processes; one a core if not given.",
)
def run(state: str, run_directory: str, cache: str, workers: int | None) -> None:
    """Serve until SIGTERM; SIGHUP reads policies again.

    Guests that were there are served again, in the same namespaces, by the same authority. Between
    an end and the next start everything that guests ask for is refused.
    """
    from interceptor.gateway.heritage import AnotherError, Heritage
    from interceptor.gateway.roster import RosterError
    from interceptor.gateway.store import StoreError
    from interceptor.gateway.systemd import Notifier
    from netns.registry import RegistryError

    if os.geteuid():
        _fail("needs root: put sudo before it", EXIT_SETUP)
    try:
        notifier = Notifier(os.environ)
        heritage = Heritage(Path(run_directory), Path(state), os.environ)
    except (AnotherError, RosterError, RegistryError, StoreError, OSError) as error:
        _fail(str(error), EXIT_SETUP)
    # Only now: guests that are there have listeners meanwhile.
    from interceptor.gateway.service import Service
    from interceptor.gateway.workers import WorkerError

    try:
        service = Service(
            heritage,
            cache=Path(cache),
            workers=workers or len(os.sched_getaffinity(0)),
            find_secrets=_find_secrets,
            tell=_tell,
            notifier=notifier,
        )
    except (WorkerError, OSError) as error:
        heritage.abandon()
        _fail(str(error), EXIT_SETUP)
    try:
        service.serve()
    finally:
        service.close()


@command.command("add")
@click.argument("name")
@click.option("--policy", metavar="FILE", help="Policy file (egressguard.yaml).")
@click.option("--preset", type=click.Choice(["strict", "balanced", "audit"]))
@click.option("--evidence", metavar="FILE", help="Where its JSON events go.")
@click.option("--user", metavar="TEXT", help="Who the guest is, for the evidence.")
@click.option("--uid", type=int, default=-1, help="The same as a number.")
@click.option("--tap", is_flag=False, flag_value="", default=None, metavar="NAME",
              help="Take in this tap of the host's.")  # fmt: skip
@click.option("--veth", metavar="NAME", help="Take in this end of a veth pair.")
@click.option("--mac", default="", metavar="MAC", help="Hardware address of the guest.")
@click.option("--keep-authority", is_flag=True, help="Keep its key on disk, over reboots.")
@click.option("--certificate", metavar="FILE", help="Write the authority's certificate there.")
@_run_option
def add(name: str, run_directory: str, certificate: str | None, **asked: Any) -> None:
    """Make a captive namespace, named NAME, and serve it."""
    from interceptor.gateway.messages import Guest, Nic

    nic = None
    if asked["tap"] and asked["veth"]:
        raise click.UsageError("--tap or --veth, not both")
    for kind in ("tap", "veth"):
        if asked[kind]:
            nic = Nic(kind, mac=asked["mac"], existing=asked[kind])
    guest = Guest(
        name,
        policy=_absolute(asked["policy"]),
        preset=asked["preset"] or "",
        evidence=_absolute(asked["evidence"]),
        user=asked["user"] or "",
        uid=asked["uid"],
        nic=nic,
        keep_authority=asked["keep_authority"],
    )
    with _connect(run_directory) as gateway:
        added = _do(lambda: gateway.add(guest))
        added.close()
    for note in added.notes:
        _tell(note)
    if certificate:
        Path(certificate).write_text(added.certificate, "ascii")
    click.echo(f"{added.name}: served; evidence in {added.evidence}")


@command.command("remove")
@click.argument("names", nargs=-1, required=True)
@_run_option
def remove(names: tuple[str, ...], run_directory: str) -> None:
    """Serve these guests no more: what still lives in their namespaces has no way out."""
    with _connect(run_directory) as gateway:
        for name in names:
            _do(lambda name=name: gateway.remove(name))
            click.echo(f"{name}: removed")


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_run_option
def list_guests(*, as_json: bool, run_directory: str) -> None:
    """List guests, and how they are."""
    import msgspec

    with _connect(run_directory) as gateway:
        guests = _do(gateway.guests)
    if as_json:
        click.echo(msgspec.json.encode(guests))
        return
    for state in guests:
        guest = state.guest
        kind = guest.nic.kind if guest.nic else "processes"
        counts = f"{state.decisions} decisions, {state.refused} refused"
        said = state.fault if state.state == "offline" else counts
        click.echo(f"{guest.name}  {kind}  {guest.policy or guest.preset or 'balanced'}  "
                   f"{state.state}  {said}")  # fmt: skip
    if not guests:
        click.echo("No guests.")


@command.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_run_option
def status(*, as_json: bool, run_directory: str) -> None:
    """Say how the gateway is."""
    import msgspec

    with _connect(run_directory) as gateway:
        state = _do(gateway.status)
    if as_json:
        click.echo(msgspec.json.encode(state))
        return
    age = f"{time.time() - state.began:.0f} s"
    click.echo(f"egressguard {state.egressguard}, pid {state.pid}, for {age}")
    click.echo(f"{state.guests} guests, {state.offline} offline; held by {state.store}")
    for worker in state.workers:
        alive = f"pid {worker.pid}" if worker.pid else "waits to be started again"
        click.echo(
            f"worker {worker.number}: {alive}, {worker.guests} guests, {worker.deaths} deaths"
        )


@command.command("reload")
@click.argument("names", nargs=-1)
@_run_option
def reload(names: tuple[str, ...], run_directory: str) -> None:
    """Read policies again, of these guests or of all; use those that have changed.

    Connections of a guest whose policy has changed are closed.
    """
    with _connect(run_directory) as gateway:
        done = _do(lambda: gateway.reload(*names))
    for name in done.changed:
        click.echo(f"{name}: has its new policy")
    for name, fault in done.faults:
        _tell(f"{name}: {fault}")
    if done.faults:
        sys.exit(1)


@command.command("unit")
def unit() -> None:
    """Print a systemd unit for this installation."""
    from interceptor.gateway.unit import text

    click.echo(text(_program()), nl=False)


def _connect(run_directory: str) -> Gateway:
    from interceptor.gateway.client import Gateway, GatewayError

    try:
        return Gateway(Path(run_directory, "gateway.sock"))
    except GatewayError as error:
        _fail(str(error), EXIT_SETUP)


def _do(work: Any) -> Any:
    from interceptor.gateway.client import GatewayError

    try:
        return work()
    except GatewayError as error:
        _fail(str(error), _code(error))


def _code(error: GatewayError) -> int:
    return {"absent": EXIT_SETUP, "policy": EXIT_USAGE, "name": EXIT_USAGE}.get(error.code, 1)


def _absolute(path: str | None) -> str:
    return str(Path(path).absolute()) if path else ""


def _tell(line: str) -> None:
    sys.stderr.write(f"egressguard: {line}\n")
    sys.stderr.flush()


def _fail(message: str, code: int) -> NoReturn:
    _tell(message)
    sys.exit(code)


def _program() -> tuple[str, ...]:
    """Words that run this program again."""
    import interceptor

    launcher = Path(interceptor.__file__).resolve().parents[1] / "scripts" / "egressguard"
    if launcher.exists():
        return (str(launcher),)
    return (sys.executable, "-m", "interceptor.cli.main")


def _find_secrets(policy: Policy, folder: str) -> bytes:
    """In a child: look into the files that the policy names."""
    import msgspec

    from interceptor.cli.known_secrets import collect

    found = collect(policy.secrets, {}, "", folder=folder, visible=False)
    return msgspec.msgpack.encode(found)
