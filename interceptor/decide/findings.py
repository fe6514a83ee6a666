"""From what the scanner found to findings: at home, suppressed, warned or blocking.

All of it, wherever it was found (URL, header, body, message, name, trailer, or cut over several
requests), is weighed here and nowhere else, so that tuning means the same on every path.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from interceptor.decide.hosts import HostSet
from interceptor.decide.own_sites import is_own
from interceptor.decide.paths import plain_path, under
from interceptor.model import Target
from interceptor.policy.schema import Policy, RuleAt
from interceptor.scan.engine import RawFinding
from interceptor.scan.ruleset import Home, Rule
from interceptor.verdict import Finding, Reason

FIELDS = "fields"
"""In a chain of encodings: the secret was cut over several values of one unit."""
REQUESTS = "requests"
"""In a chain of encodings: the secret was cut over several units in time."""
KNOWN = "known:"
"""Begins the id of a known secret; its name follows."""
_CANARY = "canary:"
_DIGEST_KEY = 32


class Weighed(msgspec.Struct, frozen=True, gc=False):
    """Findings of one unit."""

    blocking: tuple[Finding, ...] = ()
    """Canaries first."""
    warned: tuple[Finding, ...] = ()
    """Would block, but the policy says `warn`."""
    home: tuple[Finding, ...] = ()

    @property
    def all(self) -> tuple[Finding, ...]:
        """Every finding, the gravest kind first."""
        return self.blocking + self.warned + self.home


class _At(msgspec.Struct, frozen=True):
    """One entry of the tuning; what is None or empty stands for any."""

    hosts: HostSet | None
    path: str
    digest: str


class _Homes(msgspec.Struct, frozen=True):
    """Hosts and places where one credential is at home."""

    hosts: HostSet
    places: frozenset[str]
    schemes: frozenset[str] = frozenset(("https",))
    """In clear text nothing is at home."""


class Weigher:
    """Weighs raw findings by the rules' homes and the policy's tuning."""

    def __init__(self, rules: Sequence[Rule], policy: Policy) -> None:
        """Compile the tuning.

        Args:
            rules: those of the scanner whose findings come, known secrets included.
            policy: the policy in force.

        Raises:
            ValueError: a host pattern is malformed (the loader checks before).
        """
        self._rules = rules
        self._canaries = frozenset(rule.id for rule in rules if rule.canary)
        tuning = policy.rules
        self._suppress = _by_rule(tuning.suppress)
        self._warn = _by_rule(tuning.warn)
        self._homes = _homes(rules, policy)

    def weigh(self, found: Iterable[tuple[str, RawFinding]], target: Target) -> Weighed:
        """Weigh (view, raw finding) pairs of one unit bound for `target`.

        A path of the tuning is compared with the target's, where that can be read in one way only.
        A canary is never at home, and tuning does not reach it. What is cut over several values has
        no place to be at home in.
        """
        canaries: dict[Finding, None] = {}
        blocking: dict[Finding, None] = {}
        warned: dict[Finding, None] = {}
        home: dict[Finding, None] = {}
        for where, raw in found:
            rule = self._rules[raw.rule]
            canary = rule.canary
            if not canary and _fits(self._suppress, rule.id, raw.digest, target):
                continue
            at_home = (
                not canary
                and not is_joined(raw.encoding)
                and (self._at_home(rule.id, where, target) or _at_own(raw, where, target))
            )
            finding = Finding(
                rule.id, rule.title, rule.severity, where, raw.encoding, raw.digest, at_home
            )
            if canary:
                canaries[finding] = None
            elif at_home:
                home[finding] = None
            elif _fits(self._warn, rule.id, raw.digest, target):
                warned[finding] = None
            else:
                blocking[finding] = None
        return Weighed((*canaries, *blocking), tuple(warned), tuple(home))

    def reason_of(self, weighed: Weighed, default: Reason = Reason.SECRET) -> Reason:
        """Say why findings block: a canary, a secret that only stands in pieces, or `default`."""
        if any(finding.rule in self._canaries for finding in weighed.blocking):
            return Reason.CANARY
        if weighed.blocking and all(is_joined(finding.encoding) for finding in weighed.blocking):
            return Reason.SPLIT_SECRET
        return default

    def _at_home(self, rule: str, where: str, target: Target) -> bool:
        return any(
            where in home.places
            and target.scheme in home.schemes
            and home.hosts.find(target.host, target.port) is not None
            for home in self._homes.get(rule, ())
        )


def _at_own(raw: RawFinding, where: str, target: Target) -> bool:
    """Say whether a token is handed to the site that issued it, or to the one it is for."""
    if not raw.own or where not in ("url", "body") or target.scheme != "https":
        return False
    return is_own(raw.own, target.host)


def is_joined(encoding: str) -> bool:
    """Say whether a chain of encodings tells of a secret that was cut over several values."""
    chain = encoding.split(">")
    return FIELDS in chain or REQUESTS in chain


def digest_key(policy: Policy) -> bytes | None:
    """Return the key of digests that the policy asks for, 32 bytes; None: any random one will do.

    Digests that an operator writes into a policy must be the same in every jail.
    """
    text = policy.rules.digest_key
    if not text:
        return None
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_KEY).digest()


def unknown_rule(policy: Policy, rules: Iterable[str]) -> str:
    """Return a message about the first rule id in the policy's tuning that no rule has, or "".

    A misspelt id only leaves a rule in force, but an operator wants to hear of it at once.

    Args:
        policy: what the operator wrote.
        rules: ids of all rules, the operator's own included. Known secrets need not be among them:
            which there are shows only when the agent's environment and files are read.
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
            if rule in known or rule == "*" or (rule.startswith(KNOWN) and rule != KNOWN):
                continue
            where = f"rules.{key}[{i}].rule"
            if rule.startswith(_CANARY):
                return f"{where}: canaries cannot be tuned: whoever sends one has read a decoy"
            close = difflib.get_close_matches(rule, known, n=1)
            hint = f"; did you mean `{close[0]}`?" if close else ""
            return f"{where}: there is no rule {rule!r}{hint}"
    return ""


def _homes(rules: Iterable[Rule], policy: Policy) -> dict[str, tuple[_Homes, ...]]:
    """Homes by rule id: the rules' own, and those that the operator adds."""
    added: dict[str, list[str]] = {}
    for entry in policy.rules.homes:
        added.setdefault(entry.rule, []).append(entry.host)
    named: dict[str, list[_Homes]] = {}
    for home in policy.secrets.homes:
        hosts = HostSet((home.host,), home.name)
        # The operator knows how the host is reached: a service under `tcp` may be without TLS.
        schemes = frozenset(("https", "tls", "tcp"))
        places = frozenset(home.places)
        named.setdefault(KNOWN + home.name, []).append(_Homes(hosts, places, schemes))
    found: dict[str, tuple[_Homes, ...]] = {}
    for rule in rules:
        homes = [_home_of(home, rule.id) for home in rule.home]
        if rule.id in added:
            own = frozenset(place for home in rule.home for place in home.places)
            places = own or frozenset(("header:authorization",))
            homes.append(_Homes(HostSet(added[rule.id], rule.id), places))
        homes += named.get(rule.id, ())
        if homes:
            found[rule.id] = tuple(homes)
    return found


@functools.lru_cache(maxsize=4096)
def _home_of(home: Home, rule: str) -> _Homes:
    """Compile a home; nothing changes it, so all judges of a process share it."""
    hosts = HostSet(home.hosts, rule)
    if home.places == ("stream",):
        # The password of a database or mail server that the policy opens under `tcp`.
        return _Homes(hosts, frozenset(("body",)), frozenset(("tls", "tcp")))
    return _Homes(hosts, frozenset(home.places))


def _by_rule(entries: Iterable[RuleAt]) -> dict[str, list[_At]]:
    found: dict[str, list[_At]] = {}
    for entry in entries:
        hosts = HostSet((entry.host,), entry.rule) if entry.host else None
        found.setdefault(entry.rule, []).append(_At(hosts, entry.path, entry.digest))
    return found


def _fits(tuning: dict[str, list[_At]], rule: str, digest: str, target: Target) -> bool:
    if not tuning:
        return False
    return any(
        (not at.digest or at.digest == digest)
        and (at.hosts is None or at.hosts.find(target.host, target.port) is not None)
        and (not at.path or _below(target.path, at.path))
        for key in (rule, "*")
        for at in tuning.get(key, ())
        if key != "*" or at.digest
    )


def _below(target: str, prefix: str) -> bool:
    path = plain_path(target)
    return path is not None and under(path, prefix)
