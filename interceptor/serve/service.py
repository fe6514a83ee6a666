"""What all TCP connections of a jail share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from interceptor.decide.judge import Judge
from interceptor.flow.names import Leases
from interceptor.flow.steps import Finished, Record
from interceptor.model import Origin
from interceptor.policy.schema import Limits
from interceptor.serve.attribution import Attribution
from interceptor.serve.dialler import Dialler
from interceptor.tls.authority import Authority

if TYPE_CHECKING:
    from interceptor.decide.mcp.pins import PinBook


class Droppable(Protocol):
    """A connection of the agent."""

    def drop(self) -> None:
        """Close at once."""


class Service:
    """What all connections of a jail share. One worker owns it; nothing in it is shared further."""

    def __init__(
        self,
        *,
        jail: str,
        loop: asyncio.AbstractEventLoop,
        judge: Judge,
        limits: Limits,
        leases: Leases,
        authority: Authority,
        dialler: Dialler,
        record: Callable[[Record, Origin], None],
        finished: Callable[[Finished, Origin], None],
        attribution: Attribution | None = None,
        pins: PinBook | None = None,
    ) -> None:
        """Serve `jail`. `record` raises EvidenceError when the evidence cannot be written.

        `pins` are definitions of tools that are known; without it none are.
        """
        # Late, as start-up has other work to do first; see `worker`.
        from interceptor.flow.mcp import Conversations

        self.attribution = attribution
        self.jail = jail
        self.loop = loop
        self.judge = judge
        self.limits = limits
        self.leases = leases
        self.authority = authority
        self.dialler = dialler
        self.outbox = dialler.outbox
        self.record = record
        self.finished = finished
        self.open: set[Droppable] = set()
        self.lingering: set[Droppable] = set()
        self.conversations = Conversations(judge, pins)
        self._flows = 0

    def next_flow(self) -> str:
        """Id for a new flow."""
        self._flows += 1
        return f"f{self._flows}"

    def close(self) -> None:
        """Drop every connection."""
        for connection in [*self.open, *self.lingering]:
            connection.drop()
        self.dialler.close()
