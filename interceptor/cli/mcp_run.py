"""`egressguard mcp -- COMMAND`: run a server of MCP behind the judge."""

from __future__ import annotations

import gc
import hashlib
import os
import re
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from interceptor.cli.jail_checks import Fault, tell
from interceptor.cli.main import EXIT_SETUP, EXIT_USAGE

if TYPE_CHECKING:
    from interceptor.decide.judge import Judge
    from interceptor.evidence.log import EvidenceLog
    from interceptor.mcp.pin_store import PinStore
    from interceptor.mcp.process import ServerProcess
    from interceptor.policy.schema import Policy

_RUNNERS: Final = frozenset(
    ("npx", "bunx", "uvx", "pipx", "uv", "node", "deno", "bun", "pnpm", "yarn", "docker", "podman")
)
_WORDS: Final = frozenset(("run", "exec", "dlx", "tool", "x", "-m"))
GATE: Final = "/run/egressguard/gate.py"
"""`netns.launch.GATE`, which only jails have; importing that would cost a third of our start."""
_OWN: Final = Path("~/.egressguard")
"""Where evidence, pins and compiled rules lie within a jail, which hides the usual places."""
SERVER: Final = re.compile(r"[^\s\x00-\x1f\x7f/\\][^\x00-\x1f\x7f/\\]{0,63}")

EPILOG = """\b
Exit codes: the server's own, 128+n when signal n ended it; 2 usage or policy; 125 it could not be
set up; 126 the server cannot be executed; 127 it was not found.
"""


@click.command(
    "run",
    epilog=EPILOG,
    context_settings={"allow_interspersed_args": False},
)
@click.option("--server", metavar="NAME", help="Its name: its tools are pinned under it.")
@click.option("--policy", "policy_file", metavar="FILE", help="Policy file (egressguard.yaml).")
@click.option(
    "--preset",
    type=click.Choice(["strict", "balanced", "audit"]),
    help="Start from this preset; `balanced` unless the policy names one.",
)
@click.option("--jail", "jailed", is_flag=True, help="Run the server in a jail.")
@click.option(
    "--jail-policy", metavar="FILE", help="Policy of that jail, if it is not that of --policy."
)
@click.option("--log", metavar="FILE", help="Where the JSON events go.")
@click.option("--state", metavar="DIR", help="Where pins of tools are kept.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 86_400),
    metavar="SECONDS",
    help="How long an answer may take; progress that the server tells counts.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    server: str | None,
    policy_file: str | None,
    preset: str | None,
    jailed: bool,  # noqa: FBT001 - click passes flags by name
    jail_policy: str | None,
    log: str | None,
    state: str | None,
    timeout: float | None,
    command: tuple[str, ...],
) -> int:
    """Run COMMAND, a server of MCP over standard input and output, behind the judge.

    Standard output is the protocol's. What is refused is answered with an error of JSON-RPC that
    says why, and written to the evidence.
    """
    from interceptor.evidence.log import EvidenceError, EvidenceLog
    from interceptor.evidence.place import directory, open_evidence
    from interceptor.mcp.pin_store import PinStore, PinStoreError
    from interceptor.mcp.process import ServerError, ServerProcess
    from interceptor.policy.loading import PolicyError, load
    from interceptor.policy.schema import digest

    if server is not None and SERVER.fullmatch(server) is None:
        raise Fault(
            "--server: a name of 1 to 64 characters, no slashes and nothing invisible", EXIT_USAGE
        )
    if jail_policy and not jailed:
        raise Fault("--jail-policy goes with --jail", EXIT_USAGE)
    try:
        policy = load(Path(policy_file) if policy_file else None, preset)
        if jail_policy:
            load(Path(jail_policy), None)
    except PolicyError as error:
        raise Fault(str(error), EXIT_USAGE) from None
    _have_standard_streams()
    name = server or server_name(command)
    run = f"mcp-{_slug(name)}-{secrets.token_hex(4)}"
    began = time.monotonic()
    within = _within_a_jail()
    folder = _OWN.expanduser() if within else directory()
    try:
        descriptor = open_evidence(Path(log).absolute() if log else folder / f"{run}.jsonl")
        evidence = EvidenceLog(descriptor, run, digest(policy))
        _started(evidence, command, policy)
        words = _jailed(command, jail_policy or policy_file) if jailed else list(command)
        process = ServerProcess(words)
    except EvidenceError as error:
        raise Fault(str(error), EXIT_SETUP) from None
    except ServerError as error:
        raise Fault(str(error), error.code) from None
    try:
        # The server starts while the judge is made; nothing is relayed before that is done.
        if within:
            os.environ.setdefault("XDG_CACHE_HOME", str(folder))
        pins = PinStore(Path(state) if state else folder)
        code = _serve(process, evidence, pins, policy, policy_file, name, run, timeout)
    except PinStoreError as error:
        raise Fault(str(error), EXIT_SETUP) from None
    finally:
        process.close()
    try:
        evidence.stopped(time.time(), code=code, seconds=time.monotonic() - began)
    except EvidenceError as error:
        tell(str(error))
    return code


def _serve(
    process: ServerProcess,
    evidence: EvidenceLog,
    pins: PinStore,
    policy: Policy,
    policy_file: str | None,
    name: str,
    run: str,
    timeout: float | None,
) -> int:
    from interceptor.decide.mcp.conversation import Conversation
    from interceptor.mcp.relay import Relay
    from interceptor.mcp.session import SCHEME, Session
    from interceptor.model import Origin, Target

    judge = _judge(policy, policy_file)
    evidence.follow(evidence.policy, judge.holds_secret)
    target = Target(SCHEME, name, 0)
    conversation = Conversation(judge, target, server=name, pins=pins.book)
    if timeout is not None:
        conversation.answer_seconds = timeout
    origin = Origin(run, "f1", "", 0, name)
    debug = os.environ.get("EGRESSGUARD_DEBUG") == "1"
    session = Session(conversation, evidence, pins, origin, time.time, tell, debug=debug)
    # Seconds since the epoch, as pins are kept with them, of a clock that only goes forward.
    ahead = time.time() - time.monotonic()
    relay = Relay(
        process,
        session,
        policy.limits.message_bytes,
        clock=lambda: ahead + time.monotonic(),
    )
    gc.collect()
    gc.freeze()  # what is made by now stays to the end: collections need not look at it
    return relay.run()


def _judge(policy: Policy, policy_file: str | None) -> Judge:
    """Make the judge: as `egressguard scan --known`, whose scanner and cache it shares."""
    from interceptor.cli.scan_setup import Fault as SetupFault
    from interceptor.cli.scan_setup import Options, prepare

    try:
        prepared = prepare(Options(policy_file, policy.preset.value, (), known=True))
    except SetupFault as error:
        raise Fault(error.message, EXIT_USAGE) from None
    return prepared.items.judge


def _started(evidence: EvidenceLog, command: tuple[str, ...], policy: Policy) -> None:
    import platform
    import pwd

    import interceptor

    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    evidence.started(
        time.time(),
        command=command,
        user=user,
        uid=uid,
        rootless=uid != 0,
        preset=policy.preset.value,
        authority="",
        versions={
            "egressguard": interceptor.__version__,
            "python": platform.python_version(),
            "kernel": os.uname().release,
        },
        guarantee="cooperative",
    )


def _jailed(command: tuple[str, ...], policy_file: str | None) -> list[str]:
    # As this process was started itself, whichever way that was.
    again = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    words = [sys.executable, *again[1:], "jail", "--quiet"]
    if os.geteuid() != 0:
        words.append("--rootless")
    if policy_file:
        words += ["--policy", policy_file]
    return [*words, "--", *command]


def _have_standard_streams() -> None:
    """Open what the caller has closed: a pipe of ours must not get one of these numbers."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)


def _within_a_jail() -> bool:
    return os.path.exists(GATE)  # noqa: PTH110 - does not raise


def program() -> tuple[str, ...]:
    """Words that start this egressguard, the first an absolute path."""
    import shutil

    import interceptor

    checkout = Path(interceptor.__file__).resolve().parents[1]
    script = checkout / "scripts" / "egressguard"
    if (checkout / "pyproject.toml").exists() and script.exists():
        return (str(script),)
    beside = Path(sys.prefix, "bin", "egressguard")
    found = str(beside) if beside.exists() else shutil.which("egressguard")
    if found:
        return (os.path.abspath(found),)  # noqa: PTH100 - links stay: they outlive updates
    return (sys.executable, "-m", "interceptor.cli.main")


def server_name(command: tuple[str, ...]) -> str:
    """Name a server after its program, with a digest that tells it from others of that name."""
    words = list(command)
    first = os.path.basename(words[0])  # noqa: PTH119
    runs = first in _RUNNERS or re.fullmatch(r"python[0-9.]*", first) is not None
    rest = [word for word in words[1:] if not word.startswith("-") and word not in _WORDS]
    named = rest[0] if runs and rest else first
    base = _slug(os.path.basename(named.rstrip("/")).rpartition("@")[0] or os.path.basename(named))  # noqa: PTH119
    # Where a word is a file of the working directory, that belongs to what is run.
    local = any(not os.path.isabs(word) and os.path.exists(word) for word in words)  # noqa: PTH110, PTH117
    vector = "\0".join([*words, *([str(Path.cwd())] if local else [])])
    digest = hashlib.blake2b(vector.encode("utf-8", "surrogateescape"), digest_size=3).hexdigest()
    return f"{base}-{digest}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:40].strip("-") or "server"
