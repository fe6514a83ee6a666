"""Base of speakers that answer the agent by themselves and never have anything upstream."""

from __future__ import annotations

from interceptor.flow.context import Successor
from interceptor.flow.steps import Close, Step
from interceptor.verdict import Reason


class Alone:
    """Half a `Speaker`: what is left are `client_bytes` and `timer`.

    Attributes:
        exchange: number of the last exchange; what is answered here is none.
        successor: see `Speaker`.
    """

    __slots__ = ("_closed", "_deadline", "_steps", "exchange", "successor")

    def __init__(self, steps: list[Step], exchange: int, deadline: float) -> None:
        """Append what follows to `steps`; wait until `deadline`."""
        self._steps = steps
        self._deadline = deadline
        self._closed = False
        self.exchange = exchange
        self.successor: Successor | None = None

    @property
    def deadline(self) -> float:
        """See `Speaker`."""
        return self._deadline

    @property
    def wants_client(self) -> bool:
        """See `Speaker`."""
        return not self._closed

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._steps.append(Close())

    def client_eof(self, now: float) -> None:  # noqa: ARG002
        """See `Speaker`."""
        self._close()

    def client_lost(self, now: float) -> None:  # noqa: ARG002
        """See `Speaker`."""
        self._closed = True

    def unwritable(self) -> None:
        """See `Speaker`."""
        self._closed = True
        self._steps.clear()
        self._steps.append(Close(reset=True))

    def resolved(
        self, addresses: tuple[str, ...], now: float, lane: int, canonical: str = ""
    ) -> None:
        """See `Speaker`."""

    def connected(self, address: str, now: float, lane: int, *, reused: bool, alpn: str) -> None:
        """See `Speaker`."""

    def sealed(self, now: float, lane: int) -> None:
        """See `Speaker`."""

    def upstream_failed(self, reason: Reason, detail: str, now: float, lane: int) -> None:
        """See `Speaker`."""

    def upstream_bytes(self, data: bytes, now: float, lane: int) -> None:
        """See `Speaker`."""

    def upstream_eof(self, now: float, lane: int) -> None:
        """See `Speaker`."""

    def upstream_full(self, now: float, lane: int, *, full: bool) -> None:
        """See `Speaker`."""
