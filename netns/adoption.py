"""New listeners in captive namespaces that are there already: after a restart of the gateway.

Namespace, addresses, routes and rules have outlived the process that made them, since somebody
holds a descriptor of the namespace; its listeners have not, so that everything in it was refused
meanwhile. One forked child enters one namespace after the other and makes the listeners anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from netns import guest_link, namespaces, nft
from netns.captive import Captive, CaptiveError
from netns.maker import FAMILIES, listeners
from netns.nic import Nic

_FIX: Final = "remove the guest and add it again"


@dataclasses.dataclass(frozen=True, slots=True)
class Orphan:
    """A captive namespace without listeners."""

    namespace_fd: int
    """Stays the caller's."""
    nic: Nic | None = None
    """The guest's NIC, if the namespace holds one."""


def adopt(orphans: Sequence[Orphan], timeout: float = 30.0) -> list[Captive | CaptiveError]:
    """Make the listeners of each. The caller must have one thread, and rights over all of them.

    Args:
        orphans: each with a namespace of its own.
        timeout: seconds for all.

    Returns:
        For each of `orphans`, in their order, the captive namespace, with a descriptor of its own,
        or why it cannot be served.

    Raises:
        OSError: no process or descriptor was left.
    """
    if not orphans:
        return []
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _become(theirs, orphans, parent)
    theirs.close()
    found: list[Captive | CaptiveError] = []
    try:
        for orphan in orphans:
            if not select.select([ours], [], [], timeout)[0]:
                found.append(CaptiveError("time limit", f"no answer after {timeout:g} s", _FIX))
                timeout = 0.0
                continue
            message, descriptors, _, _ = socket.recv_fds(ours, 65_536, 64)
            found.append(_taken(orphan, message, descriptors))
    finally:
        ours.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return found


def _taken(orphan: Orphan, message: bytes, descriptors: list[int]) -> Captive | CaptiveError:
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)  # noqa: FBT003
    cause, count, link = json.loads(message or b'["the process that adopts was killed", 0, 0]')
    if cause:
        return CaptiveError("listeners", cause, _FIX)
    count = int(count)
    dialled = (*nft.QUIC_PORTS, *nft.NEIGHBOUR_PORTS)
    end = (3 + len(dialled)) * count
    if len(descriptors) != end + link:
        for descriptor in descriptors:
            os.close(descriptor)
        return CaptiveError("hand-over", "descriptors were lost: too many open files", _FIX)
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    tcp, udp, dns = (sockets[i * count : (i + 1) * count] for i in range(3))
    ports = tuple(port for port in dialled for _ in range(count))
    network = os.dup(orphan.namespace_fd)
    made = Captive(network, None, tcp, udp, dns, sockets[3 * count : end], ports, 0.0, orphan.nic)
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
                made = listeners(families)
                link = [] if orphan.nic is None else guest_link.guest_sockets(ipv6=ipv6)
                made += [sock.detach() for sock in link]
                answer = ("", len(families), len(link))
            except OSError as error:
                answer = (str(error), 0, 0)
            socket.send_fds(channel, [json.dumps(answer).encode()], made)
            for descriptor in made:
                os.close(descriptor)
    finally:
        os._exit(0)


def _has_ipv6() -> bool:
    """Say whether this namespace was made with IPv6: its `lo` has an address of ours then."""
    with contextlib.suppress(OSError):
        own = socket.inet_pton(socket.AF_INET6, nft.OWN_IPV6).hex()
        return own in Path("/proc/self/net/if_inet6").read_text("ascii")
    return False
