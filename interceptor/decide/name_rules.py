"""Names in time: what one may say, given what its agent has named before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from interceptor.decide.hosts import HostSet
from interceptor.decide.name_memory import SPELT, NameMemory
from interceptor.decide.suffixes import public_suffixes
from interceptor.policy.patterns import parse_pattern
from interceptor.scan.engine import RawFinding, Scanner
from interceptor.verdict import Reason, Verdict

RULE: Final = "names"
"""What decided, in verdicts: the budget of a domain."""
IN_TIME: Final = frozenset((Reason.DNS_TUNNEL, Reason.SPLIT_SECRET))
"""Reasons for verdicts on names that time may change."""

_OWN: Final = tuple(
    # Synthetic, private, loopback and link-local addresses, whose names nobody outside answers for.
    f".{zone}.arpa"
    for zone in (
        *("18.198.in-addr", "19.198.in-addr", "10.in-addr", "127.in-addr", "168.192.in-addr"),
        *("254.169.in-addr", "d.f.ip6", "c.f.ip6", "8.e.f.ip6"),
    )
)
"""Ends of names of addresses that belong to no public zone."""


class NameRules:
    """Judges names in time.

    Args:
        allow: `hosts.allow` of the policy: what is named there is no tunnel. `*` names nothing, nor
            does a pattern for all names below a public suffix.
        refuse: makes refusals.

    Raises:
        ValueError: a pattern is malformed.
    """

    def __init__(self, allow: Sequence[str], refuse: Callable[[Reason, str, str], Verdict]) -> None:
        patterns = [parse_pattern(text) for text in allow]
        named = [
            f"*.{p.host}" if p.subdomains else p.host
            for p in patterns
            if p.host and ":" not in p.host and not (p.subdomains and _is_suffix(p.host))
        ]
        self._allow = HostSet(named, "hosts.allow")
        self._refuse = refuse

    def domain(self, folded: str) -> str:
        """Return the registrable domain of a lower-case name without trailing dot."""
        return public_suffixes().registrable(folded)

    def exempt(self, folded: str) -> bool:
        """Say whether policy names a host, or nobody outside is asked for it."""
        if self._allow and self._allow.find(folded, 0) is not None:
            return True
        return folded.endswith(_OWN)

    def over(
        self, name: str, domain: str, memory: NameMemory, scanner: Scanner, key: bytes, now: float
    ) -> tuple[list[RawFinding], Verdict | None]:
        """Judge a new name with those before it; what is allowed is remembered.

        Args:
            name: in the case it was seen in, without fault or trailing dot.
            domain: its registrable domain.
            memory: what its agent has named.
            scanner: for this thread alone.
            key: key of the digests.
            now: a time in seconds that never goes back.

        Returns:
            Secrets that it completes, and a refusal if it says too much; neither: it passes.
        """
        folded = name.lower()
        if name != folded:
            spelt = memory.cased(name, domain)
            if spelt:
                found = list(scanner.scan(spelt, "name", key).findings)
                if found:
                    return found, None
                if len(spelt) > 2 * SPELT:
                    detail = f"the case of letters below {domain} spells a text"
                    return [], self._refuse(Reason.DNS_TUNNEL, detail, RULE)
        if len(folded) <= len(domain) or memory.met(folded):
            return [], None
        found = memory.across(name, domain, scanner, key, now)
        if found:
            return found, None
        if not memory.take(folded, domain, now):
            detail = f"names below {domain} say more than names do"
            return [], self._refuse(Reason.DNS_TUNNEL, detail, RULE)
        memory.keep(name, domain, now)
        return [], None


def _is_suffix(host: str) -> bool:
    """Say whether everything below a host is somebody else's."""
    suffixes = public_suffixes()
    return suffixes.registrable(f"any.{host}") != suffixes.registrable(host)
