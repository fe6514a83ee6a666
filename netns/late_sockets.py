"""Unix sockets that programs of the host bind while a jail runs, where the jail shows them.

Nothing keeps the agent from those (docs/threat-model.md), so the operator is told of them.
"""

# ruff: noqa: PTH116
# (paths stay text, as the kernel and bwrap take them)
from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from netns.unix_sockets import reachable


def inside(path: str, folder: str) -> bool:
    """Say whether `path` is `folder` or below it. Both absolute and resolved."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


@dataclass(frozen=True, slots=True)
class View:
    """What of the host a jail shows."""

    hidden: tuple[str, ...]
    """Directories of which the jail has its own, or an empty one."""
    shown: tuple[str, ...]
    """What it shows all the same, within them."""
    covered: tuple[tuple[str, int], ...]
    """Socket files that it covers one by one, and their inodes: a new one is not covered."""

    @classmethod
    def now(cls, hidden: Iterable[str], shown: Iterable[str], covered: Iterable[str]) -> View:
        """Return the view, with the sockets as they are now."""
        return cls(tuple(hidden), tuple(shown), tuple((path, _inode(path)) for path in covered))

    def late(self) -> tuple[str, ...]:
        """Return the sockets that have been bound since, and that the agent could reach, sorted."""
        known = dict(self.covered)
        # Without a home: what is not bound, such as what the agent itself has left, is no socket.
        return tuple(
            path for path in reachable("") if self.shows(path) and known.get(path) != _inode(path)
        )

    def shows(self, path: str) -> bool:
        """Say whether the nearest directory that decides about `path` is one that is shown."""
        hidden = max((len(each) for each in self.hidden if inside(path, each)), default=-1)
        shown = max((len(each) for each in self.shown if inside(path, each)), default=-1)
        return hidden < 0 or hidden < shown


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0
