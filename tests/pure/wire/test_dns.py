"""DNS messages, with dnslib as the second reader of everything."""

from __future__ import annotations

import contextlib
import random
import struct

import dnslib
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire import dns, dns_answers


def question(name: str = "www.example.com", qtype: str = "A", **edns: object) -> bytes:
    record = dnslib.DNSRecord.question(name, qtype)
    record.header.id = 0x1234
    if edns:
        record.add_ar(dnslib.EDNS0(**edns))
    return bytes(record.pack())


def raw(
    *,
    ident: int = 7,
    flags: int = 0x0100,
    counts: tuple[int, int, int, int] = (1, 0, 0, 0),
    name: bytes = b"\x01a\x07example\x00",
    qtype: int = 1,
    qclass: int = 1,
    rest: bytes = b"",
) -> bytes:
    head = struct.pack(">HHHHHH", ident, flags, *counts)
    return head + name + struct.pack(">HH", qtype, qclass) + rest


def opt(size: int = 1232, ttl: int = 0, data: bytes = b"") -> bytes:
    return b"\0" + struct.pack(">HHIH", 41, size, ttl, len(data)) + data


def refused(data: bytes) -> tuple[int | None, Reason]:
    """(rcode of the refusal or None for silence, reason)."""
    with pytest.raises(dns.QueryError) as caught:
        dns.parse(data)
    reply = caught.value.reply
    if reply is None:
        return None, caught.value.reason
    seen = dnslib.DNSRecord.parse(reply)
    assert seen.header.qr == 1
    assert reply[:2] == data[:2]
    return seen.header.rcode, caught.value.reason


def test_a_plain_query() -> None:
    query = dns.parse(question("WwW.eXample.com", "AAAA"))
    assert (query.name, query.qtype, query.type_name) == ("www.example.com", 28, "AAAA")
    assert query.payload == 0


def test_the_answer_as_dnslib_reads_it() -> None:
    query = dns.parse(question("WwW.eXample.com", "A", udp_len=4096, flags="do"))
    seen = dnslib.DNSRecord.parse(dns_answers.address(query, bytes([198, 18, 3, 4])))
    assert (seen.header.id, seen.header.aa, seen.header.ra, seen.header.rd) == (0x1234, 1, 1, 1)
    assert (seen.header.tc, seen.header.rcode, seen.header.ad) == (0, 0, 0)
    assert str(seen.q.qname) == "WwW.eXample.com."  # 0x20
    assert str(seen.a.rname) == "WwW.eXample.com."
    assert (str(seen.a.rdata), seen.a.ttl) == ("198.18.3.4", 60)
    assert [(r.rtype, r.rclass, r.ttl) for r in seen.ar] == [(41, 1232, 0x8000)]


def test_without_edns_no_opt_comes_back() -> None:
    query = dns.parse(question())
    assert dnslib.DNSRecord.parse(dns_answers.address(query, bytes(4))).ar == []
    assert dnslib.DNSRecord.parse(dns_answers.negative(query, 3, error=(15, "secret"))).ar == []


def test_recursion_and_checking_flags_are_echoed() -> None:
    for flags in (0, 0x0100, 0x0010, 0x0110):
        reply = dns_answers.negative(dns.parse(raw(flags=flags | 0x0020)), dns.NXDOMAIN)
        assert struct.unpack_from(">H", reply, 2)[0] == 0x8480 | flags | 3


def test_negative_answers_carry_a_root_soa() -> None:
    query = dns.parse(question("a.b.example", "TXT", udp_len=1400))
    seen = dnslib.DNSRecord.parse(
        dns_answers.negative(query, dns.NOERROR, error=(15, "secret_in_name"))
    )
    assert (seen.header.rcode, seen.header.aa, seen.rr) == (0, 1, [])
    soa = seen.auth[0]
    assert (str(soa.rname), soa.rtype, soa.ttl) == (".", 6, dns_answers.NEGATIVE_TTL)
    assert str(soa.rdata.mname) == "shim.egressguard.invalid."
    assert str(soa.rdata.rname) == "hostmaster.egressguard.invalid."
    option = seen.ar[0].rdata[0]
    assert (option.code, bytes(option.data)) == (15, b"\x00\x0fsecret_in_name")


def test_pointer() -> None:
    query = dns.parse(question("4.3.18.198.in-addr.arpa", "PTR"))
    seen = dnslib.DNSRecord.parse(dns_answers.pointer(query, "www.example.com"))
    assert str(seen.a.rdata) == "www.example.com."


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([b"A", b"Example"], "a.example"),
        ([b"a.b", b"example"], r"a\.b.example"),
        ([b"a\\b"], r"a\\b"),
        ([b"a b\x00\xff"], r"a\032b\000\255"),
        ([b"Qg==+/", b"example"], "qg==+/.example"),
        ([b"_dns", b"resolver", b"arpa"], "_dns.resolver.arpa"),
        ([b"."], r"\."),
        ([b"\xc3\x9c"], r"\195\156"),
    ],
)
def test_names_are_escaped_as_in_zone_files(labels: list[bytes], text: str) -> None:
    wire = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    assert dns.parse(raw(name=wire)).name == text


def test_root() -> None:
    assert dns.parse(raw(name=b"\0", qtype=2)).name == ""


def test_edns_with_options_and_sizes() -> None:
    cookie = struct.pack(">HH", 10, 8) + b"12345678"
    query = dns.parse(raw(counts=(1, 0, 0, 1), rest=opt(4096, 0x8000, cookie)))
    assert (query.payload, query.dnssec_ok) == (4096, True)
    assert dns.parse(raw(counts=(1, 0, 0, 1), rest=opt(0))).payload == 512  # RFC 6891, 6.2.5


TSIG = b"\x03key\x00" + struct.pack(">HHIH", 250, 255, 0, 4) + b"abcd"


def test_options_that_nobody_knows_are_ignored() -> None:
    """RFC 6891 section 6.1.2: cookies, client subnets, padding, keep-alive, and whatever comes."""
    options = b"".join(
        struct.pack(">HH", code, size) + bytes(size)
        for code, size in ((3, 0), (8, 7), (10, 24), (11, 0), (12, 468), (15, 2), (65_535, 99))
    )
    data = raw(counts=(1, 0, 0, 1), rest=opt(1232, 0x8000, options))
    reply = dns_answers.address(dns.parse(data), bytes(4))
    (answered,) = dnslib.DNSRecord.parse(reply).ar
    assert (answered.rclass, answered.ttl, answered.rdata) == (1232, 0x8000, [])


def test_a_compressed_owner_behind_the_question_is_read() -> None:
    data = raw(counts=(1, 0, 0, 2), rest=opt(900) + b"\xc0\x0c" + TSIG[5:])
    assert dns.parse(data).payload == 900


def test_opt_beside_other_additional_records() -> None:
    for rest in (opt(900) + TSIG, TSIG + opt(900)):
        assert dns.parse(raw(counts=(1, 0, 0, 2), rest=rest)).payload == 900
    assert dns.parse(raw(counts=(1, 0, 0, 1), rest=TSIG)).payload == 0


FORMERR = (dns.FORMERR, Reason.DNS_MALFORMED)
REFUSED = (dns.REFUSED, Reason.PROTOCOL_REFUSED)
NOTIMP = (dns.NOTIMP, Reason.PROTOCOL_REFUSED)
SILENT = (None, Reason.DNS_MALFORMED)
LONG = b"".join(b"\x3f" + b"x" * 63 for _ in range(4)) + b"\0"  # 257 bytes

ODD = {
    "empty": (b"", SILENT),
    "eleven bytes": (bytes(11), SILENT),
    "a response": (raw(flags=0x8180), SILENT),
    "header only": (raw()[:12], FORMERR),
    "no question": (raw(counts=(0, 0, 0, 0))[:12], FORMERR),
    "two questions": (raw(counts=(2, 0, 0, 0), rest=raw()[12:]), FORMERR),
    "many questions": (raw(counts=(65535, 0, 0, 0)), FORMERR),
    "half a name": (raw()[:16], FORMERR),
    "half a type": (raw()[:-3], FORMERR),
    "trailing": (raw(rest=b"!"), FORMERR),
    "pointer": (raw(name=b"\xc0\x0c"), FORMERR),
    "pointer into the header": (raw(name=b"\x01a\xc0\x02"), FORMERR),
    "extended label": (raw(name=b"\x41abc\0"), FORMERR),
    "long name": (raw(name=LONG), FORMERR),
    "answer in a query": (raw(counts=(1, 1, 0, 0), rest=TSIG), FORMERR),
    "authority in a query": (raw(counts=(1, 0, 1, 0), rest=TSIG), FORMERR),
    "missing additional": (raw(counts=(1, 0, 0, 1)), FORMERR),
    "half an OPT": (raw(counts=(1, 0, 0, 1), rest=opt()[:-1]), FORMERR),
    "OPT with trailing": (raw(counts=(1, 0, 0, 1), rest=opt() + b"x"), FORMERR),
    "OPT option overrun": (raw(counts=(1, 0, 0, 1), rest=opt(data=b"\0\x0a\0\x09ab")), FORMERR),
    "two OPT": (raw(counts=(1, 0, 0, 2), rest=opt() + opt()), FORMERR),
    "OPT of a name": (raw(counts=(1, 0, 0, 1), rest=b"\x01a" + opt()), FORMERR),
    "OPT as a question": (raw(qtype=41), FORMERR),
    "TSIG as a question": (raw(qtype=250), FORMERR),
    "type zero": (raw(qtype=0), FORMERR),
    "chaos": (raw(qclass=3, qtype=16), REFUSED),
    "class any": (raw(qclass=255), REFUSED),
    "class none": (raw(qclass=254), REFUSED),
    "axfr": (raw(qtype=252), REFUSED),
    "ixfr": (raw(qtype=251, counts=(1, 0, 1, 0), rest=TSIG), REFUSED),
    "iquery": (raw(flags=0x0800), NOTIMP),
    "status": (raw(flags=0x1000), NOTIMP),
    "notify": (raw(flags=0x2000, qtype=6), REFUSED),
    "update": (raw(flags=0x2800, qtype=6, counts=(1, 0, 1, 0), rest=TSIG), REFUSED),
    "opcode 15": (raw(flags=0x7800), NOTIMP),
    "oversized": (
        raw(counts=(1, 0, 0, 1), rest=opt(data=b"\xfd\xe9\x10\0" + bytes(4096))),
        FORMERR,
    ),
    "five additional": (raw(counts=(1, 0, 0, 5), rest=opt() + TSIG * 4), FORMERR),
    "additional that points to itself": (
        raw(counts=(1, 0, 0, 1), rest=b"\xc0\x1b" + TSIG[5:]),
        FORMERR,
    ),
    "additional that points forward": (
        raw(counts=(1, 0, 0, 1), rest=b"\xc0\x40" + TSIG[5:]),
        FORMERR,
    ),
    "additional that points nowhere": (
        raw(counts=(1, 0, 0, 1), rest=b"\xff\xff" + TSIG[5:]),
        FORMERR,
    ),
    "a chain of pointers": (
        raw(
            counts=(1, 0, 0, 2),
            rest=b"\0\0\x0a\0\xff\0\0\0\0\x08\0"
            + b"".join(b"%c%c" % (0xC8, i) for i in range(38, 38 + 200))
            + b"\xc8\xff"
            + TSIG[5:],
        ),
        FORMERR,
    ),
    "DSO": (raw(counts=(0, 0, 0, 0), flags=0x3000)[:12], NOTIMP),
    "mDNS, unicast answer wanted": (raw(qclass=0x8001), REFUSED),
    "EDNS version 1": (
        raw(counts=(1, 0, 0, 1), rest=opt(ttl=0x10000)),
        (dns.NOERROR, Reason.PROTOCOL_REFUSED),  # low bits of BADVERS; see the next test
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_messages(what: str) -> None:
    data, expected = ODD[what]
    assert refused(data) == expected


def test_badvers_is_said_in_the_opt_record() -> None:
    with pytest.raises(dns.QueryError) as caught:
        dns.parse(raw(counts=(1, 0, 0, 1), rest=opt(ttl=0x10000)))
    assert caught.value.reply is not None
    seen = dnslib.DNSRecord.parse(caught.value.reply)
    assert seen.ar[0].ttl == 0x01000000


def test_every_answer_has_the_flags_that_resolvers_want() -> None:
    """docs/dns.md: QR, AA and RA; AD and Z clear, also when they were set; RD and CD as asked."""
    for flags in (0x0000, 0x0100, 0x0110, 0x0120, 0x0140, 0x01F0, 0x0600):
        query = dns.parse(raw(flags=flags))
        for reply in (
            dns_answers.address(query, bytes(4)),
            dns_answers.negative(query, dns.NOERROR),
            dns_answers.negative(query, dns.NXDOMAIN),
        ):
            found = struct.unpack_from(">H", reply, 2)[0]
            assert found & 0xFFF0 == 0x8480 | flags & 0x0110


def test_the_question_is_echoed_in_refusals() -> None:
    with pytest.raises(dns.QueryError) as caught:
        dns.parse(raw(qclass=3))
    assert caught.value.reply is not None
    assert caught.value.reply[12:] == raw(qclass=3)[12:]


def test_refusals_speak_edns_to_those_who_do() -> None:
    for data, echoed in (
        (raw(flags=0x1000, counts=(1, 0, 0, 1), rest=opt()), True),
        (raw(flags=0x1000), False),
        (raw(flags=0x1000, counts=(1, 0, 1, 1), rest=opt()), False),
        (raw(counts=(0, 0, 0, 1))[:12] + opt(), True),
    ):
        with pytest.raises(dns.QueryError) as caught:
            dns.parse(data)
        assert caught.value.reply is not None
        assert bool(dnslib.DNSRecord.parse(caught.value.reply).ar) is echoed


def test_truncation() -> None:
    for payload, size, cut in ((0, 600, True), (0, 400, False), (4096, 1100, False),
                               (4096, 1300, True), (700, 800, True)):  # fmt: skip
        query = dns.parse(question("a.example", "TXT", **({"udp_len": payload} if payload else {})))
        record = struct.pack(">HHHIH", 0xC00C, 16, 1, 5, size - 60) + bytes(size - 60)
        reply = dns_answers.message(query, answers=[record])
        assert dns_answers.fitted(reply, query, "tcp") == reply
        short = dns_answers.fitted(reply, query, "udp")
        if not cut:
            assert short == reply
            continue
        seen = dnslib.DNSRecord.parse(short)
        assert (seen.header.tc, seen.rr, len(seen.ar)) == (1, [], bool(payload))
        assert str(seen.q.qname) == "a.example."


def test_failure_answers_what_can_be_answered() -> None:
    seen = dnslib.DNSRecord.parse(dns_answers.failure(question()))
    assert (seen.header.rcode, seen.header.aa, str(seen.q.qname)) == (2, 0, "www.example.com.")
    assert dns_answers.failure(b"") is None
    assert dns_answers.failure(raw(flags=0x8000)) is None
    reply = dns_answers.failure(raw(qclass=3))
    assert reply is not None
    assert reply[3] & 15 == dns.REFUSED


LABEL = st.binary(min_size=1, max_size=63).map(lambda b: bytes(c & 127 for c in b))  # dnslib: UTF-8


@given(
    labels=st.lists(LABEL, max_size=6).filter(lambda ls: sum(map(len, ls)) + len(ls) < 255),
    qtype=st.sampled_from([1, 28])
    | st.integers(1, 65_535).filter(lambda t: t not in {41, 249, 250, 251, 252}),
    ident=st.integers(0, 65_535),
    flags=st.sampled_from([0, 0x0100, 0x0120, 0x0110]),
    edns=st.none() | st.tuples(st.integers(0, 65_535), st.booleans(), st.binary(max_size=20)),
)
@example(labels=[b"x" * 63] * 3 + [b"y" * 61], qtype=1, ident=0, flags=0, edns=None)
def test_the_fast_reading_agrees_with_dnslib(
    labels: list[bytes],
    qtype: int,
    ident: int,
    flags: int,
    edns: tuple[int, bool, bytes] | None,
) -> None:
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    rest, counts = b"", (1, 0, 0, 0)
    if edns is not None:
        size, secure, option = edns
        data = struct.pack(">HH", 65_001, len(option)) + option
        rest, counts = opt(size, 0x8000 if secure else 0, data), (1, 0, 0, 1)
    data = raw(ident=ident, flags=flags, counts=counts, name=name, qtype=qtype, rest=rest)
    ours, theirs = dns.parse(data), dnslib.DNSRecord.parse(data)
    assert ours.ident == theirs.header.id
    assert ours.qtype == theirs.q.qtype
    assert tuple(labels) == tuple(map(bytes, theirs.q.qname.label))
    assert unescaped(ours.name) == [label.lower() for label in labels]
    if edns is not None:
        assert ours.payload == max(theirs.ar[0].rclass, 512)
        assert ours.dnssec_ok == bool(theirs.ar[0].ttl & 0x8000)
    length = {dns.A: 4, dns.AAAA: 16}.get(qtype)
    for reply in (
        *([] if length is None else [dns_answers.address(ours, bytes(length))]),
        dns_answers.negative(ours, dns.NXDOMAIN, error=(15, "secret")),
        dns_answers.message(ours, rcode=dns.SERVFAIL),
    ):
        echoed = dnslib.DNSRecord.parse(reply)
        assert echoed.q.qname.label == theirs.q.qname.label
        assert echoed.header.id == ident
        # Re-encoding compares every section that dnslib understood.
        assert bool(echoed.ar) == (edns is not None)


def unescaped(text: str) -> list[bytes]:
    """The inverse of the zone-file form, written independently."""
    if not text:
        return []
    labels, current, i = [], bytearray(), 0
    while i < len(text):
        if text[i] == "\\":
            if text[i + 1].isdigit():
                current.append(int(text[i + 1 : i + 4]))
                i += 4
            else:
                current.append(ord(text[i + 1]))
                i += 2
        elif text[i] == ".":
            labels.append(bytes(current))
            current = bytearray()
            i += 1
        else:
            current.append(ord(text[i]))
            i += 1
    return [*labels, bytes(current)]


@given(
    tail=st.binary(min_size=1, max_size=64),
    edns=st.booleans(),
    labels=st.lists(st.binary(min_size=1, max_size=20), max_size=4),
)
def test_bytes_behind_a_query_are_never_passed_over(
    tail: bytes, edns: bool, labels: list[bytes]
) -> None:
    """Whole it is read; with anything behind it, or cut, it is not."""
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    rest = opt(data=b"\0\x0a\0\2ab") if edns else b""
    data = raw(counts=(1, 0, 0, int(edns)), name=name, rest=rest)
    dns.parse(data)
    for wrong in (data + tail, data[: -len(tail)]):
        with pytest.raises(dns.QueryError):
            dns.parse(wrong)


@given(st.binary(max_size=120))
def test_noise(data: bytes) -> None:
    for candidate in (data, raw()[:12] + data, raw(counts=(1, 0, 0, 2), rest=data)):
        with contextlib.suppress(dns.QueryError):
            dns.parse(candidate)
        dns_answers.failure(candidate)


def test_mutations_and_every_cut() -> None:
    seeds = [
        question("www.example.com", "A", udp_len=1232),
        raw(counts=(1, 0, 0, 2), rest=opt(900) + TSIG),
    ]
    chance = random.Random(53)
    read = 0
    for seed in seeds:
        for cut in range(len(seed)):
            with pytest.raises(dns.QueryError):
                dns.parse(seed[:cut])
        for _ in range(3_000):
            data = bytearray(seed)
            for _ in range(chance.randint(1, 3)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            with contextlib.suppress(dns.QueryError):
                dns.parse(bytes(data))
                read += 1
    assert read > 100
