"""Answers of the host's resolvers: read with distrust, dnslib writes them and reads ours again."""

from __future__ import annotations

import contextlib
import random
import struct

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.wire import dns, dns_answers, dns_records
from interceptor.wire.dns_records import AnswerError, Found, OtherAnswerError

NAME = "mail.example.com"


def answer(
    *rows: tuple[str, str, int, object], name: str = NAME, qtype: str = "TXT", ident: int = 9
) -> bytes:
    record = dnslib.DNSRecord.question(name, qtype)
    record.header.id = ident
    reply = record.reply()
    for owner, kind, ttl, data in rows:
        reply.add_answer(dnslib.RR(owner, getattr(dnslib.QTYPE, kind), ttl=ttl, rdata=data))
    return bytes(reply.pack())


def read(data: bytes, name: str = NAME, qtype: int = dns.TXT) -> Found:
    return dns_records.read(data, 9, name, qtype)


def released(found: Found, qtype: int, name: str = NAME) -> list[str]:
    """What an agent reads of it."""
    query = dns.parse(bytes(dnslib.DNSRecord.question(name, dnslib.QTYPE[qtype]).pack()))
    rows = [dns_answers.record(qtype, data, found.ttl) for data in found.data]
    seen = dnslib.DNSRecord.parse(dns_answers.message(query, answers=rows))
    assert all(str(row.rname) == f"{name}." for row in seen.rr)
    return [str(row.rdata) for row in seen.rr]


def test_the_question_is_what_dnslib_asks() -> None:
    data = dns_records.question("_imaps._tcp.example.com", dns.SRV, 4711)
    seen = dnslib.DNSRecord.parse(data)
    assert (seen.header.id, seen.header.rd, seen.header.qr) == (4711, 1, 0)
    assert (str(seen.q.qname), seen.q.qtype, seen.q.qclass) == ("_imaps._tcp.example.com.", 33, 1)
    assert [(row.rtype, row.rclass) for row in seen.ar] == [(41, 1232)]
    assert dns.parse(data).name == "_imaps._tcp.example.com"


@pytest.mark.parametrize(
    "name", ["", "a..b", "a b", "x" * 64, ".".join(["x" * 50] * 6), "ü.example"]
)
def test_what_is_no_host_name_is_not_asked_for(name: str) -> None:
    with pytest.raises(AnswerError):
        dns_records.question(name, dns.TXT, 1)


def test_texts() -> None:
    found = read(answer((NAME, "TXT", 90, dnslib.TXT([b"v=spf1 ", b"-all"])),
                        (NAME, "TXT", 60, dnslib.TXT(b"second"))))  # fmt: skip
    assert found.texts == (b"v=spf1 -all", b"second")
    assert (found.rcode, found.ttl) == (0, 60)
    assert released(found, dns.TXT) == ['"v=spf1 ","-all"', '"second"']


def test_services_and_mail() -> None:
    found = read(answer((NAME, "SRV", 9999, dnslib.SRV(1, 2, 993, "IMAP.example.com")),
                        qtype="SRV"), qtype=dns.SRV)  # fmt: skip
    assert (found.names, found.ttl) == (("imap.example.com",), dns_records.LONGEST_TTL)
    assert released(found, dns.SRV) == ["1 2 993 imap.example.com."]
    found = read(answer((NAME, "MX", 5, dnslib.MX("mx.example.net", 10)), qtype="MX"), qtype=dns.MX)
    assert released(found, dns.MX) == ["10 mx.example.net."]
    none = read(answer((NAME, "MX", 5, dnslib.MX(".", 0)), qtype="MX"), qtype=dns.MX)  # RFC 7505
    assert (none.names, none.texts, released(none, dns.MX)) == ((), (), ["0 ."])


def test_aliases_end_at_the_name_that_was_asked_for() -> None:
    found = read(
        answer(
            (NAME, "CNAME", 7, dnslib.CNAME("a.example.net")),
            ("a.example.net", "CNAME", 9, dnslib.CNAME("b.example.org")),
            ("b.example.org", "TXT", 100, dnslib.TXT(b"here")),
            ("other.example.org", "TXT", 1, dnslib.TXT(b"not asked for")),
        )
    )
    assert (found.texts, found.ttl) == ((b"here",), 7)
    assert released(found, dns.TXT) == ['"here"']


def test_loops_and_long_chains_are_no_answer() -> None:
    loop = answer((NAME, "CNAME", 7, dnslib.CNAME(NAME)))
    chain = [(NAME, "CNAME", 7, dnslib.CNAME("h0.example"))]
    chain += [(f"h{i}.example", "CNAME", 7, dnslib.CNAME(f"h{i + 1}.example")) for i in range(9)]
    for data in (loop, answer(*chain)):
        with pytest.raises(AnswerError, match="aliases"):
            read(data)


def test_nothing_there() -> None:
    assert read(answer()) == Found()
    assert read(answer((NAME, "A", 5, dnslib.A("11.0.0.1")))) == Found()
    reply = bytearray(answer())
    reply[3] |= dns.NXDOMAIN
    assert read(bytes(reply)).rcode == dns.NXDOMAIN
    reply[2] |= 2
    assert read(bytes(reply)).truncated


def test_what_answers_something_else() -> None:
    good = answer((NAME, "TXT", 5, dnslib.TXT(b"x")))
    with pytest.raises(OtherAnswerError):
        dns_records.read(good, 8, NAME, dns.TXT)
    for other in (
        good[:11],
        good[:30],
        bytes([*good[:2], good[2] & 0x7F, *good[3:]]),
        answer((NAME, "TXT", 5, dnslib.TXT(b"x")), name="other.example.com"),
        answer((NAME, "TXT", 5, dnslib.TXT(b"x")), qtype="MX"),
    ):
        with pytest.raises(OtherAnswerError):
            read(other)
    assert read(good.replace(b"mail", b"mAiL", 1)).texts == (b"x",)  # case is the resolver's affair


def test_what_is_malformed_or_a_failure() -> None:
    good = answer((NAME, "SRV", 5, dnslib.SRV(0, 0, 1, "a.example")), qtype="SRV")
    failed = bytearray(good)
    failed[3] |= dns.SERVFAIL
    many = bytearray(good)
    many[6:8] = b"\xff\xff"
    spaced = answer((NAME, "SRV", 5, dnslib.SRV(0, 0, 1, "a b.example")), qtype="SRV")
    dotted = dnslib.SRV(0, 0, 1, dnslib.DNSLabel([b"a.b", b"example"]))
    for data in (good[:-1], bytes(failed), bytes(many), spaced,
                 answer((NAME, "SRV", 5, dotted), qtype="SRV")):  # fmt: skip
        with pytest.raises(AnswerError) as caught:
            read(data, qtype=dns.SRV)
        assert not isinstance(caught.value, OtherAnswerError)


def pointing(pointer: int) -> bytes:
    """An answer whose record is owned by what a compression pointer leads to."""
    head = answer(name=NAME)
    head = head[:6] + b"\0\1" + head[8:]
    return head + struct.pack(">HHHIH", 0xC000 | pointer, dns.TXT, 1, 5, 2) + b"\1x"


def test_compression_pointers() -> None:
    assert read(pointing(12)).texts == (b"x",)
    start = len(answer(name=NAME))
    for pointer in (start, start + 1, start + 30, 0x3FFF):  # itself, forward, nowhere
        with pytest.raises(AnswerError):
            read(pointing(pointer))


@given(st.binary(max_size=200))
def test_noise(data: bytes) -> None:
    head = answer()
    for candidate in (data, head[:12] + data, head[:6] + b"\0\2" + head[8:] + data):
        with contextlib.suppress(AnswerError):
            read(candidate)


def test_mutations_and_every_cut() -> None:
    seed = answer(
        (NAME, "CNAME", 7, dnslib.CNAME("a.example.net")),
        ("a.example.net", "SRV", 5, dnslib.SRV(0, 0, 1, "a.example")),
        qtype="SRV",
    )
    chance = random.Random(7)
    for cut in range(len(seed)):
        with pytest.raises(AnswerError):
            read(seed[:cut], qtype=dns.SRV)
    fine = 0
    for _ in range(3_000):
        data = bytearray(seed)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with contextlib.suppress(AnswerError):
            found = read(bytes(data), qtype=dns.SRV)
            released(found, dns.SRV)
            fine += 1
    assert fine > 100
