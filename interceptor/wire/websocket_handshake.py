"""The opening handshake, both sides of it (RFC 6455 section 4, RFC 7692 section 5).

The agent's key goes on as it is, so that upstream's answer is the agent's answer. Of the
extensions it offers only permessage-deflate goes on, written afresh.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from interceptor.verdict import Reason
from interceptor.wire.fields import Field, HttpError
from interceptor.wire.http1 import Framing, RequestHead, ResponseHead, write_request
from interceptor.wire.websocket_deflate import Deflate, answers, read_member

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SWITCH: Final = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
_EXTENSIONS: Final = b"sec-websocket-extensions"
_PROTOCOL: Final = b"sec-websocket-protocol"
_OFFERS: Final = 8  # offers that go on; a client makes one or two


class Upgrade(msgspec.Struct, frozen=True, gc=False):
    """What the agent asked for."""

    key: bytes
    protocols: tuple[bytes, ...] = ()
    """Sub-protocols it offered."""
    offers: tuple[Deflate, ...] = ()
    """Its offers of permessage-deflate that are well-formed."""


def wants_websocket(head: RequestHead) -> bool:
    """Tell whether the request asks for a WebSocket; `upgrade_request` then checks it."""
    return head.upgrade is not None and head.upgrade.lower() == b"websocket"


def accept_of(key: bytes) -> bytes:
    """Return the Sec-WebSocket-Accept that answers `key` (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def upgrade_request(head: RequestHead) -> Upgrade:
    """Check the agent's opening handshake (RFC 6455 section 4.2.1).

    Raises:
        HttpError: HTTP_MALFORMED, or HTTP_UNSUPPORTED for another version than 13.
    """
    bad = Reason.HTTP_MALFORMED
    if not wants_websocket(head) or b"upgrade" not in head.connection:
        raise HttpError(bad, "an upgrade to a WebSocket without both of its fields")
    if head.method != "GET" or head.minor != 1:
        raise HttpError(bad, "an upgrade to a WebSocket by something else than GET of HTTP/1.1")
    if head.framing is not Framing.NONE and (head.framing is Framing.CHUNKED or head.length):
        raise HttpError(bad, "an upgrade to a WebSocket with a body")
    versions = _values(head.fields, b"sec-websocket-version")
    if len(versions) != 1:
        raise HttpError(bad, "an upgrade without one Sec-WebSocket-Version")
    if versions[0] != b"13":
        raise HttpError(Reason.HTTP_UNSUPPORTED, "a WebSocket version other than 13")
    keys = _values(head.fields, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise HttpError(bad, "an upgrade without one Sec-WebSocket-Key of 16 bytes")
    members = _members(head.fields, _EXTENSIONS)
    offers = [offer for offer in map(read_member, members) if offer is not None]
    return Upgrade(keys[0], tuple(_members(head.fields, _PROTOCOL)), tuple(offers[:_OFFERS]))


def write_upgrade(head: RequestHead, upgrade: Upgrade, path: bytes, authority: bytes) -> bytes:
    """Write the opening handshake for upstream: of the extensions only what we can read."""
    fields = tuple(field for field in head.fields if field[1] != _EXTENSIONS)
    if upgrade.offers:
        value = b", ".join([offer.text() for offer in upgrade.offers])
        fields += ((b"Sec-WebSocket-Extensions", _EXTENSIONS, value),)
    plain = msgspec.structs.replace(head, fields=fields, framing=Framing.NONE)
    return write_request(plain, path, authority)[:-2] + _SWITCH


def verify_response(upgrade: Upgrade, head: ResponseHead) -> Deflate | None:
    """Check upstream's 101 (RFC 6455 section 4.1).

    Returns:
        The parameters of permessage-deflate, or None where it was not agreed upon.

    Raises:
        HttpError: UPSTREAM_MALFORMED; nothing may be relayed then.
    """
    bad = Reason.UPSTREAM_MALFORMED
    if head.status != 101 or head.minor != 1:
        raise HttpError(bad, "an answer that is not 101 of HTTP/1.1")
    options = _values(head.fields, b"upgrade")
    if len(options) != 1 or options[0].lower() != b"websocket":
        raise HttpError(bad, "101 to something else than a WebSocket")
    if b"upgrade" not in head.connection:
        raise HttpError(bad, "101 without Connection: upgrade")
    if _values(head.fields, b"sec-websocket-accept") != [accept_of(upgrade.key)]:
        raise HttpError(bad, "101 whose Sec-WebSocket-Accept is wrong")
    protocols = _values(head.fields, _PROTOCOL)
    if protocols and (len(protocols) > 1 or protocols[0] not in upgrade.protocols):
        raise HttpError(bad, "101 with a sub-protocol that was not offered")
    members = _members(head.fields, _EXTENSIONS)
    if not members:
        return None
    agreed = read_member(members[0])
    if len(members) > 1 or agreed is None or not answers(agreed, upgrade.offers):
        raise HttpError(bad, "101 with an extension that was not offered")
    return agreed


def _values(fields: Sequence[Field], name: bytes) -> list[bytes]:
    return [value for _, lower, value in fields if lower == name]


def _members(fields: Sequence[Field], name: bytes) -> list[bytes]:
    """Members of a list field, all its lines together (RFC 9110 section 5.6.1)."""
    items = b",".join(_values(fields, name)).split(b",")
    return [item for item in (item.strip(b" \t") for item in items) if item]


def _is_key(value: bytes) -> bool:
    try:
        return len(value) == 24 and len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False
