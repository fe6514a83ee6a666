"""A channel: what an exchange becomes when its connection is upgraded to another protocol.

Bytes of either side come in, and what may pass comes out. A channel is pure: no clock, no socket,
no step of its own. Who holds it writes the records, then the bytes, then closes.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from interceptor.model import Kind
from interceptor.verdict import Verdict


class Passed(msgspec.Struct, frozen=True, gc=False):
    """What follows from some bytes: records first, then the bytes, then the end."""

    to_upstream: bytes = b""
    to_client: bytes = b""
    records: tuple[tuple[Verdict, Kind], ...] = ()
    """Decisions worth writing down: blocks, and messages with findings that passed."""
    over: bool = False
    """Both connections end once these bytes are written; nothing passes afterwards."""


NOTHING = Passed()


class Channel(Protocol):
    """An upgraded connection, both directions.

    Attributes:
        sent: payload bytes released to upstream so far, framing and masking left out.
        received: payload bytes released to the agent so far.
        reason: reason code of the end when it was no orderly one, else empty.
    """

    sent: int
    received: int
    reason: str

    def from_client(self, data: bytes) -> Passed:
        """Take bytes of the agent."""
        ...

    def from_upstream(self, data: bytes) -> Passed:
        """Take bytes of upstream."""
        ...

    def client_ended(self) -> Passed:
        """Take note that the agent has ended its side."""
        ...

    def upstream_ended(self) -> Passed:
        """Take note that upstream has ended its side."""
        ...
