"""What was collected of the agent's secrets, and what came of it, as processes hand it on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from interceptor.scan.ruleset import Home, Rule, Ruleset

_TOLD: Final = 8  # names in the line that the operator reads
_REGISTRY_PLACES: Final = ("header:authorization", "header:x-nuget-apikey")


class Candidate(msgspec.Struct, frozen=True):
    """A value that may be a secret of the agent's."""

    name: str
    """Of the variable, or `FILE:KEY`."""
    value: bytes
    sure: bool = True
    """Its name says that it is one; otherwise only if a rule knows it."""
    homes: tuple[Home, ...] = ()
    canary: bool = False

    def __repr__(self) -> str:
        return f"Candidate(name={self.name!r})"


class Collected(msgspec.Struct, frozen=True):
    """What was found in the agent's environment and files."""

    candidates: tuple[Candidate, ...] = ()
    registries: dict[str, tuple[str, ...]] = {}
    """First word of rule ids -> hosts where the registry's own client sends such tokens."""
    skipped: tuple[tuple[str, str], ...] = ()
    """Files of the usual places that could not be read, and why."""
    fault: str = ""
    """Why the jail may not start; empty if it may."""


class Guarded(msgspec.Struct, frozen=True):
    """What came of the candidates, by name: nothing in it is secret."""

    names: tuple[str, ...] = ()
    homeless: tuple[str, ...] = ()
    """Those of `names` that are refused everywhere."""
    canaries: tuple[str, ...] = ()
    unguarded: tuple[tuple[str, str], ...] = ()
    """Name, and why not."""
    registries: tuple[str, ...] = ()
    """First word of rule ids, and a host where the tokens of those rules are at home."""

    def lines(self) -> tuple[str, ...]:
        """Return what the operator is told: at most a line on each."""
        told = []
        if self.names:
            count = len(self.names)
            what = "1 secret" if count == 1 else f"{count} secrets"
            line = f"{what} of the agent {'is' if count == 1 else 'are'} guarded"
            told.append(f"{line} ({_listed(self.names)})")
        if self.homeless:
            told.append(
                f"refused everywhere, until secrets.homes names a host: {_listed(self.homeless)}"
            )
        if self.canaries:
            told.append(f"{len(self.canaries)} canaries are planted")
        if self.unguarded:
            reasons = [f"{name} ({why})" for name, why in self.unguarded]
            told.append(f"not guarded: {_listed(reasons)}")
        return ("; ".join(told),) if told else ()


def with_registries(rules: Ruleset, registries: Mapping[str, Iterable[str]]) -> Ruleset:
    """Give the rules of package-registry tokens the hosts of their clients as homes."""

    def housed(rule: Rule) -> Rule:
        hosts = tuple(registries.get(rule.id.partition("-")[0], ()))
        if not hosts:
            return rule
        home = (*rule.home, Home(hosts, _REGISTRY_PLACES))
        return msgspec.structs.replace(rule, home=home)

    return Ruleset(tuple(map(housed, rules.rules))) if registries else rules


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _TOLD
    return ", ".join(names[:_TOLD]) + (f" and {more} more" if more > 0 else "")
