"""Every QUIC connection that a jail's agent tries, read as far as its name, and refused.

What can be looked into goes over TCP, and every client of HTTP/3 can do that too. How soon it falls
back depends on how soon it knows, so its first packets are answered, with `quic.refusal`, which no
client argues with. No server is ever asked: there is no step that could.

| comes | answered | recorded as |
|---|---|---|
| Initial packets with a whole ClientHello | yes | what judge and policy say of its name, |
| | | else `protocol_refused` |
| some of them, and no more for `PATIENCE` | yes | `protocol_refused` |
| Initial packets that cannot be read | yes | `protocol_refused` |
| other packets, a version we do not know | yes | `protocol_refused` |
| what was answered, once more | yes | nothing |
| what is no QUIC | no | `protocol_refused` |

Datagrams below 1200 bytes are never answered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from interceptor.flow.quic_refusals import Named, Peer, QuicJudge, Refusals
from interceptor.flow.windows import Note
from interceptor.verdict import Reason
from interceptor.wire.quic import SMALLEST, Packet, QuicError, Type, packets, refusal
from interceptor.wire.quic_frames import HelloStream
from interceptor.wire.quic_keys import client_keys, payload
from interceptor.wire.tls_hello import ClientHello, HelloError

PATIENCE: Final = 0.05
"""Seconds that a ClientHello may take from its first packet to its last; clients send both in one
breath. What is late is refused by the name that was leased."""
PENDING: Final = 64
"""Connections whose hello is read at a time; one more ends the oldest. Some 50 KB each at worst."""
ANSWERED: Final = 1_024
"""Refused connections that are remembered."""
KEPT: Final = 3.0
"""Seconds that one is, so that what is sent again is answered and not judged again."""

_HTTP: Final = "QUIC; HTTP/2 or HTTP/1.1 over TCP will be used instead"
_DNS: Final = "DNS over QUIC; ordinary DNS answers every name"
_OTHER: Final = "QUIC; neither HTTP nor DNS was offered"
_PROTOCOLS: Final = {"h3": _HTTP, "hq": _HTTP, "doq": _DNS}  # by the ALPN id up to a dash

_Key = tuple[Peer, bytes]  # a connection: peer, and the id that the client chose


class Send(msgspec.Struct, frozen=True):
    """Send this datagram to the peer, from the address that it has dialled."""

    peer: Peer
    data: bytes


class _Pending:
    """A connection whose ClientHello is not whole yet."""

    __slots__ = ("due", "keys", "packet", "peer", "stream")

    def __init__(self, peer: Peer, packet: Packet, now: float) -> None:
        self.peer = peer
        self.packet = packet
        self.due = now + PATIENCE
        self.keys = client_keys(packet.version, packet.dcid)
        self.stream = HelloStream()

    def read(self, datagram: bytes, initial: list[Packet]) -> None:
        """Take the Initial packets of a datagram. Raises QuicError."""
        for packet in initial:
            if packet.version != self.packet.version:
                raise QuicError("two versions in one connection")
            self.stream.feed(payload(datagram, packet, self.keys))


class QuicFlow:
    """Datagrams in, answers and records out. One object a jail, in bounded memory."""

    def __init__(self, judge: QuicJudge, name_of: Callable[[str, float], str], jail: str) -> None:
        """`name_of` gives the name leased to a synthetic address at a time, or an empty text."""
        self._refusals = Refusals(judge, name_of, jail)
        # Both in the order of their times.
        self._pending: OrderedDict[_Key, _Pending] = OrderedDict()
        self._answered: OrderedDict[_Key, float] = OrderedDict()

    @property
    def deadline(self) -> float:
        """Time at which `timer` wants to be called; infinite when nothing waits."""
        for pending in self._pending.values():
            return min(pending.due, self._refusals.deadline)
        return self._refusals.deadline

    def datagram(self, data: bytes, peer: Peer, now: float) -> list[Note | Send]:
        """What follows from a datagram, in order. Never raises."""
        self._forget(now)
        try:
            found = packets(data)
        except QuicError as error:
            return [*self._refusals.note(peer, f"no QUIC: {error}", now)]
        first = found[0]
        # RFC 9000 section 14.1: smaller ones open nothing, and an answer could be larger.
        answer = [Send(peer, refusal(first))] if len(data) >= SMALLEST else []
        if first.type is Type.UNKNOWN:
            return [*self._refusals.note(peer, "QUIC of an unknown version", now), *answer]
        key = peer, first.dcid
        if key in self._answered:
            return [*answer]
        initial = [packet for packet in found if packet.type is Type.INITIAL]
        steps: list[Note | Send] = []
        pending = self._pending.get(key)
        if pending is None:
            if not initial or len(data) < SMALLEST:
                return [*self._refusals.note(peer, "QUIC that opens nothing", now), *answer]
            if len(self._pending) >= PENDING:
                steps += self._late(now)
            pending = self._pending[key] = _Pending(peer, initial[0], now)
        return steps + self._read(key, pending, data, initial, now)

    def timer(self, now: float) -> list[Note | Send]:
        """`deadline` has passed."""
        steps: list[Note | Send] = []
        while self._pending and next(iter(self._pending.values())).due <= now:
            steps += self._late(now)
        self._forget(now)
        return steps + self._refusals.timer(now)

    def finish(self) -> list[Note]:
        """What is left to record when the jail ends."""
        return self._refusals.finish()

    def _read(
        self, key: _Key, pending: _Pending, data: bytes, initial: list[Packet], now: float
    ) -> list[Note | Send]:
        """Read the packets of a pending connection, and refuse it if they suffice."""
        stream = pending.stream
        try:
            pending.read(data, initial)
            hello = stream.hello()
        except QuicError as error:
            return self._refuse(key, f"QUIC that cannot be read: {error}", now)
        except HelloError as error:
            return self._refuse(key, f"QUIC: {error}", now, error.reason)
        if hello is not None:
            named = Named(hello, stream.message() or b"")
            return self._refuse(key, _what(hello), now, named=named)
        if stream.closed:  # the client has gone, and wants no answer
            del self._pending[key]
            return [*self._refusals.note(pending.peer, "QUIC that was given up", now)]
        return []

    def _late(self, now: float) -> list[Note | Send]:
        """Refuse the connection that has waited longest."""
        return self._refuse(next(iter(self._pending)), "QUIC whose ClientHello is not whole", now)

    def _refuse(
        self,
        key: _Key,
        detail: str,
        now: float,
        reason: Reason = Reason.PROTOCOL_REFUSED,
        named: Named | None = None,
    ) -> list[Note | Send]:
        """Refuse a pending connection."""
        pending = self._pending.pop(key)
        notes = self._refusals.note(pending.peer, detail, now, reason, named)
        self._answered[key] = now + KEPT
        if len(self._answered) > ANSWERED:
            self._answered.popitem(last=False)
        return [*notes, Send(pending.peer, refusal(pending.packet))]

    def _forget(self, now: float) -> None:
        """Forget refusals that nobody asks about any more."""
        while self._answered and next(iter(self._answered.values())) <= now:
            self._answered.popitem(last=False)


def _what(hello: ClientHello) -> str:
    """The detail for a hello that was read: from what it offers, none of its bytes."""
    for protocol in hello.alpn:
        detail = _PROTOCOLS.get(protocol.partition("-")[0])
        if detail is not None:
            return detail
    return _OTHER
