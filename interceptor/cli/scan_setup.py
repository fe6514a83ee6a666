"""What `scan` and `check` begin with: policy, rules, scanner, and the judge of items."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import msgspec

from interceptor.cli.main import EXIT_USAGE

if TYPE_CHECKING:
    from interceptor.decide.items import Items
    from interceptor.policy.schema import Policy
    from interceptor.scan.engine import Scanner
    from interceptor.scan.ruleset import Ruleset


class Fault(click.ClickException):
    """What keeps a command from its work: one clear line, exit code 2."""

    exit_code = EXIT_USAGE

    def show(self, file: object = None) -> None:  # noqa: ARG002
        """Print it as every message of ours."""
        click.echo(f"egressguard: {self.message}", err=True)


class Options(NamedTuple):
    """Options that say what is looked for."""

    policy: str | None = None
    preset: str | None = None
    rules: tuple[str, ...] = ()
    """Rule files of the user's own."""
    known: bool = False
    """Look for the values of this process's environment, and for what `secrets` names."""


class Prepared(NamedTuple):
    """What judges items."""

    policy: Policy
    scanner: Scanner
    key: bytes
    items: Items


def prepare(options: Options, *, record: bool = False, witness: bool = False) -> Prepared:
    """Read policy and rules, and make the judge.

    Args:
        options: of the command line.
        record: let findings pass, so that all of them are told instead of the first.
        witness: let the scanner be one that keeps what it found, for explanations.

    Raises:
        Fault: a file that cannot be used.
    """
    from interceptor.decide.findings import digest_key, unknown_rule
    from interceptor.decide.items import Items
    from interceptor.policy.loading import PolicyError, load, rule_files
    from interceptor.scan.engine import RulePatternError
    from interceptor.scan.injection.scanner import InjectionScanner
    from interceptor.scan.ruleset import RulesetError, load_rules, load_user_rules
    from interceptor.serve.compiling import in_threads

    cache = cache_folder()
    try:
        policy = load(options.policy, options.preset)
        rules = load_rules(cache)
        files = (*rule_files(policy), *map(_rule_file, options.rules))
        if files:
            rules = load_user_rules(files, rules)
        tuning = policy.rules
        if tuning.suppress or tuning.warn or tuning.homes:
            wrong = unknown_rule(policy, rules.ids)
            if wrong:
                raise Fault(f"{options.policy}: {wrong}" if options.policy else wrong)
        # Without a key in the policy: one that nobody knows, and that the next run does not have.
        key = digest_key(policy) or secrets.token_bytes(32)
        scanner = _scanner(policy, rules, cache, key, options)
        inbound = InjectionScanner.build(cache, together=in_threads)
    except (PolicyError, RulesetError, RulePatternError) as error:
        raise Fault(str(error)) from error
    if record:
        policy = msgspec.structs.replace(policy, findings="record")
    if witness:
        from interceptor.cli.scan_explain import Witnessing

        scanner = Witnessing(scanner)
    return Prepared(policy, scanner, key, Items(policy, scanner, key, inbound))


def cache_folder() -> Path:
    """Folder of compiled rules: the same that jails use."""
    if os.geteuid() == 0:
        return Path("/var/cache/egressguard")
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "egressguard"


def _scanner(policy: Policy, rules: Ruleset, cache: Path, key: bytes, options: Options) -> Scanner:
    """Build the scanner, with known secrets where they are asked for.

    Raises:
        RulePatternError: a pattern that cannot be used.
        Fault: a file that the policy names cannot be read.
    """
    from interceptor.scan.engine import Scanner

    wanted = policy.secrets
    if not options.known:
        if not wanted.files:
            return Scanner.build(rules, cache)
        wanted = msgspec.structs.replace(wanted, environment="ignore", well_known="ignore")
    from interceptor.cli.known_secrets import collect
    from interceptor.serve import guarding

    folder = str(Path(options.policy).absolute().parent) if options.policy else ""
    found = collect(wanted, os.environ, str(Path.home()), folder=folder)
    scanner = Scanner.build(rules, cache)
    try:
        prepared = guarding.prepare(msgspec.msgpack.encode(found), rules, scanner, wanted, key)
        return guarding.guard(prepared, rules, scanner)[0]
    except guarding.CollectError as error:
        raise Fault(f"{options.policy}: {error}" if options.policy else str(error)) from error


def _rule_file(name: str) -> tuple[str, bytes]:
    try:
        return name, Path(name).read_bytes()
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        fix = "check the path given to --rules"
        raise Fault(f"{name}: the rule file cannot be read: {cause}; {fix}") from None
