"""Judging where something goes: names, hosts and ports, and the addresses behind them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Final

from interceptor.decide.addresses import Exceptions, HostNetwork
from interceptor.decide.encrypted_dns import EncryptedDns
from interceptor.decide.hosts import HostSet
from interceptor.decide.literals import host_literal, looks_numeric
from interceptor.decide.name_memory import NameMemory
from interceptor.decide.name_rules import IN_TIME, NameRules
from interceptor.decide.resolution import Resolution
from interceptor.decide.services import Endpoint, NamedServices, Services
from interceptor.decide.verdicts import ALLOWED, Verdicts
from interceptor.model import Target
from interceptor.policy.schema import Policy, TcpService
from interceptor.scan.engine import Scanner
from interceptor.scan.names import fault, scan_name
from interceptor.verdict import Action, Reason, Verdict

_EPOCHS: Final = itertools.count(1)


class PlaceJudge(Verdicts):
    """Judges places.

    Attributes:
        names: what the agent has named; who judges for several agents sets each one's.
        epoch: number of the judgement: another one for each judge and each scanner. What was
            dialled under one is not used under another.
    """

    def __init__(self, policy: Policy, scanner: Scanner, digest_key: bytes) -> None:
        """Begin; see `Verdicts`."""
        super().__init__(policy, scanner, digest_key)
        self._allow = HostSet(policy.hosts.allow, "hosts.allow")
        self._deny = HostSet(policy.hosts.deny, "hosts.deny")
        self._ports = frozenset(policy.ports)
        self._services = Services(policy.tcp)
        self._named = NamedServices(policy.services)
        self.epoch = next(_EPOCHS)
        self._exceptions = Exceptions(policy.addresses.allow)
        self._resolution = Resolution(
            classify=lambda address: self._exceptions.classify(address),
            deny=self._deny,
            named=self._named,
            name=self._said,
            refuse=self.refuse,
        )
        self.encrypted_dns = EncryptedDns(policy.hosts.allow, self.refuse)
        self._name_rules = NameRules(policy.hosts.allow, self.refuse)
        self._now = 0.0
        self.names = NameMemory()

    def tick(self, now: float) -> None:
        """Take the time, in seconds that only grow: what was sent long ago is forgotten by it."""
        self._now = now

    @property
    def now(self) -> float:
        """The time it was told last."""
        return self._now

    def _anew(self) -> None:
        """What was judged so far does not settle anything any more."""
        self.epoch = next(_EPOCHS)
        self.names.unsettle()

    def on_host(self, networks: Iterable[HostNetwork]) -> None:
        """Take the addresses and networks of the machine that dials: none of them is public.

        Raises:
            ValueError: one is malformed; those known before stay in force.
        """
        self._exceptions = Exceptions(self.policy.addresses.allow, networks)
        self._anew()

    def name(self, name: str) -> Verdict:
        """Judge a host name wherever it is seen: its shape, and secrets in its labels.

        Host policy is not asked here, so that a denied name still resolves and the refusal can
        explain itself. Give the name in the case it was seen in: base64 lives in it.
        """
        known = self.names.settled.get(name)
        return self._name(name) if known is None else known

    def connection(self, target: Target) -> Verdict:
        """Judge host and port, before a byte is read or TLS is answered."""
        key = (target.host, target.port)
        known = self.names.connections.get(key)
        if known is None:
            known = self._connection(target)
            if known.reason not in IN_TIME:
                self.names.settle_connection(key, known)
        return known

    def service(self, target: Target) -> TcpService | None:
        """Return the entry of `tcp` that opens host and port, if there is one."""
        return self._services.find(target.host, target.port)

    def endpoint(self, target: Target) -> Endpoint | None:
        """Return where the entry of `services` is that has the target's name and port, or None."""
        return self._named.find(target.host, target.port)

    def stream(self, target: Target) -> Verdict:
        """Judge a connection to a service that `tcp` opens; `connection` knows no such ports."""
        return self._place(target.host, target.port, opened=True)

    def addresses(
        self, target: Target, addresses: Sequence[str], canonical: str = ""
    ) -> tuple[Verdict, tuple[str, ...]]:
        """Judge what a name resolved to; one bad address refuses the set.

        Args:
            target: whose host it was.
            addresses: all of them.
            canonical: last name of the alias chain, lower case; empty if there was no alias.

        Returns the verdict and the canonical literals to dial, none unless allowed.
        """
        refused, literals = self._resolution.judge(target, addresses, canonical)
        return (ALLOWED, literals) if refused is None else (refused, ())

    def _name(self, name: str) -> Verdict:
        """Judge a name that is not settled: by itself, then with what its agent named before."""
        names = self.names
        held = names.held(name, self._now)
        if held is not None:
            return held
        bare = name.removesuffix(".")
        misshapen = self._misshapen(bare)
        if misshapen is not None:
            return names.settle(name, misshapen)
        folded = bare.lower()
        domain = self._name_rules.domain(folded)
        verdict = self._whole(bare, folded, domain)
        if verdict.action is not Action.ALLOW or self._name_rules.exempt(folded):
            return names.settle(name, verdict)
        found, refused = self._name_rules.over(
            bare, domain, names, self._scanner, self._key, self._now
        )
        if found:
            weighed = self._weigher.weigh([("name", raw) for raw in found], _in_dns(folded))
            refused = self._weighed(weighed, verdict.findings, Reason.SECRET_IN_NAME)
        elif refused is None:
            return names.settle(name, verdict)
        elif self._record_only:
            refused = self._only_noted(refused, verdict.findings)
        return names.hold(name, refused, self._now)

    def _said(self, name: str) -> Verdict:
        """Judge a name that the agent did not choose: its shape, and secrets in its labels."""
        bare = name.removesuffix(".")
        folded = bare.lower()
        return self._misshapen(bare) or self._whole(bare, folded, self._name_rules.domain(folded))

    def _misshapen(self, bare: str) -> Verdict | None:
        wrong = fault(bare)
        if wrong:
            return self.refuse(Reason.NAME_INVALID, wrong)
        if looks_numeric(bare):
            literal = host_literal(bare)
            if literal is not None:
                return self._disguised(literal)
            return self.refuse(Reason.NAME_INVALID, "the name ends in a number")
        return None

    def _whole(self, bare: str, folded: str, domain: str) -> Verdict:
        """Judge the secrets that a name holds by itself."""
        raw = scan_name(self._scanner, bare, self._key, domain)
        if not raw:
            return ALLOWED
        weighed = self._weigher.weigh([("name", finding) for finding in raw], _in_dns(folded))
        return self._weighed(weighed, (), Reason.SECRET_IN_NAME)

    def _disguised(self, literal: str) -> Verdict:
        """Refuse a name that clients take for this address: for where it leads, or for its form."""
        found = self._exceptions.classify(literal)
        detail = f"the host stands for {literal}"
        if found.reason is None:
            return self.refuse(Reason.NAME_INVALID, detail)
        return self.refuse(found.reason, f"{detail}: {found.what}", "addresses")

    def _connection(self, target: Target) -> Verdict:
        # Any protocol: that is HTTP, too. Another one opens nothing for HTTP.
        service = self._services.find(target.host, target.port)
        opened = service is not None and service.protocol == "any"
        return self._place(target.host, target.port, opened=opened)

    def _place(self, host: str, port: int, *, opened: bool) -> Verdict:
        """Judge host and port; `opened` by name, as an entry of `hosts.allow` with a port does."""
        literal = host_literal(host)
        allowed = self._allow.find(host, port)
        verdict = ALLOWED
        if literal is not None:
            if literal != host:
                return self._disguised(literal)
            found = self._exceptions.classify(literal)
            if found.reason is not None:
                return self.refuse(found.reason, f"{literal}: {found.what}", "addresses")
        else:
            verdict = self.name(host)
            if verdict.action is not Action.ALLOW:
                return verdict
            cloud = None if host in self._named else self._exceptions.name(host)
            if cloud is not None:
                reason = cloud.reason or Reason.ADDRESS_METADATA
                return self.refuse(reason, f"{host}: {cloud.what}", "addresses")
        denied = self._deny.find(host, port)
        if denied is not None:
            return self.refuse(Reason.HOST_DENIED, f"{host} is denied", denied[0])
        if not opened:
            bypass = self.encrypted_dns.host(host, port)
            if bypass is not None:
                return bypass
        if host in self._named:
            return self._named_service(host, port, verdict, opened=opened)
        if opened:
            return verdict
        if allowed is None:
            if literal is not None and self.policy.hosts.literals == "deny":
                detail = f"{host} was dialled without a name"
                return self.refuse(Reason.NO_NAME, detail, "hosts.literals")
            if self.policy.hosts.others == "deny":
                detail = f"{host} is not among the allowed hosts"
                return self.refuse(Reason.HOST_NOT_ALLOWED, detail, "hosts.others")
        if port not in self._ports and not (allowed is not None and allowed[1]):
            return self.refuse(Reason.PORT_NOT_ALLOWED, f"port {port} is not open", "ports")
        return verdict

    def _named_service(self, host: str, port: int, verdict: Verdict, *, opened: bool) -> Verdict:
        """Judge a port of a named service: those that are written, and nothing beside them.

        Where `tcp` says that another protocol is spoken there, HTTP is not.
        """
        other = self._services.find(host, port)
        if self._named.find(host, port) is not None and (opened or other is None):
            return verdict
        detail = f"{host} is a named service, and port {port} is not among its ports"
        if other is not None:
            detail = f"{host} speaks {other.protocol} at port {port}"
        return self.refuse(Reason.PORT_NOT_ALLOWED, detail, "services")


def _in_dns(folded: str) -> Target:
    return Target("dns", folded, 53)
