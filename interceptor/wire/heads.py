"""Heads of requests and responses, the same for every version of HTTP (RFC 9110)."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

import msgspec

from interceptor.verdict import Reason
from interceptor.wire.fields import Field, HttpError

_IDEMPOTENT: Final = frozenset(("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"))
_ECHOES: Final = frozenset(("TRACE", "TRACK"))


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
    """Value of Upgrade when Connection names it, else it has no meaning (RFC 9110 section 7.8)."""
    codings: bytes | None
    """Value of Content-Encoding."""


class ResponseHead(msgspec.Struct, frozen=True, gc=False):
    """A status line and its fields, checked."""

    status: int
    phrase: bytes
    minor: int
    fields: Sequence[Field]
    framing: Framing
    length: int
    keep_alive: bool
    connection: frozenset[bytes]
    content: tuple[bytes, bytes] | None = None
    """Values of Content-Type and Content-Encoding, empty where they do not stand; None: look into
    the fields."""
    challenges: tuple[bytes, ...] = ()
    """Values of Proxy-Authenticate of our own; those that came from upstream end here."""


def is_idempotent(method: str) -> bool:
    """Tell whether a proxy may repeat the request by itself (RFC 9110 section 9.2.2)."""
    return method in _IDEMPOTENT


def refuse_method(method: str) -> None:
    """Refuse a method whose response repeats the request: what this hop adds must not come back.

    Raises:
        HttpError: HTTP_UNSUPPORTED, on TRACE (RFC 9110 section 9.3.8).
    """
    if method in _ECHOES:
        raise HttpError(Reason.HTTP_UNSUPPORTED, "a method that echoes the request")
