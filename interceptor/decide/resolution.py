"""Judging what a name resolved to: every address, and the name it is an alias of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from interceptor.decide.addresses import AddressClass
from interceptor.decide.hosts import HostSet
from interceptor.decide.known_names import known_addresses
from interceptor.decide.services import NamedServices
from interceptor.model import Target
from interceptor.verdict import Reason, Verdict

Refuse = Callable[[Reason, str, str], Verdict]


class Resolution:
    """Looks for what speaks against an answer. It allows nothing: `Judge.addresses` does."""

    def __init__(
        self,
        *,
        classify: Callable[[str], AddressClass],
        deny: HostSet,
        named: NamedServices,
        name: Callable[[str], Verdict],
        refuse: Refuse,
    ) -> None:
        """Judge by these.

        Args:
            classify: says what an address is, named exceptions taken out.
            deny: `hosts.deny`.
            named: `services`.
            name: judges a name wherever it is seen.
            refuse: makes the refusal.
        """
        self._classify = classify
        self._deny = deny
        self._named = named
        self._name = name
        self._refuse = refuse

    def judge(
        self, target: Target, addresses: Sequence[str], canonical: str
    ) -> tuple[Verdict | None, tuple[str, ...]]:
        """Return the refusal, or None and the canonical literals to dial."""
        if not addresses:
            return self._refuse(Reason.RESOLVE_FAILED, f"{target.host} has no address", ""), ()
        endpoint = self._named.find(target.host, target.port)
        if endpoint is not None and [*addresses] == [endpoint.address]:
            return None, (endpoint.address,)
        if canonical and canonical != target.host:
            refused = self._alias(target, canonical)
            if refused is not None:
                return refused, ()
        literals: dict[str, None] = {}
        for address in addresses:
            found = self._classify(address)
            if found.reason is not None:
                said = "" if target.host == found.text else f"{target.host} resolves to "
                detail = f"{said}{found.text}: {found.what}"
                return self._refuse(found.reason, detail, "addresses"), ()
            literals[found.text] = None
        return None, tuple(literals)

    def _alias(self, target: Target, canonical: str) -> Verdict | None:
        """Judge the name that a host is an alias of, as if it had been asked for.

        Of policy only `hosts.deny` counts: who allows a host allows the network that serves it.
        """
        verdict = self._name(canonical)
        if not verdict.allowed:
            detail = f"{target.host} is an alias: {verdict.detail}"
            return msgspec.structs.replace(verdict, detail=detail)
        denied = self._deny.find(canonical, target.port)
        if denied is not None:
            detail = f"{target.host} is an alias of {canonical}, which is denied"
            return self._refuse(Reason.HOST_DENIED, detail, denied[0])
        for address in known_addresses(canonical):
            found = self._classify(address)
            if found.reason is not None:
                detail = f"{target.host} is an alias of {canonical}: {found.what}"
                return self._refuse(found.reason, detail, "addresses")
        return None
