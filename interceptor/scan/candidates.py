"""From what was collected to known secrets: which values are guarded, and where they are at home.

`interceptor.cli.known_secrets` collects candidates as the agent's user; the worker, which has the
scanner, decides about them here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from interceptor.policy.schema import Secrets
from interceptor.scan.collected import Candidate, Collected, Guarded
from interceptor.scan.ruleset import Home, KnownSecret, Rule
from interceptor.scan.vendors import HEADERS, HOSTS, IN_URL
from interceptor.scan.worth import worth
from interceptor.verdict import Severity

if TYPE_CHECKING:
    from interceptor.scan.engine import Scanner

MOST: Final = 200
"""Most values that are guarded; the matcher is made anew at every start."""

_UNTOLD: Final = frozenset(("empty", "boolean", "path", "URL without a password", "address"))
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
_GENERIC: Final = frozenset(
    b"next vite react app public my prod production dev development staging test ci tf var input "
    b"default export repo actions agent".decode().split()
)
_VENDORS: Final = {
    "gh": "github",
    "gl": "gitlab",
    "hf": "huggingface",
    "claude": "anthropic",
    "gemini": "gcp",
    "google": "gcp",
    "cf": "cloudflare",
    "confluence": "atlassian",
    "copilot": "github",
    "dd": "datadog",
    "do": "digitalocean",
    "jira": "atlassian",
    "langchain": "langsmith",
    "qwen": "dashscope",
    "twine": "pypi",
}
"""Words of variables that are not those of rule ids."""
_PLATFORMS: Final = frozenset(
    b"azure aws gcp google alibaba tencent oracle ibm cloudflare vercel netlify heroku render "
    b"fly supabase firebase digitalocean".decode().split()
)
"""Vendors that run everybody's programs below hosts of theirs: by its name alone, no key is at home
at every host of such a domain."""
_NEVER_SENT: Final = frozenset(("AWS_SECRET_ACCESS_KEY", "aws_secret_access_key"))
"""Keys that sign and never leave, not even to their vendor."""


def known_secrets(
    collected: Collected, scanner: Scanner, policy: Secrets
) -> tuple[list[KnownSecret], Guarded]:
    """Decide which candidates become known secrets.

    Args:
        collected: what was found.
        scanner: tells what the rules know; without known secrets.
        policy: names to ignore, and homes.
    """
    values: dict[bytes, _Entry] = {}
    unguarded: dict[str, str] = dict(collected.skipped)
    for candidate in collected.candidates:
        if not candidate.canary and ignored(candidate.name, policy.ignore):
            continue
        for value, homes, why in _values(candidate, scanner):
            if why:
                if why not in _UNTOLD:
                    unguarded.setdefault(candidate.name, why)
            elif value not in values and len(values) >= MOST and not candidate.canary:
                unguarded.setdefault(candidate.name, f"more than {MOST}")
            else:
                values.setdefault(value, _Entry()).add(candidate, homes, policy)
    entries = values.items()
    known = [entry.secret(value) for value, entry in entries]
    usual = [entry for entry in values.values() if not entry.canary]
    names = tuple(dict.fromkeys(name for entry in usual for name in entry.names))
    told = set(names)
    return known, Guarded(
        names,
        tuple(entry.names[0] for entry in usual if not entry.homes),
        tuple(entry.names[0] for entry in values.values() if entry.canary),
        tuple((name, why) for name, why in unguarded.items() if name not in told),
    )


def ignored(name: str, ignore: Iterable[str]) -> bool:
    """Say whether the policy leaves out this name, or the whole file it was found in."""
    return name in ignore or name.rpartition(":")[0] in ignore


class _Entry:
    """One value, under all its names."""

    __slots__ = ("canary", "homes", "names")

    def __init__(self) -> None:
        self.names: list[str] = []
        self.homes: dict[Home, None] = {}
        self.canary = False

    def add(self, candidate: Candidate, homes: Iterable[Home], policy: Secrets) -> None:
        self.names.append(candidate.name)
        self.canary = self.canary or candidate.canary
        self.homes.update(dict.fromkeys((*candidate.homes, *homes)))
        for entry in policy.homes:
            if entry.name == candidate.name:
                self.homes[Home((entry.host,), entry.places)] = None

    def secret(self, value: bytes) -> KnownSecret:
        name = self.names[0]
        if self.canary:
            return KnownSecret(
                f"canary:{name}", f"canary {name}", value, Severity.CRITICAL, canary=True
            )
        homes = tuple(self.homes)
        return KnownSecret(f"known:{name}", f"the agent's {name}", value, Severity.CRITICAL, homes)


def _values(candidate: Candidate, scanner: Scanner) -> list[tuple[bytes, tuple[Home, ...], str]]:
    """Return what is secret in a candidate: the value, where it is at home, or why not guarded."""
    value = candidate.value
    if candidate.canary:
        return [(value, (), "")]
    found = [
        (scanner.rules[finding.rule], value[finding.start : finding.end])
        for finding in scanner.scan(value, "head").findings
        if not finding.encoding
    ]
    if not candidate.sure:
        return [
            (secret, rule.home, worth(secret) if rule.kind == "contextual" else "")
            for rule, secret in found
            if b"\n" not in secret
        ]
    homes = tuple(home for rule, _ in found for home in rule.home)
    sure = any(rule.kind == "prefixed" and 2 * len(part) > len(value) for rule, part in found)
    why = "" if sure else worth(value, candidate.name)
    return [(value, homes + _by_name(candidate.name, scanner.rules), why)]


def _by_name(name: str, rules: Iterable[Rule]) -> tuple[Home, ...]:
    """Return homes of the vendor that a name begins with: OPENAI_API_KEY, github_token.

    Of rules headers only: what a vendor takes in a URL or body is for the very format that the rule
    knows.
    """
    name = name.rpartition(":")[2]
    if name in _NEVER_SENT:
        return ()
    words = [word.lower() for word in _WORD.split(name) if word]
    while words and words[0] in _GENERIC:
        del words[0]
    vendors = sorted({_VENDORS.get(word, word) for word in (*words[:1], "".join(words[:2]))})
    homes: dict[Home, None] = {}
    for word in vendors:
        if word in HOSTS:
            homes[Home(HOSTS[word], HEADERS)] = None
        if word in IN_URL:
            homes[Home(IN_URL[word], ("url",))] = None
    for rule in rules:
        first, _, rest = rule.id.partition("-")
        if first not in vendors:
            continue
        # AZURE_OPENAI_KEY is none of Azure's other keys.
        exact = len(words) > 1 and rest.partition("-")[0] == words[1]
        for home in rule.home:
            headers = tuple(place for place in home.places if place.startswith("header:"))
            hosts = tuple(
                host
                for host in home.hosts
                if exact or first not in _PLATFORMS or not host.startswith("*.")
            )
            if headers and hosts:
                homes[Home(hosts, headers)] = None
    return tuple(homes)
