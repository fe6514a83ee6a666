"""New listeners in captive namespaces that are there already: after a restart of the gateway.

Namespace, addresses, routes and rules have outlived the process that made them, since somebody
holds a descriptor of the namespace; its listeners have not, so that everything in it was refused
meanwhile. One forked child enters one namespace after the other and makes the listeners anew. From
that moment on nothing is refused for want of a listener: who dials waits until it is served.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn

from netns import guest_link, namespaces, nft, packet_log
from netns.captive import Captive, CaptiveError
from netns.maker import FAMILIES, listeners
from netns.nic import Nic
from netns.processes import readable

_FIX: Final = "remove the guest and add it again"
_BUFFER: Final = 1 << 23
"""Bytes of answers that may wait, so that the child never does: some thousand of them."""
_SO_SNDBUFFORCE: Final = 32  # socket(7)
_TAKEN_SECONDS: Final = 3.0
"""How long a socket of the process before may still be there: it is being killed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Orphan:
    """A captive namespace without listeners."""

    namespace_fd: int
    """Stays the caller's."""
    nic: Nic | None = None
    """The guest's NIC, if the namespace holds one."""


class Adoption:
    """Listeners that a child makes, while the caller does something else."""

    def __init__(self, orphans: Sequence[Orphan]) -> None:
        """Fork the child. The caller must have one thread, and rights over all of them.

        Args:
            orphans: each with a namespace of its own.

        Raises:
            OSError: no process or descriptor was left.
        """
        self._orphans = tuple(orphans)
        self._child = 0
        if not self._orphans:
            return
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.suppress(OSError):
            theirs.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER)
        parent = os.getpid()
        try:
            self._child = os.fork()
        except OSError:
            self._channel.close()
            theirs.close()
            raise
        if self._child == 0:
            _become(theirs, self._orphans, parent)
        theirs.close()

    def finish(self, timeout: float = 30.0) -> list[Captive | CaptiveError]:
        """Wait for all of them. Call it once.

        Args:
            timeout: seconds from now, for each.

        Returns:
            For each of the orphans, in their order, the captive namespace, with a descriptor of its
            own, or why it cannot be served.
        """
        found: list[Captive | CaptiveError] = []
        try:
            for orphan in self._orphans:
                if not readable(self._channel.fileno(), timeout):
                    found.append(CaptiveError("time limit", f"no answer after {timeout:g} s", _FIX))
                    timeout = 0.0
                    continue
                message, descriptors, _, _ = socket.recv_fds(
                    self._channel, 65_536, 64, socket.MSG_CMSG_CLOEXEC
                )
                found.append(_taken(orphan, message, descriptors))
        finally:
            self.abandon()
        return found

    def abandon(self) -> None:
        """End the child and forget what it made; safe to call again."""
        if self._child:
            self._channel.close()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
            self._child = 0


def adopt(orphans: Sequence[Orphan], timeout: float = 30.0) -> list[Captive | CaptiveError]:
    """Make the listeners of each and wait for them; see `Adoption`.

    Raises:
        OSError: no process or descriptor was left.
    """
    return Adoption(orphans).finish(timeout)


def _taken(orphan: Orphan, message: bytes, descriptors: list[int]) -> Captive | CaptiveError:
    cause, count, link, logs = json.loads(message or b'["the child was killed", 0, 0, 0]')
    if cause:
        return CaptiveError("listeners", cause, _FIX)
    count = int(count)
    dialled = (*nft.QUIC_PORTS, *nft.NEIGHBOUR_PORTS)
    end = (3 + len(dialled)) * count
    if len(descriptors) != end + link + logs:
        for descriptor in descriptors:
            os.close(descriptor)
        return CaptiveError("hand-over", "descriptors were lost: too many open files", _FIX)
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    tcp, udp, dns = (sockets[i * count : (i + 1) * count] for i in range(3))
    ports = tuple(port for port in dialled for _ in range(count))
    network = os.dup(orphan.namespace_fd)
    made = Captive(network, None, tcp, udp, dns, sockets[3 * count : end], ports, 0.0, orphan.nic)
    made.notices = sockets.pop() if logs else None
    if orphan.nic is not None:
        made.dhcp, made.router = (*sockets[end:], None, None)[:2]
    return made


def _become(channel: socket.socket, orphans: Sequence[Orphan], parent: int) -> NoReturn:
    """Body of the forked child: it ends with the last one."""
    try:
        signal.set_wakeup_fd(-1)
        namespaces.die_with_parent(signal.SIGKILL, parent)
        keep = (orphan.namespace_fd for orphan in orphans)
        namespaces.close_all_but((2, channel.fileno(), *keep))
        for orphan in orphans:
            made: list[int] = []
            try:
                namespaces.setns(orphan.namespace_fd, namespaces.Namespace.NET)
                ipv6 = _has_ipv6()
                families = FAMILIES if ipv6 else FAMILIES[:1]
                made = _when_free(functools.partial(listeners, families))
                link = [] if orphan.nic is None else _when_free(functools.partial(_link, ipv6=ipv6))
                made += link
                logs = _log()
                made += logs
                answer = ("", len(families), len(link), len(logs))
            except OSError as error:
                answer = (str(error), 0, 0, 0)
            socket.send_fds(channel, [json.dumps(answer).encode()], made)
            for descriptor in made:
                os.close(descriptor)
    finally:
        os._exit(0)


def _link(*, ipv6: bool) -> list[int]:
    return [made.detach() for made in guest_link.guest_sockets(ipv6=ipv6)]


def _log() -> list[int]:
    """Hear of what is refused again; what was before reads no more, but may not have ended."""
    try:
        return _when_free(lambda: [packet_log.open_log().detach()])
    except OSError:
        return []  # it is refused and counted as well


def _when_free(make: Callable[[], list[int]]) -> list[int]:
    """Try until nobody else has the port, or the log."""
    end = time.monotonic() + _TAKEN_SECONDS
    while True:
        try:
            return make()
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EBUSY) or time.monotonic() > end:
                raise
        time.sleep(0.005)


def _has_ipv6() -> bool:
    """Say whether this namespace was made with IPv6: its `lo` has an address of ours then."""
    with contextlib.suppress(OSError):
        own = socket.inet_pton(socket.AF_INET6, nft.OWN_IPV6).hex()
        return own in Path("/proc/self/net/if_inet6").read_text("ascii")
    return False
