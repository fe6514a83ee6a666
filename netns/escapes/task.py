"""What one attempt is given, and what it may say it got."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Task:
    """One attempt, as its program sees it."""

    def __init__(self, order: Mapping[str, Any], world: Mapping[str, Any]) -> None:
        """`order` is one line of the player; `world` is what both sides know of the outside."""
        self.world = world
        """Addresses, paths, process ids of the stand-ins outside."""
        self.args: Mapping[str, Any] = order.get("args", {})
        self.nonce: bytes = order["nonce"].encode()
        """What has to arrive outside; drawn for this attempt alone."""
        self.signal: int = order.get("signal", 0)
        """Number of the signal to send, drawn for this attempt alone."""
        self.gained = False
        self.loot = ""

    def gain(self, what: str) -> str:
        """Say that the kernel granted what it must not grant; returns `what`."""
        self.gained = True
        return what

    def took(self, loot: str | bytes) -> str:
        """Hand over what was read; the player looks for the outside's secrets in it."""
        self.loot = loot.decode("latin-1") if isinstance(loot, bytes) else loot
        return f"read {len(loot)} characters"
