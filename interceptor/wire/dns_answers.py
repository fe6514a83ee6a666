"""Answers to DNS queries, built as an authoritative server that also recurses builds them.

RFC 1035 (messages), 2308 (negative answers), 6891 (EDNS), 8914 (extended errors). Every answer has
QR, AA and RA set, RD and CD as they were asked, AD and Z clear; docs/dns.md says why resolvers of
every make accept that.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import dnslib

from interceptor.wire.dns import (
    AA,
    DO,
    HEADER,
    IN,
    NOERROR,
    NXDOMAIN,
    OPT,
    OPT_HEAD,
    PAYLOAD,
    PTR,
    QR,
    RA,
    SERVFAIL,
    SOA,
    TC,
    Query,
    QueryError,
    Transport,
    parse,
)

TTL: Final = 60
"""Seconds a synthetic address may be cached: far below the life of a lease."""
NEGATIVE_TTL: Final = 10
"""Seconds a negative answer may be cached: policies change while agents run."""

OTHER, BLOCKED, NO_AUTHORITY = 0, 15, 22
"""Extended DNS errors "Other", "Blocked", "No Reachable Authority" (RFC 8914 section 4)."""

Error = tuple[int, str]
"""Extended error: code and text."""


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
_FLAGS: Final = QR | AA | RA
_RECORD: Final = struct.Struct(">HHHIH")


def record(qtype: int, data: bytes, ttl: int = TTL) -> bytes:
    """A record of the question's own name, which 0xC00C points to (RFC 1035 section 4.1.4)."""
    return _RECORD.pack(0xC00C, qtype, IN, ttl, len(data)) + data


def address(query: Query, packed: bytes) -> bytes:
    """The answer that `query.name` has this one address (4 bytes for A, 16 for AAAA).

    At most 322 bytes, so that it fits every datagram.
    """
    if not query.payload:
        return (
            HEADER.pack(query.ident, _FLAGS | query.flags, 1, 1, 0, 0)
            + query.question
            + _RECORD.pack(0xC00C, query.qtype, IN, TTL, len(packed))
            + packed
        )
    return message(query, answers=[record(query.qtype, packed)])


def pointer(query: Query, name: str) -> bytes:
    """The answer to a PTR query: `name`, in zone-file form."""
    return message(query, answers=[record(PTR, _name(name))])


def negative(query: Query, rcode: int, *, error: Error | None = None) -> bytes:
    """NODATA (rcode NOERROR) or NXDOMAIN, with the SOA that says how long it holds.

    `error`: for askers that speak EDNS.
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
    error: Error | None = None,
) -> bytes:
    """An answer of encoded records, of any length; `fitted` makes it fit a datagram."""
    flags = QR | RA | query.flags | rcode & 15
    if rcode in {NOERROR, NXDOMAIN}:
        flags |= AA
    head = HEADER.pack(
        query.ident, flags, 1, len(answers), len(authorities), 1 if query.payload else 0
    )
    return b"".join([head, query.question, *answers, *authorities, _opt(query, error)])


def fitted(reply: bytes, query: Query, over: Transport) -> bytes:
    """`reply`, or its truncated form (TC set, no records) when a datagram cannot hold it."""
    if len(reply) <= 512 or over == "tcp" or len(reply) <= min(query.payload, PAYLOAD):
        return reply
    ident, flags = struct.unpack_from(">HH", reply)
    head = HEADER.pack(ident, flags | TC, 1, 0, 0, 1 if query.payload else 0)
    return head + query.question + _opt(query)


def failure(data: bytes) -> bytes | None:
    """SERVFAIL to whatever was asked; None when nobody can be answered."""
    try:
        query = parse(data)
    except QueryError as error:
        return error.reply
    return message(query, rcode=SERVFAIL)


def _opt(query: Query, error: Error | None = None) -> bytes:
    """Our OPT record, when the asker sent one: empty bytes otherwise (RFC 6891 section 7)."""
    if not query.payload:
        return b""
    option = b""
    if error is not None:
        code, text = error
        raw = text.encode()
        option = struct.pack(">HHH", 15, len(raw) + 2, code) + raw
    flags = DO if query.dnssec_ok else 0  # RFC 3225 section 3: copied
    return b"\0" + OPT_HEAD.pack(OPT, PAYLOAD, flags, len(option)) + option
