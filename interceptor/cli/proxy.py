"""`egressguard proxy`: an explicit proxy for programs that are told to use one."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from interceptor.cli.jail_checks import Fault, tell
from interceptor.cli.main import EXIT_SETUP, EXIT_USAGE

if TYPE_CHECKING:
    from interceptor.cli.proxy_process import ProxyPlan
    from interceptor.serve.proxy_agents import Agents
    from netns.identity import Identity

_LISTEN: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+):([0-9]{1,5})")
_MOST_LISTENERS: Final = 8

EPILOG = """\b
Examples:
  egressguard proxy
  egressguard proxy token builder >> agents.txt
  egressguard proxy --listen 0.0.0.0:8888 --agents agents.txt --ca-dir ~/.egressguard-ca

\b
The guarantee is weaker than a jail's: a program that ignores the proxy is neither seen nor held.
Exit codes: 0 after SIGINT or SIGTERM; 2 usage or policy; 125 it could not be set up, or ended.
"""


@click.group("proxy", epilog=EPILOG, invoke_without_command=True)
@click.option(
    "--listen",
    multiple=True,
    metavar="ADDRESS:PORT",
    default=("127.0.0.1:8888",),
    show_default=True,
    help="Where agents connect; --agents is needed unless that is loopback.",
)
@click.option("--policy", "policy_file", metavar="FILE", help="Policy file (egressguard.yaml).")
@click.option(
    "--preset",
    type=click.Choice(["strict", "balanced", "audit"]),
    help="Start from this preset; `balanced` unless the policy names one.",
)
@click.option("--evidence", metavar="FILE", help="Where the JSON events go; - is standard output.")
@click.option("--agents", "agents_file", metavar="FILE", help="Who may connect: names and proofs.")
@click.option(
    "--ca-dir", metavar="DIR", help="Keep the authority here; without it each run has its own."
)
@click.option("--name", metavar="NAME", default="proxy", help="Its name in the evidence.")
@click.option("--service-account-keys", metavar="FILE", help="JWKS of a Kubernetes cluster.")
@click.option("--issuer", metavar="URL", help="Issuer of the cluster's service-account tokens.")
@click.option("--audience", metavar="NAME", default="egressguard", help="Audience of the tokens.")
@click.option("--quiet", "-q", is_flag=True, help="No variables at the start, no table at the end.")
@click.pass_context
def command(
    context: click.Context,
    listen: tuple[str, ...],
    policy_file: str | None,
    preset: str | None,
    evidence: str | None,
    agents_file: str | None,
    ca_dir: str | None,
    name: str,
    service_account_keys: str | None,
    issuer: str | None,
    audience: str,
    quiet: bool,  # noqa: FBT001 - click passes flags by name
) -> int:
    """Serve programs that use HTTPS_PROXY: judged as in a jail, but only if they come.

    CONNECT, absolute URLs and SOCKS are answered; TLS is terminated with an authority that the
    programs must trust: what to set is said at the start. No root is needed.
    """
    if context.invoked_subcommand is not None:
        return 0
    from interceptor.cli.plan import SetupError
    from interceptor.cli.proxy_process import ProxyPlan
    from interceptor.cli.scan_setup import cache_folder
    from interceptor.evidence.log import EvidenceError
    from interceptor.policy.loading import PolicyError, load

    places = _places(listen)
    agents = _agents(agents_file, service_account_keys, issuer, audience)
    open_to = [f"{a}:{p}" for a, p in places if not ipaddress.ip_address(a).is_loopback]
    if open_to and agents is None:
        raise Fault(
            f"--listen {open_to[0]} is not loopback, so agents must prove who they are: "
            "add --agents FILE (see egressguard proxy token)",
            EXIT_USAGE,
        )
    try:
        policy = load(Path(policy_file) if policy_file else None, preset)
    except PolicyError as error:
        raise Fault(str(error), EXIT_USAGE) from error
    plan = ProxyPlan(
        name=_checked(name),
        policy=policy,
        policy_folder=str(Path(policy_file).absolute().parent) if policy_file else "",
        cache=cache_folder(),
        authority=Path(ca_dir) if ca_dir else None,
        agents=agents,
        identity=_identity(),
        environ=dict(os.environ),
    )
    try:
        return _run(plan, places, evidence, quiet=quiet)
    except (SetupError, EvidenceError, OSError) as error:
        raise Fault(f"the proxy could not be set up: {error}", EXIT_SETUP) from error


@command.command("token")
@click.argument("name")
def token(name: str) -> None:
    """Make a token for the agent NAME.

    The line for --agents goes to standard output, the token itself to standard error: it is shown
    once and kept nowhere.
    """
    from interceptor.serve.proxy_agents import AgentsError, new_token

    try:
        made, line = new_token(name)
    except AgentsError as error:
        raise Fault(str(error), EXIT_USAGE) from None
    click.echo(line)
    click.echo(f"HTTPS_PROXY=http://{name}:{made}@127.0.0.1:8888", err=True)


@command.command("ca")
@click.argument("folder", metavar="DIR")
def authority(folder: str) -> None:
    """Make an authority in DIR for --ca-dir, unless it has one; print its certificate's file."""
    import datetime as dt

    from interceptor.tls.kept import CERTIFICATE, KeptError, open_kept

    try:
        open_kept(Path(folder), dt.datetime.now(dt.UTC))
    except KeptError as error:
        raise Fault(str(error), EXIT_SETUP) from None
    click.echo(Path(folder) / CERTIFICATE)


@command.command("bridge")
@click.option("--listen", metavar="ADDRESS:PORT", default="127.0.0.1:8888", show_default=True)
@click.option("--to", "upstream", metavar="HOST:PORT", required=True, help="The proxy.")
@click.option("--token-file", metavar="FILE", required=True, help="Read anew for each connection.")
def bridge(listen: str, upstream: str, token_file: str) -> int:
    """Lead programs to a proxy elsewhere, with a token that they need not know.

    For a pod whose service-account token changes while its programs run. It decides nothing.
    """
    from interceptor.cli.proxy_bridge import serve

    ((address, port),) = _places((listen,))
    host, colon, number = upstream.rpartition(":")
    if not colon or not host or not number.isdecimal() or not 0 < int(number) < 65_536:
        raise Fault(f"--to {upstream}: expected HOST:PORT", EXIT_USAGE)
    with contextlib.closing(_listener(address, port)) as listener:
        return serve(listener, (host.strip("[]"), int(number)), Path(token_file))


def _run(
    plan: ProxyPlan, places: list[tuple[str, int]], evidence: str | None, *, quiet: bool
) -> int:
    from interceptor.cli.proxy_process import ProxyProcess
    from interceptor.cli.proxy_trust import installed
    from interceptor.evidence.place import default_path, open_evidence
    from interceptor.evidence.summary import WEAKER

    path = Path(evidence).absolute() if evidence else default_path(plan.name)
    with contextlib.ExitStack() as undo:
        listeners = [_listener(*place) for place in places]
        bound = [listener.getsockname()[:2] for listener in listeners]
        descriptor = 1 if evidence == "-" else open_evidence(path)
        start = os.fstat(descriptor).st_size if evidence != "-" else 0
        process = ProxyProcess(plan, descriptor, listeners)
        undo.callback(process.close)
        certificate = process.certificate()
        notes = process.ready()
        files = undo.enter_context(installed(certificate, plan.authority))
        for address, port in bound:
            host = f"[{address}]" if ":" in address else address
            tell(f"proxy on {host}:{port}")
        tell(WEAKER["cooperative"])
        if not quiet:
            for note in notes:
                tell(note)
            tell(f"for programs that are to use it: . {files.script}")
            for line in files.lines(*bound[0], named=plan.agents is not None):
                click.echo(line, err=evidence == "-")
        fault = process.wait()
    if fault:
        raise Fault(fault, EXIT_SETUP)
    if evidence != "-":
        os.close(descriptor)
        if not quiet:
            _show(path, start)
    return 0


def _show(path: Path, start: int) -> None:
    from rich.console import Console

    from interceptor.decide.hints import HINTS
    from interceptor.evidence.summary import Summary

    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(start)
        summary = Summary.from_lines(file)
        hints = {reason.value: hint for reason, hint in HINTS.items()}
        summary.show(Console(stderr=True), hints, str(path))


def _places(texts: tuple[str, ...]) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for text in texts:
        match = _LISTEN.fullmatch(text)
        try:
            address = str(ipaddress.ip_address(match[1].strip("[]"))) if match else ""
        except ValueError:
            address = ""
        if match is None or not address or int(match[2]) > 65_535:
            raise Fault(
                f"--listen {text}: expected ADDRESS:PORT, such as 127.0.0.1:8888", EXIT_USAGE
            )
        found.append((address, int(match[2])))
    if len(found) > _MOST_LISTENERS:
        raise Fault(f"--listen: more than {_MOST_LISTENERS}", EXIT_USAGE)
    return found


def _listener(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # The protocol must be said, or asyncio never sets TCP_NODELAY on what is accepted.
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise Fault(f"--listen {address}:{port}: {error.strerror}", EXIT_SETUP) from None
    return listener


def _agents(
    file: str | None, keys_file: str | None, issuer: str | None, audience: str
) -> Agents | None:
    from interceptor.serve.proxy_agents import Agents, AgentsError, parse_agents
    from interceptor.serve.proxy_tokens import KeysError, TokenVerifier, read_keys

    if file is None:
        if keys_file or issuer:
            raise Fault("--service-account-keys and --issuer go with --agents", EXIT_USAGE)
        return None
    verifier = None
    try:
        if keys_file:
            if not issuer:
                raise Fault("--service-account-keys goes with --issuer", EXIT_USAGE)
            verifier = TokenVerifier(read_keys(Path(keys_file).read_bytes()), issuer, audience)
        return Agents(parse_agents(Path(file).read_text("utf-8"), file), verifier)
    except OSError as error:
        raise Fault(f"{error.filename}: {error.strerror}", EXIT_USAGE) from None
    except KeysError as error:
        raise Fault(f"{keys_file}: {error}", EXIT_USAGE) from None
    except (AgentsError, UnicodeDecodeError) as error:
        raise Fault(str(error), EXIT_USAGE) from None


def _checked(name: str) -> str:
    if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,47}", name) is None:
        raise Fault(f"--name {name}: only a-z, 0-9 and - are allowed, at most 48", EXIT_USAGE)
    return name


def _identity() -> Identity:
    """Whose files may hold secrets that agents could send."""
    from netns import identity

    try:
        return identity.resolve(None, os.environ, os.geteuid(), os.getegid())
    except identity.IdentityError:  # root by itself, as in a container: no user's files
        return identity.Identity(os.geteuid(), os.getegid(), (), "root", "", "/bin/sh")
