"""A process that lives in the captive namespace and hands out TCP sockets that were made there.

A socket keeps the namespace it was made in, so whoever holds one can connect to the agent's own
loopback from outside. The interceptor cannot make such sockets itself: it has given up every right
before it serves. This process has none either; all it can do is make sockets inside.
"""

from __future__ import annotations

import os
import signal
import socket
from typing import Final, NoReturn

from netns import confine, namespaces

IPV4: Final = b"4"
IPV6: Final = b"6"
"""What is sent for one socket; the answer is one byte and the socket."""

_DESCRIPTORS: Final = 16


class SocketMaker:
    """The process, seen from the supervisor.

    Attributes:
        pid: process id; 0 once it is gone.
        channel: the other end, for the interceptor: sequenced packets. Closing it ends the process.
    """

    def __init__(self, network: int, user: int | None) -> None:
        """Start it.

        Args:
            network: descriptor of the captive network namespace.
            user: descriptor of the user namespace that owns it, in rootless mode.
        """
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _become(network, user, theirs, parent)
        theirs.close()

    def close(self) -> None:
        """End it; safe to call again."""
        self.channel.close()
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


def _become(network: int, user: int | None, channel: socket.socket, parent: int) -> NoReturn:
    """In the forked child: enter, give up everything, and serve. Never returns."""
    try:
        os.setsid()  # signals of the operator's terminal are for the agent
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        uid = None if user is not None else confine.unprivileged_uid(os.getpid())
        namespaces.enter(network, user)
        namespaces.close_all_but((0, 1, 2, channel.fileno()))
        confine.confine(uid, parent, _DESCRIPTORS)
        serve(channel)
    except BaseException:  # noqa: BLE001, S110 - a forked child must not unwind; who asks is told
        pass
    finally:
        os._exit(0)


def serve(channel: socket.socket) -> None:
    """Answer each packet with a socket of the family it names, until the channel closes."""
    families = {IPV4: socket.AF_INET, IPV6: socket.AF_INET6}
    while wanted := channel.recv(1):
        kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
        try:
            with socket.socket(families[wanted], kind, socket.IPPROTO_TCP) as made:
                socket.send_fds(channel, [wanted], [made.fileno()])
        except OSError:  # no such family on this machine: one byte, and no socket
            channel.send(wanted)
