"""The caller's view of the oracles."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from tests.lab.records import Arrival


class Oracle:
    """What arrived where nothing should arrive."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._ask = ask

    def records(self) -> list[Arrival]:
        """Everything since the last `clear`, oldest first."""
        return msgspec.convert(self._ask("arrivals"), list[Arrival])

    def clear(self) -> None:
        """Forget all records of the lab: arrivals, requests and DNS questions."""
        self._ask("clear")

    def wait_for(
        self,
        destination: str = "",
        port: int | None = None,
        *,
        data: bytes = b"",
        protocol: str = "",
        timeout: float = 2.0,
    ) -> list[Arrival]:
        """Records that fit every given condition, waiting for the first; empty after `timeout` s.

        :param data: bytes that must occur in the first bytes, in clear or inside TLS
        """
        end = time.monotonic() + timeout
        while True:
            found = [
                entry
                for entry in self.records()
                if destination in ("", entry.destination)
                and port in (None, entry.port)
                and protocol in ("", entry.protocol)
                and (data in entry.data or data in entry.plaintext)
            ]
            if found or time.monotonic() > end:
                return found
            time.sleep(0.01)
