"""Header sections of HTTP/1.1, read strictly (RFC 9110 section 5, RFC 9112 section 5).

A section is all fields in order, what steers this hop by name, and the lines that go on to the
next hop, which are made once, when the section is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, cast

from interceptor.verdict import Reason

Field = tuple[bytes, bytes, bytes]
"""A header field: name as received, name in lower case, value without outer white space."""


class HttpError(ValueError):
    """The peer broke the protocol. `reason` says whose fault: the agent's or upstream's."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
"""tchar (RFC 9110 section 5.6.2)."""
# Possessive quantifiers: every byte is looked at once, whatever the input (no backtracking).
# Neither folding nor a bare CR, LF or NUL can be in a value (RFC 9110 section 5.5), nor white
# space in or after a name (RFC 9112 section 5.1). obs-text passes: file names are sent in it.
# An atomic group: a possessive repeat of a group keeps what a last, failed round took (gh-106052).
_FIELDS: Final = re.compile(rb"(?>(?:" + TOKEN + rb"++:[\t\x20-\x7e\x80-\xff]*+\r\n)*)")
# The same as this hop writes it, which is how almost all are sent: one space before the value and
# no white space around it.
_WRITTEN: Final = re.compile(
    rb"(?>(?:" + TOKEN + rb"++: (?![\t ])[\t\x20-\x7e\x80-\xff]++(?<![\t ])\r\n)*)"
)

# Connection-specific fields (RFC 9110 section 7.6.1), and those whose meaning ends at this hop.
HOP_REQUEST: Final = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te"),
        *(b"transfer-encoding", b"content-length", b"upgrade", b"host", b"expect", b"trailer"),
        b"http2-settings",
    )
)
# alt-svc is dropped so that no client is sent to QUIC, which is refused (RFC 7838).
HOP_RESPONSE: Final = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"upgrade"),
        *(b"transfer-encoding", b"content-length", b"trailer", b"alt-svc"),
    )
)
# Fields that a recipient could merge into the head and so change framing, routing, request
# modifiers, authentication or the meaning of the content (RFC 9110 section 6.5.1).
NOT_IN_TRAILERS: Final = (
    HOP_REQUEST
    | HOP_RESPONSE
    | frozenset(
        (
            *(b"content-encoding", b"content-type", b"content-range", b"content-location"),
            *(b"authorization", b"www-authenticate", b"cookie", b"set-cookie", b"range"),
            *(b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"),
            *(b"if-range", b"cache-control", b"pragma", b"max-forwards", b"location", b"vary"),
            *(b"age", b"expires", b"date", b"retry-after", b"forwarded", b"x-forwarded-for"),
            *(b"x-http-method-override", b"x-http-method", b"x-method-override"),
        )
    )
)
# Fields that steer this hop: those that may stand once, and lists (RFC 9110 section 5.3).
SINGLE_REQUEST: Final = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))
SINGLE_RESPONSE: Final = frozenset((b"transfer-encoding",))
_SINGLE: Final = {
    Reason.HTTP_MALFORMED: SINGLE_REQUEST,
    Reason.UPSTREAM_MALFORMED: SINGLE_RESPONSE,
}
_STEERING: Final = SINGLE_REQUEST | {b"connection", b"upgrade", b"content-encoding"}
_SPECIAL: Final = _STEERING | HOP_REQUEST | HOP_RESPONSE
NO_TOKENS: Final[frozenset[bytes]] = frozenset()
PLAIN_OPTIONS: Final = frozenset((b"keep-alive", b"close"))


class Section(tuple[Field, ...]):
    """The fields of a header section as they were read.

    Whoever changes fields makes a plain tuple of them, whose lines are then written afresh.

    Attributes:
        steering: values of the fields that steer this hop, by lower-case name; lists are joined by
            commas.
        lines: the lines that go on to the next hop, all but those that `hop` names.
        hop: names of fields that end here.
        connection: what Connection names, which ends here too.
    """

    steering: dict[bytes, bytes]
    lines: bytes
    hop: frozenset[bytes]
    connection: frozenset[bytes]


def split_fields(
    block: bytes,
    limit: int,
    reason: Reason,
    hop: frozenset[bytes] = NO_TOKENS,
) -> Section:
    """Split a block of field lines, each ending in CRLF.

    Args:
        block: zero or more field lines.
        limit: the most fields allowed.
        reason: the reason code of an error: the agent's or upstream's fault.
        hop: fields that do not go on.

    Raises:
        HttpError: on folding, bare CR or LF, NUL, a name that is no token, too many fields, or a
            second one of a field that may stand once.
    """
    if _WRITTEN.fullmatch(block) is not None:
        lines = block.split(b"\r\n")
    elif _FIELDS.fullmatch(block) is not None:
        lines = [_rewritten(line) for line in block.split(b"\r\n")]
    else:
        raise HttpError(reason, "a header field is malformed")
    del lines[-1]
    if len(lines) > limit:
        raise HttpError(over_limit(reason), f"more than {limit} header fields")
    fields = []
    kept = []
    steering: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b": ")
        lower = name.lower()
        fields.append((name, lower, value))
        if lower not in _SPECIAL:
            kept.append(line)
            continue
        if lower not in hop:
            kept.append(line)
        if lower in _STEERING:
            if lower not in steering:
                steering[lower] = value
            elif lower in _SINGLE[reason]:
                raise HttpError(reason, f"duplicate {lower.decode('ascii')}")
            else:
                steering[lower] += b"," + value
    section = Section(fields)
    section.steering = steering
    section.hop = hop
    section.connection = connection = tokens(steering.get(b"connection"))
    if connection <= PLAIN_OPTIONS:
        kept.append(b"")
        section.lines = b"\r\n".join(kept)
    else:
        section.lines = _lines(section, hop | connection)
    return section


def is_written(block: bytes) -> bool:
    """Tell whether a block is valid and written as this hop writes it."""
    return _WRITTEN.fullmatch(block) is not None


def _rewritten(line: bytes) -> bytes:
    name, _, value = line.partition(b":")
    return b"%b: %b" % (name, value.strip(b" \t"))


def over_limit(reason: Reason) -> Reason:
    """Reason code of a limit that is exceeded: upstream's floods are upstream's fault."""
    return Reason.LIMIT_EXCEEDED if reason is Reason.HTTP_MALFORMED else reason


def tokens(value: bytes | None) -> frozenset[bytes]:
    """Members of a comma-separated list field, in lower case."""
    if not value:
        return NO_TOKENS
    if b"," not in value:
        return frozenset((value.lower(),))
    return frozenset(item.strip(b" \t") for item in value.lower().split(b","))


def has_bare_end(data: bytes) -> bool:
    """Tell whether a CR or LF stands alone; a CR at the very end may still get its LF.

    What holds one never becomes a valid head (RFC 9112 section 2.2), so the peer is told at once
    instead of being waited for.
    """
    ends = data.count(b"\r\n")
    return data.count(b"\n") != ends or data.count(b"\r") - data.endswith(b"\r") != ends


def onward(fields: Sequence[Field], hop: frozenset[bytes], connection: frozenset[bytes]) -> bytes:
    """Field lines that go on to the next hop; `hop` and what Connection names stay behind."""
    if type(fields) is not tuple and getattr(fields, "hop", None) is hop:
        section = cast("Section", fields)
        if section.connection is connection:
            return section.lines
    return _lines(fields, hop if connection <= PLAIN_OPTIONS else hop | connection)


def _lines(fields: Iterable[Field], drop: frozenset[bytes]) -> bytes:
    return b"".join(
        [b"%b: %b\r\n" % (name, value) for name, lower, value in fields if lower not in drop]
    )


def write_trailers(trailers: Iterable[Field]) -> bytes:
    """End a chunked body, with the trailers that may pass (RFC 9112 section 7.1.2)."""
    lines = [b"0\r\n"]
    lines += [b"%b: %b\r\n" % (n, v) for n, lower, v in trailers if lower not in NOT_IN_TRAILERS]
    lines.append(b"\r\n")
    return b"".join(lines)
