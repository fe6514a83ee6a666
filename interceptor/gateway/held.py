"""One guest as the supervisor holds it: its namespace, its descriptors, and its worker."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from interceptor import __version__
from interceptor.evidence.place import default_path, open_evidence
from interceptor.gateway import payloads
from interceptor.gateway.messages import Guest, GuestState
from interceptor.gateway.workers import Worker
from interceptor.serve.gateway_messages import Payload, Take, Taken
from interceptor.serve.messages import Addresses, Start
from netns.captive import Captive
from netns.nic import GATEWAY_MAC, Nic
from netns.registry import Registration

_UNNAMED: Final = "packets that no listener takes are counted only: this kernel logs none"


@dataclasses.dataclass(slots=True)
class Held:
    """A guest, served or not."""

    guest: Guest
    namespace: int = -1
    """Descriptor of its network namespace; -1: there is none."""
    kept: int = -1
    """Descriptor of what its workers keep; see `interceptor.serve.keepsake`."""
    log: socket.socket | None = None
    """Where the kernel logs what is refused (`netns.packet_log`); None: it cannot."""
    process: int = -1
    """Pidfd of what it ends with, if it is bound to a process."""
    registration: Registration | None = None
    payload: Payload | None = None
    worker: Worker | None = None
    """Who serves it; None: it is offline."""
    number: int = -1
    """Of the worker that served it last."""
    fault: str = ""
    certificate: str = ""
    notes: tuple[str, ...] = ()
    began: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def evidence(self) -> Path:
        """Where its evidence goes."""
        return Path(self.guest.evidence) if self.guest.evidence else default_path(self.guest.name)

    def has_ended(self) -> bool:
        """Whether the process that it is bound to has ended; a pidfd that was lost is one such."""
        if not self.guest.bound:
            return False
        poll = select.poll()  # pidfd_open(2): it can be read from when the process has ended
        if self.process >= 0:
            poll.register(self.process, select.POLLIN)
        return self.process < 0 or bool(poll.poll(0))

    def offer(self, worker: Worker, captive: Captive, cause: str) -> None:
        """Give the listeners of `captive` to a worker, and close them here; then `settle`.

        Args:
            worker: who is to serve from here on.
            captive: its namespace is that of the guest.
            cause: see `interceptor.serve.gateway_messages.Take`.

        Raises:
            WorkerGoneError: it is not served.
            EvidenceError: likewise.
        """
        assert self.payload is not None  # noqa: S101
        with contextlib.ExitStack() as undo:
            listeners = list(_listeners(captive))
            for sock in listeners:
                undo.callback(sock.close)
            own = [payloads.as_memory(self.payload)]
            undo.callback(os.close, own[0])
            own.append(open_evidence(self.evidence))
            undo.callback(os.close, own[1])
            own.append(os.open(self.evidence, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW))
            undo.callback(os.close, own[2])
            order = Take(self.guest.name, start_of(self.guest, captive), cause)
            descriptors = [*own, self.kept, *(sock.fileno() for sock in listeners)]
            worker.give(order, descriptors)
        self.number = worker.number
        if captive.notices is not None:
            self.close_log()
            self.log, captive.notices = captive.notices, None

    def settle(self, worker: Worker) -> None:
        """Take the answer to `offer`.

        Raises:
            WorkerError: it is not served.
        """
        answer = worker.answer()
        assert isinstance(answer, Taken)  # noqa: S101
        self.worker, self.number, self.fault = worker, worker.number, ""
        self.certificate, self.notes = answer.certificate, answer.notes
        if self.log is None:
            self.notes += (_UNNAMED,)

    def offline(self, fault: str) -> None:
        """Note that nobody serves it, and why."""
        self.worker, self.fault = None, fault

    def state(self) -> GuestState:
        """How it is, for clients."""
        worker = self.worker
        tally = worker.tallies.get(self.guest.name) if worker is not None else None
        return GuestState(
            self.guest,
            str(self.evidence),
            "offline" if worker is None else "served",
            self.fault,
            worker.number if worker is not None else -1,
            *((tally.decisions, tally.refused, tally.lost, tally.connections) if tally else ()),
        )

    def close_log(self) -> None:
        """Hear no more of what is refused; the kernel has the log for somebody else then."""
        if self.log is not None:
            self.log.close()
            self.log = None

    def close(self) -> None:
        """Close its descriptors; what still lives in the namespace has no way out."""
        for descriptor in (self.namespace, self.kept, self.process):
            if descriptor >= 0:
                os.close(descriptor)
        self.namespace = self.kept = self.process = -1
        self.close_log()
        if self.registration is not None:
            self.registration.close()
            self.registration = None


def start_of(guest: Guest, captive: Captive) -> Start:
    """How the worker is to count the descriptors, and what the evidence says of the guest."""
    channels = [
        name
        for name, sock in (("dhcp", captive.dhcp), ("router", captive.router))
        if sock is not None
    ]
    return Start(
        tcp=len(captive.tcp),
        dns_udp=len(captive.dns_udp),
        dns_tcp=len(captive.dns_tcp),
        quic=captive.quic_ports,
        channels=tuple(channels),
        published=(),
        command=((guest.nic.kind if guest.nic else "gateway").encode(),),
        user=guest.user or guest.name,
        uid=guest.uid,
        rootless=False,
        versions={
            "egressguard": __version__,
            "python": platform.python_version(),
            "kernel": os.uname().release,
        },
        guest=_addresses(captive.nic),
    )


def _addresses(nic: Nic | None) -> Addresses | None:
    if nic is None:
        return None
    return Addresses(
        mac=nic.mac,
        router_mac=GATEWAY_MAC,
        ipv4=nic.guest_ipv4,
        gateway_ipv4=nic.gateway_ipv4,
        bits_ipv4=nic.bits_ipv4,
        prefix_ipv6=nic.prefix_ipv6,
        gateway_ipv6=nic.gateway_ipv6,
        mtu=nic.mtu,
    )


def _listeners(captive: Captive) -> Iterator[socket.socket]:
    yield from captive.tcp
    yield from captive.dns_udp
    yield from captive.dns_tcp
    yield from captive.quic
    yield from captive.guest
