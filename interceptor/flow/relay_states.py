"""The lifecycle of a relayed TCP service, as a table. What is not here cannot happen."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class Stage(enum.Enum):
    """Where a relayed connection stands."""

    FIRST = "first"
    """Waiting for the agent's first unit; nothing has been asked of upstream."""
    ASK = "ask"
    """Allowed and recorded; waiting for addresses or for a connection."""
    OPEN = "open"
    """Both sides are connected."""
    PREAMBLE = "preamble"
    """The agent is inside of TLS already; upstream was asked for it in its own way."""
    SEAL = "seal"
    """Upstream's TLS handshake."""
    HELLO = "hello"
    """Upstream is inside of TLS; waiting for the agent's client hello."""
    ENDING = "ending"
    """The agent has ended its side; upstream may still answer."""
    CLOSED = "closed"


_CLOSED: Final = Stage.CLOSED
TRANSITIONS: Final[Mapping[Stage, frozenset[Stage]]] = {
    Stage.FIRST: frozenset((Stage.ASK, _CLOSED)),
    Stage.ASK: frozenset((Stage.OPEN, _CLOSED)),
    Stage.OPEN: frozenset((Stage.PREAMBLE, Stage.SEAL, Stage.ENDING, _CLOSED)),
    Stage.PREAMBLE: frozenset((Stage.SEAL, _CLOSED)),
    Stage.SEAL: frozenset((Stage.HELLO, Stage.OPEN, _CLOSED)),
    Stage.HELLO: frozenset((Stage.OPEN, _CLOSED)),
    Stage.ENDING: frozenset((_CLOSED,)),
    Stage.CLOSED: frozenset(),
}
