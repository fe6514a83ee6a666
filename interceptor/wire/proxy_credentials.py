"""Credentials that a client of a proxy sends: Proxy-Authorization (RFC 9110 section 11.7).

Two schemes, those that programs can send without talk to and fro: Basic (RFC 7617), which is what
the user part of a proxy's URL becomes, and Bearer (RFC 6750).
"""

from __future__ import annotations

import binascii
import re
from typing import Final

import msgspec

from interceptor.wire.heads import RequestHead
from interceptor.wire.http1 import read_request

FIELD: Final = b"proxy-authorization"
CHALLENGES: Final = (b'Basic realm="egressguard", charset="UTF-8"', b'Bearer realm="egressguard"')
"""What a 407 asks for, one Proxy-Authenticate field each (RFC 9110 section 11.7.1)."""

LONGEST: Final = 8_192
"""Bytes of a credential; tokens of workloads are one or two thousand long."""
_LINE: Final = re.compile(rb"(?im)^proxy-authorization:[^\r\n]*+\r\n")
_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]++=*+")  # token68, RFC 9110 section 11.2


class Credential(msgspec.Struct, frozen=True, gc=False):
    """Who somebody says they are, and what is to prove it."""

    name: str
    """User of Basic; empty where only a token was sent."""
    token: bytes


def credential(head: RequestHead) -> Credential | None:
    """Read the credential of a request; None where there is none, several, or an unknown scheme."""
    values = [value for _, lower, value in head.fields if lower == FIELD]
    return parse(values[0]) if len(values) == 1 else None


def parse(value: bytes) -> Credential | None:
    """Read the value of one Proxy-Authorization field."""
    scheme, _, rest = value.partition(b" ")
    rest = rest.strip(b" ")
    if len(rest) > LONGEST or _TOKEN.fullmatch(rest) is None:
        return None
    scheme = scheme.lower()
    if scheme == b"bearer":
        return Credential("", rest)
    if scheme != b"basic":
        return None
    try:
        name, colon, token = binascii.a2b_base64(rest, strict_mode=True).partition(b":")
        return Credential(name.decode(), token) if colon else None
    except ValueError:  # of base64 or of UTF-8
        return None


def without(head: RequestHead) -> RequestHead:
    """The same request without its credential, which ends at this hop: read afresh.

    Nothing of it remains in `raw`, which is what is looked at for secrets and could be told of.
    """
    if all(lower != FIELD for _, lower, _ in head.fields):
        return head
    raw = _LINE.sub(b"", head.raw) + b"\r\n"
    read = read_request(raw, len(raw), len(head.fields))
    assert read is not None  # noqa: S101 - a line less than what was read
    return read[0]
