"""Every DNS query of a jail, answered here: nothing is ever forwarded.

| asked for | answered |
|---|---|
| a name that carries a secret, or is no host name | NXDOMAIN with extended error "Blocked" |
| A, AAAA, ANY of a host name | its synthetic address, also when policy will refuse the host, and |
| | when there is no such host (`db`, `proxy.invalid`): the refusal explains itself, and an agent |
| | whose proxy variables name nonsense still works, as we are that proxy |
| the same with `dns.mode: verify` | NXDOMAIN if the host's resolver has no address for it either |
| SRV, MX, TXT of a name that policy opens | what the host's resolver says, scanned |
| other types of a host name (HTTPS, SVCB, NS ...) | NODATA: no ECH keys, no h3 hints |
| `localhost`, `*.localhost` (RFC 6761) | 127.0.0.1, ::1 |
| PTR of a leased address, of 127.0.0.1 and ::1 | its name |
| other names below in-addr.arpa and ip6.arpa | NXDOMAIN |
| the root and the rest of `.arpa` (resolver.arpa, ipv4only.arpa) | NODATA |
| `.onion`, `.alt`, canary domains of browsers | NXDOMAIN |
| `.local`, `home.arpa`, `wpad` | NXDOMAIN, unless policy opens the name |
| zone transfers, UPDATE, NOTIFY, classes other than IN | REFUSED |

Nothing is asked of anybody before the record of its verdict: a `Fetch` stands beside it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from interceptor.decide.openings import Openings
from interceptor.flow import dns_names
from interceptor.flow.names import LeaseError, Leases, packed
from interceptor.flow.steps import Record
from interceptor.model import SELF_TEST_NAME, Kind, Target
from interceptor.policy.schema import Policy
from interceptor.verdict import Reason, Verdict
from interceptor.wire import dns, dns_answers
from interceptor.wire.dns_records import Found

WINDOW: Final = 60.0
"""Seconds in which an allowed name and type is recorded once."""

_REMEMBERED: Final = 4_096  # answers kept, and questions in each generation
_ADDRESSES: Final = frozenset((dns.A, dns.AAAA, dns.ANY))
_RECORDS: Final = frozenset((dns.SRV, dns.MX, dns.TXT))
_SYNTHETIC: Final = Openings(Policy())


class NameJudge(Protocol):
    """The part of `interceptor.decide.judge.Judge` that names need."""

    def name(self, name: str) -> Verdict:
        """Judge a name seen in DNS."""

    def records(self, name: str, texts: Sequence[bytes]) -> Verdict:
        """Judge what the records of a name say, before the agent reads them."""


class Fetch(msgspec.Struct, frozen=True, gc=False):
    """Look this up, then give `DnsFlow.fetched` what came of it. The query waits for that."""

    query: dns.Query
    over: dns.Transport
    name: str
    qtype: int
    """SRV, MX or TXT; A for whether the name has any address, of either family."""


class DnsFlow:
    """Queries in, answers and records out. One object a jail; all its state is bounded."""

    def __init__(
        self, judge: NameJudge, leases: Leases, jail: str, openings: Openings = _SYNTHETIC
    ) -> None:
        """Answer for `jail`; `openings` says which names are looked up."""
        self.jail = jail
        self._judge = judge
        self._leases = leases
        self._openings = openings
        # When a question was last recorded. Two generations, as that costs less than an order.
        self._recorded: dict[tuple[str, int], float] = {}
        self._recorded_before: dict[tuple[str, int], float] = {}
        # Until when an answer holds, and what was released; what is withheld is not kept.
        self._known: OrderedDict[tuple[str, int], tuple[float, Found]] = OrderedDict()

    def query(
        self, data: bytes, over: dns.Transport, resolver: tuple[str, int], now: float
    ) -> tuple[bytes | Fetch | None, list[Record]]:
        """Answer one message: (reply or None for silence, records to write before it is sent).

        A `Fetch` in place of the reply: it is still to be found, after the records were written.
        `resolver` is the address that was asked, `now` in seconds of the caller's clock. Never
        raises: what goes wrong here is answered with SERVFAIL.
        """
        try:
            query = dns.parse(data)
        except dns.QueryError as error:
            refused = Verdict(reason=error.reason, detail=str(error))
            return error.reply, [_record(refused, resolver[0], "")]
        try:
            reply, verdict = self._answer(query, over, now)
            if type(reply) is bytes:
                reply = dns_answers.fitted(reply, query, over)
            return reply, self._records(query, verdict, now)
        except Exception as error:  # noqa: BLE001 - a defect must not resolve a name
            return _broken(query, error)

    def fetched(self, fetch: Fetch, found: Found | None, now: float) -> tuple[bytes, list[Record]]:
        """Answer the query that waits for `fetch`; None: nobody has answered us.

        Never raises, as `query`.
        """
        try:
            reply, verdict = self._released(fetch, found, now)
            reply = dns_answers.fitted(reply, fetch.query, fetch.over)
            if verdict is None or (verdict.allowed and not verdict.findings):
                return reply, []
            return reply, [_record(verdict, fetch.query.name, fetch.query.type_name)]
        except Exception as error:  # noqa: BLE001 - a defect must not release anything
            return _broken(fetch.query, error)

    def _records(self, query: dns.Query, verdict: Verdict | None, now: float) -> list[Record]:
        """Every BLOCK; an allowed name and type once in a window."""
        if verdict is None:
            return []
        if verdict.allowed:
            key = (query.name, query.qtype)
            last = self._recorded.get(key)
            if last is None:
                last = self._recorded_before.get(key)
            if last is not None and now - last < WINDOW:
                return []
            if len(self._recorded) >= _REMEMBERED:
                self._recorded_before = self._recorded
                self._recorded = {}
            self._recorded[key] = now
        return [_record(verdict, query.name, query.type_name)]

    def _answer(
        self, query: dns.Query, over: dns.Transport, now: float
    ) -> tuple[bytes | Fetch, Verdict | None]:
        """Reply and verdict; no verdict for the root, which names nothing."""
        name = query.name
        if not name:
            if query.qtype == dns.SOA:
                return dns_answers.authority(query), None
            return dns_answers.negative(query, dns.NOERROR), None
        verdict = self._judge.name(query.asked)
        if not verdict.allowed:
            return _blocked(query, verdict), verdict
        top = name[name.rfind(".") + 1 :]
        if top == "localhost" or dns_names.is_local(name):
            return _localhost(query), verdict
        if dns_names.absent(name, top) or (
            dns_names.absent_unless_opened(name, top) and not self._openings.opened(name)
        ):
            return dns_answers.negative(query, dns.NXDOMAIN), verdict
        if top == "arpa" and not self._openings.opened(name):
            return self._infrastructure(query, now), verdict
        if not dns_names.is_host(name):
            refused = Verdict(reason=Reason.NAME_INVALID, detail="not a host name")
            return _blocked(query, refused), refused
        if query.qtype in _RECORDS and self._openings.fetched(name):
            return self._sought(query, over, query.qtype, now), verdict
        if self._openings.verifies and name != SELF_TEST_NAME:
            if top == "invalid":  # RFC 6761 section 6.4: nobody needs to be asked
                return dns_answers.negative(query, dns.NXDOMAIN), verdict
            if self._openings.looked_up(name):
                return self._sought(query, over, dns.A, now), verdict
        return self._leased(query, verdict, now)

    def _leased(
        self, query: dns.Query, verdict: Verdict | None, now: float
    ) -> tuple[bytes, Verdict | None]:
        """The answer for a host name that exists, or is taken to."""
        qtype = query.qtype
        if qtype not in _ADDRESSES:
            return dns_answers.negative(query, dns.NOERROR), verdict
        try:
            v4, v6 = packed(self._leases.offset(query.name, now))
        except LeaseError as error:
            refused = Verdict(reason=Reason.LIMIT_EXCEEDED, detail=str(error))
            return _failed(query, dns_answers.OTHER, refused), refused
        if qtype == dns.ANY:  # RFC 8482 section 4.1: some of all there is
            rows = [dns_answers.record(dns.A, v4), dns_answers.record(dns.AAAA, v6)]
            return dns_answers.message(query, answers=rows), verdict
        return dns_answers.address(query, v6 if qtype == dns.AAAA else v4), verdict

    def _sought(
        self, query: dns.Query, over: dns.Transport, qtype: int, now: float
    ) -> bytes | Fetch:
        """What is known of a name, or the order to look it up."""
        known = self._known.get((query.name, qtype))
        if known is None or known[0] <= now:
            return Fetch(query, over, query.name, qtype)
        return self._told(query, qtype, known[1], now)[0]

    def _released(
        self, fetch: Fetch, found: Found | None, now: float
    ) -> tuple[bytes, Verdict | None]:
        query, key = fetch.query, (fetch.name, fetch.qtype)
        verdict: Verdict | None = None
        if found is None:
            verdict = Verdict(reason=Reason.RESOLVE_FAILED, detail="the host's resolver failed")
            return _failed(query, dns_answers.NO_AUTHORITY, verdict), verdict
        if found.texts:
            verdict = self._judge.records(fetch.name, found.texts)
            if not verdict.allowed:
                return _withheld(query, verdict), verdict  # and judged again the next time
        kept = found.ttl if found.data else dns_answers.NEGATIVE_TTL
        if fetch.qtype == dns.A and found.rcode == dns.NOERROR:
            kept = dns_answers.TTL
        self._known[key] = now + kept, found
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        reply, refused = self._told(query, fetch.qtype, found, now)
        return reply, refused or verdict

    def _told(
        self, query: dns.Query, qtype: int, found: Found, now: float
    ) -> tuple[bytes, Verdict | None]:
        """Reply with what was found and judged."""
        if found.rcode == dns.NXDOMAIN:
            return dns_answers.negative(query, dns.NXDOMAIN), None
        if qtype == dns.A:
            return self._leased(query, None, now)
        if not found.data:
            return dns_answers.negative(query, dns.NOERROR), None
        rows = [dns_answers.record(qtype, data, found.ttl) for data in found.data]
        return dns_answers.message(query, answers=rows), None

    def _infrastructure(self, query: dns.Query, now: float) -> bytes:
        """Names below `arpa`: reverse look-ups, and what clients probe their network with."""
        labels = query.name.split(".")
        if labels == ["ipv4only", "arpa"] and query.qtype == dns.A:
            rows = [dns_answers.record(dns.A, address) for address in dns_names.IPV4_ONLY]
            return dns_answers.message(query, answers=rows)
        if labels[-2:] == ["home", "arpa"]:
            return dns_answers.negative(query, dns.NXDOMAIN)
        if labels[-2:] not in (["in-addr", "arpa"], ["ip6", "arpa"]):
            return dns_answers.negative(query, dns.NOERROR)
        found = dns_names.reverse_address(labels)
        if found is None:
            return dns_answers.negative(query, dns.NXDOMAIN)
        if not found:
            return dns_answers.negative(query, dns.NOERROR)
        if found in dns_names.LOOPBACK.values():
            name = "localhost"
        else:
            name = self._leases.name_of_packed(found, now)
        if not name:
            return dns_answers.negative(query, dns.NXDOMAIN)
        if query.qtype in {dns.PTR, dns.ANY}:
            return dns_answers.pointer(query, name)
        return dns_answers.negative(query, dns.NOERROR)


def _localhost(query: dns.Query) -> bytes:
    families = {dns.A: (4,), dns.AAAA: (6,), dns.ANY: (4, 6)}.get(query.qtype, ())
    if not families:
        return dns_answers.negative(query, dns.NOERROR)
    kinds = {4: dns.A, 6: dns.AAAA}
    rows = [dns_answers.record(kinds[f], dns_names.LOOPBACK[f]) for f in families]
    return dns_answers.message(query, answers=rows)


def _blocked(query: dns.Query, verdict: Verdict) -> bytes:
    """No such name, and why, for those who can read it."""
    error = (dns_answers.BLOCKED, verdict.reason.value)
    return dns_answers.negative(query, dns.NXDOMAIN, error=error)


def _withheld(query: dns.Query, verdict: Verdict) -> bytes:
    """The name is there, but its records say what an agent must not read."""
    error = (dns_answers.BLOCKED, verdict.reason.value)
    return dns_answers.negative(query, dns.NOERROR, error=error)


def _failed(query: dns.Query, code: int, verdict: Verdict) -> bytes:
    error = (code, verdict.reason.value)
    return dns_answers.message(query, rcode=dns.SERVFAIL, error=error)


def _broken(query: dns.Query, error: Exception) -> tuple[bytes, list[Record]]:
    broken = Verdict(reason=Reason.INTERNAL_ERROR, detail=type(error).__name__)
    reply = _failed(query, dns_answers.OTHER, broken)
    return reply, [_record(broken, query.name, query.type_name)]


def _record(verdict: Verdict, host: str, method: str) -> Record:
    target = Target(scheme="dns", host=host, port=53, method=method)
    return Record(verdict=verdict, target=target, kind=Kind.DNS_QUERY.value)
