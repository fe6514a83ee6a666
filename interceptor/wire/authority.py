"""Authorities and request targets: who is meant, in one canonical form (RFC 3986, RFC 9112)."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import msgspec

from interceptor.verdict import Reason
from interceptor.wire.fields import HttpError

# Letters, digits, hyphen and underscore; 63 bytes a label, 253 in all (RFC 1035, RFC 1123).
_NAME: Final = re.compile(rb"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
_AUTHORITY: Final = re.compile(
    rb"(\[[0-9A-Fa-f:.]{2,45}\]|[^\[\]:@/?#\s]{1,255})(?::([0-9]{1,5}))?"
)
# A dot segment, plain or percent-encoded, between slashes of any spelling: clients remove them
# before they send (RFC 3986 section 5.2.4, WHATWG URL), so one that arrives is there to be read
# differently by somebody. What is encoded twice is text, and passes.
_DOT_SEGMENT: Final = re.compile(
    rb"(?:[/\\]|%2[fF]|%5[cC])(?:\.|%2[eE]){1,2}(?:[/?;\\]|%2[fF]|%5[cC]|$)"
)
_DEFAULT_PORT: Final = {"http": 80, "https": 443}


class Authority(msgspec.Struct, frozen=True, gc=False):
    """A host and a port."""

    host: str
    """Lower-case name without trailing dot, or canonical address text."""
    port: int | None
    """None when not stated."""


class RequestTarget(msgspec.Struct, frozen=True, gc=False):
    """A request target, taken apart (RFC 9112 section 3.2)."""

    form: str
    """`origin`, `absolute`, `authority` (CONNECT) or `asterisk` (OPTIONS)."""
    path: bytes
    """Path and query, to be sent in origin-form; empty for CONNECT."""
    scheme: str = ""
    authority: Authority | None = None


def parse_authority(text: bytes, reason: Reason = Reason.HTTP_MALFORMED) -> Authority:
    """Parse `host`, `host:port` or `[v6]:port`.

    Raises:
        HttpError: on user information, an invalid name, or a port outside 1 to 65535.
    """
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise HttpError(reason, "the host is malformed")
    port = int(match[2]) if match[2] else None
    if port is not None and not 0 < port < 65536:
        raise HttpError(reason, "the port is out of range")
    raw = match[1]
    if raw.startswith(b"["):
        try:
            return Authority(str(ipaddress.IPv6Address(raw[1:-1].decode("ascii"))), port)
        except ValueError:
            raise HttpError(reason, "the IPv6 address is malformed") from None
    if _NAME.fullmatch(raw) is None or len(raw) > 254:
        raise HttpError(reason, "the host name is malformed")
    return Authority(raw.decode("ascii").lower().rstrip("."), port)


def parse_target(method: str, target: bytes) -> RequestTarget:
    """Take a request target apart.

    Raises:
        HttpError: when its form does not fit the method, or it holds dot segments.
    """
    if method == "CONNECT":
        authority = parse_authority(target)
        if authority.port is None:
            raise HttpError(Reason.HTTP_MALFORMED, "CONNECT without a port")
        return RequestTarget("authority", b"", authority=authority)
    if target.startswith(b"/"):
        refuse_dot_segments(target)
        return RequestTarget("origin", target)
    if target == b"*":
        if method != "OPTIONS":
            raise HttpError(Reason.HTTP_MALFORMED, "an asterisk target without OPTIONS")
        return RequestTarget("asterisk", b"*")
    scheme, sep, rest = target.partition(b"://")
    name = scheme.lower()
    if not sep or name not in (b"http", b"https"):
        raise HttpError(Reason.HTTP_MALFORMED, "the request target is malformed")
    cut = min((i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest))
    path = rest[cut:]
    if not path.startswith(b"/"):
        path = b"/" + path
    refuse_dot_segments(path)
    return RequestTarget("absolute", path, name.decode("ascii"), parse_authority(rest[:cut]))


def refuse_dot_segments(path: bytes) -> None:
    """Refuse a path with dot segments, plain or percent-encoded.

    Raises:
        HttpError: HTTP_MALFORMED.
    """
    # The cheap test first: almost no path holds any of these.
    query = path.find(b"?")
    only = path if query < 0 else path[:query]
    if (b"/." in only or b"%" in only or b"\\" in only) and _DOT_SEGMENT.search(only) is not None:
        raise HttpError(Reason.HTTP_MALFORMED, "dot segments in the path")


def default_port(scheme: str) -> int:
    """Port of `http` or `https` (RFC 9110 sections 4.2.1, 4.2.2)."""
    return _DEFAULT_PORT[scheme]
