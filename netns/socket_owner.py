"""Which process holds a socket: socket diagnostics (sock_diag(7)) and proc(5).

The kernel gives the inode of the socket that has a connection's addresses; the descriptors of the
jail's processes say who holds that. A process that opens connections is asked about again at once,
so what cannot change about it is kept, and the descriptor that its next socket will get is guessed:
open(2) takes the lowest that is free, which is the last one's or its neighbour.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_REQUEST: Final = 1  # NLM_F_REQUEST without NLM_F_DUMP: one socket, by its four-tuple
_ERROR: Final = 2  # NLMSG_ERROR
_INODE: Final = 84  # nlmsghdr 16, inet_diag_msg up to idiag_inode 68: <linux/inet_diag.h>
_NO_COOKIE: Final = b"\xff" * 8
_ALL_STATES: Final = 0xFFFFFFFF

_PARENTS: Final = 8
_ARGUMENTS: Final = 64
_ARGUMENT_BYTES: Final = 4_096
_RECENT: Final = 64
_PARENTS_SECONDS: Final = 1.0  # the programs above it may turn into others, which is rare


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """Who owns the client's end of this?"""

    flow: str
    protocol: int
    """IP protocol number: 6 TCP, 17 UDP."""
    source: bytes
    """The client's address, 4 or 16 bytes."""
    source_port: int
    address: bytes
    """What it has dialled."""
    port: int


class Process(msgspec.Struct, frozen=True):
    """A process of the jail."""

    pid: int
    """As the jail numbers it."""
    executable: str
    """Path of the program, as the jail sees it; empty where it cannot be read."""
    arguments: tuple[str, ...] = ()
    """Command line; not masked yet."""
    folder: str = ""
    """Working directory."""
    parents: tuple[str, ...] = ()
    """Names of the programs above it, nearest first, the jail's own left out."""


class _Known(msgspec.Struct, gc=False):
    """What is kept of a process that owned a socket."""

    started: bytes
    """Start time, which tells it from another of its number."""
    inner: int
    """Its number in the jail, the same for all its life (pid_namespaces(7))."""
    descriptor: int = 0
    """Where its last socket was."""
    above: int = 0
    """Its parent, on the host."""
    parents: tuple[str, ...] = ()
    until: float = 0.0
    """Until when `parents` are taken for true."""


def open_diagnostics() -> socket.socket:
    """Open a socket for the diagnostics of the network namespace that the caller is in.

    Raises:
        OSError: the kernel has none.
    """
    diagnostics = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG)
    diagnostics.bind((0, 0))
    return diagnostics


class Looker:
    """Finds the owners of sockets."""

    def __init__(
        self, diagnostics: socket.socket, jail: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Look among the processes below `jail`, a process id; see `open_diagnostics`."""
        self._diagnostics = diagnostics
        self._jail = jail
        self._clock = clock
        self._recent: OrderedDict[int, _Known] = OrderedDict()  # owners of sockets, newest last
        self._sequence = 0

    def owner(self, asked: Asked) -> Process | None:
        """Find the process that holds the client's end of a connection.

        Returns:
            None when the socket is gone, or its owner, or it lets itself not be looked at.

        Raises:
            OSError: the kernel gave no answer.
        """
        inode = self._inode(asked)
        if not inode:
            return None
        link = f"socket:[{inode}]"
        for pid in reversed(self._recent):
            descriptor = _holds(pid, link, self._recent[pid].descriptor)
            if descriptor >= 0:
                self._recent.move_to_end(pid)
                return self._described(pid, descriptor)
        for pid in self._processes():
            if pid not in self._recent:
                descriptor = _holds(pid, link, 0)
                if descriptor >= 0:
                    return self._described(pid, descriptor)
        return None

    def _inode(self, asked: Asked) -> int:
        """Inode of the client's socket, 0 when the kernel knows none."""
        family = socket.AF_INET if len(asked.source) == 4 else socket.AF_INET6
        source, address = asked.source.ljust(16, b"\0"), asked.address.ljust(16, b"\0")
        sport, dport = asked.source_port, asked.port
        if asked.protocol == socket.IPPROTO_UDP:
            # "src and dst are swapped for historical reasons": net/ipv4/udp_diag.c
            source, address, sport, dport = address, source, dport, sport
        self._sequence += 1
        body = struct.pack("=BBxxI", family, asked.protocol, _ALL_STATES)
        body += struct.pack("!HH", sport, dport) + source + address + b"\0\0\0\0" + _NO_COOKIE
        head = struct.pack(
            "=IHHII", 16 + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST, self._sequence, 0
        )
        self._diagnostics.send(head + body)
        while True:
            answer = self._diagnostics.recv(8_192)
            _, kind, _, sequence, _ = struct.unpack_from("=IHHII", answer)
            if sequence == self._sequence:
                break
        if kind == _ERROR or len(answer) < _INODE + 4:
            return 0
        return int(struct.unpack_from("=I", answer, _INODE)[0])

    def _processes(self) -> list[int]:
        """Processes of the jail, the newest first: who connects is seldom the oldest.

        Orphans are adopted by the jail's first process (pid_namespaces(7)), so the tree below the
        enclosure holds all of them.
        """
        found: list[int] = []
        pending = [self._jail]
        while pending:
            pid = pending.pop()
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
                    # More than a page of them comes in several parts.
                    with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                        children = [int(child) for child in file.read().split()]
                    found += children
                    pending += children
        living = set(found)
        for pid in [pid for pid in self._recent if pid not in living]:
            del self._recent[pid]
        return sorted(found, reverse=True)

    def _described(self, pid: int, descriptor: int) -> Process:
        above, started = _stat(pid)
        known = self._recent.get(pid)
        if known is None or known.started != started:
            known = self._recent[pid] = _Known(started, _inner(pid))
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        known.descriptor = descriptor
        now = self._clock()
        if known.above != above or now >= known.until:
            known.above, known.until = above, now + _PARENTS_SECONDS
            known.parents = self._parents(above)
        return Process(
            known.inner, _link(pid, "exe"), _arguments(pid), _link(pid, "cwd"), known.parents
        )

    def _parents(self, pid: int) -> tuple[str, ...]:
        names: list[str] = []
        while pid and pid != self._jail and len(names) < _PARENTS and _inner(pid) != 1:
            names.append(_link(pid, "exe").rpartition("/")[2])
            pid = _stat(pid)[0]
        return tuple(names)


def _holds(pid: int, link: str, guess: int) -> int:
    """Descriptor of the process that is the socket, -1 for none; around `guess` it is likely."""
    for descriptor in (guess, guess + 1):
        if _link(pid, f"fd/{descriptor}") == link:
            return descriptor
    try:
        folder = os.open(f"/proc/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        for name in reversed(os.listdir(folder)):  # noqa: PTH208
            with contextlib.suppress(OSError):
                if os.readlink(name, dir_fd=folder) == link:
                    return int(name)
    finally:
        os.close(folder)
    return -1


def _stat(pid: int) -> tuple[int, bytes]:
    """Parent's pid on the host, and start time: proc_pid_stat(5), fields 4 and 22."""
    with contextlib.suppress(OSError, ValueError):
        text = _read(f"/proc/{pid}/stat", 2_048)
        # The name stands in parentheses and may hold spaces and parentheses itself.
        fields = text[text.rindex(b")") + 2 :].split(b" ", 20)
        return int(fields[1]), fields[19]
    return 0, b""


def _inner(pid: int) -> int:
    """Return its number in its innermost PID namespace; proc_pid_status(5), NSpid."""
    with contextlib.suppress(OSError, ValueError):
        _, _, rest = _read(f"/proc/{pid}/status", 8_192).partition(b"\nNSpid:")
        return int(rest.partition(b"\n")[0].split()[-1])
    return pid


def _link(pid: int, name: str) -> str:
    try:
        target = os.readlink(f"/proc/{pid}/{name}")  # noqa: PTH115
    except OSError:
        return ""
    return target.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _arguments(pid: int) -> tuple[str, ...]:
    try:
        data = _read(f"/proc/{pid}/cmdline", _ARGUMENT_BYTES)
    except OSError:
        return ()
    words = data.rstrip(b"\0").split(b"\0")[:_ARGUMENTS]
    return tuple(word.decode("utf-8", "replace") for word in words)


def _read(path: str, limit: int) -> bytes:
    """Read a file of proc(5), which gives itself whole to one read(2) as far as it fits."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, limit)
    finally:
        os.close(descriptor)
