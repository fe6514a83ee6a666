"""DHCP as bytes: what a guest asks, and what it is answered (RFC 2131, options of RFC 2132).

One guest, one address: there is no pool and no state. DHCPv6 is not spoken: router advertisements
(`interceptor.wire.router_advertisement`) give a guest all that it needs of IPv6.
"""

from __future__ import annotations

import enum
import ipaddress
import struct
from typing import Final

import msgspec

_COOKIE: Final = b"\x63\x82\x53\x63"  # RFC 2131 section 3
_FIXED: Final = struct.Struct("!4BI2H4s4s4s4s16s64s128s4s")
_REQUEST, _REPLY, _ETHERNET, _HARDWARE = 1, 2, 1, 6
_BROADCAST: Final = 0x8000
_LEAST: Final = 300
"""Bytes of a reply: what a BOOTP client reads at the least (RFC 1542 section 2.1)."""
_NONE: Final = bytes(4)

LEASE_SECONDS: Final = 86_400


class DhcpError(ValueError):
    """Not a message that a DHCP client sends. The text holds no byte of it."""


class Kind(enum.IntEnum):
    """Option 53."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Option(enum.IntEnum):
    """Options that are read or written."""

    PAD = 0
    MASK = 1
    ROUTER = 3
    NAME_SERVER = 6
    MTU = 26
    REQUESTED = 50
    LEASE = 51
    KIND = 53
    SERVER = 54
    RENEWAL = 58
    REBINDING = 59
    CLIENT = 61
    END = 255


class Question(msgspec.Struct, frozen=True, gc=False):
    """What a client says."""

    kind: Kind
    transaction: int
    hardware: bytes
    """Six bytes."""
    broadcast: bool
    """It cannot take an answer to an address that it does not have yet."""
    current: bytes
    """Its address, four bytes; zeros while it has none."""
    requested: bytes = b""
    """Option 50, four bytes or none."""
    server: bytes = b""
    """Option 54: whose offer it takes."""
    client: bytes = b""
    """Option 61, to be repeated (RFC 6842)."""


class Terms(msgspec.Struct, frozen=True):
    """What the guest is given."""

    hardware: bytes
    """Of the only client that is answered."""
    address: str
    gateway: str
    """Router, name server and DHCP server."""
    bits: int
    """Length of the network's prefix."""
    mtu: int = 1500


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A reply, and where it goes (RFC 2131 section 4.1)."""

    data: bytes
    address: str
    """Of the client's port 68: broadcast, or the client's own."""


def parse(data: bytes) -> Question:
    """Read a client's message.

    Raises:
        DhcpError: it is none, or comes through a relay: nobody is behind a guest.
    """
    if len(data) < _FIXED.size:
        raise DhcpError("too short for DHCP")
    (op, hardware_type, length, hops, transaction, _, flags, current, _, _, relay, hardware, _, _,
     cookie) = _FIXED.unpack_from(data)  # fmt: skip
    if op != _REQUEST or cookie != _COOKIE:
        raise DhcpError("not a DHCP request")
    if hardware_type != _ETHERNET or length != _HARDWARE or hops or relay != _NONE:
        raise DhcpError("not from a client on this link")
    options = _options(data, _FIXED.size)
    kind = options.get(Option.KIND, b"")
    if len(kind) != 1 or not Kind.DISCOVER <= kind[0] <= Kind.INFORM:
        raise DhcpError("no known type of message")
    for option in (Option.REQUESTED, Option.SERVER):
        if len(options.get(option, _NONE)) != 4:
            raise DhcpError("an option that is no address")
    return Question(
        kind=Kind(kind[0]),
        transaction=transaction,
        hardware=hardware[:_HARDWARE],
        broadcast=bool(flags & _BROADCAST),
        current=current,
        requested=options.get(Option.REQUESTED, b""),
        server=options.get(Option.SERVER, b""),
        client=options.get(Option.CLIENT, b""),
    )


def _options(data: bytes, at: int) -> dict[int, bytes]:
    """Options from `at`; of one that comes twice, the first. Overloaded fields are not read."""
    found: dict[int, bytes] = {}
    while at < len(data):
        code = data[at]
        at += 1
        if code == Option.PAD:
            continue
        if code == Option.END:
            break
        if at >= len(data) or at + 1 + data[at] > len(data):
            raise DhcpError("an option is cut off")
        found.setdefault(code, data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return found


def answer(question: Question, terms: Terms) -> Answer | None:
    """What the question is answered; None where nothing is said (RFC 2131 section 4.3).

    The only address there is goes to the only client there is; any other that a client wants to go
    on with gets a NAK, so that it asks anew at once.
    """
    if question.hardware != terms.hardware:
        return None
    own = ipaddress.IPv4Address(terms.gateway).packed
    offered = ipaddress.IPv4Address(terms.address).packed
    if question.server not in (b"", own):
        return None  # it takes somebody else's offer, of another network that it was in
    match question.kind:
        case Kind.DISCOVER:
            return _reply(Kind.OFFER, question, terms, offered)
        case Kind.REQUEST:
            wanted = question.requested or question.current
            if wanted != offered:
                return _reply(Kind.NAK, question, terms, _NONE)
            return _reply(Kind.ACK, question, terms, offered)
        case Kind.INFORM:
            return _reply(Kind.ACK, question, terms, _NONE)
        case _:
            return None


def _reply(kind: Kind, question: Question, terms: Terms, yours: bytes) -> Answer:
    current = question.current if kind is Kind.ACK else _NONE
    broadcast = kind is Kind.NAK or (current == _NONE and question.broadcast)
    gateway = ipaddress.IPv4Address(terms.gateway).packed
    options = [(Option.KIND, bytes((kind,))), (Option.SERVER, gateway)]
    if kind is not Kind.NAK:
        network = ipaddress.IPv4Network(f"{terms.address}/{terms.bits}", strict=False)
        options += [
            (Option.MASK, network.netmask.packed),
            (Option.ROUTER, gateway),
            (Option.NAME_SERVER, gateway),
            (Option.MTU, struct.pack("!H", terms.mtu)),
        ]
    if yours != _NONE:
        options += [
            (Option.LEASE, struct.pack("!I", LEASE_SECONDS)),
            (Option.RENEWAL, struct.pack("!I", LEASE_SECONDS // 2)),
            (Option.REBINDING, struct.pack("!I", LEASE_SECONDS * 7 // 8)),
        ]
    if question.client:
        options.append((Option.CLIENT, question.client))
    flags = _BROADCAST if question.broadcast else 0
    # siaddr stays zero: there is no next server to boot from.
    fixed = _FIXED.pack(
        _REPLY, _ETHERNET, _HARDWARE, 0, question.transaction, 0, flags, current, yours, _NONE,
        _NONE, question.hardware, b"", b"", _COOKIE,
    )  # fmt: skip
    body = b"".join(bytes((code, len(value))) + value for code, value in options)
    data = (fixed + body + bytes((Option.END,))).ljust(_LEAST, b"\0")
    if broadcast:
        return Answer(data, "255.255.255.255")
    to = current if current != _NONE else yours
    return Answer(data, str(ipaddress.IPv4Address(to)) if to != _NONE else "255.255.255.255")
