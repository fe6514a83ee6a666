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
from typing import NoReturn

import msgspec

from netns import namespaces
from netns.identity import Identity
from netns.socket_owner import Asked, Looker, Process, open_diagnostics


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
        diagnostics = open_diagnostics()
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
        _serve(Looker(diagnostics, jail), channel)
    except BaseException:  # noqa: BLE001 - a forked child must not unwind
        os._exit(1)
    os._exit(0)


def _serve(looker: Looker, channel: socket.socket) -> None:
    decode = msgspec.msgpack.Decoder(Asked).decode
    encode = msgspec.msgpack.encode
    while message := channel.recv(4_096):
        asked = decode(message)
        found = None
        with contextlib.suppress(OSError, ValueError):
            found = looker.owner(asked)
        channel.send(encode(Answer(asked.flow, found)))
