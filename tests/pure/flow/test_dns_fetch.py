"""Conversations in which a name is looked up on the host: after its verdict, or never."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.decide.openings import Openings
from interceptor.flow.dns_flow import DnsFlow, Fetch
from interceptor.flow.names import Leases
from interceptor.flow.steps import Record
from interceptor.model import SELF_TEST_NAME
from interceptor.policy.schema import Dns, Hosts, Policy
from interceptor.verdict import Action, Finding, Reason, Severity, Verdict
from interceptor.wire import dns
from interceptor.wire.dns_records import Found

RESOLVER = ("198.18.0.1", 53)
FINDING = Finding("rule", "title", Severity.LOW, "dns_answer")


class ScriptedJudge:
    """Blocks names and records that say `secret`, notes records that say `odd`."""

    def __init__(self) -> None:
        self.named: list[str] = []

    def name(self, name: str) -> Verdict:
        self.named.append(name.lower())
        if "secret" in name.lower():
            return Verdict(reason=Reason.SECRET_IN_NAME)
        return Verdict(Action.ALLOW, Reason.ALLOWED)

    def records(self, name: str, texts: Sequence[bytes]) -> Verdict:
        said = b" ".join(texts)
        if b"defect" in said:
            raise KeyError(name)
        if b"secret" in said:
            return Verdict(reason=Reason.SECRET, rule="rule", findings=(FINDING,))
        if b"odd" in said:
            return Verdict(Action.ALLOW, Reason.WOULD_BLOCK, findings=(FINDING,))
        return Verdict(Action.ALLOW, Reason.ALLOWED)


class Shim:
    def __init__(
        self, mode: Literal["synthetic", "verify"] = "verify", hosts: Hosts | None = None
    ) -> None:
        self.judge = ScriptedJudge()
        self.leases = Leases(b"seed")
        policy = Policy(
            dns=Dns(mode=mode),
            hosts=hosts or Hosts(allow=("*.opened.example", "corp.local"), deny=("deny.example",)),
        )
        self.flow = DnsFlow(self.judge, self.leases, "test", Openings(policy))

    def query(
        self, name: str, qtype: str = "A", now: float = 0.0, over: dns.Transport = "udp"
    ) -> tuple[bytes | Fetch | None, list[Record]]:
        record = dnslib.DNSRecord.question(name, qtype)
        record.add_ar(dnslib.EDNS0(udp_len=1232))
        return self.flow.query(bytes(record.pack()), over, RESOLVER, now)

    def fetch(
        self, name: str, qtype: str = "A", now: float = 0.0, over: dns.Transport = "udp"
    ) -> Fetch:
        fetch, _ = self.query(name, qtype, now, over)
        assert isinstance(fetch, Fetch)
        return fetch

    def say(self, name: str, qtype: str = "A", now: float = 0.0) -> str:
        """What the agent is told at once."""
        reply, _ = self.query(name, qtype, now)
        assert isinstance(reply, bytes)
        return outcome(reply)

    def told(self, fetch: Fetch, found: Found | None, now: float = 0.0) -> tuple[str, list[Record]]:
        reply, records = self.flow.fetched(fetch, found, now)
        return outcome(reply), records


def outcome(reply: bytes) -> str:
    seen = dnslib.DNSRecord.parse(reply)
    if seen.header.rcode:
        return str(dnslib.RCODE[seen.header.rcode])
    if seen.header.tc:
        return "TC"
    return " ".join(str(row.rdata) for row in seen.rr) or "NODATA"


def text(*said: bytes, ttl: int = 50) -> Found:
    return Found(data=tuple(bytes([len(s)]) + s for s in said), texts=said, ttl=ttl)


def test_a_name_that_exists_gets_addresses_of_both_families_and_is_asked_for_once() -> None:
    shim = Shim()
    fetch, records = shim.query("API.example.com")
    assert isinstance(fetch, Fetch)
    assert (fetch.name, fetch.qtype) == ("api.example.com", dns.A)
    assert [record.verdict.allowed for record in records] == [True]
    assert len(shim.leases) == 0
    assert shim.told(fetch, Found()) == (shim.leases.lease("api.example.com", 0.0)[0], [])
    assert shim.say("api.example.com", "AAAA").startswith("fd65:")
    assert shim.say("api.example.com", "HTTPS") == "NODATA"
    assert isinstance(shim.query("api.example.com", now=61.0)[0], Fetch)  # known for a minute


def test_a_name_that_does_not_exist_does_not_exist() -> None:
    shim = Shim()
    for qtype in ("A", "AAAA", "HTTPS", "TXT"):
        fetch = shim.fetch("nope.example", qtype, now=100.0)
        assert shim.told(fetch, Found(rcode=dns.NXDOMAIN), 100.0) == ("NXDOMAIN", [])
        assert shim.say("nope.example", qtype, now=109.0) == "NXDOMAIN"
        shim.flow._known.clear()
    assert len(shim.leases) == 0


def test_when_nobody_answers_that_is_said_recorded_and_not_kept() -> None:
    shim = Shim()
    said, records = shim.told(shim.fetch("a.example"), None)
    assert said == "SERVFAIL"
    assert [record.verdict.reason for record in records] == [Reason.RESOLVE_FAILED]
    assert isinstance(shim.query("a.example")[0], Fetch)


@pytest.mark.parametrize(
    ("name", "qtype", "said"),
    [
        ("a.secret.example", "A", "NXDOMAIN"),
        ("a.secret.opened.example", "TXT", "NXDOMAIN"),
        ("deny.example", "A", "198."),
        ("deny.example", "TXT", "NODATA"),
        ("localhost", "A", "127.0.0.1"),
        ("x.localhost.localdomain", "AAAA", "::1"),
        ("printer.local", "A", "NXDOMAIN"),
        ("x.onion", "A", "NXDOMAIN"),
        ("x.alt", "TXT", "NXDOMAIN"),
        ("proxy.invalid", "A", "NXDOMAIN"),
        ("1.0.0.127.in-addr.arpa", "PTR", "localhost."),
        ("use-application-dns.net", "A", "NXDOMAIN"),
        (SELF_TEST_NAME, "A", "198."),
    ],
)
def test_what_needs_nobody_is_asked_of_nobody(name: str, qtype: str, said: str) -> None:
    assert Shim().say(name, qtype).startswith(said)


def test_in_a_strict_jail_only_what_may_be_reached_is_looked_up() -> None:
    shim = Shim(hosts=Hosts(allow=("api.example.com:8443",), others="deny"))
    assert isinstance(shim.query("api.example.com")[0], Fetch)
    assert shim.say("other.example.com").startswith("198.")  # the refusal explains itself


def test_a_company_network_below_local_is_reached_when_policy_names_it() -> None:
    assert isinstance(Shim().query("corp.local")[0], Fetch)
    assert Shim("synthetic").say("corp.local").startswith("198.")
    assert Shim("synthetic").say("other.local") == "NXDOMAIN"


def test_records_of_opened_names_are_fetched_in_either_mode() -> None:
    for mode in ("synthetic", "verify"):
        shim = Shim(mode)
        fetch, records = shim.query("Mail.opened.example", "TXT")
        assert isinstance(fetch, Fetch)
        assert (fetch.name, fetch.qtype) == ("mail.opened.example", dns.TXT)
        assert [record.target.method for record in records] == ["TXT"]
        assert shim.told(fetch, text(b"hello")) == ('"hello"', [])
        assert shim.say("mail.opened.example", "TXT", now=49.0) == '"hello"'
        assert isinstance(shim.query("mail.opened.example", "TXT", now=51.0)[0], Fetch)
        assert isinstance(shim.query("mail.opened.example", "MX")[0], Fetch)
        assert isinstance(shim.query("_sip._tcp.mail.opened.example", "SRV")[0], Fetch)
    assert Shim("synthetic").say("mail.other.example", "TXT") == "NODATA"
    assert Shim("synthetic").say("mail.opened.example", "NS") == "NODATA"
    assert len(shim.leases) == 0


def test_a_name_without_records() -> None:
    shim = Shim("synthetic")
    fetch = shim.fetch("mail.opened.example", "MX")
    assert shim.told(fetch, Found()) == ("NODATA", [])
    assert shim.say("mail.opened.example", "MX", now=9.0) == "NODATA"
    assert isinstance(shim.query("mail.opened.example", "MX", now=11.0)[0], Fetch)


def test_records_that_an_agent_must_not_read_are_withheld_each_time() -> None:
    shim = Shim("synthetic")
    for _ in range(2):
        fetch = shim.fetch("mail.opened.example", "TXT")
        reply, records = shim.flow.fetched(fetch, text(b"fine", b"a secret"), 0.0)
        assert outcome(reply) == "NODATA"
        assert b"a secret" not in reply
        assert b"fine" not in reply
        option = dnslib.DNSRecord.parse(reply).ar[0].rdata[0]
        assert (option.code, bytes(option.data)) == (15, b"\x00\x0fsecret")
        assert [(r.verdict.reason, r.target.method) for r in records] == [(Reason.SECRET, "TXT")]


def test_what_is_only_noted_is_released() -> None:
    shim = Shim("synthetic")
    said, records = shim.told(shim.fetch("mail.opened.example", "TXT"), text(b"odd"))
    assert said == '"odd"'
    assert [record.verdict.reason for record in records] == [Reason.WOULD_BLOCK]


def test_a_defect_releases_nothing() -> None:
    shim = Shim("synthetic")
    said, records = shim.told(shim.fetch("mail.opened.example", "TXT"), text(b"defect"))
    assert said == "SERVFAIL"
    assert [record.verdict.detail for record in records] == ["KeyError"]


def test_long_answers_are_truncated_for_datagrams_only() -> None:
    shim = Shim("synthetic")
    long = text(*(b"%03d" % i + b"x" * 200 for i in range(20)))
    assert shim.told(shim.fetch("mail.opened.example", "TXT"), long)[0] == "TC"
    assert shim.say("mail.opened.example", "TXT") == "TC"
    reply, _ = shim.query("mail.opened.example", "TXT", over="tcp")
    assert isinstance(reply, bytes)
    assert len(dnslib.DNSRecord.parse(reply).rr) == 20


def test_what_is_known_is_bounded() -> None:
    shim = Shim()
    for i in range(5_000):
        shim.told(shim.fetch(f"{i}.example"), Found(), 0.0)
    assert len(shim.flow._known) == 4_096


NAMES = st.sampled_from(
    ["a.example", "x.opened.example", "_s._tcp.x.opened.example", "deny.example", "secret.example",
     "secret.opened.example", "x.local", "corp.local", "localhost", "x.onion", "wpad",
     "4.3.2.1.in-addr.arpa", "wpad.opened.example", "x.invalid", ".", "com"]
)  # fmt: skip
FOUND = st.sampled_from([None, Found(), Found(rcode=dns.NXDOMAIN), text(b"hi"), text(b"secret")])


@given(
    st.lists(
        st.tuples(NAMES, st.sampled_from(["A", "AAAA", "TXT", "MX", "SRV", "HTTPS", "ANY", "PTR"]),
                  FOUND, st.floats(0, 30)),
        max_size=30,
    ),
    st.sampled_from(["synthetic", "verify"]),
)  # fmt: skip
def test_nothing_is_looked_up_before_an_allowing_record(
    asked: list[tuple[str, str, Found | None, float]], mode: Literal["synthetic", "verify"]
) -> None:
    """And nothing that is a secret, denied or of another world is looked up at all."""
    shim = Shim(mode)
    recorded: set[tuple[str, str]] = set()
    now = 0.0
    for name, qtype, found, pause in asked:
        now += pause
        reply, records = shim.query(name, qtype, now)
        for record in records:
            if record.verdict.allowed:
                recorded.add((record.target.host, record.target.method))
        if isinstance(reply, bytes):
            continue
        assert isinstance(reply, Fetch)
        assert (reply.query.name, qtype) in recorded
        assert shim.judge.named[-1] == reply.name
        assert "secret" not in reply.name
        assert reply.name not in {"deny.example", "x.local", "x.onion", "wpad", "x.invalid"}
        assert not reply.name.endswith((".arpa", "localhost"))
        if mode == "synthetic":
            assert reply.name.endswith("opened.example") or reply.name == "corp.local"
            assert reply.qtype in {dns.TXT, dns.MX, dns.SRV}
        if found is not None and found.texts and reply.qtype != dns.TXT:
            found = Found()
        said, _ = shim.told(reply, found, now)
        assert "secret" not in said
