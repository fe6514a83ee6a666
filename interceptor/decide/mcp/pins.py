"""Definitions of tools as they were first seen, and what has become of them since.

A server that shows a harmless tool until somebody trusts it, and another one then, is told by the
digest. Pure: the book is data, which others read from a store and write to it.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

VERSION: Final = 1
SERVERS: Final = 1024
"""Servers in a book; those pinned first stay."""
TOOLS: Final = 4096
"""Definitions of one server."""
NAMES: Final = 4096
"""Characters of the names of a server and a tool together."""
KEPT: Final = 16_384
"""Bytes of a definition that are kept for the difference; of a longer one the digest alone."""
_CALL: Final = 8
"""Digits of a call's code, see `PinBook.granted`."""
_LINES: Final = 24
_LINE: Final = 240
_SORTED: Final = msgspec.json.Encoder(order="sorted").encode


class PinState(enum.StrEnum):
    """What a definition is to a book."""

    KNOWN = "known"
    NEW = "new"
    CHANGED = "changed"


class Definition(msgspec.Struct, frozen=True, gc=False):
    """One version of a definition."""

    digest: str
    """32 hex digits, see `digest_of`."""
    since: float
    """When it was first seen, in the caller's seconds."""
    value: dict[str, Any] | None = None
    """All of it; None where it is longer than `KEPT`."""


class Pin(msgspec.Struct, frozen=True, gc=False):
    """What is known of one tool."""

    approved: Definition
    pending: Definition | None = None
    """What came instead, and was not approved yet."""


class PinBook:
    """Pins by server and tool.

    Attributes:
        revision: grows with each change: who keeps a store writes it when this has grown.
        touched: (server, tool) of what has changed here, and was not merely learnt; True where it
            was forgotten meanwhile. Who keeps the store of another process empties it.
        waits: (server, tool) of what was refused here, as it waits for approval.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.revision = 0
        self.touched: dict[tuple[str, str], bool] = {}
        self.waits: set[tuple[str, str]] = set()
        self._servers: dict[str, dict[str, Pin]] = {}

    def check(
        self, server: str, tool: str, value: dict[str, Any], now: float, digest: str = ""
    ) -> PinState:
        """Compare a definition with what is pinned; pin it when there is nothing.

        Args:
            server: its name, as the client's configuration or the URL has it.
            tool: its name.
            value: all of the definition.
            now: in seconds.
            digest: of the definition, where it is known already.

        Returns:
            CHANGED until it was approved, or the server went back to the one that is pinned.
        """
        digest = digest or digest_of(value)
        tools = self._servers.get(server)
        pin = None if tools is None else tools.get(tool)
        if pin is not None and pin.approved.digest == digest:
            if pin.pending is not None:
                self._put(server, tool, Pin(pin.approved))
            return PinState.KNOWN
        if pin is None:
            if not self._holds(server, tool):
                return PinState.CHANGED  # what cannot be pinned is not trusted
            self._put(server, tool, Pin(_definition(digest, value, now)))
            return PinState.NEW
        if pin.pending is None or pin.pending.digest != digest:
            self._put(server, tool, Pin(pin.approved, _definition(digest, value, now)))
        self.waits.add((server, tool))
        return PinState.CHANGED

    def changed(self, server: str, tool: str) -> bool:
        """Tell whether what the server last showed waits for approval."""
        pin = self.get(server, tool)
        return pin is not None and pin.pending is not None

    def get(self, server: str, tool: str) -> Pin | None:
        """Return what is known of a tool."""
        return self._servers.get(server, {}).get(tool)

    def pins(self) -> Iterator[tuple[str, str, Pin]]:
        """Give (server, tool, pin), by server and tool."""
        for server in sorted(self._servers):
            for tool in sorted(self._servers[server]):
                yield server, tool, self._servers[server][tool]

    def approve(self, server: str, tool: str, digest: str = "") -> bool:
        """Take what came for what is right from now on.

        Args:
            server: its name.
            tool: its name.
            digest: begin of the digest that was looked at; another one is not approved. "": any.

        Returns:
            False where nothing waits, or something else than what was looked at.
        """
        pin = self.get(server, tool)
        if pin is None or pin.pending is None or not pin.pending.digest.startswith(digest):
            return False
        self._put(server, tool, Pin(pin.pending))
        return True

    def granted(self, server: str, entry: str, value: dict[str, Any], now: float) -> bool:
        """Tell whether a call was approved, which is good for one; note it for approval if not.

        Args:
            server: its name.
            entry: name of the tool and digest of the call.
            value: what is shown to who approves.
            now: in seconds.
        """
        digest = digest_of(value)
        pin = self.get(server, entry)
        if pin is not None and pin.approved.digest == digest:
            self.forget(server, entry)
            return True
        if pin is None:
            if not self._holds(server, entry):
                return False
            nothing = Definition("", now, {})
            self._put(server, entry, Pin(nothing, _definition(digest, value, now)))
        self.waits.add((server, entry))
        return False

    def forget(self, server: str, tool: str = "") -> int:
        """Drop the pins of a tool, or of a whole server; return how many there were."""
        tools = self._servers.get(server, {})
        names = [name for name in tools if tool in ("", name)]
        for name in names:
            del tools[name]
            self.touched[server, name] = True
            self.waits.discard((server, name))
        if not tools:
            self._servers.pop(server, None)
        self.revision += bool(names)
        return len(names)

    def tools_of_others(self, server: str) -> Iterator[tuple[str, str]]:
        """Give (server, tool) of all other servers."""
        for other, tools in self._servers.items():
            if other != server:
                for tool in tools:
                    yield other, tool

    def update(self, other: PinBook) -> None:
        """Take over what somebody else has written to the store since: theirs wins."""
        for server, tools in other._servers.items():
            mine = self._servers.setdefault(server, {})
            for tool, pin in tools.items():
                if mine.get(tool) != pin:
                    mine[tool] = pin
                    self.revision += 1

    def learn(self, server: str, tool: str, pin: Pin | None) -> None:
        """Take over what the store has; None: it has none. What has changed here since stays."""
        key = (server, tool)
        if key in self.touched or self.get(server, tool) == pin:
            return
        if pin is None:
            self.forget(server, tool)
        else:
            self._put(server, tool, pin)
            if pin.pending is None:
                self.waits.discard(key)
        self.touched.pop(key, None)

    def merge(self, server: str, tool: str, pin: Pin | None, *, anew: bool = False) -> bool:
        """Note what another process has seen, which may not approve anything.

        Args:
            server: its name.
            tool: its name.
            pin: as the other has it; None: an approved call was made, so that it is approved no
                more. Pins of tools are not forgotten so.
            anew: the other has forgotten it before.

        Returns:
            False where there is no room for it.
        """
        mine = self.get(server, tool)
        if (pin is None or anew) and mine is not None and tool[-_CALL - 1 : -_CALL] == "#":
            self.forget(server, tool)
            mine = None
        if pin is None:
            return True
        if mine is None:
            if not self._holds(server, tool):
                return False
            mine = pin
        shown = pin.pending or pin.approved
        if shown.digest == mine.approved.digest:
            # The server is back at it, or somebody has approved what the other saw.
            merged = Pin(mine.approved)
        elif mine.pending is not None and shown.digest == mine.pending.digest:
            merged = mine
        else:
            merged = Pin(mine.approved, shown)
        if merged != self.get(server, tool):
            self._put(server, tool, merged)
        return True

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        servers = {
            server: {tool: msgspec.to_builtins(pin) for tool, pin in tools.items()}
            for server, tools in self._servers.items()
        }
        return {"version": VERSION, "servers": servers}

    @classmethod
    def from_data(cls, data: Any) -> PinBook:
        """Read what `as_data` gave.

        Raises:
            ValueError: it is something else.
        """
        if not isinstance(data, Mapping) or data.get("version") != VERSION:
            raise ValueError("not a book of pins of this version")
        book = cls()
        try:
            book._servers = msgspec.convert(data.get("servers"), dict[str, dict[str, Pin]])
        except msgspec.ValidationError as error:
            raise ValueError(f"not a book of pins: {error}") from None
        return book

    def _holds(self, server: str, tool: str) -> bool:
        """Tell whether there is room for one more."""
        tools = self._servers.get(server)
        room = len(self._servers) < SERVERS if tools is None else len(tools) < TOOLS
        return room and len(server) + len(tool) <= NAMES

    def _put(self, server: str, tool: str, pin: Pin) -> None:
        self._servers.setdefault(server, {})[tool] = pin
        self.touched.setdefault((server, tool), False)
        self.revision += 1


def digest_of(value: dict[str, Any]) -> str:
    """32 hex digits over all of a definition; the order of keys means nothing (RFC 8259)."""
    return hashlib.blake2b(_SORTED(value), digest_size=16).hexdigest()


def difference(before: Definition, after: Definition) -> list[str]:
    """Say what two versions of a definition differ in, a line each: `- was`, `+ is`.

    At most some thirty lines; what nobody sees in them is written as an escape.
    """
    lines = [f"  digest {before.digest} -> {after.digest}"]
    if before.value is None or after.value is None:
        return [*lines, f"  one of them is longer than {KEPT} bytes, and was not kept"]
    old, new = dict(_leaves(before.value)), dict(_leaves(after.value))
    changed: list[str] = []
    for path in [*old, *(path for path in new if path not in old)]:
        if old.get(path) != new.get(path):
            if path in old:
                changed.append(_line("-", path, old[path]))
            if path in new:
                changed.append(_line("+", path, new[path]))
    more = len(changed) - _LINES
    return lines + changed[:_LINES] + ([f"  and {more} lines more"] if more > 0 else [])


def _definition(digest: str, value: dict[str, Any], now: float) -> Definition:
    return Definition(digest, now, value if len(_SORTED(value)) <= KEPT else None)


def _leaves(value: Any) -> Iterator[tuple[str, str]]:
    """Give (path, value as JSON) of what holds nothing more."""
    pending: list[tuple[str, Any]] = [("", value)]
    while pending:
        path, found = pending.pop()
        if isinstance(found, dict) and found:
            below = f"{path}." if path else ""
            pending += [(below + str(key), found[key]) for key in reversed(found)]
        elif isinstance(found, list) and found:
            pending += [(f"{path}[{at}]", found[at]) for at in range(len(found) - 1, -1, -1)]
        else:
            yield path, msgspec.json.encode(found).decode()


def _line(sign: str, path: str, value: str) -> str:
    return f"{sign} {visible(path, 120)}: {visible(value, _LINE)}"


def visible(text: str, most: int) -> str:
    """Return a text on one line in which everything can be seen; what is too long is cut."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text[: most + 1]
    )
    return shown if len(shown) <= most else shown[: most - 1] + "…"
