"""HTTP/2 header sections: read into the heads of HTTP/1.1 with its strictness, and written.

Every rule is checked here, in one pass, whatever hyper-h2 checks (RFC 9113 section 8).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from interceptor.verdict import Reason
from interceptor.wire.fields import (
    HOP_REQUEST,
    HOP_RESPONSE,
    NOT_IN_TRAILERS,
    SINGLE_REQUEST,
    SINGLE_RESPONSE,
    Field,
    HttpError,
    over_limit,
)
from interceptor.wire.http1 import Framing, RequestHead, ResponseHead, refuse_method
from interceptor.wire.http2_hpack import Decoded, Pair

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]++")
_METHOD: Final = re.compile(rb"[A-Z][A-Z0-9_-]{0,31}+")
_PATH: Final = re.compile(rb"(?:/[\x21\x22\x24-\x7e\x80-\xff]*+|\*)")
_AUTHORITY: Final = re.compile(rb"[\x21\x22\x24-\x2e\x30-\x3e\x40-\x7e]++")
_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]{0,31}+")
_STATUS: Final = re.compile(rb"[1-9][0-9]{2}")
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
_NON_ASCII: Final = re.compile(rb"[\x80-\xff]")
_TEXT: Final = bytes((9, *range(0x20, 0x7F), *range(0x80, 0x100)))
"""Bytes of a field line; what is left without them is line ends, or refused."""
_SPACE: Final = b" \t"

_CONNECTION: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
_STEERING: Final = frozenset((b"host", b"content-length", b"expect", b"content-encoding"))
_WATCHED: Final = _CONNECTION | _STEERING | {b"te", b"cookie"}
_NONE: Final[frozenset[bytes]] = frozenset()
_PLAIN_OPTIONS: Final = frozenset((b"keep-alive", b"close"))
# Heads that are remembered, as those of HTTP/1.1 are.
_REMEMBERED: Final = 128
_REMEMBERED_SIZE: Final = 4096


class Section(NamedTuple):
    """A header section, taken apart."""

    pseudo: dict[bytes, bytes]
    fields: tuple[Field, ...]
    steering: dict[bytes, bytes]
    block: bytes
    """The regular fields as field lines of HTTP/1.1."""


def split_section(
    pairs: tuple[Pair, ...], reason: Reason, single: frozenset[bytes] = SINGLE_REQUEST
) -> Section:
    """Check a decoded section; pseudo-header fields are only put aside.

    Args:
        pairs: decoded names and values, in order.
        reason: the reason code of an error.
        single: fields that may stand once.

    Raises:
        HttpError: with `reason`.
    """
    pseudo: dict[bytes, bytes] = {}
    fields: list[Field] = []
    steering: dict[bytes, bytes] = {}
    cookies: list[bytes] = []
    cookie_at = 0
    for name, value in pairs:
        if name[:1] == b":":
            if fields:
                raise HttpError(reason, "a pseudo-header field after a regular one")
            if name in pseudo:
                raise HttpError(reason, "a pseudo-header field twice")
            pseudo[name] = value
            continue
        if _NAME.fullmatch(name) is None:
            raise HttpError(reason, "a field name is malformed")
        if len(value.strip(_SPACE)) != len(value):
            raise HttpError(reason, "a field value starts or ends with white space")
        if name in _WATCHED:
            if name == b"cookie":
                # Sent in crumbs for the sake of compression (RFC 9113 section 8.2.3).
                cookies.append(value)
                if len(cookies) > 1:
                    continue
                cookie_at = len(fields)
            elif name in _CONNECTION:
                raise HttpError(reason, "a connection-specific field")
            elif name == b"te":
                if value.lower() != b"trailers":
                    raise HttpError(reason, "te other than trailers")
            elif name not in steering:
                steering[name] = value
            elif name in single:
                raise HttpError(reason, f"duplicate {name.decode('ascii')}")
            else:
                steering[name] += b"," + value
        fields.append((name, name, value))
    if len(cookies) > 1:
        fields[cookie_at] = (b"cookie", b"cookie", b"; ".join(cookies))
    block = b"".join([b"%b: %b\r\n" % (name, value) for name, _, value in fields])
    if block.translate(None, _TEXT) != b"\r\n" * len(fields):
        raise HttpError(reason, "a control character in a field value")
    return Section(pseudo, tuple(fields), steering, block)


def _bound(section: Decoded, count: int, size: int, reason: Reason) -> None:
    if len(section.pairs) > count + 4:
        raise HttpError(over_limit(reason), f"more than {count} header fields")
    if section.size - 32 * len(section.pairs) > size:
        raise HttpError(over_limit(reason), f"a header section over {size} bytes")


def _length(steering: dict[bytes, bytes], reason: Reason) -> int | None:
    text = steering.get(b"content-length")
    if text is None:
        return None
    if b"," in text and reason is Reason.UPSTREAM_MALFORMED:
        # Sent twice, but the same: one meaning (RFC 9110 section 8.6).
        members = {item.strip(_SPACE) for item in text.split(b",")}
        text = members.pop() if len(members) == 1 else b""
    if _DIGITS.fullmatch(text) is None:
        raise HttpError(reason, "Content-Length is not a plain number")
    return int(text)


def read_request(section: Decoded, count: int, size: int, *, end: bool) -> tuple[RequestHead, str]:
    """Read a request's header section; `end` tells that no body follows.

    Args:
        section: as decoded.
        count: the most fields allowed.
        size: the most bytes of names and values allowed.
        end: no body follows.

    Returns:
        The head and the scheme in lower case, empty for CONNECT. Framing is NONE, LENGTH, or
        CHUNKED for a body of unknown length; `raw` is the head as HTTP/1.1 would write it.

    Raises:
        HttpError: HTTP_MALFORMED, HTTP_UNSUPPORTED, NAME_MISMATCH or LIMIT_EXCEEDED.
    """
    _bound(section, count, size, Reason.HTTP_MALFORMED)
    if section.size <= _REMEMBERED_SIZE:
        return _recent_request(section.pairs, end)
    return _request(section.pairs, end)


def _request(pairs: tuple[Pair, ...], end: bool) -> tuple[RequestHead, str]:  # noqa: FBT001
    bad = Reason.HTTP_MALFORMED
    pseudo, fields, steering, block = split_section(pairs, bad)
    method = pseudo.get(b":method")
    if method is None or _METHOD.fullmatch(method) is None:
        raise HttpError(bad, "no method, or a malformed one")
    name = method.decode("ascii")
    refuse_method(name)
    authority = pseudo.get(b":authority")
    host = steering.get(b"host")
    if authority is None:
        authority = host
        stated = 0
    else:
        stated = 1
        if host is not None and host.lower() != authority.lower():
            raise HttpError(Reason.NAME_MISMATCH, ":authority and Host disagree")
    if authority is None or _AUTHORITY.fullmatch(authority) is None:
        raise HttpError(bad, "no authority, or a malformed one")
    length = _length(steering, bad)
    if method == b"CONNECT":
        if len(pseudo) != 2 or not stated or length is not None:
            raise HttpError(bad, "a malformed CONNECT")
        scheme = ""
        target = authority
        framing = Framing.NONE
    else:
        path = pseudo.get(b":path")
        named = pseudo.get(b":scheme")
        if path is None or named is None or len(pseudo) != 3 + stated:
            raise HttpError(bad, "pseudo-header fields are missing or unknown")
        if _SCHEME.fullmatch(named) is None:
            raise HttpError(bad, "a malformed scheme")
        scheme = named.decode("ascii").lower()
        if _PATH.fullmatch(path) is None or (path == b"*" and method != b"OPTIONS"):
            raise HttpError(bad, "the request target is malformed")
        target = path
        if _NON_ASCII.search(target) is not None:
            target = _NON_ASCII.sub(lambda m: b"%%%02X" % m[0][0], target)
        if length is not None:
            framing = Framing.LENGTH
            if end and length:
                raise HttpError(bad, "the body is shorter than Content-Length")
        else:
            framing = Framing.NONE if end else Framing.CHUNKED
    expect = steering.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        raise HttpError(bad, "an expectation other than 100-continue")
    raw = b"%b %b HTTP/2\r\nhost: %b\r\n%b" % (method, target, authority, block)
    head = RequestHead(
        method=name,
        target=target,
        minor=1,
        fields=fields,
        framing=framing,
        length=length or 0,
        host=authority,
        keep_alive=True,
        expects_continue=expect is not None,
        raw=raw,
        connection=_NONE,
        upgrade=None,
        codings=steering.get(b"content-encoding"),
    )
    return head, scheme


def read_response(
    section: Decoded, method: str, count: int, size: int, *, end: bool
) -> ResponseHead:
    """Read a response's header section; `method` is the request's.

    Framing is NONE where no body may come, LENGTH, or CHUNKED for a body of unknown length. A
    response that ends with its head and could have had a body is one of LENGTH 0.

    Raises:
        HttpError: UPSTREAM_MALFORMED.
    """
    _bound(section, count, size, Reason.UPSTREAM_MALFORMED)
    if section.size <= _REMEMBERED_SIZE:
        return _recent_response(section.pairs, method == "HEAD", end)
    return _response(section.pairs, method == "HEAD", end)


def _response(pairs: tuple[Pair, ...], to_head: bool, end: bool) -> ResponseHead:  # noqa: FBT001
    bad = Reason.UPSTREAM_MALFORMED
    pseudo, fields, steering, _ = split_section(pairs, bad, SINGLE_RESPONSE)
    text = pseudo.get(b":status")
    if text is None or len(pseudo) != 1 or _STATUS.fullmatch(text) is None:
        raise HttpError(bad, "no status, or a malformed one")
    status = int(text)
    if status == 101:
        raise HttpError(bad, "a switch of protocols in HTTP/2")
    length = _length(steering, bad)
    if to_head or status < 200 or status in (204, 304):
        if status < 200 and end:
            raise HttpError(bad, "an informational response ends the stream")
        framing = Framing.NONE
    elif end:
        if length:
            raise HttpError(bad, "the body is shorter than Content-Length")
        framing = Framing.LENGTH
    else:
        framing = Framing.CHUNKED if length is None else Framing.LENGTH
    return ResponseHead(
        status=status,
        phrase=b"",
        minor=1,
        fields=fields,
        framing=framing,
        length=length or 0,
        keep_alive=True,
        connection=_NONE,
    )


_recent_request = functools.lru_cache(_REMEMBERED)(_request)
_recent_response = functools.lru_cache(_REMEMBERED)(_response)


def read_trailers(section: Decoded, count: int, size: int, reason: Reason) -> tuple[Field, ...]:
    """Read a trailer section.

    Raises:
        HttpError: with `reason`, or LIMIT_EXCEEDED.
    """
    _bound(section, count, size, reason)
    read = split_section(section.pairs, reason)
    if read.pseudo:
        raise HttpError(reason, "a pseudo-header field in trailers")
    return read.fields


def request_pairs(head: RequestHead, path: bytes, authority: bytes, scheme: str) -> list[Pair]:
    """Write a request head: what ends at this hop is dropped, `te: trailers` is kept."""
    pairs = [
        (b":method", head.method.encode("ascii")),
        (b":scheme", scheme.encode("ascii")),
        (b":authority", authority),
        (b":path", path),
    ]
    drop = HOP_REQUEST if head.connection <= _PLAIN_OPTIONS else HOP_REQUEST | head.connection
    for _, lower, value in head.fields:
        if lower not in drop:
            pairs.append((lower, value))
        elif lower == b"te" and b"trailers" in value.lower():
            pairs.append((b"te", b"trailers"))
    if head.framing is Framing.LENGTH:
        pairs.append((b"content-length", b"%d" % head.length))
    return pairs


def response_pairs(head: ResponseHead, method: str) -> list[Pair]:
    """Write a response head for a request of `method`."""
    drop = HOP_RESPONSE if head.connection <= _PLAIN_OPTIONS else HOP_RESPONSE | head.connection
    pairs = [(b":status", b"%d" % head.status)]
    pairs += [(lower, value) for _, lower, value in head.fields if lower not in drop]
    if head.framing is Framing.LENGTH:
        pairs.append((b"content-length", b"%d" % head.length))
    elif method == "HEAD" or head.status == 304:
        # What a GET would have got is information (RFC 9110 section 9.3.2), so it is kept.
        pairs += [(low, value) for _, low, value in head.fields if low == b"content-length"]
    return pairs


def trailer_pairs(trailers: Sequence[Field]) -> list[Pair]:
    """Write the trailers that may pass."""
    return [(lower, value) for _, lower, value in trailers if lower not in NOT_IN_TRAILERS]
