"""The lifecycle of an exchange, as a table. A transition that is not here cannot happen."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class Phase(enum.Enum):
    """Where an exchange stands."""

    BEGIN = "begin"
    """Its head was read and nothing was decided."""
    HOLD = "hold"
    """Collecting a body that is judged whole before anything leaves."""
    ASK = "ask"
    """Allowed; waiting for addresses or for a connection."""
    RELAY = "relay"
    """Connected to upstream."""
    CHANNEL = "channel"
    """Upgraded: both directions belong to another protocol."""
    OVER = "over"
    """Answered, refused or cut. Nothing of it goes on anywhere."""

    __hash__ = object.__hash__  # members are compared by identity; enum's own is Python code


class LifecycleError(AssertionError):
    """A transition outside the table: a bug of ours. The flow is closed, never continued."""


TRANSITIONS: Final[Mapping[Phase, frozenset[Phase]]] = {
    Phase.BEGIN: frozenset((Phase.HOLD, Phase.ASK, Phase.OVER)),
    Phase.HOLD: frozenset((Phase.ASK, Phase.OVER)),
    Phase.ASK: frozenset((Phase.RELAY, Phase.OVER)),
    Phase.RELAY: frozenset((Phase.ASK, Phase.CHANNEL, Phase.OVER)),
    Phase.CHANNEL: frozenset((Phase.OVER,)),
    Phase.OVER: frozenset(),
}


def check(old: Phase, new: Phase) -> Phase:
    """Return `new`, or raise LifecycleError when `old` does not lead there."""
    if new not in TRANSITIONS[old]:
        raise LifecycleError(f"{old.value} -> {new.value}")
    return new
