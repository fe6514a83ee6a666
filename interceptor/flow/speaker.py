"""What speaks on an agent's connection once it is known what is spoken there.

`interceptor.flow.tcp_flow` finds that out and hands every event on. A speaker appends to the list
of steps it was given at its start.
"""

from __future__ import annotations

from typing import Protocol

from interceptor.flow.context import Successor
from interceptor.verdict import Reason


class Speaker(Protocol):
    """One protocol on one connection from the agent. Times are monotonic, in seconds."""

    exchange: int
    """Number of the last exchange, over all speakers of the connection."""

    @property
    def deadline(self) -> float:
        """When `timer` should be called, unless it has moved on by then."""

    @property
    def wants_client(self) -> bool:
        """False while more bytes from the agent could not be used and would only pile up."""

    @property
    def successor(self) -> Successor | None:
        """Set when the bytes that follow belong to a connection inside this one."""

    def client_bytes(self, data: bytes, now: float) -> None:
        """Take bytes from the agent."""

    def client_eof(self, now: float) -> None:
        """The agent has ended its side."""

    def client_lost(self, now: float) -> None:
        """The agent's connection is gone; whatever is open upstream must go too."""

    def resolved(
        self, addresses: tuple[str, ...], now: float, lane: int, canonical: str = ""
    ) -> None:
        """Addresses for the last `Resolve` of the lane, and the name the host is an alias of."""

    def connected(self, address: str, now: float, lane: int, *, reused: bool, alpn: str) -> None:
        """The lane stands: pooled (after `Resolve`) or new (after `Dial`)."""

    def sealed(self, now: float, lane: int) -> None:
        """TLS that `Seal` asked for is established."""

    def upstream_failed(self, reason: Reason, detail: str, now: float, lane: int) -> None:
        """Resolving, dialling, verifying or reading failed."""

    def upstream_bytes(self, data: bytes, now: float, lane: int) -> None:
        """Decrypted bytes from upstream."""

    def upstream_eof(self, now: float, lane: int) -> None:
        """Upstream has ended its side."""

    def upstream_full(self, now: float, lane: int, *, full: bool) -> None:
        """The lane's send buffer is full, or no longer is."""

    def timer(self, now: float) -> None:
        """`deadline` has passed."""

    def unwritable(self) -> None:
        """The evidence of the last `Record` could not be written; steps after it are dropped."""
