"""What a `Lab` asks its keeper for."""

from __future__ import annotations

import msgspec

from tests.lab.world import Answer


class Plan(msgspec.Struct, frozen=True):
    """What a `Lab` asks its keeper for, JSON on the command line."""

    control: int
    """Descriptor of the control channel."""
    parent: int
    """Descriptor of a pidfd: the process the lab must not outlive."""
    keep: tuple[str, ...]
    """Directories that stay visible although the lab mounts over their parents."""
    names: dict[str, Answer] = {}
