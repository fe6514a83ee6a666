"""From what the scanner found to findings: at home, suppressed, warned or blocking."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import msgspec

from interceptor.decide.hosts import HostSet
from interceptor.model import Target
from interceptor.policy.schema import Policy, RuleAt
from interceptor.scan.engine import RawFinding
from interceptor.scan.ruleset import Rule
from interceptor.verdict import Finding


class Weighed(msgspec.Struct, frozen=True, gc=False):
    """Findings of one unit."""

    blocking: tuple[Finding, ...] = ()
    warned: tuple[Finding, ...] = ()
    """Would block, but the policy says `warn`."""
    home: tuple[Finding, ...] = ()

    @property
    def all(self) -> tuple[Finding, ...]:
        """Every finding, the gravest kind first."""
        return self.blocking + self.warned + self.home


class Weigher:
    """Weighs raw findings by the rules' homes and the policy's tuning."""

    def __init__(self, rules: Sequence[Rule], policy: Policy) -> None:
        self._rules = rules
        tuning = policy.rules
        self._suppress = _by_rule(tuning.suppress)
        self._warn = _by_rule(tuning.warn)
        more: dict[str, list[str]] = {}
        for entry in tuning.homes:
            more.setdefault(entry.rule, []).append(entry.host)
        self._homes: dict[str, list[tuple[HostSet, frozenset[str]]]] = {}
        for rule in rules:
            homes = [(HostSet(home.hosts, rule.id), frozenset(home.places)) for home in rule.home]
            if rule.id in more:
                everywhere = [place for home in rule.home for place in home.places]
                places = frozenset(everywhere or ["header:authorization"])
                homes.append((HostSet(more[rule.id], rule.id), places))
            if homes:
                self._homes[rule.id] = homes

    def weigh(self, found: Iterable[tuple[str, RawFinding]], target: Target) -> Weighed:
        """Weigh (view, raw finding) pairs of one unit bound for `target`."""
        blocking: dict[Finding, None] = {}
        warned: dict[Finding, None] = {}
        home: dict[Finding, None] = {}
        for where, raw in found:
            rule = self._rules[raw.rule]
            if _fits(self._suppress, rule.id, target):
                continue
            at_home = self._at_home(rule.id, where, target)
            finding = Finding(
                rule.id, rule.title, rule.severity, where, raw.encoding, raw.digest, at_home
            )
            if at_home:
                home[finding] = None
            elif _fits(self._warn, rule.id, target):
                warned[finding] = None
            else:
                blocking[finding] = None
        return Weighed(tuple(blocking), tuple(warned), tuple(home))

    def _at_home(self, rule: str, where: str, target: Target) -> bool:
        homes = self._homes.get(rule)
        if homes is None or target.scheme != "https":  # in clear text nothing is at home
            return False
        return any(
            where in places and hosts.find(target.host, target.port) is not None
            for hosts, places in homes
        )


def unknown_rule(policy: Policy, rules: Iterable[str]) -> str:
    """Return a message about the first rule id in the policy's tuning that no rule has, or "".

    A misspelt id only leaves a rule in force, but an operator wants to hear of it at once.
    """
    known = sorted(rules)
    tuning = policy.rules
    named = {
        "suppress": [entry.rule for entry in tuning.suppress],
        "warn": [entry.rule for entry in tuning.warn],
        "homes": [entry.rule for entry in tuning.homes],
    }
    for key, ids in named.items():
        for i, rule in enumerate(ids):
            if rule not in known:
                close = difflib.get_close_matches(rule, known, n=1)
                hint = f"; did you mean `{close[0]}`?" if close else ""
                return f"rules.{key}[{i}].rule: there is no rule {rule!r}{hint}"
    return ""


def _by_rule(entries: Iterable[RuleAt]) -> dict[str, HostSet]:
    patterns: dict[str, list[str]] = {}
    for entry in entries:
        patterns.setdefault(entry.rule, []).append(entry.host or "*")
    return {rule: HostSet(hosts, rule) for rule, hosts in patterns.items()}


def _fits(tuning: dict[str, HostSet], rule: str, target: Target) -> bool:
    hosts = tuning.get(rule)
    return hosts is not None and hosts.find(target.host, target.port) is not None
