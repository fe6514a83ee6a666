"""`egressguard jail`: run a command with no way out but egressguard."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

import interceptor
from interceptor.cli import jail_checks
from interceptor.cli.concealment import conceal_environment
from interceptor.cli.jail_checks import Fault, tell
from interceptor.cli.main import EXIT_SETUP, EXIT_USAGE
from interceptor.cli.plan import Plan, SetupError
from interceptor.evidence.place import default_path, directory, open_evidence

if TYPE_CHECKING:
    from interceptor.cli.decoys import Decoys
    from interceptor.policy.schema import Policy
    from interceptor.serve.messages import Published
    from netns.registry import Registration

EPILOG = """\b
Examples:
  sudo egressguard jail -- claude
  sudo egressguard jail --preset strict --policy egressguard.yaml -- python3 agent.py
  sudo egressguard jail --user dev --env API_KEY -- bash
  egressguard jail --rootless -- npm test

\b
Exit codes: the command's own, 128+n when signal n ended it; 2 usage or policy; 125 the jail could
not be set up; 126 the command cannot be executed; 127 it was not found.
"""


@click.command(
    "jail",
    epilog=EPILOG,
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
)
@click.option("--policy", "policy_file", metavar="FILE", help="Policy file (egressguard.yaml).")
@click.option(
    "--preset",
    type=click.Choice(["strict", "balanced", "audit"]),
    help="Start from this preset; `balanced` unless the policy names one.",
)
@click.option("--user", metavar="USER", help="Run as this user: NAME, UID or UID:GID.")
@click.option("--rootless", is_flag=True, help="No root needed: use a user namespace.")
@click.option("--evidence", metavar="FILE", help="Where the JSON events go.")
@click.option("--env", multiple=True, metavar="NAME[=VALUE]", help="Keep or set a variable.")
@click.option(
    "--home",
    type=click.Choice(["rw", "ro", "overlay", "private"]),
    default="rw",
    show_default=True,
    help="The agent's view of its home; overlay: what it changes there is gone at the end.",
)
@click.option(
    "--workdir",
    type=click.Choice(["rw", "ro"]),
    default="rw",
    show_default=True,
    help="The agent's view of the working directory.",
)
@click.option("--bind", multiple=True, metavar="PATH", help="Make PATH writable in the jail.")
@click.option("--ro-bind", multiple=True, metavar="PATH", help="Make PATH readable in the jail.")
@click.option(
    "--publish",
    multiple=True,
    metavar="[HOSTIP:]HOSTPORT:JAILPORT",
    help="Let the host reach a port of the agent's; HOSTIP is 127.0.0.1 if not given.",
)
@click.option("--canary", is_flag=True, help="Give the agent decoys that nothing may send.")
@click.option(
    "--nested-sandboxes",
    is_flag=True,
    help="Let the agent make user namespaces, as browsers and other sandboxes want to.",
)
@click.option(
    "--ptrace/--no-ptrace",
    default=True,
    show_default=True,
    help="Let processes in the jail trace each other, as strace and debuggers do.",
)
@click.option(
    "--unix-sockets/--no-unix-sockets",
    default=True,
    show_default=True,
    help="Let the agent make unix sockets. Without them it reaches no socket file at all.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 31_536_000),
    default=0,
    metavar="SECONDS",
    help="End the agent after this time: SIGTERM, and SIGKILL 10 s later. Exit code 124.",
)
@click.option("--memory", metavar="SIZE", help="Memory of the whole jail, such as 2G.")
@click.option(
    "--pids",
    type=click.IntRange(16, 4_194_304),
    metavar="N",
    help="Processes and threads of the jail at one time.",
)
@click.option(
    "--cpus",
    type=click.FloatRange(0.01, 4096),
    metavar="X",
    help="Processor time of the jail: 1.5 is that of one and a half.",
)
@click.option("--name", metavar="NAME", help="Name of the jail; made up if not given.")
@click.option("--quiet", "-q", is_flag=True, help="No table at the end, no line about secrets.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    policy_file: str | None,
    preset: str | None,
    user: str | None,
    rootless: bool,  # noqa: FBT001 - click passes flags by name
    evidence: str | None,
    env: tuple[str, ...],
    home: str,
    workdir: str,
    bind: tuple[str, ...],
    ro_bind: tuple[str, ...],
    publish: tuple[str, ...],
    canary: bool,  # noqa: FBT001
    nested_sandboxes: bool,  # noqa: FBT001
    ptrace: bool,  # noqa: FBT001
    unix_sockets: bool,  # noqa: FBT001
    timeout: float,
    memory: str | None,
    pids: int | None,
    cpus: float | None,
    name: str | None,
    quiet: bool,  # noqa: FBT001
    command: tuple[str, ...],
) -> int:
    """Run COMMAND in a network namespace that has no path out.

    Every TCP connection and DNS query of COMMAND and its children ends at egressguard, which
    terminates TLS, reads both directions, decides, and only then connects. At the end a table says
    what was asked for, what was refused, and why.
    """
    from interceptor.evidence.log import EvidenceError
    from interceptor.policy.loading import PolicyError, load
    from netns import identity
    from netns.registry import Registry, RegistryError

    jail_checks.rights(rootless=rootless)
    jail_checks.paths(evidence, (*bind, *ro_bind))
    published = _published(publish)
    limits = jail_checks.limits(memory, pids, cpus, rootless=rootless)
    try:
        policy = load(Path(policy_file) if policy_file else None, preset)
        tuning = policy.rules
        if tuning.suppress or tuning.warn or tuning.homes or tuning.files:
            _check_rule_ids(policy, policy_file)
        who = identity.resolve(user, os.environ, os.geteuid(), os.getegid())
        cwd = jail_checks.working_directory(who, home)
    except (PolicyError, identity.IdentityError) as error:
        raise Fault(str(error), EXIT_USAGE) from error
    try:
        entry = Registry().register(
            command,
            began=time.time(),
            rootless=rootless,
            policy=policy_file or policy.preset.value,
            name=name,
        )
        with entry:
            path = Path(evidence).absolute() if evidence else default_path(entry.name)
            plan = Plan(
                jail=entry.name,
                command=command,
                policy=policy,
                identity=who,
                evidence=path,
                cwd=cwd,
                rootless=rootless,
                cache=_cache(),
                env=env,
                home=home,
                workdir=workdir,
                writable=bind,
                readable=ro_bind,
                masks=_masks(path, policy_file, "" if home == "private" else who.home),
                protected=_protected(),
                environ=dict(os.environ),
                policy_folder=_folder(policy_file),
                quiet=quiet,
                timeout=timeout,
                nested_sandboxes=nested_sandboxes,
                ptrace=ptrace,
                unix_sockets=unix_sockets,
                limits=limits,
                published=published,
                decoys=_decoys(env) if canary else None,
                pins=directory(),
            )
            conceal_environment(env)
            return _run(plan, entry)
    except RegistryError as error:
        raise Fault(str(error), EXIT_USAGE if name else EXIT_SETUP) from error
    except EvidenceError as error:
        raise Fault(str(error), EXIT_SETUP) from error


def _run(plan: Plan, entry: Registration) -> int:
    from interceptor.cli.supervisor import supervise
    from netns.captive import CaptiveError
    from netns.enclosure import EnclosureError, LaunchError
    from netns.environment import EnvironmentValueError
    from netns.layout import LayoutError
    from netns.seccomp import SeccompError
    from netns.terminal import StdioError

    faults = (SetupError, CaptiveError, EnclosureError, LayoutError, SeccompError, StdioError)
    descriptor = open_evidence(plan.evidence)
    start = os.fstat(descriptor).st_size
    # Read through this descriptor at the end: the path may lead elsewhere by then.
    reader = os.open(plan.evidence, os.O_RDONLY | os.O_CLOEXEC)
    entry.update(evidence=str(plan.evidence))
    try:
        code = supervise(plan, descriptor, entry, tell)
    except LaunchError as error:
        raise Fault(str(error), error.exit_code) from error
    except EnvironmentValueError as error:
        raise Fault(str(error), EXIT_USAGE) from error
    except faults as error:
        raise Fault(f"the jail could not be set up: {error}", EXIT_SETUP) from error
    if not plan.quiet:
        with contextlib.suppress(OSError):  # nobody can read it: the command's code still counts
            _show(plan.evidence, reader, start)
        _hint(plan)
    return code


def _hint(plan: Plan) -> None:
    """Say that the agent has servers of MCP whose messages nobody judges."""
    from interceptor.cli import mcp_hint

    line = "" if plan.home == "private" else mcp_hint.line(plan.identity, plan.cwd, plan.environ)
    if line:
        tell(line)


def _show(path: Path, reader: int, start: int) -> None:
    """Print the table of this run: what was asked for, what was refused, why."""
    from interceptor.evidence.summary import Summary

    with open(reader, "rb") as file:
        if not path.exists() or not os.path.samestat(os.fstat(reader), path.stat()):
            tell(f"{path} no longer leads to the evidence of this run: it was moved or replaced")
        file.seek(start)
        summary = Summary.from_lines(file)
    if not summary.decisions and not summary.lost:
        return
    from rich.console import Console

    from interceptor.decide.hints import HINTS

    hints = {reason.value: hint for reason, hint in HINTS.items()}
    summary.show(Console(stderr=True), hints, str(path))


def _folder(policy_file: str | None) -> str:
    return str(Path(policy_file).absolute().parent) if policy_file else ""


def _check_rule_ids(policy: Policy, file: str | None) -> None:
    from interceptor.decide.findings import unknown_rule
    from interceptor.policy.loading import rule_files
    from interceptor.scan.ruleset import RulesetError, load_rules, load_user_rules

    try:
        rules = load_user_rules(rule_files(policy), load_rules())
    except RulesetError as error:
        raise Fault(str(error), EXIT_USAGE) from None
    wrong = unknown_rule(policy, rules.ids)
    if wrong:
        raise Fault(f"{file}: {wrong}" if file else wrong, EXIT_USAGE)


def _cache() -> Path:
    if os.geteuid() == 0:
        return Path("/var/cache/egressguard")
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "egressguard"


def _decoys(env: tuple[str, ...]) -> Decoys:
    from interceptor.cli import decoys

    return decoys.for_jail({*os.environ, *(item.partition("=")[0] for item in env)})


def _masks(evidence: Path, policy_file: str | None, home: str) -> tuple[str, ...]:
    """Paths of ours that the agent must not see, as far as they exist."""
    # The registry lies under /run or /tmp, which are the jail's own.
    ours = [evidence, directory(), _cache()]
    # They must be there before the agent is, or it would make them.
    for place in ours[1:] if os.geteuid() else ours[1:2]:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if policy_file:
        ours.append(Path(policy_file).absolute())
    if home:  # where the agent's user keeps planted canaries, and evidence of rootless jails
        ours.append(Path(home, ".local/state/egressguard"))
    # os.path: a path that may not even be looked at is not there; Path.exists() raises.
    return tuple(str(path) for path in ours if path == evidence or os.path.exists(path))  # noqa: PTH110


def _protected() -> tuple[str, ...]:
    """Directories whose content the next start would run, perhaps as root."""
    package = Path(interceptor.__file__).resolve().parent
    checkout = package.parent
    own = [checkout] if (checkout / "pyproject.toml").exists() else [package, checkout / "netns"]
    environment = Path(sys.prefix).resolve()
    # scripts/egressguard keeps its environments side by side, and picks one by its name.
    own.append(environment.parent if environment.parent.name == "egressguard" else environment)
    if sys.prefix == sys.base_prefix:
        own.pop()  # the system's Python, which is not ours to protect
    return tuple(map(str, own))


def _published(texts: tuple[str, ...]) -> tuple[Published, ...]:
    if not texts:
        return ()
    from interceptor.cli import publishing

    try:
        return publishing.parse(texts)
    except ValueError as error:
        raise Fault(str(error), EXIT_USAGE) from None
