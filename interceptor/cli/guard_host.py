"""`egressguard guard-host`: for machines where the tool lives inside: logins and agents captive."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interceptor.cli.main import EXIT_SETUP, EXIT_USAGE

if TYPE_CHECKING:
    from interceptor.gateway.client import Added

_UNDO = """\
What root can undo: root is this machine. It may enter another network namespace (nsenter
--net=/proc/1/ns/net), stop the gateway, or remove these files; nothing inside a machine holds its
root. Give agents no root here (no sudo, no docker group), or hold the machine from outside:
egressguard vm, docs/vm.md.
What runs already keeps the network it has: reboot, or restart it."""

EPILOG = """\b
Examples:
  sudo egressguard guard-host install --dry-run
  sudo egressguard guard-host install --policy /etc/egressguard/policy.yaml \\
      --unit actions-runner.service
  sudo egressguard guard-host status
  sudo egressguard guard-host remove

\b
Exit codes: 0; 1 `status`: not guarded; 2 wrong usage; 125 it could not be done.
"""

_root = click.option("--root", default="/", hidden=True, help="Write below this directory.")
_dry_run = click.option("--dry-run", is_flag=True, help="Print it, and change nothing.")


@click.group("guard-host", epilog=EPILOG)
def command() -> None:
    """Put every login and agent of this machine into a captive namespace.

    For cloud sandboxes and CI runners where the tool cannot live outside. systemd starts logins
    (SSH, console, cron, user services) and the units you name in the namespace of the gateway's
    guest `host`; the gateway itself, and what else the machine runs, keep the machine's network.
    Weaker than a jail or a machine held from outside: root can undo it.
    """


@command.command("install")
@click.option("--unit", "units", multiple=True, metavar="NAME.service", help="Guard this too.")
@click.option("--except", "spared", multiple=True, metavar="UNIT", help="Leave these logins free.")
@click.option("--policy", metavar="FILE", default="", help="Policy file (egressguard.yaml).")
@_dry_run
@_root
def install(
    *, units: tuple[str, ...], spared: tuple[str, ...], policy: str, dry_run: bool, root: str
) -> int:
    """Write the units; the next boot, or the commands that are printed, put them into force."""
    from interceptor.cli import host_units
    from interceptor.cli.gateway import _program
    from netns import trust

    wanted = host_units.Wanted(units, spared)
    place = str(Path(policy).absolute()) if policy else ""
    try:
        made = host_units.files(wanted, _program(), place, trust.variables())
        present = [path for path in host_units.looked_at() if Path(root, path).exists()]
        host_units.check_ssh(wanted, present)
    except host_units.HostError as error:
        return _fail(str(error), EXIT_USAGE)
    if dry_run:
        for path, content in made.items():
            click.echo(f"--- {path}\n{content}")
        click.echo(_UNDO)
        return 0
    stale = set(_found(root)) - set(made)
    try:
        for path, content in made.items():
            _write(Path(root, path.lstrip("/")), content)
        for path in stale:
            Path(root, path.lstrip("/")).unlink()
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}", EXIT_SETUP)
    click.echo(f"{len(made)} files written. Now, as root:")
    click.echo("  egressguard gateway unit > /etc/systemd/system/egressguard-gateway.service")
    click.echo("  systemctl daemon-reload")
    click.echo(f"  systemctl enable --now egressguard-gateway.service {host_units.UNIT}")
    click.echo("  egressguard guard-host status && reboot")
    click.echo(_UNDO)
    return 0


@command.command("remove")
@_dry_run
@_root
def remove(*, dry_run: bool, root: str) -> int:
    """Remove what `install` has written; a reboot, or a restart of each unit, undoes the rest."""
    found = _found(root)
    for path in found:
        if not dry_run:
            try:
                Path(root, path.lstrip("/")).unlink()
            except OSError as error:
                return _fail(f"{path}: {error.strerror}", EXIT_SETUP)
            with contextlib.suppress(OSError):  # others have drop-ins there, too
                if path.endswith(".conf") and ".service.d/" in path:
                    Path(root, path.lstrip("/")).parent.rmdir()
        click.echo(f"{'would remove' if dry_run else 'removed'} {path}")
    if not found:
        click.echo("Nothing of guard-host is here.")
    elif not dry_run:
        click.echo("Now, as root: systemctl daemon-reload && reboot")
    return 0


@command.command("status")
@_root
def status(*, root: str) -> int:
    """Say whether the captive namespace stands, and whether this session is in it."""
    from interceptor.cli import host_units

    found = _found(root)
    click.echo(f"{len(found)} files of guard-host" if found else "guard-host is not installed")
    try:
        there = Path(root, host_units.NETWORK.lstrip("/")).stat()
    except OSError:
        click.echo("the captive namespace does not stand: guarded units do not start")
        return 1
    inside = os.path.samestat(there, Path("/proc/self/ns/net").stat())
    click.echo("the captive namespace stands")
    click.echo(f"this session is {'in it' if inside else 'not in it: it is of the machine itself'}")
    return 0 if found else 1


@command.command("join", hidden=True)
@click.option("--policy", default="")
@click.option("--run", "run_directory", default="/run/egressguard")
def join(*, policy: str, run_directory: str) -> int:
    """Bind the captive namespace, and what its programs need, where units find them."""
    from interceptor.cli import host_units
    from interceptor.gateway.client import Gateway, GatewayError
    from interceptor.gateway.messages import Guest
    from netns import namespaces, trust, trust_formats
    from netns.layout import RESOLVER

    place = Path(host_units.PLACE)
    try:
        with Gateway(Path(run_directory, "gateway.sock")) as gateway:
            there = {state.guest.name for state in gateway.guests()}
            if host_units.GUEST in there:
                added = gateway.enter(host_units.GUEST)
            else:
                added = gateway.add(Guest(host_units.GUEST, policy=policy, keep_authority=True))
        with contextlib.closing(added):
            _check_namespace(added)
            place.mkdir(mode=0o755, exist_ok=True)
            certificate = added.certificate.encode("ascii")
            roots = next((Path(path) for path in trust.BUNDLES if Path(path).exists()), None)
            bundle = roots.read_bytes() if roots is not None else b""
            _write(place / host_units.AUTHORITY, added.certificate)
            _write(place / host_units.BUNDLE, trust_formats.merged(bundle, certificate).decode())
            _write(place / host_units.RESOLVER, RESOLVER)
            network = Path(host_units.NETWORK)
            while network.exists() and _is_mount(network):
                namespaces.umount(str(network))
            network.touch(mode=0o444)
            namespaces.mount(
                f"/proc/self/fd/{added.namespace}", str(network), None, namespaces.MountFlag.BIND
            )
    except (GatewayError, OSError, ValueError) as error:
        return _fail(str(error), EXIT_SETUP)
    click.echo(f"{host_units.NETWORK}: guest {added.name}, evidence in {added.evidence}")
    return 0


def _check_namespace(added: Added) -> None:
    """Look into it before anybody lives there: `lo`, and nothing else.

    Raises:
        ValueError: it is not what it should be.
    """
    from netns import probe

    def task() -> str:
        from netns import namespaces

        namespaces.setns(added.namespace, namespaces.Namespace.NET)
        return " ".join(name for _, name in socket.if_nameindex())

    devices = probe.try_apart(task)
    if devices != "lo":
        raise ValueError(f"the captive namespace has other devices than lo: {devices}")


def _is_mount(path: Path) -> bool:
    text = Path("/proc/self/mountinfo").read_text("utf-8", "replace")
    return any(line.split()[4] == str(path) for line in text.splitlines())


def _found(root: str) -> list[str]:
    from interceptor.cli import host_units

    top = Path(root, "etc")
    present = [f"/{path.relative_to(root)}" for path in top.glob("systemd/system/*.service")]
    present += [f"/{path.relative_to(root)}" for path in top.glob("systemd/system/*.d/*.conf")]
    for folder in ("environment.d", "profile.d"):
        present += [f"/{path.relative_to(root)}" for path in top.glob(f"{folder}/*")]
    return sorted(host_units.written(present))


def _write(path: Path, content: str) -> None:
    """Write a file whole: a reader sees the old one or the new one."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(content, "utf-8")
    fresh.chmod(0o644)
    fresh.replace(path)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"egressguard: {message}\n")
    return code
