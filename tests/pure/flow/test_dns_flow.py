"""Conversations with the DNS shim: a query in, an answer and records out."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.flow.dns_flow import WINDOW, DnsFlow, Fetch
from interceptor.flow.dns_names import CANARIES
from interceptor.flow.names import Leases
from interceptor.flow.steps import Record
from interceptor.model import SELF_TEST_NAME, Target
from interceptor.verdict import Action, Reason, Verdict
from interceptor.wire import dns

RESOLVER = ("198.18.0.1", 53)


class FakeJudge:
    """Blocks names that contain `secret`, breaks on names that contain `defect`."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def name(self, name: str) -> Verdict:
        self.asked.append(name)
        if "defect" in name:
            raise KeyError(name)
        if "secret" in name:
            return Verdict(reason=Reason.SECRET_IN_NAME, rule="test-rule")
        return Verdict(action=Action.ALLOW, reason=Reason.ALLOWED)

    def records(self, name: str, texts: Sequence[bytes]) -> Verdict:
        raise AssertionError(f"{name}: nothing is fetched here: {texts}")


class Shim:
    def __init__(self, capacity: int = 1_000) -> None:
        self.judge = FakeJudge()
        self.leases = Leases(b"seed", capacity)
        self.flow = DnsFlow(self.judge, self.leases, "test")

    def raw(
        self, data: bytes, now: float = 0.0, over: dns.Transport = "udp"
    ) -> tuple[bytes | None, list[Record]]:
        reply, records = self.flow.query(data, over, RESOLVER, now)
        assert not isinstance(reply, Fetch)
        return reply, records

    def ask(
        self, name: str, qtype: str = "A", now: float = 0.0
    ) -> tuple[dnslib.DNSRecord, list[Record]]:
        record = dnslib.DNSRecord.question(name, qtype)
        record.add_ar(dnslib.EDNS0(udp_len=1232))
        reply, records = self.raw(bytes(record.pack()), now)
        assert reply is not None
        seen = dnslib.DNSRecord.parse(reply)
        assert seen.header.id == record.header.id
        assert seen.q.qname.label == record.q.qname.label
        return seen, records


def outcome(seen: dnslib.DNSRecord) -> str:
    if seen.header.rcode:
        return str(dnslib.RCODE[seen.header.rcode])
    return str(seen.rr[0].rdata) if seen.rr else "NODATA"


def test_a_and_aaaa_are_leased_and_recorded() -> None:
    shim = Shim()
    seen, records = shim.ask("API.example.com", "A", 1.0)
    v4, v6 = shim.leases.lease("api.example.com", 1.0)
    assert outcome(seen) == v4
    assert records == [
        Record(
            verdict=Verdict(action=Action.ALLOW, reason=Reason.ALLOWED),
            target=Target(scheme="dns", host="api.example.com", port=53, method="A"),
            kind="dns_query",
        )
    ]
    seen, records = shim.ask("api.example.com", "AAAA", 1.0)
    assert ipaddress.ip_address(outcome(seen)) == ipaddress.ip_address(v6)
    assert records[0].target.method == "AAAA"
    assert shim.leases.name_of(v6, 1.0) == "api.example.com"


@pytest.mark.parametrize(
    "qtype",
    ["HTTPS", "SVCB", "TXT", "MX", "SRV", "NULL", "CNAME", "NS", "SOA", "CAA",
     "DS", "SSHFP"],
)  # fmt: skip
def test_other_types_of_a_name_are_nodata(qtype: str) -> None:
    number = {"SVCB": 64}.get(qtype) or getattr(dnslib.QTYPE, qtype)
    shim = Shim()
    data = bytes(dnslib.DNSRecord(q=dnslib.DNSQuestion("www.example.com", number)).pack())
    reply, records = shim.raw(data)
    assert reply is not None
    seen = dnslib.DNSRecord.parse(reply)
    assert (seen.header.rcode, seen.rr, seen.auth[0].rtype) == (0, [], dnslib.QTYPE.SOA)
    assert records[0].verdict.allowed
    assert len(shim.leases) == 0


TABLE = [
    ("localhost", "A", "127.0.0.1"),
    ("a.b.LocalHost", "A", "127.0.0.1"),
    ("localhost", "AAAA", "::1"),
    ("localhost", "TXT", "NODATA"),
    (".", "NS", "NODATA"),
    (".", "DNSKEY", "NODATA"),
    ("wpad", "A", "NXDOMAIN"),
    ("wpad", "AAAA", "NXDOMAIN"),
    ("wpad", "TXT", "NXDOMAIN"),
    ("wpad.corp.example", "A", "NXDOMAIN"),
    ("isatap", "A", "NXDOMAIN"),
    ("x.alt", "A", "NXDOMAIN"),
    ("localhost.localdomain", "A", "127.0.0.1"),
    ("a.localhost.localdomain", "AAAA", "::1"),
    ("localhost", "HTTPS", "NODATA"),
    ("home.arpa", "A", "NXDOMAIN"),
    ("ipv4only.arpa", "A", "192.0.0.170"),
    ("com", "NS", "NODATA"),
    ("printer.local", "A", "NXDOMAIN"),
    ("x.onion", "A", "NXDOMAIN"),
    ("x.onion", "AAAA", "NXDOMAIN"),
    ("x.home.arpa", "A", "NXDOMAIN"),
    ("_dns.resolver.arpa", "A", "NODATA"),
    ("ipv4only.arpa", "AAAA", "NODATA"),
    ("1.0.0.127.in-addr.arpa", "PTR", "localhost."),
    ("1." + "0." * 31 + "ip6.arpa", "PTR", "localhost."),
    ("1.0.168.192.in-addr.arpa", "PTR", "NXDOMAIN"),
    ("18.198.in-addr.arpa", "PTR", "NODATA"),
    ("in-addr.arpa", "NS", "NODATA"),
    ("ip6.arpa", "NS", "NODATA"),
    ("256.0.0.127.in-addr.arpa", "PTR", "NXDOMAIN"),
    ("b._dns-sd._udp.0.0.18.198.in-addr.arpa", "PTR", "NXDOMAIN"),
    ("9.1.0.0.127.in-addr.arpa", "PTR", "NXDOMAIN"),
    ("g.ip6.arpa", "PTR", "NXDOMAIN"),
    ("0." * 33 + "ip6.arpa", "PTR", "NXDOMAIN"),
    ("1.18.18.198.in-addr.arpa", "A", "NXDOMAIN"),
    *[(name, "A", "NXDOMAIN") for name in sorted(CANARIES)],
]


@pytest.mark.parametrize(("name", "qtype", "expected"), TABLE)
def test_reserved_names(name: str, qtype: str, expected: str) -> None:
    shim = Shim()
    seen, _ = shim.ask(name, qtype)
    assert outcome(seen) == expected
    assert len(shim.leases) == 0


def test_any() -> None:
    """Some of all there is (RFC 8482 section 4.1)."""
    shim = Shim()
    seen, _ = shim.ask("www.example.com", "ANY")
    v4, v6 = shim.leases.lease("www.example.com", 0.0)
    assert {ipaddress.ip_address(str(row.rdata)) for row in seen.rr} == {
        ipaddress.ip_address(v4),
        ipaddress.ip_address(v6),
    }
    assert {str(row.rdata) for row in shim.ask("localhost", "ANY")[0].rr} == {"127.0.0.1", "::1"}
    pointer = ipaddress.ip_address(v6).reverse_pointer
    assert outcome(shim.ask(pointer, "ANY")[0]) == "www.example.com."


def test_a_name_is_there_for_all_types_or_for_none() -> None:
    """RFC 8020: resolvers take an NXDOMAIN for the whole name."""
    for name in ("www.example.com", "wpad", "x.local", "x.onion", "use-application-dns.net",
                 "1.0.168.192.in-addr.arpa", "localhost", "a.secret.example", "com"):  # fmt: skip
        rcodes = {
            Shim().ask(name, qtype)[0].header.rcode
            for qtype in ("A", "AAAA", "HTTPS", "TXT", "ANY", "PTR", "SOA", "NS", "MX", "SRV")
        }
        assert len(rcodes) == 1, name


def test_root_soa() -> None:
    assert Shim().ask(".", "SOA")[0].rr[0].rtype == dnslib.QTYPE.SOA


def test_the_self_test_name_resolves_like_any_other() -> None:
    shim = Shim()
    assert outcome(shim.ask(SELF_TEST_NAME)[0]).startswith("198.1")
    assert shim.judge.asked == [SELF_TEST_NAME]


def test_ptr_of_leased_addresses() -> None:
    shim = Shim()
    for address in shim.leases.lease("api.example.com", 0.0):
        pointer = ipaddress.ip_address(address).reverse_pointer
        assert outcome(shim.ask(pointer, "PTR")[0]) == "api.example.com."
        assert outcome(shim.ask(pointer, "TXT")[0]) == "NODATA"


def test_a_blocked_name_does_not_resolve_and_says_why() -> None:
    shim = Shim()
    for qtype in ("A", "TXT"):
        for _ in range(2):  # every BLOCK is recorded
            seen, records = shim.ask("c2VjcmV0.secret.example.com", qtype)
            assert outcome(seen) == "NXDOMAIN"
            option = seen.ar[0].rdata[0]
            assert (option.code, bytes(option.data)) == (15, b"\x00\x0fsecret_in_name")
            assert [r.verdict.reason for r in records] == [Reason.SECRET_IN_NAME]
    assert len(shim.leases) == 0


def test_every_name_is_judged_before_anything_else() -> None:
    for name in (
        "secret",
        "secret.local",
        "secret.localhost",
        "secret.in-addr.arpa",
        "secret.use-application-dns.net",
    ):
        shim = Shim()
        seen, records = shim.ask(name)
        assert outcome(seen) == "NXDOMAIN"
        assert records[0].verdict.action is Action.BLOCK


@pytest.mark.parametrize(
    "name",
    [b"\x0210\x010\x010\x011\0", b"\x07a\x00b.c/d\x07example\0", b"\x03-ab\x07example\0",
     b"\x03127\x03\x30x1\0", b"\x02\xc3\x9c\x07example\0", b"\x01*\x07example\0"],
)  # fmt: skip
def test_what_is_no_host_name_gets_no_address(name: bytes) -> None:
    shim = Shim()
    data = struct.pack(">HHHHHH", 1, 0x100, 1, 0, 0, 0) + name + b"\0\x01\0\x01"
    reply, records = shim.raw(data)
    assert reply is not None
    assert reply[3] & 15 == dns.NXDOMAIN
    assert records[0].verdict.reason is Reason.NAME_INVALID
    assert len(shim.leases) == 0


def test_malformed_is_refused_with_a_record_that_names_the_resolver() -> None:
    shim = Shim()
    for data in (b"", b"\xff" * 5, struct.pack(">HHHHHH", 1, 0, 3, 0, 0, 0)):
        _, records = shim.raw(data)
        assert records[0].verdict.reason is Reason.DNS_MALFORMED
        assert records[0].target.host == RESOLVER[0]
    assert shim.judge.asked == []


def test_a_full_table_is_servfail() -> None:
    shim = Shim(capacity=1)
    shim.ask("a.example")
    seen, records = shim.ask("b.example")
    assert outcome(seen) == "SERVFAIL"
    assert bytes(seen.ar[0].rdata[0].data) == b"\0\0limit_exceeded"
    assert records[0].verdict.reason is Reason.LIMIT_EXCEEDED


def test_a_defect_is_servfail_and_recorded_without_its_message() -> None:
    seen, records = Shim().ask("defect.example")
    assert outcome(seen) == "SERVFAIL"
    assert records[0].verdict == Verdict(reason=Reason.INTERNAL_ERROR, detail="KeyError")


def test_allowed_questions_are_recorded_once_a_window() -> None:
    shim = Shim()
    assert len(shim.ask("a.example", "A", 0.0)[1]) == 1
    assert shim.ask("A.EXAMPLE", "A", WINDOW - 1)[1] == []
    assert len(shim.ask("a.example", "TXT", WINDOW - 1)[1]) == 1
    assert len(shim.ask("a.example", "A", WINDOW)[1]) == 1
    # The judge counts, so it sees every query, in the case it came in.
    assert shim.judge.asked == ["a.example", "A.EXAMPLE", "a.example", "a.example"]


def test_the_window_is_bounded() -> None:
    shim = Shim(capacity=10_000)
    for i in range(9_000):
        shim.ask(f"{i}.example", "TXT")
        assert len(shim.flow._recorded) + len(shim.flow._recorded_before) <= 8_192
    assert len(shim.ask("0.example", "TXT")[1]) == 1  # forgotten, hence recorded again
    assert shim.ask("8999.example", "TXT")[1] == []
    assert shim.ask("5000.example", "TXT")[1] == []


@given(st.binary(max_size=80), st.sampled_from(["udp", "tcp"]))
def test_noise_never_raises(data: bytes, over: dns.Transport) -> None:
    shim = Shim()
    head = struct.pack(">HHHHHH", 1, 0x100, 1, 0, 0, 0)
    for candidate in (data, head + data, head + data[:60] + b"\0\0\x01\0\x01"):
        reply, records = shim.raw(candidate, over=over)
        if reply is not None:
            assert reply[:2] == candidate[:2]
            assert reply[2] & 0x80
            if candidate.isascii():  # dnslib reads no label that is not UTF-8
                dnslib.DNSRecord.parse(reply)
        else:
            assert records


@pytest.mark.parametrize("name", ["db", "proxy.invalid", "no-such-proxy"])
def test_names_that_cannot_exist_resolve_too(name: str) -> None:
    """An agent whose proxy variables name nonsense reaches us, and we are that proxy."""
    assert outcome(Shim().ask(name)[0]).startswith("198.1")
