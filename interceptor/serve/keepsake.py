"""What a tenant keeps beyond its worker's life: authority, key of digests, leases.

It lies in one descriptor, which a worker is handed together with the listeners: a file in memory
(memfd_create(2)) that the gateway's store holds, or an ordinary file of root's. The worker alone
writes and reads it; the supervisor, which hands it on to the next worker, never looks.

Lines: the first one is JSON, then one for each lease, a name, in the order in which they were
given: the permutation of `interceptor.flow.names.Leases` yields the same addresses again. A line
without its end was torn by a crash, and does not count.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import secrets
from typing import Final

import msgspec

from interceptor.flow.names import Leases
from interceptor.tls.authority import Authority, Root, lasting

VERSION: Final = 1
_LARGEST: Final = 64 * 1024 * 1024  # 130 816 names of 253 bytes, and some
_VOID: Final = b"\0\n"  # no name: what follows a gap in the order cannot be given again


class KeepsakeError(ValueError):
    """What was kept is damaged, or of a later version."""


class _Head(msgspec.Struct, frozen=True):
    version: int
    key: bytes
    """Of the digests in findings."""
    seed: bytes
    """Of the leases."""
    root: Root


class Keepsake:
    """What is kept of one tenant.

    Attributes:
        authority: as it was, or new.
        key: of digests; likewise.
        leases: likewise; what is leased from now on is kept as well.
        fresh: True if nothing had been kept.
    """

    def __init__(self, descriptor: int, name: str, now: dt.datetime) -> None:
        """Read what is kept in `descriptor`, or begin to keep; the descriptor stays open.

        Raises:
            KeepsakeError: see there.
            OSError: it cannot be read or written.
        """
        data = _read(descriptor)
        head, _, rest = data.partition(b"\n")
        self.fresh = not data
        if self.fresh:
            self.key, seed = secrets.token_bytes(32), secrets.token_bytes(32)
            self.authority, root = lasting(name, now)
            head = msgspec.json.encode(_Head(VERSION, self.key, seed, root))
            _append(descriptor, head + b"\n")
        else:
            kept = _head(head)
            self.key, seed = kept.key, kept.seed
            try:
                self.authority = Authority(name, now, root=kept.root)
            except ValueError as error:
                raise KeepsakeError(f"the authority that was kept is damaged: {error}") from None
        void = _VOID in rest
        self.leases = KeptLeases(secrets.token_bytes(32) if void else seed, descriptor)
        if not void:
            self.leases.restore(rest)


class KeptLeases(Leases):
    """Leases that another worker can go on with."""

    def __init__(self, seed: bytes, descriptor: int) -> None:
        super().__init__(seed)
        self._descriptor = descriptor

    def restore(self, lines: bytes) -> None:
        """Give the addresses again that were given, in their order; none counts as used since."""
        descriptor, self._descriptor = self._descriptor, -1
        for line in lines.split(b"\n")[:-1]:
            self.offset(line.decode("ascii", "replace"), 0.0)
        self._descriptor = descriptor

    def _new(self, name: str, now: float) -> int:
        offset = super()._new(name, now)
        if not (name.isascii() and name.isprintable()):
            self._end()
        elif self._descriptor >= 0:
            try:
                os.write(self._descriptor, name.encode("ascii") + b"\n")
            except OSError:
                self._end()
        return offset

    def _take_back(self, now: float) -> None:
        super()._take_back(now)
        if self._free:
            self._end()

    def _end(self) -> None:
        """Keep no leases any more: after a restart every name gets another address."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.write(self._descriptor, _VOID)
            self._descriptor = -1


def _head(line: bytes) -> _Head:
    try:
        head = msgspec.json.decode(line, type=_Head)
    except msgspec.DecodeError:
        raise KeepsakeError("what was kept is damaged") from None
    if head.version != VERSION:
        raise KeepsakeError(f"what was kept is of version {head.version}, this is {VERSION}")
    return head


def _read(descriptor: int) -> bytes:
    parts = []
    at = 0
    while at < _LARGEST and (part := os.pread(descriptor, 1 << 20, at)):
        parts.append(part)
        at += len(part)
    os.lseek(descriptor, 0, os.SEEK_END)
    return b"".join(parts)


def _append(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
