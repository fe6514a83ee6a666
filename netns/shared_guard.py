"""The packet guard of many captive namespaces: one process that names what was refused in each.

A jail has a guard of its own in its namespace, which the kernel asks about each packet
(`netns.guard`). Here nobody is asked: the kernel logs what it refuses (`netns.packet_log`), on a
socket that was bound inside the namespace, and this process reads such sockets. So it has no
capability at all, a network namespace of its own without anything in it, and no way to tell the
kernel anything. When it dies, packets are refused without a name until the next one reads.

    rules of the notice table -> log of the namespace -> guard (names it) -> Sighting to the worker

For each guest it is handed the log and a channel. On the channel it sends one
`netns.packets.Sighting` a message, MessagePack; `end` on it, or its end, ends the guest here.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from typing import Final, NoReturn

import msgspec

from netns import namespaces, packet_log
from netns.confine import unprivileged_uid
from netns.guard import END
from netns.packets import describe

BATCH: Final = 16
"""Packets of one guest that are named before the next one's turn."""

_WATCH: Final = b"watch"
_WAITING: Final = 4_096
"""Packets of one guest that are named at its end, at most."""


class SharedGuard:
    """The process, as the gateway's supervisor has it."""

    def __init__(self) -> None:
        """Fork it. The caller must have one thread.

        Raises:
            OSError: no process or descriptor was left.
        """
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        try:
            self.pid = os.fork()
        except OSError:
            self._control.close()
            theirs.close()
            raise
        if self.pid == 0:
            _become(theirs, parent)
        theirs.close()
        self._control.settimeout(5.0)
        self._pidfd = os.pidfd_open(self.pid)

    def watch(self, log: socket.socket) -> socket.socket:
        """Name what is in `log`; returns the worker's end of the channel.

        Args:
            log: of one guest; stays the caller's.

        Raises:
            OSError: the guard has ended, or no descriptor was left.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                socket.send_fds(self._control, [_WATCH], [log.fileno(), theirs.fileno()])
            except BaseException:
                ours.close()
                raise
        return ours

    def lives(self) -> bool:
        """Whether it has not ended; does not block."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """End it; safe to call again."""
        self._control.close()
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self._pidfd)
            self.pid = 0


def _become(control: socket.socket, parent: int) -> NoReturn:
    """In the forked child: be the guard. Never returns."""
    try:
        from netns import seccomp

        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.setsid()  # signals of the operator's terminal are for the supervisor
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        namespaces.close_all_but((0, 1, 2, control.fileno()))
        uid = unprivileged_uid(os.getpid())
        namespaces.unshare(namespaces.Namespace.NET)
        os.chdir("/")
        namespaces.drop_bounding_set()
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        namespaces.drop_capabilities()
        namespaces.no_new_privileges()
        # After the change of user, which clears it (prctl(2)).
        namespaces.die_with_parent(signal.SIGKILL, parent)
        seccomp.load(seccomp.Profile.GUARD)
        _Watch(control).run()
    finally:
        os._exit(0)


class _Watch:
    """The logs, by descriptor, and whose they are."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._guests: dict[int, tuple[socket.socket, socket.socket]] = {}
        """Log and channel, under the descriptors of both."""
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def run(self) -> None:
        """Name packets until the supervisor has gone."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._control.fileno():
                    if not self._take():
                        return
                elif descriptor in self._guests:  # it may have ended in this round
                    self._serve(descriptor)

    def _take(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, 16, 2)
        if message != _WATCH:
            return False
        if len(descriptors) != 2:  # there was no room for them: that guest's are not named
            for descriptor in descriptors:
                os.close(descriptor)
            return True
        log, channel = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        channel.setblocking(False)  # noqa: FBT003
        for end in (log, channel):
            self._guests[end.fileno()] = (log, channel)
            self._poll.register(end, select.POLLIN)
        return True

    def _serve(self, descriptor: int) -> None:
        log, channel = self._guests[descriptor]
        if descriptor == log.fileno():
            if not self._name(log, channel, BATCH):
                self._forget(log, channel)
            return
        try:
            word = channel.recv(16)
        except OSError:
            word = b""
        if word == END:
            self._name(log, channel, _WAITING)
        if word in (END, b""):
            self._forget(log, channel)

    def _name(self, log: socket.socket, channel: socket.socket, most: int) -> bool:
        """Name what is in a log, `most` datagrams of it; False when nobody hears it."""
        for _ in range(most):
            try:
                datagram = log.recv(packet_log.LARGEST)
            except BlockingIOError:
                return True
            except OSError:
                return False
            for packet in packet_log.packets(datagram):
                try:
                    channel.send(msgspec.msgpack.encode(describe(packet)))
                except BlockingIOError:
                    pass  # the worker is busy: this one is refused without a name
                except OSError:
                    return False
        return True

    def _forget(self, log: socket.socket, channel: socket.socket) -> None:
        for end in (log, channel):
            del self._guests[end.fileno()]
            self._poll.unregister(end)
            end.close()
