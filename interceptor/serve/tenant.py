"""One captive namespace, and everything that its worker does for it.

A worker owns one tenant (`interceptor.serve.worker`, for `egressguard jail`) or many
(`interceptor.serve.gateway_worker`). Tenants share no state but what cannot tell one from the
other: compiled rules, the host's addresses, trusted authorities.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from interceptor.decide.judge import Judge
from interceptor.decide.openings import Openings
from interceptor.evidence.log import EvidenceError, EvidenceLog
from interceptor.flow.dns_flow import DnsFlow
from interceptor.flow.dns_neighbours import GROUPS
from interceptor.flow.names import Leases
from interceptor.flow.packet_flow import PacketFlow
from interceptor.flow.quic_flow import QuicFlow
from interceptor.flow.steps import Finished, Record
from interceptor.model import Origin
from interceptor.policy.schema import Policy, digest
from interceptor.scan.collected import Guarded
from interceptor.scan.engine import Scanner
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.serve import dns, quic
from interceptor.serve.attribution import Attribution, Process
from interceptor.serve.dialler import Dialler
from interceptor.serve.messages import Addresses, Start, Stop
from interceptor.serve.resolving import Lookups, existence
from interceptor.serve.service import Service
from interceptor.serve.sightings import Sightings
from interceptor.serve.tcp import listen
from interceptor.tls.authority import Authority

if TYPE_CHECKING:
    from interceptor.decide.mcp.pins import PinBook
    from interceptor.serve.publish import Publisher

DRAIN_SECONDS: Final = 1.0  # the guard imports what it names packets with for the first one


class Rules:
    """What a tenant is judged by, besides its policy.

    Attributes:
        scanner: shared by all tenants of one thread, unless it knows secrets of this one.
        inbound: shared likewise.
        key: of the digests in findings, 16 to 64 random bytes of this tenant.
        guarded: names of the secrets that `scanner` knows.
    """

    __slots__ = ("guarded", "inbound", "key", "scanner")

    def __init__(
        self,
        scanner: Scanner,
        inbound: InjectionScanner,
        key: bytes,
        guarded: Guarded | None = None,
    ) -> None:
        self.scanner = scanner
        self.inbound = inbound
        self.key = key
        self.guarded = guarded or Guarded()


class Tenant:
    """Judge, leases, authority, evidence and servers of one captive namespace.

    Made while files may still be read or not: it reads none. The order is `start`, then `open`,
    then `stop`; `close` at any time, and again.

    Attributes:
        name: as evidence has it.
        policy: in force.
        judge: of this tenant alone.
        log: its evidence.
    """

    def __init__(
        self,
        name: str,
        policy: Policy,
        *,
        rules: Rules,
        authority: Authority,
        context: ssl.SSLContext,
        log: EvidenceLog,
        leases: Leases,
        pins: PinBook | None = None,
    ) -> None:
        """Make it.

        Args:
            name: see there.
            policy: see there.
            rules: see there.
            authority: signs leaves for this tenant.
            context: for connections upstream, perhaps shared (`interceptor.tls.trust.offer`).
            log: of this tenant alone; perhaps of one before it, of the same name.
            leases: of this tenant alone.
            pins: definitions of tools that are known; None: none are.

        Raises:
            ValueError: the policy holds a malformed pattern.
        """
        self.name = name
        self.policy = policy
        self.guarded = rules.guarded
        self.judge = Judge(policy, rules.scanner, rules.key, rules.inbound)
        self.log = log
        self.opened = False
        self._closed = False
        self.service: Service | None = None
        self._authority = authority
        self._context = context
        self._leases = leases
        self._pins = pins
        self._sightings: Sightings | None = None
        self._publisher: Publisher | None = None
        self._undo = contextlib.ExitStack()

    # -- what the servers tell -----------------------------------------------------------------

    def _record(self, record: Record, origin: Origin) -> None:
        if self._closed:  # the log may be somebody else's by now
            raise EvidenceError("this guest is served no more")
        if self.opened:  # before that, only our own self-test can have asked
            self.log.write(record, origin, time.time())

    def _attributed(self, flow: str, process: Process) -> None:
        if self.opened and not self._closed:
            self.log.attribute(flow, process, time.time())

    def _finished(self, step: Finished, origin: Origin) -> None:
        if self.opened and not self._closed:
            self.log.finished(step, origin, time.time(), step.host)

    # -- life ----------------------------------------------------------------------------------

    async def start(self, sockets: Sequence[socket.socket], start: Start) -> None:
        """Serve on `sockets`, which `start` numbers, and record nothing yet.

        Raises:
            OSError: a socket is none of those that were promised. `close` then.
        """
        loop = asyncio.get_running_loop()
        judge, leases = self.judge, self._leases
        self.log.follow(digest(self.policy), judge.holds_secret)
        count = len(sockets) - len(start.channels)
        channels = dict(zip(start.channels, sockets[count:], strict=True))
        sockets = sockets[:count]
        attribution: Attribution | None = None
        if "witness" in channels:
            attribution = Attribution(channels["witness"], loop, self._attributed)
            self._undo.callback(attribution.close)
        dialler = Dialler(loop, self._context, self.policy.limits.connect_seconds)
        self.service = service = Service(
            jail=self.name,
            loop=loop,
            judge=judge,
            limits=self.policy.limits,
            leases=leases,
            authority=self._authority,
            dialler=dialler,
            record=self._record,
            finished=self._finished,
            attribution=attribution,
            pins=self._pins,
        )
        # Last in, first out: connections go when nobody accepts any more.
        self._undo.callback(service.close)
        own = len(sockets) - (len(start.published) + 1 if start.published else 0)
        self._publisher = _publisher(service, start, sockets[own:])
        if self._publisher is not None:
            self._undo.callback(self._publisher.close)
        sockets = sockets[:own]
        end = len(sockets) - len(start.quic)
        for sock in sockets[start.tcp :]:
            self._undo.callback(sock.close)
        others = list(zip(sockets[end:], start.quic, strict=True))
        lookups = Lookups(loop, existence(dialler.resolver))
        self._undo.callback(lookups.close)
        names = dns.serve(
            list(sockets[start.tcp : end]),
            DnsFlow(judge, leases, self.name, Openings(self.policy)),
            self._record,
            loop,
            lookups,
            [(sock, port) for sock, port in others if port in GROUPS],
        )
        self._undo.callback(names.close)
        self._refuser = quic.QuicServer(
            [(sock, port) for sock, port in others if port not in GROUPS],
            QuicFlow(judge, leases.name_of, self.name),
            self._record,
            loop,
        )
        self._undo.callback(self._refuser.close)
        if "guard" in channels:
            self._see(channels["guard"], loop, attribution)
        if start.guest is not None:
            self._serve_guest(channels, start.guest, dialler, loop)
        judge.tick(time.monotonic())  # before the first request: what it leaves has a time
        for server in await listen(service, sockets[: start.tcp]):
            self._undo.callback(server.close)

    def watch(self, channel: socket.socket) -> None:
        """Record what a packet guard says on `channel`, in place of the one before."""
        if self._sightings is not None:
            self._sightings.close()
        self._see(channel, asyncio.get_running_loop(), None).begin()

    def _see(
        self,
        channel: socket.socket,
        loop: asyncio.AbstractEventLoop,
        attribution: Attribution | None,
    ) -> Sightings:
        packets = PacketFlow(self.judge, self._leases.name_of, self.name)
        self._sightings = Sightings(channel, packets, self._record, loop, attribution)
        self._undo.callback(self._sightings.close)
        return self._sightings

    def _serve_guest(
        self,
        channels: Mapping[str, socket.socket],
        addresses: Addresses,
        dialler: Dialler,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Serve the link of a guest, and what it is told about its network."""
        from interceptor.serve import guest, guest_site

        for channel in channels.values():
            self._undo.callback(channel.close)
        link = guest.GuestLink(addresses, channels["dhcp"], channels.get("router"), loop)
        self._undo.callback(link.close)
        certificate = self._authority.certificate_pem
        dialler.sites[guest_site.ADDRESS] = guest_site.opener(certificate, self.name, loop)

    async def open(self, start: Start, cause: str = "") -> None:
        """From here on it is the agent who asks, and every decision is recorded.

        Args:
            start: what the evidence says of its beginning.
            cause: why it is served again (`evidence.schema.Resumed`); empty for the first time.

        Raises:
            EvidenceError: the beginning could not be written.
        """
        if cause:
            self.log.resumed(
                time.time(),
                cause=cause,
                preset=self.policy.preset.value,
                authority=self.fingerprint,
                versions=start.versions,
            )
        else:
            self._log_start(start)
        self.opened = True
        if self._sightings is not None:
            self._sightings.begin()
        if self._publisher is not None:
            await self._publisher.open()

    async def stop(self, order: Stop) -> None:
        """Drop every connection, and write the end into the evidence.

        Raises:
            EvidenceError: it could not be written.
        """
        await self.quit()
        self.log.stopped(time.time(), code=order.code, seconds=order.seconds, changed=order.changed)

    async def quit(self) -> None:
        """Drop every connection, and let them note their ends."""
        if self.service is not None:
            self.service.close()
            self._refuser.close()
        if self._sightings is not None:
            await self._sightings.drain(DRAIN_SECONDS)
            self._sightings.close()
        await asyncio.sleep(0)

    def close(self) -> None:
        """Serve nobody any more, close the sockets (dialling them is refused), record nothing."""
        self._undo.close()
        self._closed = True

    def tick(self, now: float) -> None:
        """Take the time (seconds that only grow), and write what waits to be written."""
        self.judge.tick(now)
        self.flush()

    def flush(self) -> None:
        """Write what waits to be written, as far as it can be."""
        with contextlib.suppress(EvidenceError):
            self.log.flush()

    def lost(self, error: EvidenceError) -> str:
        """What the operator is told when the evidence has failed."""
        return f"{self.log.lost} decisions could not be recorded and were refused: {error}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the authority's certificate, hexadecimal."""
        der = ssl.PEM_cert_to_DER_cert(self._authority.certificate_pem.decode("ascii"))
        return hashlib.sha256(der).hexdigest()

    def _log_start(self, start: Start) -> None:
        self.log.started(
            time.time(),
            command=[os.fsdecode(word) for word in start.command],
            user=start.user,
            uid=start.uid,
            rootless=start.rootless,
            preset=self.policy.preset.value,
            authority=self.fingerprint,
            versions=start.versions,
            secrets=self.guarded.names,
            canaries=self.guarded.canaries,
            registries=self.guarded.registries,
            published=[place.text for place in start.published],
        )


def _publisher(service: Service, start: Start, handed: Sequence[socket.socket]) -> Publisher | None:
    """Serve the published ports by the host's listeners, and a channel to sockets inside."""
    if not start.published:
        return None
    from interceptor.serve.publish import Publisher, Sockets

    listeners = list(zip(handed, start.published, strict=False))
    return Publisher(service, listeners, Sockets(service.loop, handed[-1]))
