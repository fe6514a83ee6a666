"""What a resolver of the host answers to us: read with distrust, and encoded anew.

Nothing of an answer is passed on as it came. Its records are parsed (RFC 1035, 2782, 3597), aliases
followed within the one message, and those of the type that was asked for are written again with the
name of the question. SRV, MX and TXT are read; addresses are the dialler's, who asks otherwise.
"""

from __future__ import annotations

import re
import struct
from typing import Final

import dnslib
import msgspec

from interceptor.wire.dns import (
    CNAME,
    HEADER,
    IN,
    MX,
    NOERROR,
    NXDOMAIN,
    OPCODE,
    OPT,
    OPT_HEAD,
    PAYLOAD,
    QR,
    RD,
    SRV,
    TC,
    TXT,
)

MOST: Final = 64
"""Records of an answer that are read; more is no answer to what agents ask."""
ALIASES: Final = 8
"""CNAME records that are followed."""
LONGEST_TTL: Final = 300
"""Seconds an agent may keep a record."""

_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")


class AnswerError(ValueError):
    """The bytes are no answer to what was asked."""


class OtherAnswerError(AnswerError):
    """They answer something else: the answer may still come (RFC 5452 section 9.1)."""


class Found(msgspec.Struct, frozen=True, gc=False):
    """What a resolver found."""

    rcode: int = NOERROR
    """NOERROR or NXDOMAIN; everything else is a failure, not a finding."""
    data: tuple[bytes, ...] = ()
    """Data of the records of the type that was asked for, as they are written on the wire."""
    texts: tuple[bytes, ...] = ()
    """What they say, to be looked at before an agent reads it: one for each record."""
    names: tuple[str, ...] = ()
    """Names that they lead to."""
    ttl: int = LONGEST_TTL
    """Seconds they may be kept."""
    truncated: bool = False
    """The answer did not fit: to be asked again over TCP."""


def question(name: str, qtype: int, ident: int) -> bytes:
    """A query for a host name (letters, digits, hyphens, underscores), with EDNS.

    Raises:
        AnswerError: the name cannot be asked for.
    """
    head = HEADER.pack(ident, RD, 1, 0, 0, 1)
    return head + _asked(name, qtype) + b"\0" + OPT_HEAD.pack(OPT, PAYLOAD, 0, 0)


def read(data: bytes, ident: int, name: str, qtype: int) -> Found:
    """Read the answer to `question(name, qtype, ident)`.

    Raises:
        OtherAnswerError: it answers something else.
        AnswerError: it is malformed, or says that the resolver failed.
    """
    asked = _asked(name, qtype)
    if len(data) < 12 + len(asked):
        raise OtherAnswerError("shorter than the question")
    theirs, flags, questions, answers = HEADER.unpack_from(data)[:4]
    echoed = data[12 : 12 + len(asked)]
    if theirs != ident or not flags & QR or flags & OPCODE:
        raise OtherAnswerError("no answer to this query")
    if questions != 1 or echoed[:-4].lower() != asked[:-4] or echoed[-4:] != asked[-4:]:
        raise OtherAnswerError("an answer to another question")
    if flags & TC:
        return Found(truncated=True)
    rcode = flags & 15
    if rcode not in {NOERROR, NXDOMAIN}:
        raise AnswerError(f"the resolver answers with rcode {rcode}")
    if answers > MOST:
        raise AnswerError(f"{answers} records")
    try:
        return _found(data, 12 + len(asked), answers, rcode, name, qtype)
    except AnswerError:
        raise
    except Exception as error:  # dnslib raises what struct, bytes and codecs raise
        raise AnswerError("unreadable records") from error


def _asked(name: str, qtype: int) -> bytes:
    if not _HOST.fullmatch(name):
        raise AnswerError("no host name")
    labels = name.encode("ascii").split(b".")
    wire = b"".join(bytes((len(label),)) + label for label in labels)
    return wire + b"\0" + struct.pack(">HH", qtype, IN)


def _found(data: bytes, start: int, count: int, rcode: int, name: str, qtype: int) -> Found:
    buffer = dnslib.DNSBuffer(data)
    buffer.offset = start
    owned: dict[str, list[dnslib.RR]] = {}
    aliases: dict[str, dnslib.RR] = {}
    for _ in range(count):
        record = dnslib.RR.parse(buffer)
        if record.rclass != IN:
            continue
        owner = _text(record.rname)
        if record.rtype == CNAME:
            aliases.setdefault(owner, record)
        elif record.rtype == qtype:
            owned.setdefault(owner, []).append(record)
    ttl = LONGEST_TTL
    for _ in range(ALIASES):
        alias = aliases.get(name)
        if alias is None:
            break
        ttl = min(ttl, alias.ttl)
        name = _text(alias.rdata.label)
    else:
        raise AnswerError(f"more than {ALIASES} aliases")
    records = owned.get(name, [])
    ttl = min([ttl, *(record.ttl for record in records)])
    rows = [_row(qtype, record.rdata) for record in records]
    return Found(
        rcode=rcode if not records else NOERROR,
        data=tuple(data for data, _, _ in rows),
        texts=tuple(text for _, text, _ in rows if text),
        names=tuple(name for _, _, name in rows if name),
        ttl=ttl,
    )


def _row(qtype: int, data: dnslib.RD) -> tuple[bytes, bytes, str]:
    """Data of a record as we write it, what it says, and the name it leads to."""
    if qtype == TXT:
        strings = [bytes(text) for text in data.data]
        return b"".join(bytes((len(s),)) + s for s in strings), b"".join(strings), ""
    if qtype == SRV:
        numbers = struct.pack(">HHH", data.priority, data.weight, data.port)
        name, wire = _target(data.target)
    elif qtype == MX:
        numbers = struct.pack(">H", data.preference)
        name, wire = _target(data.label)
    else:
        raise AnswerError(f"type {qtype} is not read")
    return numbers + wire, name.encode("ascii"), name


def _target(label: dnslib.DNSLabel) -> tuple[str, bytes]:
    """A name that a record leads to; the root stands for none (RFC 2782, RFC 7505)."""
    name = _text(label)
    if not name:
        return "", b"\0"
    if not _HOST.fullmatch(name):
        raise AnswerError("a record leads to what is no host name")
    return name, _asked(name, 0)[:-4]


def _text(label: dnslib.DNSLabel) -> str:
    """Lower case, no trailing dot; what is no ASCII, or holds a dot, becomes no host name."""
    return ".".join(
        part.decode("ascii", "replace").replace(".", "\N{REPLACEMENT CHARACTER}").lower()
        for part in map(bytes, label.label)
    )
