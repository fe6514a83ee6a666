"""`egressguard container`: containers whose only network is egressguard."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from interceptor.cli.main import EXIT_SETUP, EXIT_USAGE

_PROFILE = "/usr/share/containers/seccomp.json"
_RUN = "/run/egressguard"

EPILOG = """\b
Examples:
  sudo egressguard container run -- podman run -it --rm debian:12 bash
  sudo egressguard container run --policy agent.yaml -- docker run --rm node:22 npm test
  sudo egressguard container run --user alice -- podman run --rm alpine wget -O- https://example.com/
  sudo egressguard container attach --engine docker build-7
  egressguard container hook-file --policy /etc/egressguard/containers.yaml

\b
Needs the gateway: egressguard gateway run, or its systemd unit. docs/containers.md has the rest.

\b
Exit codes: the container's own; 2 wrong usage, policy, or refused; 125 it was not started.
"""

_policy = click.option("--policy", metavar="FILE", help="Policy file (egressguard.yaml).")
_preset = click.option("--preset", type=click.Choice(["strict", "balanced", "audit"]))
_evidence = click.option("--evidence", metavar="FILE", help="Where its JSON events go.")
_name = click.option("--name", metavar="NAME", help="What the evidence calls it.")
_run_option = click.option(
    "--run",
    "run_directory",
    default=_RUN,
    show_default=True,
    metavar="DIR",
    help="The gateway's sockets.",
)


@click.group("container", epilog=EPILOG)
def command() -> None:
    """Run containers whose only network is egressguard.

    Each is a guest of the gateway, with a policy, an authority and evidence of its own, and is
    removed when it ends.
    """


@command.command("run", context_settings={"allow_interspersed_args": False})
@_policy
@_preset
@_evidence
@_name
@click.option("--user", metavar="USER", help="Run the engine as this user: rootless Podman.")
@click.option("--dry-run", is_flag=True, help="Print the engine's commands, and change nothing.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing about the evidence.")
@_run_option
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
def run(
    *,
    policy: str | None,
    preset: str | None,
    evidence: str | None,
    name: str | None,
    user: str | None,
    dry_run: bool,
    quiet: bool,
    run_directory: str,
    words: tuple[str, ...],
) -> int:
    """Run COMMAND: `podman run ...`, `docker run ...`, `nerdctl run ...` or `ctr run ...`.

    The container is made with `--network none`, plugged, and started. Whatever in its options would
    be a way past that is refused.
    """
    from interceptor.cli import container_run
    from interceptor.containers import engines, inspection
    from interceptor.containers.plugging import PlugError, guest_name
    from netns import identity, naming

    if os.geteuid() and not dry_run:
        _fail("needs root: put sudo before it", EXIT_SETUP)
    try:
        line = engines.parse(words)
        who = identity.resolve(user, os.environ, os.geteuid(), os.getegid()) if user else None
    except (engines.EngineError, identity.IdentityError) as error:
        _fail(str(error), EXIT_USAGE)
    wrong = engines.faults(line, inspection.bound_sockets(), os.path.realpath)
    if remote := engines.remote(os.environ):
        wrong.append(remote)
    for fault in wrong:
        _tell(fault)
    if wrong:
        _fail("refused: nothing was started", EXIT_USAGE)
    called = line.rest[1] if line.engine == "ctr" else line.value("name")
    guest = name or (guest_name(called) if called else next(naming.names([line.engine])))
    wish = container_run.wish(guest, policy, preset, evidence, run_directory, line)
    plan = container_run.Run(line, wish, who, seccomp=_profile())
    if dry_run:
        for step in plan.steps():
            click.echo(step)
        return 0
    try:
        if not quiet:
            _tell(f"{guest}: evidence in {container_run.evidence_of(wish)}")
        return plan.carry_out()
    except PlugError as error:
        _fail(str(error), EXIT_SETUP)


@command.command("attach")
@click.option("--engine", type=click.Choice(["podman", "docker", "nerdctl"]), default="podman",
              show_default=True, help="Whose container it is.")  # fmt: skip
@click.option("--pid", type=click.IntRange(2), metavar="PID", help="Its first process instead.")
@click.option("--user", metavar="USER", help="Ask the engine as this user: rootless Podman.")
@click.option("--certificate", metavar="FILE", help="Write the authority's certificate there.")
@_policy
@_preset
@_evidence
@_name
@_run_option
@click.argument("container", required=False)
def attach(
    *,
    engine: str,
    pid: int | None,
    user: str | None,
    certificate: str | None,
    policy: str | None,
    preset: str | None,
    evidence: str | None,
    name: str | None,
    run_directory: str,
    container: str | None,
) -> None:
    """Give a running CONTAINER that was started with `--network none` its network.

    It has no other from then on; what of it leads past egressguard is refused. Until it trusts the
    authority (http://egressguard.internal/install.sh), connections over TLS fail in it.
    """
    from interceptor.cli import container_run
    from interceptor.containers import engines
    from interceptor.containers.plugging import PlugError, guest_name
    from netns import identity

    if (pid is None) == (container is None):
        raise click.UsageError("name a container, or give --pid")
    if os.geteuid():
        _fail("needs root: put sudo before it", EXIT_SETUP)
    if remote := engines.remote(os.environ):
        _fail(remote, EXIT_USAGE)
    guest = name or guest_name(container or f"pid-{pid}")
    wish = container_run.wish(guest, policy, preset, evidence, run_directory, None)
    try:
        who = identity.resolve(user, os.environ, os.geteuid(), os.getegid()) if user else None
        line = engines.parse((engine, "run", container or "-"))
        pem = container_run.attach(line, container or "", pid or 0, wish, who)
    except (PlugError, identity.IdentityError, engines.EngineError) as error:
        _fail(str(error), EXIT_SETUP)
    if certificate:
        Path(certificate).write_text(pem, "ascii")
    click.echo(f"{guest}: served; evidence in {container_run.evidence_of(wish)}")


@command.command("hook-file")
@click.option("--all", "every", is_flag=True, help="For every container, not the annotated ones.")
@_policy
@_preset
@_run_option
def hook_file(*, every: bool, policy: str | None, preset: str | None, run_directory: str) -> None:
    """Print the OCI hook for /etc/containers/oci/hooks.d, which Podman and CRI-O read.

    It plugs containers with the annotation `egressguard`, whatever its value.
    """
    import json

    from interceptor.containers import hook

    words = hook.program()
    for name, text in (("policy", _absolute(policy)), ("preset", preset or "")):
        if text:
            words.append(f"--{name}={text}")
    if run_directory != _RUN:
        words.append(f"--run={_absolute(run_directory)}")
    click.echo(json.dumps(hook.definition(words, every=every), indent=2))


@command.command("seccomp")
@click.option("--base", default=_PROFILE, show_default=True, metavar="FILE", help="To begin with.")
def profile(*, base: str) -> None:
    """Print an engine's seccomp profile without vsock(7) and io_uring."""
    import json

    from interceptor.containers import seccomp

    try:
        found = json.loads(Path(base).read_bytes())
    except (OSError, ValueError) as error:
        _fail(f"{base}: {error}", EXIT_USAGE)
    click.echo(json.dumps(seccomp.without_vsock(found), indent=1))


@command.command("cni")
def cni() -> None:
    """Be the CNI plugin (`egressguard-cni`): for a line of shell in the plugins' directory."""
    from interceptor.containers import cni

    cni.main()


def _profile() -> str:
    """Where the profile of our own is to begin with; empty: the engine's own is left in force."""
    return _PROFILE if os.path.exists(_PROFILE) else ""  # noqa: PTH110


def _absolute(path: str | None) -> str:
    return str(Path(path).absolute()) if path else ""


def _tell(line: str) -> None:
    sys.stderr.write(f"egressguard: {line}\n")
    sys.stderr.flush()


def _fail(message: str, code: int) -> NoReturn:
    _tell(message)
    sys.exit(code)
