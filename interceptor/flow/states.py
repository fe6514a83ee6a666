"""The lifecycle of an HTTP exchange, as a table. A transition that is not here cannot happen."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class Phase(enum.Enum):
    """Where a connection from the agent stands."""

    HEAD = "head"
    """Waiting for, or within, a request head."""
    HOLD = "hold"
    """Collecting a body that is judged whole before anything leaves."""
    ASK = "ask"
    """Allowed; waiting for addresses or for a connection."""
    RELAY = "relay"
    """Connected to upstream."""
    DRAIN = "drain"
    """Refused; reading the rest of the body away so that the connection can be kept."""
    TUNNEL = "tunnel"
    """CONNECT was answered; the bytes belong to a flow inside."""
    CLOSED = "closed"

    __hash__ = object.__hash__  # members are compared by identity; enum's own is Python code


class LifecycleError(AssertionError):
    """A transition outside the table: a bug of ours. The flow is closed, never continued."""


TRANSITIONS: Final[Mapping[Phase, frozenset[Phase]]] = {
    Phase.HEAD: frozenset(
        (Phase.HEAD, Phase.HOLD, Phase.ASK, Phase.DRAIN, Phase.TUNNEL, Phase.CLOSED)
    ),
    Phase.HOLD: frozenset((Phase.HEAD, Phase.ASK, Phase.DRAIN, Phase.CLOSED)),
    Phase.ASK: frozenset((Phase.HEAD, Phase.RELAY, Phase.DRAIN, Phase.CLOSED)),
    Phase.RELAY: frozenset((Phase.HEAD, Phase.ASK, Phase.CLOSED)),
    Phase.DRAIN: frozenset((Phase.HEAD, Phase.CLOSED)),
    Phase.TUNNEL: frozenset(),
    Phase.CLOSED: frozenset(),
}


def check(old: Phase, new: Phase) -> Phase:
    """Return `new`, or raise LifecycleError when `old` does not lead there."""
    if new not in TRANSITIONS[old]:
        raise LifecycleError(f"{old.value} -> {new.value}")
    return new
