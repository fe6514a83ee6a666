"""Leases: which synthetic address stands for which name.

A name gets one offset, and with it one IPv4 address in 198.18.0.0/15 (RFC 2544, never on the
internet) and one IPv6 address in fd65:6772:6573:7300::/64 (RFC 4193). The offset comes from a keyed
permutation, so that an agent cannot dial the address that the next name will get.

A lease lasts as long as the jail: a name has the same address each time it is asked for, and a
connection that a client makes late, from its own cache, reaches the name that it asked for. When
all 130 816 addresses are leased, which is an epoch, those that nobody has looked up or dialled for
`IDLE` are taken back, and a new epoch begins for them; while there are none, no further name gets
an address. So an agent that names very many hosts harms itself, after a day at the longest no more,
and never gets one address under two names that it uses.
"""

from __future__ import annotations

import hashlib
import ipaddress
from array import array
from typing import Final

V4_BASE: Final = 0xC6120000
"""198.18.0.0 as a number."""
V6_PREFIX: Final = bytes.fromhex("fd65677265737300")
"""fd65:6772:6573:7300::/64."""
OFFSETS: Final = 1 << 17
"""Addresses in the /15."""
RESERVED: Final = 256
"""Offsets 0-255 are the jail's own: resolver, its address. Never leased."""
IDLE: Final = 86_400.0
"""Seconds without use after which a lease may end, where there are no other addresses."""
SWEEP: Final = 60.0
"""Seconds between two searches for such leases."""

_HALF: Final = 9  # the permutation works on 18 bits: two halves
_MASK: Final = (1 << _HALF) - 1
_ROUNDS: Final = 4
_MAPPED: Final = bytes(10) + b"\xff\xff"


class LeaseError(RuntimeError):
    """No address can be leased: all are in use."""


class Leases:
    """Names and the addresses that stand for them. One object a jail, used by one worker."""

    def __init__(self, seed: bytes, capacity: int = OFFSETS - RESERVED) -> None:
        """Make an empty table.

        `seed` (16 bytes or more, random) keys the order of addresses; `capacity` is the most
        leases at a time, and no more than there are addresses.
        """
        self._round_tables = array("H", hashlib.shake_256(seed).digest(_ROUNDS << (_HALF + 1)))
        self._capacity = capacity
        self._counter = 0  # position in the permutation; only grows
        self._offsets: dict[str, int] = {}
        # By offset. Both grow on demand, as nearly no jail needs all.
        self._names: list[str] = []
        self._used = array("d")  # seconds of the caller's clock
        self._free: list[int] = []  # taken back
        self._swept = -SWEEP

    def __len__(self) -> int:
        return len(self._offsets)

    def lease(self, name: str, now: float) -> tuple[str, str]:
        """Addresses (IPv4, IPv6) that stand for `name`, as canonical text.

        Raises LeaseError when none can be given.
        """
        v4, v6 = packed(self.offset(name, now))
        return str(ipaddress.IPv4Address(v4)), str(ipaddress.IPv6Address(v6))

    def offset(self, name: str, now: float) -> int:
        """The offset that stands for `name`; see `packed`. Raises LeaseError."""
        found = self._offsets.get(name)
        if found is None:
            name = normalised(name)
            found = self._offsets.get(name)
            if found is None:
                return self._new(name, now)
        self._used[found] = now
        return found

    def name_of(self, address: str, now: float) -> str:
        """The name that `address` (any text form of it) stands for; "" if none. Counts as use."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return ""
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.scope_id is not None:
            return ""
        return self.name_of_packed(parsed.packed, now)

    def name_of_packed(self, address: bytes, now: float) -> str:
        """Like `name_of` for an address of 4 or 16 bytes, IPv4-mapped ones included."""
        if len(address) == 16 and address[:12] == _MAPPED:
            address = address[12:]
        if len(address) == 4:
            offset = int.from_bytes(address) - V4_BASE
        elif address[:8] == V6_PREFIX:
            offset = int.from_bytes(address[8:])
        else:
            return ""
        name = self._names[offset] if 0 <= offset < len(self._names) else ""
        if name:
            self._used[offset] = now
        return name

    def _new(self, name: str, now: float) -> int:
        if len(self._offsets) >= self._capacity:
            self._take_back(now)
        offset = self._next() if len(self._offsets) < self._capacity else None
        if offset is None:
            raise LeaseError(
                f"all {len(self._offsets)} synthetic addresses are leased, none of them idle"
            )
        missing = offset + 1 - len(self._names)
        if missing > 0:
            self._names += [""] * missing
            self._used.frombytes(bytes(8 * missing))
        self._offsets[name] = offset
        self._names[offset] = name
        self._used[offset] = now
        return offset

    def _take_back(self, now: float) -> None:
        """End the leases that were idle for long."""
        # Looking through all costs milliseconds; a flood of names must not pay them each time.
        if now - self._swept < SWEEP:
            return
        self._swept = now
        limit = now - IDLE
        idle = [offset for offset in self._offsets.values() if self._used[offset] <= limit]
        for offset in idle:
            del self._offsets[self._names[offset]]
            self._names[offset] = ""
        self._free += idle

    def _next(self) -> int | None:
        """The next offset of the permutation that is an address and not reserved.

        After the last, one that was taken back, if there is any.
        """
        while self._counter < 1 << (2 * _HALF):
            offset = self._permuted(self._counter)
            self._counter += 1
            if RESERVED <= offset < OFFSETS:
                return offset
        return self._free.pop() if self._free else None

    def _permuted(self, value: int) -> int:
        """A balanced Feistel network over 18 bits; table look-ups as its keyed round function."""
        left, right = value >> _HALF, value & _MASK
        for start in range(0, _ROUNDS << _HALF, 1 << _HALF):
            left, right = right, left ^ (self._round_tables[start + right] & _MASK)
        return left << _HALF | right


def packed(offset: int) -> tuple[bytes, bytes]:
    """The IPv4 (4 bytes) and the IPv6 address (16 bytes) of an offset."""
    return (V4_BASE + offset).to_bytes(4), V6_PREFIX + offset.to_bytes(8)


def normalised(name: str) -> str:
    """Lower case, one trailing dot off. ASCII only is lowered: DNS knows no other case."""
    return name.lower().removesuffix(".") if name.isascii() else name
