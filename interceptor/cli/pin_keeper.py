"""The supervisor's side of pins of tools: what the interceptor has seen goes into the store.

The interceptor reads what servers send, so it is not believed further than it has to be: it adds
pins and says that a definition has changed; what is approved, people approve.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from interceptor.serve.messages import Pinned

if TYPE_CHECKING:
    from interceptor.decide.mcp.pins import PinBook
    from interceptor.mcp.pin_store import PinStore

STORE: Final = "mcp-pins.json"
"""`interceptor.mcp.pin_store.NAME`, without its imports: most jails have no use for them."""
_TRIES: Final = 8


def known(folder: Path | None) -> PinBook | None:
    """Read the store; None: there is none, which takes no time.

    Raises:
        PinStoreError: it cannot be used; says how to go on.
    """
    if folder is None or not os.path.lexists(folder / STORE):
        return None
    from interceptor.mcp.pin_store import PinStore

    return PinStore(folder).book


class PinKeeper:
    """Keeps what the interceptor says of pins.

    Attributes:
        fault: why something could not be kept; empty if all was.
    """

    def __init__(self, folder: Path | None) -> None:
        """Begin; the store is opened when there is something to be kept.

        Args:
            folder: of the store; None: nothing is kept.
        """
        self._folder = folder
        self._store: PinStore | None = None
        self.fault = ""

    def keep(self, said: Sequence[Pinned]) -> list[Pinned]:
        """Put what was said into the store; return what the store has otherwise."""
        if self._folder is None:
            return []
        from interceptor.mcp.pin_store import PinStore, PinStoreError

        try:
            if self._store is None:
                self._store = PinStore(self._folder)
            self._merge(self._store, [one for one in said if not one.waits])
            return list(_differ(self._store.book, said))
        except PinStoreError as error:
            self.fault = str(error)
        except OSError as error:
            self.fault = f"{self._folder / STORE}: {error.strerror}"
        except ValueError:
            self.fault = "the interceptor has said what cannot be read"
        self._store = None  # it may hold what could not be written: begin with what is kept
        return []

    def _merge(self, store: PinStore, said: Sequence[Pinned]) -> None:
        from interceptor.decide.mcp.pins import Pin

        changes = [
            (one.server, one.tool, msgspec.convert(one.pin, Pin | None), one.anew) for one in said
        ]
        store.refresh()
        for number in range(_TRIES):
            # Others may have written the same between our reading and our writing: theirs wins,
            # and is then told what was seen here.
            for server, tool, pin, anew in changes:
                if not store.book.merge(server, tool, pin, anew=anew and not number):
                    self.fault = f"{store.path}: is full: egressguard mcp pins forget SERVER"
            if not store.changed:
                return
            store.save()
        self.fault = f"{store.path}: others write it without end"


def _differ(book: PinBook, said: Iterable[Pinned]) -> Iterable[Pinned]:
    """Give what the book has otherwise than was said, or asked."""
    for one in said:
        pin = book.get(one.server, one.tool)
        if one.waits:
            same = pin is not None and pin.pending is not None and pin.pending.digest == one.waits
        else:
            same = pin is None or msgspec.to_builtins(pin) == one.pin
        if not same:
            yield Pinned(one.server, one.tool, msgspec.to_builtins(pin))
