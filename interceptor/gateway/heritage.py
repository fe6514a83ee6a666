"""What a gateway finds of the one before it, taken up before anything else is done.

Rules, addresses and links of the guests are there still; what is not are their listeners. They are
made first, by a child, while this process imports and builds what it serves with: so guests are
refused for the time of that alone, and wait for the rest. Imports little, for the same reason.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Final

from interceptor.gateway.links import nic_of
from interceptor.gateway.roster import Roster
from interceptor.gateway.store import Store, open_store
from netns.adoption import Adoption, Orphan
from netns.captive import Captive, CaptiveError
from netns.nic import NicError
from netns.registry import Registry

HOLDER_NAME: Final = "gateway-store.sock"
_OPEN_FILES: Final = 262_144
_LOCK_NAME: Final = "gateway.lock"
NETWORK: Final = "net"
"""What the name of a namespace ends with in the store."""


class AnotherError(RuntimeError):
    """Another gateway runs; the message names what it holds."""


class Heritage:
    """Lock, store, roster and registry of a gateway, and the guests that are there already.

    Attributes:
        lock: descriptor that keeps other gateways out.
        store: holds descriptors over a restart.
        roster: the guests, on disk.
        registry: of live jails and guests.
        guests: of the roster.
        wrong: lines for the operator on what in the roster is no guest.
    """

    def __init__(self, run: Path, state: Path, environ: MutableMapping[str, str]) -> None:
        """Take it up. The caller must have one thread.

        Args:
            run: directory of sockets; also where live jails are registered.
            state: directory of the guests.
            environ: of the process.

        Raises:
            AnotherError: another gateway runs.
            StoreError, RosterError, RegistryError, OSError: a directory cannot be used.
        """
        with contextlib.suppress(OSError, ValueError):  # a guest takes some forty in its worker
            resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
        self.registry = Registry(run)  # makes the directory, and insists that it is private
        self.lock = _lock(run / _LOCK_NAME)
        self.reopen: Callable[[], Store] = lambda: open_store(environ, run / HOLDER_NAME)
        self.store = self.reopen()
        self.roster = Roster(state)
        self.guests, self.wrong = self.roster.guests()
        self._there: list[str] = []
        orphans = []
        for guest in self.guests:
            found = self.store.found.get(f"{guest.name}.{NETWORK}")
            try:
                nic = nic_of(guest)
            except NicError:
                continue  # said where it is to be served
            if found:
                self._there.append(guest.name)
                orphans.append(Orphan(found[0], nic))
        self._adoption = Adoption(orphans)

    def adopted(self) -> dict[str, Captive | CaptiveError]:
        """The namespaces by guest, with new listeners; call it once."""
        return dict(zip(self._there, self._adoption.finish(), strict=True))

    def abandon(self) -> None:
        """Nobody will serve them: end the child."""
        self._adoption.abandon()


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AnotherError(f"another gateway runs: it holds {path}") from None
    return descriptor
