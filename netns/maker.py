"""The making of a captive namespace, step by step, inside the child that `netns.captive` forks."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from netns import anyip, namespaces, nft
from netns.namespaces import Namespace
from netns.remedies import find_program

# `netns.guest_link` is imported where there is a NIC: no jail has one, and its start is counted.
if TYPE_CHECKING:
    from netns.nic import Nic

FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)

BACKLOG: Final = 4096
"""Connections that wait for the interceptor, per listener."""

_IP_PKTINFO: Final = 8  # ip(7); Python names it only from 3.14 on
_IPV6_FREEBIND: Final = 78  # linux/in6.h


@dataclasses.dataclass(frozen=True, slots=True)
class _Sysctl:
    path: str
    value: str
    required: bool
    """False: better so, but a kernel that lacks it (or forbids it here) is as safe."""
    ipv6: bool = False


_SYSCTLS: Final = (
    _Sysctl("net/ipv4/ip_forward", "0", required=True),
    _Sysctl("net/ipv6/conf/all/disable_ipv6", "0", required=True, ipv6=True),
    _Sysctl("net/ipv6/conf/lo/disable_ipv6", "0", required=True, ipv6=True),
    _Sysctl("net/ipv6/conf/all/forwarding", "0", required=True, ipv6=True),
    _Sysctl("net/ipv4/ping_group_range", "1 0", required=False),  # nobody: icmp(7); the default
    _Sysctl("net/core/somaxconn", str(BACKLOG), required=False),
    # A client that opens thousands of short connections must not fill the table: then the
    # kernel drops packets, and the agent would see time-outs where it should see answers.
    _Sysctl("net/netfilter/nf_conntrack_tcp_timeout_time_wait", "10", required=False),
    _Sysctl("net/netfilter/nf_conntrack_udp_timeout", "15", required=False),
)


def first_line(text: bytes) -> str:
    """The first line a program said on its standard error, for messages."""
    return text.decode("utf-8", "replace").strip().partition("\n")[0] or "no message"


class Maker:
    """Makes the namespace from inside the child; `step` says how far it came."""

    def __init__(
        self,
        parent: int,
        *,
        rootless: bool,
        ipv6: bool,
        nic: Nic | None = None,
        notices: bool = False,
    ) -> None:
        self._parent, self._rootless, self._ipv6 = parent, rootless, ipv6
        self._nic, self._notices = nic, notices
        self.logs = False
        """Whether the kernel logs what is refused."""
        self._modules: tuple[ModuleType, ...] = ()
        self._outside: socket.socket | None = None
        self.step = "imports"

    def make(self) -> tuple[float, list[int]]:
        """Do all steps; return the seconds they took and the descriptors to hand over."""
        nic = self._nic
        self._modules = anyip.load_messages(links=nic is not None)
        configuration = anyip.messages(self._modules, ipv6=self._ipv6)
        if nic is not None and nic.existing:
            self._outside = anyip.open_channel()  # of the caller's namespace, before it is left
        self.step = "nft"
        program = find_program("nft")
        begin = time.perf_counter()
        self.step = "namespace"
        self._unshare()
        self.step = "rules"
        # nft runs while the rest is made: nobody lives here yet, so the order is free.
        rules = os.memfd_create("egressguard-rules")
        entries = (nft.PROCESS,) if nic is None else nft.guest_entries(nic.link)
        log = self._log()
        os.write(rules, (nft.transaction(entries) + (nft.logged(entries) if log else "")).encode())
        os.lseek(rules, 0, os.SEEK_SET)
        with subprocess.Popen(
            [program, "-f", "-"],
            stdin=rules,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"LC_ALL": "C"},
        ) as process:
            descriptors, tap = self._configure(configuration)
            self.step = "rules"
            _, complaint = process.communicate(timeout=5)
        if process.returncode and log:
            # Perhaps this kernel logs nothing: what is refused is refused and counted as well.
            os.close(log.pop())
            ended = subprocess.run(
                [program, "-f", "-"],
                input=nft.transaction(entries).encode(),
                capture_output=True,
                env={"LC_ALL": "C"},
                timeout=5,
                check=False,
            )
            complaint, process.returncode = ended.stderr, ended.returncode
        if process.returncode:
            raise ValueError(f"nft: {first_line(complaint)}")
        self.logs = bool(log)
        self.step = "sysctls"
        for sysctl in _SYSCTLS:
            if not sysctl.required:
                _set(sysctl)
        if nic is not None and nic.peer >= 0:
            self.step = "link"  # last: this process does not come back from there
            from netns import guest_link

            guest_link.configure_peer(nic, self._modules, ipv6=self._ipv6)
        self.step = "hand-over"
        return time.perf_counter() - begin, descriptors + log + tap

    def _log(self) -> list[int]:
        """Hear of what is refused, if that is wanted and can be."""
        if not self._notices:
            return []
        from netns import packet_log

        try:
            return [packet_log.open_log().detach()]
        except OSError:
            return []

    def _unshare(self) -> None:
        uid, gid = os.geteuid(), os.getegid()
        if self._rootless:
            namespaces.unshare(Namespace.USER | Namespace.NET)
            namespaces.map_own_ids(uid, gid)
            namespaces.keep_over_exec(namespaces.CAP_NET_ADMIN)
        else:
            namespaces.unshare(Namespace.NET)
        # After the change of credentials, which clears it: prctl(2).
        namespaces.die_with_parent(signal.SIGKILL, self._parent)

    def _configure(self, configuration: list[tuple[str, bytes]]) -> tuple[list[int], list[int]]:
        self.step = "sysctls"
        for sysctl in _SYSCTLS:
            if sysctl.required and (self._ipv6 or not sysctl.ipv6):
                _set(sysctl)
        self.step = "addresses"
        anyip.apply(configuration)
        tap: list[int] = []
        if self._nic is not None:
            self.step = "link"
            from netns import guest_link

            tap = guest_link.plug(self._nic, self._modules, self._outside, ipv6=self._ipv6)
        self.step = "listeners"
        kinds = ("net", "user") if self._rootless else ("net",)
        handed = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]
        families = FAMILIES if self._ipv6 else FAMILIES[:1]
        handed += listeners(families)
        if self._nic is not None:
            from netns import guest_link

            handed += [made.detach() for made in guest_link.guest_sockets(ipv6=self._ipv6)]
        return handed, tap


def listeners(families: Sequence[socket.AddressFamily]) -> list[int]:
    """Make every listener in the network namespace of this process, in the order of `Captive`.

    Args:
        families: those of `FAMILIES` that the namespace has.

    Raises:
        OSError: a port is taken: somebody listens there still.

    """
    kinds = [(_tcp_listener, nft.TCP_PORT), (_udp_listener, nft.DNS_PORT)]
    kinds += [(_tcp_listener, nft.DNS_PORT)]
    others = (*nft.QUIC_PORTS.values(), *nft.NEIGHBOUR_PORTS.values())
    kinds += [(_udp_listener, port) for port in others]
    with contextlib.ExitStack() as undo:
        made = [
            undo.enter_context(listener(family, port))
            for listener, port in kinds
            for family in families
        ]
        undo.pop_all()
    return [listener.detach() for listener in made]


def _set(sysctl: _Sysctl) -> None:
    """Write a sysctl of this network namespace unless it has its value already."""
    path = Path("/proc/sys", sysctl.path)
    try:
        if path.read_text("ascii").split() != sysctl.value.split():
            path.write_text(sysctl.value, "ascii")
    except OSError as error:
        if sysctl.required:
            number = error.errno or errno.EIO
            raise OSError(number, f"{path} = {sysctl.value}: {os.strerror(number)}") from error


def _tcp_listener(family: socket.AddressFamily, port: int) -> socket.socket:
    # IPPROTO_TCP is said aloud: asyncio sets TCP_NODELAY only on sockets that carry it.
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by accept(2)
    _bind(listener, port)
    listener.listen(BACKLOG)
    return listener


def _udp_listener(family: socket.AddressFamily, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.IPPROTO_UDP)
    if family == socket.AF_INET:
        listener.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    else:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        # IPv6 answers from an AnyIP address only with this; IPv4 asks for nothing.
        listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    _bind(listener, port)
    return listener


def _bind(listener: socket.socket, port: int) -> None:
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind(("", port))
