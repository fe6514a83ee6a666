"""Names that policy speaks of: which may be looked up at all, and which the operator has opened.

A name is payload, so nobody outside is asked for one that no connection could be made to; and the
records of a name (SRV, MX, TXT), in which anything may stand, are fetched for names alone that an
operator has written down.
"""

from __future__ import annotations

import re
from typing import Final

from interceptor.decide.hosts import HostSet
from interceptor.decide.services import NamedServices
from interceptor.policy.patterns import parse_pattern
from interceptor.policy.schema import Policy

# RFC 6335 section 5.1 (services), RFC 8552 (other underscored names): `_imaps._tcp`, `_dmarc`.
_SERVICE: Final = re.compile(r"(?:_[a-z0-9-]{1,15}\.){1,2}(?!_)")


class Openings:
    """What policy says of names, whatever the port.

    Raises:
        ValueError: a pattern is malformed (the policy loader has checked them before).
    """

    def __init__(self, policy: Policy) -> None:
        self._any = policy.hosts.others == "allow"
        self._services = NamedServices(policy.services)
        self.verifies = policy.dns.mode == "verify"
        """Whether names in general are resolved before they get an address."""
        self._fetches = policy.dns.records == "opened"
        allow = [_without_port(text) for text in policy.hosts.allow]
        opened = [text for text in allow if text != "*"]
        opened += [entry.host for entry in policy.tcp if _without_port(entry.host) != "*"]
        whole = [text for text in policy.hosts.deny if parse_pattern(text).port is None]
        self._allow = HostSet(allow, "hosts.allow")
        self._opened = HostSet([_without_port(text) for text in opened], "hosts.allow")
        self._tcp = HostSet([_without_port(entry.host) for entry in policy.tcp], "tcp")
        self._deny = HostSet(whole, "hosts.deny")

    def reachable(self, name: str) -> bool:
        """Say whether policy lets `name` (lower case, no trailing dot) be reached on some port."""
        if self._deny and self._deny.find(name, 0) is not None:
            return False
        return (
            self._any
            or self._allow.find(name, 0) is not None
            or self._tcp.find(name, 0) is not None
        )

    def looked_up(self, name: str) -> bool:
        """Say whether `name` is to be resolved before it gets an address.

        A named service needs no resolver, and what no connection can be made to is refused by us.
        """
        return self.verifies and name not in self._services and self.reachable(name)

    def opened(self, name: str) -> bool:
        """Say whether the operator has written `name`, or a `*.` above it, and nothing denies it.

        `*` alone opens hosts without naming any.
        """
        return (
            bool(self._opened) and self._opened.find(name, 0) is not None and self.reachable(name)
        )

    def fetched(self, name: str) -> bool:
        """Say whether the records of `name` are fetched: an opened name, or a service of one."""
        if not (self._fetches and self._opened):
            return False
        service = _SERVICE.match(name)
        return self.opened(name if service is None else name[service.end() :])


def _without_port(text: str) -> str:
    pattern = parse_pattern(text)
    if not pattern.host:
        return "*"
    host = f"[{pattern.host}]" if ":" in pattern.host else pattern.host
    return f"*.{host}" if pattern.subdomains else host
