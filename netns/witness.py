"""The witness: a process that says which process of the jail a connection belongs to.

The interceptor asks with the addresses and ports of a connection; the kernel's socket diagnostics
(sock_diag(7)), asked inside the captive namespace, give the socket's inode, and the descriptors of
the jail's processes (proc(5)) say who holds it. That takes less than an RPC to anything else, and
happens while the agent's client still shakes hands.

It is of use for people who read evidence, and as a convenience in policies; it is no boundary: what
a process is called is the agent's to choose.

It runs as the agent's user, outside the jail's PID namespace: it may look at the agent's processes
because they are of its user, and they cannot even name it. It has no capability and runs nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from collections import OrderedDict
from typing import Final, NoReturn

import msgspec

from netns import namespaces
from netns.identity import Identity

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


class Answer(msgspec.Struct, frozen=True):
    """What was found."""

    flow: str
    process: Process | None
    """None: the socket or its owner was gone, or does not let itself be looked at."""


class Witness:
    """The witness's process, as the supervisor has it."""

    def __init__(
        self, channel: socket.socket, network: int, user: int | None, identity: Identity, jail: int
    ) -> None:
        """Fork it. The caller must have one thread.

        Args:
            channel: sequenced packets, `Asked` in and `Answer` out, MessagePack; closed here.
            network: descriptor of the captive network namespace.
            user: the user namespace that owns it; None for root's.
            identity: the agent's user.
            jail: process id of the enclosure, the ancestor of all processes of the jail.
        """
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _become(channel, network, user, identity, jail, parent)
        channel.close()
        self.pidfd = os.pidfd_open(self.pid)

    def close(self) -> None:
        """End it; safe to call again."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self.pidfd)
            self.pid = 0


def _become(
    channel: socket.socket,
    network: int,
    user: int | None,
    identity: Identity,
    jail: int,
    parent: int,
) -> NoReturn:
    """In the forked child: be the witness. Never returns."""
    try:
        from netns import seccomp

        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.chdir("/")
        namespaces.setns(network, namespaces.Namespace.NET) if user is None else namespaces.enter(
            network, user
        )
        diagnostics = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG)
        diagnostics.bind((0, 0))
        namespaces.close_all_but((0, 1, 2, channel.fileno(), diagnostics.fileno()))
        namespaces.drop_bounding_set()
        if user is None and os.geteuid() == 0:
            os.setgroups(list(identity.groups))
            os.setresgid(identity.gid, identity.gid, identity.gid)
            os.setresuid(identity.uid, identity.uid, identity.uid)
        if user is None:
            namespaces.drop_capabilities()
        namespaces.no_new_privileges()
        namespaces.die_with_parent(signal.SIGKILL, parent)
        seccomp.load(seccomp.Profile.WITNESS)
        _Looker(diagnostics, jail).serve(channel)
    except BaseException:  # noqa: BLE001 - a forked child must not unwind
        os._exit(1)
    os._exit(0)


class _Looker:
    """Finds the owners of sockets."""

    def __init__(self, diagnostics: socket.socket, jail: int) -> None:
        self._diagnostics = diagnostics
        self._jail = jail
        self._recent: OrderedDict[int, None] = OrderedDict()  # pids that owned sockets, newest last
        self._sequence = 0

    def serve(self, channel: socket.socket) -> None:
        decode = msgspec.msgpack.Decoder(Asked).decode
        encode = msgspec.msgpack.encode
        while message := channel.recv(4_096):
            asked = decode(message)
            found = None
            with contextlib.suppress(OSError, ValueError):
                found = self.owner(asked)
            channel.send(encode(Answer(asked.flow, found)))

    def owner(self, asked: Asked) -> Process | None:
        inode = self._inode(asked)
        if not inode:
            return None
        link = f"socket:[{inode}]"
        for pid in reversed(self._recent):
            if _holds(pid, link):
                self._recent.move_to_end(pid)
                return _described(pid, self._jail)
        for pid in self._processes():
            if pid not in self._recent and _holds(pid, link):
                self._recent[pid] = None
                if len(self._recent) > _RECENT:
                    self._recent.popitem(last=False)
                return _described(pid, self._jail)
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
                    with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                        children = [int(child) for child in file.read().split()]
                    found += children
                    pending += children
        self._recent = OrderedDict((pid, None) for pid in self._recent if pid in set(found))
        return sorted(found, reverse=True)


def _holds(pid: int, link: str) -> bool:
    """Tell whether a descriptor of the process is the socket. The newest descriptors go first."""
    try:
        folder = os.open(f"/proc/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        for name in reversed(os.listdir(folder)):  # noqa: PTH208
            try:
                if os.readlink(name, dir_fd=folder) == link:
                    return True
            except OSError:
                continue
    finally:
        os.close(folder)
    return False


def _described(pid: int, jail: int) -> Process:
    parents: list[str] = []
    above, inner = _status(pid)
    while above and above != jail and len(parents) < _PARENTS:
        name = _name(above)
        above, number = _status(above)
        if number == 1:
            break  # the jail's own first process
        parents.append(name)
    return Process(
        inner, _link(pid, "exe"), _arguments(pid), _link(pid, "cwd"), parents=tuple(parents)
    )


def _status(pid: int) -> tuple[int, int]:
    """Parent's pid on the host, and the process's own in its innermost PID namespace."""
    parent, inner = 0, pid
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith(b"PPid:"):
                parent = int(line[5:])
            elif line.startswith(b"NSpid:"):
                inner = int(line.split()[-1])
                break
    return parent, inner


def _name(pid: int) -> str:
    executable = _link(pid, "exe")
    return executable.rpartition("/")[2]


def _link(pid: int, name: str) -> str:
    try:
        target = os.readlink(f"/proc/{pid}/{name}")  # noqa: PTH115
    except OSError:
        return ""
    return target.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _arguments(pid: int) -> tuple[str, ...]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            data = file.read(_ARGUMENT_BYTES)
    except OSError:
        return ()
    words = data.rstrip(b"\0").split(b"\0")[:_ARGUMENTS]
    return tuple(word.decode("utf-8", "replace") for word in words)
