"""A channel: what an exchange becomes when its connection is upgraded to another protocol.

Bytes of either side come in, and what may pass comes out. A channel is pure: no clock, no socket,
no step of its own. Who holds it writes the records, then the bytes, then closes.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from interceptor.flow.context import FlowContext
from interceptor.model import Kind, Target
from interceptor.verdict import Verdict
from interceptor.wire.http1 import ResponseHead


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


class Upgrade(Protocol):
    """An upgrade that the agent asks for and that can be relayed."""

    def wire_head(self, path: bytes, authority: bytes) -> bytes:
        """Bytes of the request's head for upstream: only what can be read is offered there."""
        ...

    def channel(self, head: ResponseHead, context: FlowContext, target: Target) -> Channel:
        """Begin the channel after upstream's 101.

        Raises:
            HttpError: UPSTREAM_MALFORMED when that is not the answer to what was asked.
        """
        ...
