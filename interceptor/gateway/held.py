"""One guest as the supervisor holds it: its namespace, its descriptors, and its worker."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from interceptor import __version__
from interceptor.evidence.place import default_path, open_evidence
from interceptor.gateway import payloads
from interceptor.gateway.messages import Guest, GuestState
from interceptor.gateway.workers import Worker
from interceptor.serve.gateway_messages import Payload, Take, Taken
from interceptor.serve.messages import Addresses, Start
from netns.captive import Captive
from netns.nic import GATEWAY_MAC, Kind, Nic, mac_of
from netns.registry import Registration


@dataclasses.dataclass(slots=True)
class Held:
    """A guest, served or not."""

    guest: Guest
    namespace: int = -1
    """Descriptor of its network namespace; -1: there is none."""
    kept: int = -1
    """Descriptor of what its workers keep; see `interceptor.serve.keepsake`."""
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

    def serve(self, worker: Worker, captive: Captive, cause: str) -> None:
        """Have `worker` serve the listeners of `captive`, which are closed here.

        Args:
            worker: who serves from here on.
            captive: its namespace is that of the guest.
            cause: see `interceptor.serve.gateway_messages.Take`.

        Raises:
            WorkerError: it is not served; its listeners are closed.
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
            answer = worker.order(order, descriptors)
            assert isinstance(answer, Taken)  # noqa: S101
        self.worker, self.number, self.fault = worker, worker.number, ""
        self.certificate, self.notes = answer.certificate, answer.notes

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

    def close(self) -> None:
        """Close its descriptors; what still lives in the namespace has no way out."""
        for descriptor in (self.namespace, self.kept):
            if descriptor >= 0:
                os.close(descriptor)
        self.namespace = self.kept = -1
        if self.registration is not None:
            self.registration.close()
            self.registration = None


def nic_of(guest: Guest, peer: int = -1) -> Nic | None:
    """The link of a guest, as `netns.captive` wants it.

    Raises:
        NicError: it cannot be as asked.
    """
    nic = guest.nic
    if nic is None:
        return None
    return Nic(
        Kind(nic.kind),
        nic.mac.lower() or mac_of(guest.name),
        existing=nic.existing,
        peer=peer,
        peer_name=nic.peer_name,
    )


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
