"""DNS messages: queries read strictly, answers built as an authoritative server builds them.

RFC 1035 (messages), 2181, 2308 (negative answers), 6891 (EDNS), 8914 (extended errors), 9619 (one
question). The shape that every stub resolver sends, one question and perhaps an OPT record, is read
and answered here byte by byte; rarer shapes and the encoding of names go through dnslib. The tests
hold both readings against each other.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Final, Literal, NoReturn

import dnslib
import msgspec

from interceptor.verdict import Reason

Transport = Literal["udp", "tcp"]

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
BADVERS: Final = 16
A, NS, SOA, PTR, AAAA, OPT, IXFR, AXFR = 1, 2, 6, 12, 28, 41, 251, 252
BLOCKED: Final = 15
"""Extended DNS error "Blocked" (RFC 8914 section 4.16)."""

TTL: Final = 60
"""Seconds a synthetic address may be cached: far below the grace of a lease."""
NEGATIVE_TTL: Final = 10
"""Seconds a negative answer may be cached: policies change while agents run."""
PAYLOAD: Final = 1_232
"""Largest UDP answer we send, and what we announce (DNS Flag Day 2020)."""

_HEADER = struct.Struct(">HHHHHH")
_OPT_HEAD = struct.Struct(">HHIH")  # type, payload size, extended rcode + version + flags, length
_QR, _OPCODE, _AA, _TC, _RD, _RA, _CD = 0x8000, 0x7800, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010
_DO = 0x8000
_IN: Final = 1
_OPCODES = {1: NOTIMP, 2: NOTIMP, 4: REFUSED, 5: REFUSED, 6: NOTIMP}  # NOTIFY, UPDATE: by policy
_META_TYPES = frozenset({0, OPT, 249, 250})  # TKEY and TSIG are no questions
_MAX_ADDITIONALS = 4  # an OPT and a signature are two; reading thousands costs seconds

_PLAIN_NAME = re.compile(rb"[a-z0-9_.-]+")
_PLAIN_LABEL = re.compile(rb"[!-\[\]-~]+")


def _name(name: str) -> bytes:
    """A name on the wire, without compression: its place in the message is not known yet."""
    buffer = dnslib.DNSBuffer()
    buffer.encode_name_nocompress(dnslib.DNSLabel(name))
    return bytes(buffer.data)


# The root is above every name, so one SOA serves every negative answer (RFC 2308 section 3).
_SOA_DATA: Final = (
    _name("shim.egressguard.invalid")
    + _name("hostmaster.egressguard.invalid")
    + struct.pack(">IIIII", 1, 3_600, 600, 86_400, NEGATIVE_TTL)
)
_SOA_RECORD: Final = b"\0" + struct.pack(">HHIH", SOA, 1, NEGATIVE_TTL, len(_SOA_DATA)) + _SOA_DATA


class QueryError(ValueError):
    """The bytes are no query to answer in earnest."""

    def __init__(self, message: str, reply: bytes | None, reason: Reason) -> None:
        super().__init__(message)
        self.reply = reply
        """What to send back; None where an answer could start a loop or reach no asker."""
        self.reason = reason


class Query(msgspec.Struct, frozen=True, gc=False):
    """One question, and what its answer must echo."""

    ident: int
    name: str
    """Lower case, no trailing dot, escaped as in zone files (RFC 1035 section 5.1); "" = root."""
    qtype: int
    question: bytes
    """The question as it came: the case of its letters is echoed (0x20)."""
    flags: int
    """RD and CD as they came; the rest cleared."""
    payload: int = 0
    """UDP payload size the asker announced with EDNS; 0 without EDNS."""
    dnssec_ok: bool = False
    asked: str = ""
    """The name in the case it came in: base64 lives in it. Else like `name`."""

    @property
    def type_name(self) -> str:
        """`A`, `AAAA`, `TYPE65280`."""
        return type_name(self.qtype)


def type_name(qtype: int) -> str:
    """The mnemonic of a query type, or TYPEn (RFC 3597)."""
    known = dnslib.QTYPE.forward.get(qtype)
    return known if isinstance(known, str) else f"TYPE{qtype}"


def parse(data: bytes) -> Query:
    """Read a query. Raises QueryError and nothing else."""
    if len(data) < 12:
        raise QueryError("shorter than a DNS header", None, Reason.DNS_MALFORMED)
    ident, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    if flags & _QR:
        raise QueryError("a response where a query belongs", None, Reason.DNS_MALFORMED)
    try:
        labels, end = _labels(data)
        qtype, qclass = struct.unpack_from(">HH", data, end)
    except (IndexError, struct.error, ValueError):
        if questions == 1:
            _refuse(data, b"", FORMERR, "unreadable question")
        labels, end, qtype, qclass = [], 8, A, _IN
    question = data[12 : end + 4] if questions == 1 else b""
    if flags & _OPCODE:
        rcode = _OPCODES.get((flags & _OPCODE) >> 11, NOTIMP)
        _refuse(data, question, rcode, "not a standard query")
    if questions != 1:
        _refuse(data, b"", FORMERR, f"{questions} questions")
    if qtype in _META_TYPES:
        _refuse(data, question, FORMERR, f"a question for {type_name(qtype)}")
    if qclass != _IN:
        _refuse(data, question, REFUSED, f"class {qclass}")
    if qtype in {AXFR, IXFR}:
        _refuse(data, question, REFUSED, "a zone transfer")
    if answers or authorities:
        _refuse(data, question, FORMERR, "records in a query")
    edns: tuple[int, int] | None = None
    if additionals:
        edns = _edns(data, end + 4, additionals, question)
    elif len(data) != end + 4:
        _refuse(data, question, FORMERR, "bytes after the query")
    asked = _text(labels)
    return Query(
        ident=ident,
        name=asked.lower(),
        asked=asked,
        qtype=qtype,
        question=question,
        flags=flags & (_RD | _CD),
        payload=0 if edns is None else max(edns[0], 512),
        dnssec_ok=edns is not None and bool(edns[1] & _DO),
    )


def address(query: Query, packed: bytes) -> bytes:
    """The answer that `query.name` has this one address (4 bytes for A, 16 for AAAA)."""
    head = _HEADER.pack(
        query.ident, _QR | _AA | _RA | query.flags, 1, 1, 0, 1 if query.payload else 0
    )
    # 0xC00C: the owner is the question's name (RFC 1035 section 4.1.4). At most 322 bytes: no TC.
    record = struct.pack(">HHHIH", 0xC00C, query.qtype, _IN, TTL, len(packed))
    return head + query.question + record + packed + _opt(query)


def pointer(query: Query, name: str) -> bytes:
    """The answer to a PTR query: `name`, in zone-file form."""
    target = _name(name)
    record = struct.pack(">HHHIH", 0xC00C, PTR, _IN, TTL, len(target))
    return message(query, answers=[record + target])


def negative(query: Query, rcode: int, *, error: tuple[int, str] | None = None) -> bytes:
    """NODATA (rcode NOERROR) or NXDOMAIN, with the SOA that says how long it holds.

    `error`: extended error code and text, for askers that speak EDNS.
    """
    return message(query, rcode=rcode, authorities=[_SOA_RECORD], error=error)


def authority(query: Query) -> bytes:
    """The answer to an SOA query for the root."""
    return message(query, answers=[_SOA_RECORD])


def message(
    query: Query,
    *,
    rcode: int = NOERROR,
    answers: Sequence[bytes] = (),
    authorities: Sequence[bytes] = (),
    error: tuple[int, str] | None = None,
) -> bytes:
    """An answer of encoded records, of any length; `fitted` makes it fit a datagram."""
    flags = _QR | _RA | query.flags | rcode & 15
    if rcode in {NOERROR, NXDOMAIN}:
        flags |= _AA
    head = _HEADER.pack(
        query.ident, flags, 1, len(answers), len(authorities), 1 if query.payload else 0
    )
    return b"".join(
        [head, query.question, *answers, *authorities, _opt(query, rcode=rcode, error=error)]
    )


def fitted(reply: bytes, query: Query, over: Transport) -> bytes:
    """`reply`, or its truncated form (TC set, no records) when a datagram cannot hold it."""
    if over == "tcp" or len(reply) <= 512 or len(reply) <= min(query.payload, PAYLOAD):
        return reply
    ident, flags = struct.unpack_from(">HH", reply)
    head = _HEADER.pack(ident, flags | _TC, 1, 0, 0, 1 if query.payload else 0)
    return head + query.question + _opt(query)


def failure(data: bytes) -> bytes | None:
    """SERVFAIL to whatever was asked; None when nobody can be answered."""
    try:
        query = parse(data)
    except QueryError as error:
        return error.reply
    return message(query, rcode=SERVFAIL)


def _refuse(data: bytes, question: bytes, rcode: int, message: str) -> NoReturn:
    ident, flags, *counts = _HEADER.unpack_from(data)
    flags = _QR | flags & (_OPCODE | _RD | _CD) | _RA | rcode
    # Without our OPT record an asker would conclude that EDNS was what we did not like.
    plain = counts == [1 if question else 0, 0, 0, 1]
    edns = plain and data[12 + len(question) :].startswith(b"\0\0\x29")
    reply = _HEADER.pack(ident, flags, 1 if question else 0, 0, 0, 1 if edns else 0) + question
    if edns:
        reply += b"\0" + _OPT_HEAD.pack(OPT, PAYLOAD, 0, 0)
    reason = Reason.DNS_MALFORMED if rcode == FORMERR else Reason.PROTOCOL_REFUSED
    raise QueryError(message, reply, reason)


def _labels(data: bytes) -> tuple[list[bytes], int]:
    """Labels of the name at offset 12, and where it ends. Raises IndexError or ValueError.

    A first name has nothing to point back to, so a compression pointer is an error here.
    """
    labels: list[bytes] = []
    position = 12
    while length := data[position]:
        if length > 63:
            raise ValueError("a label type that a question cannot have")
        position += 1
        labels.append(data[position : position + length])
        position += length
    if position > 266:  # 12 + 254 + the root's byte: 255 in all (RFC 1035 section 2.3.4)
        raise ValueError("a name longer than 255 bytes")
    return labels, position + 1


def _text(labels: list[bytes]) -> str:
    """Zone-file form, in the case it came in."""
    joined = b".".join(labels)
    if _PLAIN_NAME.fullmatch(joined) and joined.count(b".") < max(len(labels), 1):
        return joined.decode("ascii")
    return ".".join(map(_escaped, labels))


def _escaped(label: bytes) -> str:
    if _PLAIN_LABEL.fullmatch(label) and b"." not in label:
        return label.decode("ascii")
    return "".join(
        f"\\{chr(byte)}" if byte in b".\\" else chr(byte) if 33 <= byte <= 126 else f"\\{byte:03d}"
        for byte in label
    )


def _edns(data: bytes, start: int, additionals: int, question: bytes) -> tuple[int, int] | None:
    """(payload size, flags) of the OPT record, None if there is none. Raises QueryError."""
    if additionals == 1 and data[start : start + 3] == b"\0\0\x29" and len(data) >= start + 11:
        _, size, extended, length = _OPT_HEAD.unpack_from(data, start + 1)
        if len(data) != start + 11 + length or not _options_fit(data, start + 11):
            _refuse(data, question, FORMERR, "malformed OPT record")
    else:
        found = _opt_by_dnslib(data, question)
        if found is None:
            return None
        size, extended = found
    if extended >> 16 & 0xFF:
        query = Query(
            ident=int.from_bytes(data[:2]),
            name="",
            qtype=A,
            question=question,
            flags=int.from_bytes(data[2:4]) & (_RD | _CD),
            payload=512,
        )
        raise QueryError(
            "an EDNS version that does not exist",
            message(query, rcode=BADVERS),
            Reason.PROTOCOL_REFUSED,
        )
    return size, extended & 0xFFFF


def _options_fit(data: bytes, position: int) -> bool:
    """True if the options fill the rest of the message exactly (RFC 6891 section 6.1.2)."""
    size = len(data)
    while position + 4 <= size:
        position += 4 + int.from_bytes(data[position + 2 : position + 4])
    return position == size


def _opt_by_dnslib(data: bytes, question: bytes) -> tuple[int, int] | None:
    """(payload size, TTL field) of the OPT record among other additional records (TSIG, SIG(0))."""
    additionals = int.from_bytes(data[10:12])
    if additionals > _MAX_ADDITIONALS:
        _refuse(data, question, FORMERR, f"{additionals} additional records")
    buffer = dnslib.DNSBuffer(data)
    buffer.offset = 12 + len(question)
    found: list[tuple[int, int]] = []
    try:
        for _ in range(additionals):
            record = dnslib.RR.parse(buffer)
            if record.rtype == OPT:
                if record.rname.label:
                    _refuse(data, question, FORMERR, "an OPT record that is not the root's")
                found.append((record.rclass, record.ttl))
    except QueryError:
        raise
    except Exception:  # noqa: BLE001 - dnslib raises what struct, bytes and codecs raise
        _refuse(data, question, FORMERR, "unreadable additional records")
    if buffer.remaining():
        _refuse(data, question, FORMERR, "bytes after the query")
    if len(found) > 1:
        _refuse(data, question, FORMERR, "more than one OPT record")
    return found[0] if found else None


def _opt(query: Query, *, rcode: int = NOERROR, error: tuple[int, str] | None = None) -> bytes:
    """Our OPT record, when the asker sent one: empty bytes otherwise (RFC 6891 section 7)."""
    if not query.payload:
        return b""
    option = b""
    if error is not None:
        code, text = error
        raw = text.encode()
        option = struct.pack(">HHH", 15, len(raw) + 2, code) + raw
    extended = (rcode >> 4) << 24 | (_DO if query.dnssec_ok else 0)
    return b"\0" + _OPT_HEAD.pack(OPT, PAYLOAD, extended, len(option)) + option
