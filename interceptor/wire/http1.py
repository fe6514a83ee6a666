"""HTTP/1.1 heads, read strictly and written afresh (RFC 9110, RFC 9112).

What two parsers could read in two ways is refused, because the next hop may read it the other way
(request smuggling). What leaves is written from what was parsed. docs/http1.md lists every case and
its answer, what is lenient and what is stricter than the RFC.
"""

from __future__ import annotations

import functools
import re
from typing import Final

import msgspec

from interceptor.verdict import Reason
from interceptor.wire.fields import (
    HOP_REQUEST,
    HOP_RESPONSE,
    NOT_IN_TRAILERS,
    Field,
    HttpError,
    Section,
    has_bare_end,
    onward,
    over_limit,
    split_fields,
    write_trailers,
)
from interceptor.wire.heads import (
    Framing,
    RequestHead,
    ResponseHead,
    is_idempotent,
    refuse_method,
)
from interceptor.wire.late_fields import read_answer

__all__ = [
    "HOP_REQUEST",
    "HOP_RESPONSE",
    "NOT_IN_TRAILERS",
    "Field",
    "Framing",
    "HttpError",
    "RequestHead",
    "ResponseHead",
    "chunk",
    "is_idempotent",
    "read_request",
    "read_response",
    "refuse_method",
    "write_request",
    "write_response",
    "write_switch",
    "write_trailers",
]


# Possessive quantifiers: every byte is looked at once, whatever the input (no backtracking).
# Methods are case-sensitive and all registered ones are capitals (RFC 9110 section 9.1): `post`
# would pass by a rule for POST, and there are servers that take it for POST.
_REQUEST_LINE: Final = re.compile(
    rb"([A-Z][A-Z0-9_-]{0,31}+) ([\x21-\x7e\x80-\xff]++) HTTP/1\.([01])\r\n"
)
_STATUS_LINE: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*+))?\r\n"
)
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
_NON_ASCII: Final = re.compile(rb"[\x80-\xff]")

HEAD_END: Final = b"\r\n\r\n"
_VERSION: Final = b"HTTP/1."
_TO_HOST: Final = b" HTTP/1.1\r\nHost: "
# Connection may name none of these: taken away, they change what the message means (RFC 9110
# section 7.6.1 forbids senders to name fields meant for all recipients).
_NOT_OPTIONS: Final = frozenset(
    (
        *(b"host", b"content-length", b"transfer-encoding", b"content-encoding"),
        *(b"content-type", b"expect"),
    )
)
# What is remembered: agents repeat their fields on and on, with another target each time; some
# answers are the same to the last byte. The key is all that was read, so what is found is what
# would have been read. It may hold credentials, as the buffers it came from did: little is kept, in
# the memory of this process, which serves one jail.
_REMEMBERED: Final = 128
_REMEMBERED_BYTES: Final = 4096


def read_request(
    buffer: bytes, size_limit: int, count_limit: int
) -> tuple[RequestHead, int] | None:
    """Read one request head from the start of `buffer`.

    Returns:
        The head and the number of bytes it took, or None when more bytes are needed.

    Raises:
        HttpError: HTTP_MALFORMED, HTTP_UNSUPPORTED, or LIMIT_EXCEEDED when the head is longer than
            `size_limit`. What cannot become valid is not waited for.
    """
    start = 0
    # One or two empty lines before a request line are forgiven (RFC 9112 section 2.2).
    while start < 4 and buffer.startswith(b"\r\n", start):
        start += 2
    end = buffer.find(HEAD_END, start, start + size_limit + 4)
    if end < 0:
        _refuse_part(buffer[start:], size_limit, Reason.HTTP_MALFORMED)
        return None
    raw = buffer[start : end + 2]
    _refuse_flood(raw, count_limit, Reason.HTTP_MALFORMED)
    return _request(raw), end + 4


def read_response(
    buffer: bytes, method: str, size_limit: int, count_limit: int
) -> tuple[ResponseHead, int] | None:
    """Read one response head from the start of `buffer`; `method` is the request's.

    Returns:
        The head and the number of bytes it took, or None when more bytes are needed.

    Raises:
        HttpError: UPSTREAM_MALFORMED.
    """
    end = buffer.find(HEAD_END, 0, size_limit + 4)
    if end < 0:
        _refuse_part(buffer, size_limit, Reason.UPSTREAM_MALFORMED)
        return None
    raw = buffer[: end + 2]
    _refuse_flood(raw, count_limit, Reason.UPSTREAM_MALFORMED)
    read = _recent_response if end <= _REMEMBERED_BYTES else _response
    return read(raw, method == "HEAD"), end + 4


def _refuse_flood(raw: bytes, limit: int, reason: Reason) -> None:
    if raw.count(b"\n") - 1 > limit:
        raise HttpError(over_limit(reason), f"more than {limit} header fields")


def _refuse_part(part: bytes, limit: int, reason: Reason) -> None:
    """Refuse the beginning of a head that no further bytes can make valid."""
    if has_bare_end(part[: limit + 4]):
        raise HttpError(reason, "a CR or LF that stands alone")
    if reason is Reason.UPSTREAM_MALFORMED:
        if not part.startswith(_VERSION[: len(part)]):
            raise HttpError(reason, "the answer is not HTTP/1")
        line = _STATUS_LINE
    else:
        line = _REQUEST_LINE
    if b"\r\n" in part and line.match(part) is None:
        raise HttpError(reason, "the first line is malformed")
    if len(part) >= limit + 4:
        raise HttpError(over_limit(reason), f"a head over {limit} bytes")


def _length(value: bytes, reason: Reason) -> int:
    if reason is Reason.UPSTREAM_MALFORMED and b"," in value:
        # Sent twice, but the same: one meaning (RFC 9112 section 6.3, item 5).
        members = {item.strip(b" \t") for item in value.split(b",")}
        value = members.pop() if len(members) == 1 else b""
    if _DIGITS.fullmatch(value) is None:
        raise HttpError(reason, "Content-Length is not a plain number")
    return int(value)


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
        return Framing.LENGTH, _length(length, reason)
    return Framing.NONE, 0


def _fielded(block: bytes, minor: int) -> RequestHead:
    """Read the header section of a request of HTTP/1.`minor`; its first line is still to come."""
    bad = Reason.HTTP_MALFORMED
    fields = split_fields(block, len(block), bad, HOP_REQUEST)
    steering, connection = fields.steering, fields.connection
    framing, length = _framing(steering, minor, bad)
    host = steering.get(b"host")
    if not host and (minor == 1 or host is not None):
        raise HttpError(bad, "no Host field, or an empty one")
    if not connection.isdisjoint(_NOT_OPTIONS):
        raise HttpError(bad, "Connection names a field that is not the connection's")
    expect = steering.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        raise HttpError(bad, "an expectation other than 100-continue")
    return RequestHead(
        method="",
        target=b"",
        minor=minor,
        fields=fields,
        framing=framing,
        length=length,
        host=host,
        keep_alive=b"close" not in connection if minor else b"keep-alive" in connection,
        expects_continue=expect is not None and minor == 1,
        raw=b"",
        connection=connection,
        upgrade=steering.get(b"upgrade") if minor and b"upgrade" in connection else None,
        codings=steering.get(b"content-encoding"),
    )


_recent_fielded = functools.lru_cache(_REMEMBERED)(_fielded)


def _request(raw: bytes) -> RequestHead:
    """Read a complete head, without its closing empty line."""
    bad = Reason.HTTP_MALFORMED
    line = _REQUEST_LINE.match(raw)
    if line is None:
        raise HttpError(bad, "the request line is malformed")
    method, target, version = line.groups()
    text = method.decode("ascii")
    refuse_method(text)
    if b"#" in target:
        raise HttpError(bad, "a fragment in the request target")
    if not target.isascii():
        target = _NON_ASCII.sub(lambda m: b"%%%02X" % m[0][0], target)
    block = raw[line.end() :]
    read = _recent_fielded if len(block) <= _REMEMBERED_BYTES else _fielded
    head = read(block, 1 if version == b"1" else 0)
    return msgspec.structs.replace(head, method=text, target=target, raw=raw)


def _response(raw: bytes, to_head: bool) -> ResponseHead:  # noqa: FBT001
    """Read a complete head, without its closing empty line; `to_head`: it answers a HEAD."""
    bad = Reason.UPSTREAM_MALFORMED
    line = _STATUS_LINE.match(raw)
    if line is None:
        raise HttpError(bad, "the status line is malformed")
    fields = read_answer(raw, line.end())
    connection = fields.connection
    steering = fields.steering
    status = int(line[2])
    minor = line[1][0] - 48
    framing, length = _framing(steering, minor, bad)
    # RFC 9112 section 6.3: these have no body whatever their fields say.
    if to_head or status < 200 or status in (204, 304):
        framing = Framing.NONE
    elif framing is Framing.NONE:
        framing = Framing.CLOSE
    keep = b"close" not in connection if minor else b"keep-alive" in connection
    return ResponseHead(
        status=status,
        phrase=line[3] or b"",
        minor=minor,
        fields=fields,
        framing=framing,
        length=length,
        keep_alive=keep and framing is not Framing.CLOSE,
        connection=connection,
        content=None
        if type(fields) is Section
        else (steering.get(b"content-type", b""), steering.get(b"content-encoding", b"")),
    )


_recent_response = functools.lru_cache(_REMEMBERED)(_response)


def write_request(head: RequestHead, path: bytes, authority: bytes) -> bytes:
    """Write the head for upstream: origin-form, one Host, one framing field."""
    # Joined: formatting bytes with % costs several times as much.
    if head.framing is Framing.NONE:
        end = b"\r\n"
    elif head.framing is Framing.LENGTH:
        end = b"Content-Length: " + str(head.length).encode("ascii") + HEAD_END
    else:
        end = b"Transfer-Encoding: chunked\r\n\r\n"
    method = head.method.encode("ascii")
    lines = onward(head.fields, HOP_REQUEST, head.connection)
    return b"".join((method, b" ", path, _TO_HOST, authority, b"\r\n", lines, end))


@functools.lru_cache(_REMEMBERED)
def _status_line(status: int, phrase: bytes) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase)


def write_response(
    head: ResponseHead, framing: Framing, *, close: bool, method: str, persist: bool = False
) -> bytes:
    """Write the head for the agent, its body framed as `framing`.

    Args:
        head: as read; its hop-by-hop fields stay behind.
        framing: of the body that will follow.
        close: say that the connection ends with this response.
        method: the request's.
        persist: say that it does not: HTTP/1.0 clients must be told (RFC 9112 section C.2.2).
    """
    lines = onward(head.fields, HOP_RESPONSE, head.connection)
    out = _status_line(head.status, head.phrase) + lines
    if head.challenges:
        out += b"".join([b"Proxy-Authenticate: %b\r\n" % value for value in head.challenges])
    if framing is Framing.CHUNKED:
        out += b"Transfer-Encoding: chunked\r\n"
    elif framing is Framing.LENGTH:
        out += b"Content-Length: " + str(head.length).encode("ascii") + b"\r\n"
    elif method == "HEAD" or head.status == 304:
        # What a GET would have got is information (RFC 9110 section 9.3.2), so it is kept.
        kept = (b"content-length", b"transfer-encoding")
        out += b"".join([b"%b: %b\r\n" % (n, v) for n, lower, v in head.fields if lower in kept])
    if close:
        return out + b"Connection: close\r\n\r\n"
    return out + (b"Connection: keep-alive\r\n\r\n" if persist else b"\r\n")


def write_switch(head: ResponseHead) -> bytes:
    """Write a 101, which was asked for and verified (RFC 9110 section 15.2.2)."""
    protocol = next((value for _, lower, value in head.fields if lower == b"upgrade"), b"")
    return b"HTTP/1.1 101 %b\r\n%bConnection: Upgrade\r\nUpgrade: %b\r\n\r\n" % (
        head.phrase,
        onward(head.fields, HOP_RESPONSE, head.connection),
        protocol,
    )


def chunk(data: bytes) -> bytes:
    """Frame `data` as one chunk; empty data gives nothing, as an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
