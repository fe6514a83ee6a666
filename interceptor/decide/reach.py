"""Whether a host may be reached at all: its name, policy, address, without asking anybody."""

from __future__ import annotations

from typing import Final

import msgspec

from interceptor.decide.judge import Judge
from interceptor.decide.known_names import known_addresses
from interceptor.decide.urls import Host, read_host
from interceptor.model import Target
from interceptor.verdict import Finding, Reason, Verdict
from interceptor.wire.authority import Authority, default_port

NEUTRAL_HOST: Final = "host.example"
"""Stands for the host of an item that names none (RFC 2606): nothing is at home there."""
_TARGETS: Final = 1024
"""Hosts of items that are remembered."""


class Reach:
    """Judges hosts.

    Attributes:
        last: the target that was asked about last.
        port: of a host that is written without one.
    """

    def __init__(self, judge: Judge) -> None:
        """Judge by what `judge` says."""
        self._judge = judge
        ports = judge.policy.ports
        self.last = Target("https", NEUTRAL_HOST, 443)
        self.port = 443 if 443 in ports else (*ports, 443)[0]
        self._targets: dict[str, tuple[Target, Verdict]] = {}

    def target_of(self, host: str) -> tuple[Target, Verdict]:
        """Return the target of content that goes to `host`, and whether that may be reached.

        Raises:
            HttpError: NAME_INVALID.
        """
        known = self._targets.get(host)
        if known is None:
            place = read_host((host or NEUTRAL_HOST).strip().encode())
            port = place.port or self.port
            target = Target(scheme_of(port), place.canonical, port, "POST", "/")
            known = target, self.judge(place, target)
            if len(self._targets) >= _TARGETS:
                self._targets.clear()
            self._targets[host] = known
        self.last = known[0]
        return known

    def judge(self, host: Host, target: Target) -> Verdict:
        """Judge a name, host and port, and the addresses that are known without asking."""
        judge = self._judge
        self.last = target
        named = judge.name(host.name) if host.name or not target.host else None
        if named is not None and not named.allowed:
            return named
        opened = target.scheme == "tcp" and judge.service(target) is not None
        verdict = judge.stream(target) if opened else judge.connection(target)
        if not verdict.allowed:
            return verdict
        if host.disguised:
            return judge.refuse(Reason.NAME_INVALID, f"the host stands for {target.host}")
        addresses = known_addresses(target.host)
        if addresses and judge.endpoint(target) is None:  # a named service has a place of its own
            judged, _ = judge.addresses(target, addresses)
            if not judged.allowed:
                return judged
        return verdict if named is None else both(judge, named, verdict)


def both(judge: Judge, first: Verdict, second: Verdict) -> Verdict:
    """Put two verdicts on one item together: the first that blocks decides."""
    if first.allowed and not first.findings:
        return second
    if second.allowed and not second.findings:
        return first
    findings = tuple(dict.fromkeys((*first.findings, *second.findings)))
    for verdict in (first, second):
        if not verdict.allowed:
            return msgspec.structs.replace(verdict, findings=findings)
    return judge.passed(findings)


def placed(verdict: Verdict, old: str, new: str) -> Verdict:
    """Say `new` where findings and the detail say `old`."""
    if not verdict.findings:
        return verdict

    def moved(finding: Finding) -> Finding:
        if finding.where != old and not finding.where.startswith(f"{old}:"):
            return finding
        return msgspec.structs.replace(finding, where=new + finding.where.removeprefix(old))

    detail = verdict.detail.replace(f" in {old}", f" in {new}")
    found = tuple(map(moved, verdict.findings))
    return msgspec.structs.replace(verdict, findings=found, detail=detail)


def differs(host: str, place: Host, scheme: str) -> bool:
    """Say whether `host` is another host or port than `place`, which the default port may be."""
    other = read_host(host.strip().encode())
    port = place.port or default_port(scheme)
    return (other.canonical, other.port or port) != (place.canonical, port)


def place_of(authority: Authority, scheme: str) -> tuple[str, int]:
    """Return host and port of an authority."""
    return authority.host, authority.port or default_port(scheme)


def scheme_of(port: int) -> str:
    """Return the scheme that is meant where only a port is known."""
    return "http" if port == 80 else "https"
