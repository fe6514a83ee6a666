"""`egressguard policy`: check a policy file, show the policy that would be in force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from interceptor.policy.schema import Policy, PresetName, digest

_PRESETS = click.Choice([str(name) for name in PresetName])


@click.group()
def command() -> None:
    """Show and check policies (docs/policy.md)."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--preset", type=_PRESETS, help="Lay the file over this preset instead of its own.")
def check(file: Path, preset: str | None) -> None:
    """Check a policy FILE: exit code 0 if it can be used, 2 if not."""
    policy = _load(file, preset)
    click.echo(f"{file}: good; preset {policy.preset}, policy {digest(policy)}")


@command.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--preset", type=_PRESETS, help="The preset to show, or to lay FILE over.")
def show(file: Path | None, preset: str | None) -> None:
    """Show every value that would be in force, as YAML that is itself a policy file."""
    import msgspec
    import yaml

    policy = _load(file, preset)
    data: Any = msgspec.to_builtins(policy)
    click.echo(f"# policy {digest(policy)}")
    click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)


def _load(file: Path | None, preset: str | None) -> Policy:
    from interceptor.decide.findings import unknown_rule
    from interceptor.policy.loading import PolicyError, load, rule_files
    from interceptor.scan.ruleset import RulesetError, load_rules, load_user_rules

    try:
        policy = load(file, preset)
        rules = load_user_rules(rule_files(policy), load_rules())
    except (PolicyError, RulesetError) as error:
        raise _Refused(str(error)) from None
    message = unknown_rule(policy, rules.ids)
    if message:
        raise _Refused(f"{file}: {message}" if file else message)
    return policy


class _Refused(click.ClickException):
    """A policy that cannot be used."""

    exit_code = 2
