"""HTTP/1.1 heads, read strictly and written afresh (RFC 9110, RFC 9112).

Nothing here is lenient: what two parsers could read in two ways is refused, because the next
hop may read it the other way (request smuggling). Nothing is relayed raw: what leaves is written
from what was parsed.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from interceptor.verdict import Reason

Field = tuple[bytes, bytes, bytes]
"""A header field: name as received, name in lower case, value without outer white space."""


class HttpError(ValueError):
    """The peer broke the protocol. `reason` says whose fault: the agent's or upstream's."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Framing(enum.Enum):
    """How a body is delimited (RFC 9112 section 6.3)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


class RequestHead(msgspec.Struct, frozen=True, gc=False):
    """A request line and its fields, checked."""

    method: str
    target: bytes
    """Request target as received; never empty."""
    minor: int
    """0 or 1: HTTP/1.0 or HTTP/1.1."""
    fields: tuple[Field, ...]
    framing: Framing
    length: int
    """Body length in bytes when framing is LENGTH, else 0."""
    host: bytes | None
    keep_alive: bool
    expects_continue: bool
    raw: bytes
    """The head as received, without the closing empty line."""
    connection: frozenset[bytes]
    """Options of the Connection field, lower case: they and the fields they name end here."""
    upgrade: bytes | None
    codings: bytes | None
    """Value of Content-Encoding."""


class ResponseHead(msgspec.Struct, frozen=True, gc=False):
    """A status line and its fields, checked."""

    status: int
    phrase: bytes
    minor: int
    fields: tuple[Field, ...]
    framing: Framing
    length: int
    keep_alive: bool
    connection: frozenset[bytes]


_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
# Possessive quantifiers: every byte is looked at once, whatever the input (no backtracking).
_REQUEST_LINE: Final = re.compile(rb"(" + _TOKEN + rb"{1,32}+) ([\x21-\xff]++) HTTP/1\.([01])\r\n")
_STATUS_LINE: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*+))?\r\n"
)
_FIELDS: Final = re.compile(rb"(?:" + _TOKEN + rb"++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+")
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
_NON_ASCII: Final = re.compile(rb"[\x80-\xff]")

HEAD_END: Final = b"\r\n\r\n"
# Connection-specific fields (RFC 9110 section 7.6.1), and those whose meaning ends at this hop.
_HOP_REQUEST: Final = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te"),
        *(b"transfer-encoding", b"content-length", b"upgrade", b"host", b"expect", b"trailer"),
        b"http2-settings",
    )
)
# alt-svc is dropped so that no client is sent to QUIC, which is refused (RFC 7838).
_HOP_RESPONSE: Final = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"upgrade"),
        *(b"transfer-encoding", b"content-length", b"trailer", b"alt-svc"),
    )
)
# Fields that must not appear in trailers (RFC 9110 section 6.5.1).
_NOT_IN_TRAILERS: Final = _HOP_REQUEST | _HOP_RESPONSE | {b"content-encoding", b"authorization"}
# Fields that steer this hop: those that may stand once, and lists (RFC 9110 section 5.3).
_SINGLE: Final = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))
_STEERING: Final = _SINGLE | {b"connection", b"upgrade", b"content-encoding"}
_NO_TOKENS: Final[frozenset[bytes]] = frozenset()
_PLAIN_OPTIONS: Final = frozenset((b"keep-alive", b"close"))
_IDEMPOTENT: Final = frozenset(("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"))


def is_idempotent(method: str) -> bool:
    """Tell whether a proxy may repeat the request by itself (RFC 9110 section 9.2.2)."""
    return method in _IDEMPOTENT


class Fields(NamedTuple):
    """A header section: all fields in order, and those that steer this hop by name."""

    all: tuple[Field, ...]
    steering: dict[bytes, bytes]
    """Values of `_STEERING` fields by lower-case name; lists are joined by commas."""


def split_fields(block: bytes, limit: int, reason: Reason) -> Fields:
    """Split a block of field lines, each ending in CRLF.

    Args:
        block: zero or more field lines.
        limit: the most fields allowed.
        reason: the reason code of an error: the agent's or upstream's fault.

    Raises:
        HttpError: on folding, bare CR or LF, NUL, a name that is no token, too many fields, or a
            second one of a field that may stand once.
    """
    if _FIELDS.fullmatch(block) is None:
        raise HttpError(reason, "a header field is malformed")
    lines = block.split(b"\r\n")
    if len(lines) - 1 > limit:
        raise HttpError(Reason.LIMIT_EXCEEDED, f"more than {limit} header fields")
    del lines[-1]
    fields = []
    steering: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        lower = name.lower()
        value = value.strip(b" \t")
        fields.append((name, lower, value))
        if lower in _STEERING:
            if lower not in steering:
                steering[lower] = value
            elif lower in _SINGLE:
                raise HttpError(reason, f"duplicate {lower.decode('ascii')}")
            else:
                steering[lower] += b"," + value
    return Fields(tuple(fields), steering)


def _tokens(value: bytes | None) -> frozenset[bytes]:
    """Members of a comma-separated list field, in lower case."""
    if not value:
        return _NO_TOKENS
    if b"," not in value:
        return frozenset((value.lower(),))
    return frozenset(item.strip(b" \t") for item in value.lower().split(b","))


def _framing(steering: dict[bytes, bytes], minor: int, reason: Reason) -> tuple[Framing, int]:
    """Body framing by the fields alone; NONE when neither framing field stands."""
    coding = steering.get(b"transfer-encoding")
    length = steering.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise HttpError(reason, "both Transfer-Encoding and Content-Length")
        if minor == 0:
            raise HttpError(reason, "Transfer-Encoding in HTTP/1.0")
        if coding.lower() != b"chunked":
            raise HttpError(reason, "a transfer coding other than chunked")
        return Framing.CHUNKED, 0
    if length is not None:
        if _DIGITS.fullmatch(length) is None:
            raise HttpError(reason, "Content-Length is not a plain number")
        return Framing.LENGTH, int(length)
    return Framing.NONE, 0


def read_request(
    buffer: bytes, size_limit: int, count_limit: int
) -> tuple[RequestHead, int] | None:
    """Read one request head from the start of `buffer`.

    Returns:
        The head and the number of bytes it took, or None when more bytes are needed.

    Raises:
        HttpError: HTTP_MALFORMED, or LIMIT_EXCEEDED when the head is longer than `size_limit`.
    """
    start = 0
    # One or two empty lines before a request line are forgiven (RFC 9112 section 2.2).
    while start < 4 and buffer.startswith(b"\r\n", start):
        start += 2
    end = buffer.find(HEAD_END, start)
    if end < 0 or end - start > size_limit:
        if len(buffer) - start > size_limit:
            raise HttpError(Reason.LIMIT_EXCEEDED, f"request head over {size_limit} bytes")
        return None
    line = _REQUEST_LINE.match(buffer, start)
    if line is None:
        raise HttpError(Reason.HTTP_MALFORMED, "the request line is malformed")
    bad = Reason.HTTP_MALFORMED
    fields, steering = split_fields(buffer[line.end() : end + 2], count_limit, bad)
    method = line[1].decode("ascii")
    target = line[2]
    if b"#" in target:
        raise HttpError(bad, "a fragment in the request target")
    if _NON_ASCII.search(target) is not None:
        target = _NON_ASCII.sub(lambda m: b"%%%02X" % m[0][0], target)
    if b"\x7f" in target:
        raise HttpError(bad, "a control character in the request target")
    minor = line[3][0] - 48
    framing, length = _framing(steering, minor, bad)
    host = steering.get(b"host")
    if host is None and minor == 1:
        raise HttpError(bad, "no Host field")
    connection = _tokens(steering.get(b"connection"))
    keep = b"close" not in connection if minor else b"keep-alive" in connection
    expect = steering.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        raise HttpError(bad, "an expectation other than 100-continue")
    head = RequestHead(
        method=method,
        target=target,
        minor=minor,
        fields=fields,
        framing=framing,
        length=length,
        host=host,
        keep_alive=keep,
        expects_continue=expect is not None and minor == 1,
        raw=buffer[start : end + 2],
        connection=connection,
        upgrade=steering.get(b"upgrade"),
        codings=steering.get(b"content-encoding"),
    )
    return head, end + 4


def read_response(
    buffer: bytes, method: str, size_limit: int, count_limit: int
) -> tuple[ResponseHead, int] | None:
    """Read one response head from the start of `buffer`; `method` is the request's.

    Returns:
        The head and the number of bytes it took, or None when more bytes are needed.

    Raises:
        HttpError: UPSTREAM_MALFORMED or LIMIT_EXCEEDED.
    """
    end = buffer.find(HEAD_END)
    if end < 0 or end > size_limit:
        if len(buffer) > size_limit:
            raise HttpError(Reason.UPSTREAM_MALFORMED, f"response head over {size_limit} bytes")
        return None
    bad = Reason.UPSTREAM_MALFORMED
    line = _STATUS_LINE.match(buffer)
    if line is None:
        raise HttpError(bad, "the status line is malformed")
    fields, steering = split_fields(buffer[line.end() : end + 2], count_limit, bad)
    status = int(line[2])
    minor = line[1][0] - 48
    framing, length = _framing(steering, minor, bad)
    # RFC 9112 section 6.3: these have no body whatever their fields say.
    if method == "HEAD" or status < 200 or status in (204, 304):
        framing = Framing.NONE
    elif framing is Framing.NONE:
        framing = Framing.CLOSE
    connection = _tokens(steering.get(b"connection"))
    keep = b"close" not in connection if minor else b"keep-alive" in connection
    return (
        ResponseHead(
            status=status,
            phrase=line[3] or b"",
            minor=minor,
            fields=fields,
            framing=framing,
            length=length,
            keep_alive=keep and framing is not Framing.CLOSE,
            connection=connection,
        ),
        end + 4,
    )


def _kept(
    fields: Sequence[Field], hop: frozenset[bytes], connection: frozenset[bytes]
) -> list[bytes]:
    """Field lines that go on to the next hop; those that Connection names stay behind."""
    drop = hop if connection <= _PLAIN_OPTIONS else hop | connection
    return [b"%b: %b\r\n" % (name, value) for name, lower, value in fields if lower not in drop]


def write_request(head: RequestHead, path: bytes, authority: bytes) -> bytes:
    """Write the head for upstream: origin-form, one Host, one framing field."""
    lines = [b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (head.method.encode("ascii"), path, authority)]
    lines += _kept(head.fields, _HOP_REQUEST, head.connection)
    if head.framing is Framing.CHUNKED:
        lines.append(b"Transfer-Encoding: chunked\r\n\r\n")
    elif head.framing is Framing.LENGTH:
        lines.append(b"Content-Length: %d\r\n\r\n" % head.length)
    else:
        lines.append(b"\r\n")
    return b"".join(lines)


def write_response(head: ResponseHead, framing: Framing, *, close: bool, method: str) -> bytes:
    """Write the head for the agent, its body framed as `framing`."""
    lines = [b"HTTP/1.1 %d %b\r\n" % (head.status, head.phrase)]
    lines += _kept(head.fields, _HOP_RESPONSE, head.connection)
    if framing is Framing.CHUNKED:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif framing is Framing.LENGTH:
        lines.append(b"Content-Length: %d\r\n" % head.length)
    elif method == "HEAD" or head.status == 304:
        # What a GET would have got is information (RFC 9110 section 9.3.2), so it is kept.
        lines += [
            b"%b: %b\r\n" % (name, value)
            for name, lower, value in head.fields
            if lower in (b"content-length", b"transfer-encoding")
        ]
    lines.append(b"Connection: close\r\n\r\n" if close else b"\r\n")
    return b"".join(lines)


def write_switch(head: ResponseHead) -> bytes:
    """Write a 101 for the agent: its fields as they stand, Connection and Upgrade included."""
    lines = [b"HTTP/1.1 101 %b\r\n" % head.phrase]
    lines += [b"%b: %b\r\n" % (name, value) for name, _, value in head.fields]
    lines.append(b"\r\n")
    return b"".join(lines)


def write_trailers(trailers: Sequence[Field]) -> bytes:
    """End a chunked body, with the trailers that may pass (RFC 9112 section 7.1.2)."""
    lines = [b"0\r\n"]
    lines += [b"%b: %b\r\n" % (n, v) for n, lower, v in trailers if lower not in _NOT_IN_TRAILERS]
    lines.append(b"\r\n")
    return b"".join(lines)


def chunk(data: bytes) -> bytes:
    """Frame `data` as one chunk; empty data gives nothing, as an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
