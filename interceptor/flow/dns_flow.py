"""Every DNS query of a jail, answered here: nothing is ever forwarded.

| asked for | answered |
|---|---|
| A, AAAA of a host name | its synthetic address, also when policy will refuse the host, and also |
| | when there is no such host (`db`, `proxy.invalid`): the refusal explains itself, and an agent |
| | whose proxy variables name nonsense still works, as we are that proxy |
| other types of it (HTTPS, SVCB, TXT, MX, SRV, ANY ...) | NODATA: no ECH keys, no h3 hints |
| a name that carries a secret, or is no host name | NXDOMAIN with extended error "Blocked" |
| `localhost`, `*.localhost` (RFC 6761) | 127.0.0.1, ::1 |
| PTR of a leased address, of 127.0.0.1 and ::1 | its name |
| other names below in-addr.arpa and ip6.arpa | NXDOMAIN |
| the root and the rest of `.arpa` (resolver.arpa, ipv4only.arpa) | NODATA |
| `wpad` | NXDOMAIN: nobody configures the agent's proxies by its name |
| `.local`, `.onion`, `home.arpa` (RFC 6762, 7686, 8375) | NXDOMAIN |
| canary domains of browsers | NXDOMAIN: leave DNS to the system |
| zone transfers, UPDATE, NOTIFY, classes other than IN | REFUSED |
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final, Protocol

from interceptor.flow.names import LeaseError, Leases, packed
from interceptor.flow.steps import Record
from interceptor.model import Kind, Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire import dns

CANARIES: Final = frozenset({"use-application-dns.net", "mask.icloud.com", "mask-h2.icloud.com"})
"""Names whose absence tells Firefox and Apple's relay not to bypass the system's resolver."""

WINDOW: Final = 60.0
"""Seconds in which an allowed name and type is recorded once."""

_REMEMBERED: Final = 4_096  # recorded questions kept; the oldest is forgotten and recorded again
_ABSENT: Final = ("local", "onion")
_HOST = re.compile(
    r"(?=.{1,253}\Z)(?!(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\Z)"
    r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
    r"(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*",
)


class NameJudge(Protocol):
    """The part of `interceptor.decide.judge.Judge` that names need."""

    def name(self, name: str) -> Verdict:
        """Judge a name seen in DNS."""


class DnsFlow:
    """Queries in, answers and records out. One object a jail; no state but leases and a window."""

    def __init__(self, judge: NameJudge, leases: Leases, jail: str) -> None:
        self.jail = jail
        self._judge = judge
        self._leases = leases
        self._recorded: OrderedDict[tuple[str, int], float] = OrderedDict()

    def query(
        self, data: bytes, over: dns.Transport, resolver: tuple[str, int], now: float
    ) -> tuple[bytes | None, list[Record]]:
        """Answer one message: (reply or None for silence, records to write before it is sent).

        `resolver` is the address that was asked, `now` in seconds of the caller's clock. Never
        raises: what goes wrong here is answered with SERVFAIL.
        """
        try:
            query = dns.parse(data)
        except dns.QueryError as error:
            refused = Verdict(reason=error.reason, detail=str(error))
            return error.reply, [_record(refused, resolver[0], "")]
        try:
            reply, verdict = self._answer(query, now)
            return dns.fitted(reply, query, over), self._records(query, verdict, now)
        except Exception as error:  # noqa: BLE001 - a defect must not resolve a name
            broken = Verdict(reason=Reason.INTERNAL_ERROR, detail=type(error).__name__)
            reply = dns.message(query, rcode=dns.SERVFAIL)
            return reply, [_record(broken, query.name, query.type_name)]

    def _records(self, query: dns.Query, verdict: Verdict | None, now: float) -> list[Record]:
        """Every BLOCK; an allowed name and type once in a window."""
        if verdict is None:
            return []
        if verdict.allowed:
            key = (query.name, query.qtype)
            if now - self._recorded.get(key, float("-inf")) < WINDOW:
                return []
            self._recorded[key] = now
            self._recorded.move_to_end(key)
            if len(self._recorded) > _REMEMBERED:
                self._recorded.popitem(last=False)
        return [_record(verdict, query.name, query.type_name)]

    def _answer(self, query: dns.Query, now: float) -> tuple[bytes, Verdict | None]:
        """Reply and verdict; no verdict for the root, which names nothing."""
        name = query.name
        if not name:
            if query.qtype == dns.SOA:
                return dns.authority(query), None
            return dns.negative(query, dns.NOERROR), None
        verdict = self._judge.name(query.asked or name)
        if not verdict.allowed:
            return _blocked(query, verdict), verdict
        _, _, top = name.rpartition(".")
        if top == "arpa":
            return self._infrastructure(query, now), verdict
        if top == "localhost":
            return _localhost(query), verdict
        if top in _ABSENT or name in CANARIES:
            return dns.negative(query, dns.NXDOMAIN), verdict
        if query.qtype not in {dns.A, dns.AAAA}:
            return dns.negative(query, dns.NOERROR), verdict
        if not _HOST.fullmatch(name):
            refused = Verdict(reason=Reason.NAME_INVALID, detail="not a host name")
            return _blocked(query, refused), refused
        if name == "wpad":
            return dns.negative(query, dns.NXDOMAIN), verdict
        try:
            offset = self._leases.offset(name, now)
        except LeaseError as error:
            refused = Verdict(reason=Reason.LIMIT_EXCEEDED, detail=str(error))
            return dns.message(query, rcode=dns.SERVFAIL), refused
        return dns.address(query, packed(offset)[query.qtype == dns.AAAA]), verdict

    def _infrastructure(self, query: dns.Query, now: float) -> bytes:
        """Names below `arpa`: reverse look-ups, and what clients probe their network with."""
        labels = query.name.split(".")
        if labels[-2:] == ["home", "arpa"]:
            return dns.negative(query, dns.NXDOMAIN)
        if labels[-2:] not in (["in-addr", "arpa"], ["ip6", "arpa"]):
            return dns.negative(query, dns.NOERROR)
        found = reverse_address(labels)
        if found is None:
            return dns.negative(query, dns.NXDOMAIN)
        if not found:
            return dns.negative(query, dns.NOERROR)
        if found in (b"\x7f\0\0\x01", bytes(15) + b"\x01"):
            name = "localhost"
        else:
            name = self._leases.name_of_packed(found, now)
        if not name:
            return dns.negative(query, dns.NXDOMAIN)
        return dns.pointer(query, name) if query.qtype == dns.PTR else dns.negative(query, 0)


def reverse_address(labels: list[str]) -> bytes | None:
    """The address that the labels of a name below in-addr.arpa or ip6.arpa spell (RFC 3596, 2.5).

    Empty for a name above an address (a zone cut), None for one that spells nothing.
    """
    digits = labels[-3::-1]
    if labels[-2] == "ip6":
        if len(digits) > 32 or any(len(d) != 1 or d not in "0123456789abcdef" for d in digits):
            return None
        return bytes.fromhex("".join(digits)) if len(digits) == 32 else b""
    octets = [int(d) if d.isdecimal() and d.isascii() and len(d) <= 3 else 256 for d in digits]
    if len(octets) > 4 or any(octet > 255 for octet in octets):
        return None
    return bytes(octets) if len(octets) == 4 else b""


def _localhost(query: dns.Query) -> bytes:
    if query.qtype == dns.A:
        return dns.address(query, b"\x7f\0\0\x01")
    if query.qtype == dns.AAAA:
        return dns.address(query, bytes(15) + b"\x01")
    return dns.negative(query, dns.NOERROR)


def _blocked(query: dns.Query, verdict: Verdict) -> bytes:
    """No such name, and why, for those who can read it."""
    return dns.negative(query, dns.NXDOMAIN, error=(dns.BLOCKED, verdict.reason.value))


def _record(verdict: Verdict, host: str, method: str) -> Record:
    target = Target(scheme="dns", host=host, port=53, method=method)
    return Record(verdict=verdict, target=target, kind=Kind.DNS_QUERY.value)
