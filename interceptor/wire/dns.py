"""DNS queries, read strictly, and refused in a way that every asker understands.

RFC 1035 (messages), 2181, 6891 (EDNS), 9619 (one question). The shape that every stub resolver
sends, one question and perhaps an OPT record, is read here byte by byte; rarer shapes go through
dnslib. The tests hold both readings against each other. `interceptor.wire.dns_answers` answers what
was read, `interceptor.wire.dns_records` reads what a resolver of the host answers to us.
"""

from __future__ import annotations

import re
import struct
from typing import Final, Literal, NoReturn

import dnslib
import msgspec

from interceptor.verdict import Reason

Transport = Literal["udp", "tcp"]

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
BADVERS: Final = 16
A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, OPT = 1, 2, 5, 6, 12, 15, 16, 28, 33, 41
IXFR, AXFR, ANY = 251, 252, 255

PAYLOAD: Final = 1_232
"""Largest UDP answer we send, and what we announce (RFC 9715 section 3.2)."""
LARGEST: Final = 4_096
"""Bytes of a query that is read: a name has 255, and options are small."""

HEADER: Final = struct.Struct(">HHHHHH")
OPT_HEAD: Final = struct.Struct(">HHIH")
"""Type, payload size, extended rcode + version + flags, length of the data."""
QR, OPCODE, AA, TC, RD, RA, CD = 0x8000, 0x7800, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010
DO: Final = 0x8000
IN: Final = 1

_OPCODES = {1: NOTIMP, 2: NOTIMP, 4: REFUSED, 5: REFUSED, 6: NOTIMP}  # NOTIFY, UPDATE: by policy
_META_TYPES = frozenset({0, OPT, 249, 250})  # TKEY and TSIG are no questions
_MAX_ADDITIONALS = 4  # an OPT and a signature are two; reading thousands costs seconds

_PLAIN_NAME = re.compile(rb"[a-zA-Z0-9_.-]+")
_PLAIN_LABEL = re.compile(rb"[!-\[\]-~]+")


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
    ident, flags, questions, answers, authorities, additionals = HEADER.unpack_from(data)
    if flags & QR:  # answering it could start a loop
        raise QueryError("a response where a query belongs", None, Reason.DNS_MALFORMED)
    if len(data) > LARGEST:
        _refuse(data, b"", FORMERR, f"a query of more than {LARGEST} bytes")
    try:
        labels, end = _labels(data)
        qtype, qclass = struct.unpack_from(">HH", data, end)
    except (IndexError, struct.error, ValueError):
        if questions == 1:
            _refuse(data, b"", FORMERR, "unreadable question")
        labels, end, qtype, qclass = [], 8, A, IN
    question = data[12 : end + 4] if questions == 1 else b""
    if flags & OPCODE:
        rcode = _OPCODES.get((flags & OPCODE) >> 11, NOTIMP)
        _refuse(data, question, rcode, "not a standard query")
    if questions != 1:
        _refuse(data, b"", FORMERR, f"{questions} questions")
    if qtype in _META_TYPES:
        _refuse(data, question, FORMERR, f"a question for {type_name(qtype)}")
    if qclass != IN:
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
        flags=flags & (RD | CD),
        payload=0 if edns is None else max(edns[0], 512),
        dnssec_ok=edns is not None and bool(edns[1] & DO),
    )


def _refuse(data: bytes, question: bytes, rcode: int, message: str) -> NoReturn:
    ident, flags, *counts = HEADER.unpack_from(data)
    flags = QR | flags & (OPCODE | RD | CD) | RA | rcode & 15
    # Without our OPT record an asker would conclude that EDNS was what we did not like.
    plain = counts == [1 if question else 0, 0, 0, 1]
    edns = rcode == BADVERS or (plain and data.startswith(b"\0\0\x29", 12 + len(question)))
    reply = HEADER.pack(ident, flags, 1 if question else 0, 0, 0, 1 if edns else 0) + question
    if edns:
        reply += b"\0" + OPT_HEAD.pack(OPT, PAYLOAD, (rcode >> 4) << 24, 0)
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
        _, size, extended, length = OPT_HEAD.unpack_from(data, start + 1)
        if len(data) != start + 11 + length or not _options_fit(data, start + 11):
            _refuse(data, question, FORMERR, "malformed OPT record")
    else:
        found = _opt_by_dnslib(data, question)
        if found is None:
            return None
        size, extended = found
    if extended >> 16 & 0xFF:
        _refuse(data, question, BADVERS, "an EDNS version that does not exist")
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
