"""Packets that no listener takes, as the packet guard names them: judged for the record, refused.

Nothing is answered from here; the kernel's rules refuse each packet whatever becomes of its note.
What it carries is looked at, because a leak that was stopped is worth another word than a time
server that was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from interceptor.flow.steps import Record
from interceptor.flow.windows import Note, Windows
from interceptor.model import Kind, Origin, Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire.quic import QuicError, packets
from interceptor.wire.quic_frames import HelloStream
from interceptor.wire.quic_keys import client_keys, payload
from interceptor.wire.tls_hello import HelloError

_OTHERS: Final = Record(
    Verdict(reason=Reason.LIMIT_EXCEEDED, detail="packets of many other kinds"),
    Target("ip", "", 0),
    Kind.PACKET,
)


class Seen(msgspec.Struct, frozen=True):
    """One packet, as `netns.packets.Sighting` describes it."""

    protocol: str
    what: str
    source: str
    address: str
    source_port: int = 0
    port: int = 0
    size: int = 0
    payload: bytes = b""
    names: tuple[str, ...] = ()


class PacketJudge(Protocol):
    """The part of `interceptor.decide.judge.Judge` that packets need."""

    def packet(self, target: Target, what: str, data: bytes, names: Sequence[str]) -> Verdict:
        """Judge a packet that is refused whatever it is."""


class PacketFlow:
    """Notes on refused packets. One object a jail, in bounded memory."""

    def __init__(self, judge: PacketJudge, name_of: Callable[[str, float], str], jail: str) -> None:
        """`name_of` gives the name leased to a synthetic address at a time, or an empty text."""
        self._judge = judge
        self._name_of = name_of
        self._jail = jail
        self._flows = 0
        self._windows = Windows(_OTHERS)

    @property
    def deadline(self) -> float:
        """Time at which `timer` wants to be called; infinite when nothing was counted."""
        return self._windows.deadline

    def timer(self, now: float) -> list[Note]:
        """The counts of the seconds that are over."""
        return self._windows.timer(now)

    def finish(self) -> list[Note]:
        """The counts so far, when the jail ends."""
        return self._windows.finish()

    def seen(self, packet: Seen, now: float) -> list[Note]:
        """The note on a packet, or nothing when its like was noted just now. Never raises."""
        self._flows += 1
        name = self._name_of(packet.address, now)
        origin = Origin(self._jail, f"p{self._flows}", packet.address, packet.port, name)
        target = Target(packet.protocol, name or packet.address, packet.port)
        try:
            names = packet.names or _server_name(packet)
            verdict = self._judge.packet(target, packet.what, packet.payload, names)
        except Exception as error:  # noqa: BLE001 - a defect must not end the listener
            verdict = Verdict(reason=Reason.INTERNAL_ERROR, detail=type(error).__name__)
        return self._windows.add(Record(verdict, target, Kind.PACKET), origin, now)


def _server_name(packet: Seen) -> tuple[str, ...]:
    """The name in a QUIC client's first datagram, if it holds all of the hello."""
    if not packet.what.startswith("QUIC"):
        return ()
    data = packet.payload
    try:
        initial = packets(data)
        stream = HelloStream()
        keys = client_keys(initial[0].version, initial[0].dcid)
        for one in initial:
            if one.type.name == "INITIAL":
                stream.feed(payload(data, one, keys))
        hello = stream.hello()
    except (QuicError, HelloError):
        return ()
    return (hello.server_name,) if hello is not None and hello.server_name else ()
