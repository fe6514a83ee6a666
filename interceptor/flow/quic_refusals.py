"""Refusals of QUIC: what is wrong with each. Equal ones are counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from interceptor.flow.steps import Record
from interceptor.flow.windows import Note, Windows
from interceptor.model import Kind, Origin, Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire.tls_hello import ClientHello

_OTHERS: Final = Record(
    Verdict(reason=Reason.LIMIT_EXCEEDED, detail="QUIC to many other hosts"),
    Target("quic", "", 0),
    Kind.QUIC,
)


class QuicJudge(Protocol):
    """The part of `interceptor.decide.judge.Judge` that refusals need."""

    def name(self, name: str) -> Verdict:
        """Judge a host name wherever it is seen."""

    def connection(self, target: Target) -> Verdict:
        """Judge host and port."""


class Peer(msgspec.Struct, frozen=True):
    """Where a datagram came from and what it was sent to: one client socket and one server."""

    source: tuple[Any, ...]
    """Socket address, as the kernel gave it."""
    address: str
    """What the agent dialled, canonical text."""
    port: int
    interface: int = 0
    """Interface of a link-local address, else 0."""


class Named(msgspec.Struct, frozen=True):
    """A ClientHello as it was read, and its bytes."""

    hello: ClientHello
    message: bytes


class Refusals:
    """Judges what is refused anyway, for the record. One object a jail, in bounded memory."""

    def __init__(self, judge: QuicJudge, name_of: Callable[[str, float], str], jail: str) -> None:
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

    def note(
        self,
        peer: Peer,
        detail: str,
        now: float,
        reason: Reason = Reason.PROTOCOL_REFUSED,
        named: Named | None = None,
    ) -> list[Note]:
        """The note on a refusal, or nothing when its like was noted just now.

        What judge and policy say against the name goes before `reason` and `detail`.
        """
        self._flows += 1
        lease = self._name_of(peer.address, now)
        origin = Origin(self._jail, f"q{self._flows}", peer.address, peer.port, lease)
        host = lease or peer.address
        verdict = Verdict(reason=reason, detail=detail)
        try:
            verdict, host = self._judged(verdict, origin, host, named)
        except Exception as error:  # noqa: BLE001 - a defect must not end the listener
            verdict = Verdict(reason=Reason.INTERNAL_ERROR, detail=type(error).__name__)
        record = Record(verdict, Target("quic", host, peer.port), Kind.QUIC)
        return self._windows.add(record, origin, now)

    def _judged(
        self, verdict: Verdict, origin: Origin, host: str, named: Named | None
    ) -> tuple[Verdict, str]:
        """What is wrong beside the protocol, else `verdict`; and the host to record."""
        connection = self._judge.connection(Target("quic", host, origin.port))
        # An open port would change nothing.
        refused = not connection.allowed and connection.reason is not Reason.PORT_NOT_ALLOWED
        if refused:
            verdict = connection
        if named is None or not named.hello.server_name or named.hello.is_address:
            return verdict, host
        asked = named.hello.server_name
        name = self._judge.name(_as_written(asked, named.message))
        if not name.allowed:
            return name, asked  # under the name that is at fault, so that it is masked
        if name.findings:  # let pass by policy, but not into a log
            return msgspec.structs.replace(verdict, findings=name.findings), asked
        if not origin.name:
            return verdict, asked
        if asked != host and not refused:
            detail = f"SNI names {asked}, the connection was made for {host}"
            verdict = Verdict(reason=Reason.NAME_MISMATCH, detail=detail)
        return verdict, host


def _as_written(name: str, message: bytes) -> str:
    """The name in the case it was sent in: encoded secrets live in it."""
    at = message.lower().find(name.encode("ascii"))
    return message[at : at + len(name)].decode("ascii") if at >= 0 else name
