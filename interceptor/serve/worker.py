"""The interceptor process: one worker that owns one jail and all its state.

It is forked by the supervisor, gives up every privilege before it reads a byte of the agent's,
and ends when the supervisor's end of the control socket closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc
import hashlib
import os
import secrets
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import uvloop

from interceptor.decide.findings import digest_key
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
from interceptor.policy.loading import rule_files
from interceptor.policy.schema import digest
from interceptor.scan.collected import Guarded
from interceptor.scan.engine import Scanner
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.scan.ruleset import load_rules, load_user_rules
from interceptor.serve import dns, quic
from interceptor.serve.attribution import Attribution, Process
from interceptor.serve.dialler import Dialler
from interceptor.serve.guarding import guard, prepare
from interceptor.serve.host_networks import HostNetworks
from interceptor.serve.messages import Failure, Open, Ready, Settings, Start, Stop
from interceptor.serve.resolving import Lookups, existence
from interceptor.serve.service import Service
from interceptor.serve.sightings import Sightings
from interceptor.serve.tcp import listen
from interceptor.tls.authority import Authority
from interceptor.tls.trust import client_context
from interceptor.wire.body.stream import preload
from interceptor.wire.rendered.readers import preload as preload_readers

if TYPE_CHECKING:
    from interceptor.serve.publish import Publisher

Collect = Callable[[Callable[[bytes], bytes]], bytes]
"""Waits for what was found in the agent's environment and files, calls its argument with that in a
child process, and returns the result: the values themselves never come here."""

_FLUSH_SECONDS: Final = 0.5
_DRAIN_SECONDS: Final = 1.0  # the guard imports what it names packets with for the first one
_DESCRIPTORS: Final = 64


def run(
    settings: Settings,
    control: socket.socket,
    confine: Callable[[], None],
    collect: Collect,
) -> None:
    """Serve a jail until the control socket closes.

    Args:
        settings: see there.
        control: connected to the supervisor.
        confine: gives up all privileges for good; called before the first byte of the agent's.
        collect: see there.
    """
    try:
        authority = Authority(settings.jail, dt.datetime.now(dt.UTC))
        # First of all, because the supervisor prepares the jail's trust from it meanwhile.
        control.send(authority.certificate_pem)
        worker = _Worker(settings, authority, collect)
        message, descriptors, _, _ = socket.recv_fds(control, 1 << 20, _DESCRIPTORS)
        if not message:
            return  # the supervisor has given up
        start = msgspec.json.decode(message, type=Start)
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        if start.published:
            import interceptor.serve.publish  # noqa: F401 - later no file may be readable
        confine()
    except Exception as error:  # noqa: BLE001 - whatever it is, the supervisor must be told
        with contextlib.suppress(OSError):
            control.send(msgspec.json.encode(Failure(f"{error}" or type(error).__name__)))
        return
    # What lives from here on lives as long as the jail: the collector need not look at it again.
    gc.freeze()
    # What a request leaves behind holds no cycles, so looking for them seldom is enough.
    gc.set_threshold(20_000, 50, 100)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(worker.serve(sockets, start, control))


class _Worker:
    """The worker's state. Made while it may still read files."""

    def __init__(self, settings: Settings, authority: Authority, collect: Collect) -> None:
        policy = settings.policy
        self.policy = policy
        self.jail = settings.jail
        self.authority = authority
        key = digest_key(policy) or secrets.token_bytes(32)
        inbound = InjectionScanner.build(settings.cache)
        scanner, self.guarded = _scanner(settings, key, collect)
        self.judge = Judge(policy, scanner, key, inbound)
        self.context = client_context(policy.upstream.ca_file, policy.upstream.min_tls)
        self.log = EvidenceLog(
            settings.evidence, settings.jail, digest(policy), holds=self.judge.holds_secret
        )
        self.networks = HostNetworks()
        self.open = False
        _import_what_is_imported_late()

    def log_start(self, start: Start) -> None:
        der = ssl.PEM_cert_to_DER_cert(self.authority.certificate_pem.decode("ascii"))
        self.log.started(
            time.time(),
            command=[os.fsdecode(word) for word in start.command],
            user=start.user,
            uid=start.uid,
            rootless=start.rootless,
            preset=self.policy.preset.value,
            authority=hashlib.sha256(der).hexdigest(),
            versions=start.versions,
            secrets=self.guarded.names,
            canaries=self.guarded.canaries,
            registries=self.guarded.registries,
            published=[place.text for place in start.published],
        )

    def record(self, record: Record, origin: Origin) -> None:
        if self.open:  # before that, only our own self-test can have asked
            self.log.write(record, origin, time.time())

    def attributed(self, flow: str, process: Process) -> None:
        if self.open:
            self.log.attribute(flow, process, time.time())

    def finished(self, step: Finished, origin: Origin) -> None:
        if self.open:
            self.log.finished(step, origin, time.time(), step.host)

    async def serve(
        self, sockets: Sequence[socket.socket], start: Start, control: socket.socket
    ) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_report)
        leases = Leases(secrets.token_bytes(32))
        count = len(sockets) - len(start.channels)
        channels = dict(zip(start.channels, sockets[count:], strict=True))
        sockets = sockets[:count]
        witness = channels.get("witness")
        attribution = Attribution(witness, loop, self.attributed) if witness is not None else None
        service = Service(
            jail=self.jail,
            loop=loop,
            judge=self.judge,
            limits=self.policy.limits,
            leases=leases,
            authority=self.authority,
            dialler=Dialler(loop, self.context, self.policy.limits.connect_seconds),
            record=self.record,
            finished=self.finished,
            attribution=attribution,
        )
        own = len(sockets) - (len(start.published) + 1 if start.published else 0)
        publisher = _publisher(service, start, sockets[own:])
        sockets = sockets[:own]
        servers = await listen(service, sockets[: start.tcp])
        end = len(sockets) - len(start.quic)
        others = list(zip(sockets[end:], start.quic, strict=True))
        names = dns.serve(
            list(sockets[start.tcp : end]),
            DnsFlow(self.judge, leases, self.jail, Openings(self.policy)),
            self.record,
            loop,
            lookups := Lookups(loop, existence(service.dialler.resolver)),
            [(sock, port) for sock, port in others if port in GROUPS],
        )
        refuser = quic.QuicServer(
            [(sock, port) for sock, port in others if port not in GROUPS],
            QuicFlow(self.judge, leases.name_of, self.jail),
            self.record,
            loop,
        )
        sightings: Sightings | None = None
        if "guard" in channels:
            packets = PacketFlow(self.judge, leases.name_of, self.jail)
            sightings = Sightings(channels["guard"], packets, self.record, loop, attribution)
        self.judge.tick(time.monotonic())  # before the first request: what it leaves has a time
        self.networks.watch(loop, self.judge.on_host)
        flusher = loop.create_task(self._flush())
        control.setblocking(False)  # noqa: FBT003
        try:
            await loop.sock_sendall(control, msgspec.json.encode(Ready(self.guarded.lines())))
            while message := await loop.sock_recv(control, 1 << 17):
                order = msgspec.json.decode(message, type=Open | Stop)
                if isinstance(order, Open):
                    self.log_start(start)
                    self.open = True
                    if sightings is not None:
                        sightings.begin()
                    if publisher is not None:
                        await publisher.open()
                else:
                    service.close()
                    refuser.close()
                    if sightings is not None:
                        await sightings.drain(_DRAIN_SECONDS)
                        sightings.close()
                    await asyncio.sleep(0)  # connections note their ends
                    self.log.stopped(
                        time.time(), code=order.code, seconds=order.seconds, changed=order.changed
                    )
                await loop.sock_sendall(control, msgspec.json.encode(Ready()))
        except EvidenceError as error:
            await loop.sock_sendall(control, msgspec.json.encode(Failure(self._lost(error))))
        except OSError:
            pass  # the supervisor is gone
        finally:
            flusher.cancel()
            self.networks.close()
            for server in servers:
                server.close()
            if publisher is not None:
                publisher.close()
            names.close()
            lookups.close()
            refuser.close()
            if sightings is not None:
                sightings.close()
            if attribution is not None:
                attribution.close()
            service.close()

    def _lost(self, error: EvidenceError) -> str:
        return f"{self.log.lost} decisions could not be recorded and were refused: {error}"

    async def _flush(self) -> None:
        """Write `finished` events out even when no verdict follows them."""
        while True:
            self.judge.tick(time.monotonic())
            await asyncio.sleep(_FLUSH_SECONDS)
            with contextlib.suppress(EvidenceError):
                self.log.flush()


def _publisher(service: Service, start: Start, handed: Sequence[socket.socket]) -> Publisher | None:
    """Serve the published ports by the host's listeners, and a channel to sockets inside."""
    if not start.published:
        return None
    from interceptor.serve.publish import Publisher, Sockets

    listeners = list(zip(handed, start.published, strict=False))
    return Publisher(service, listeners, Sockets(service.loop, handed[-1]))


def _scanner(settings: Settings, key: bytes, collect: Collect) -> tuple[Scanner, Guarded]:
    policy = settings.policy
    rules = load_rules()
    if policy.rules.files:
        rules = load_user_rules(rule_files(policy), rules)
    scanner = Scanner.build(rules, settings.cache)
    prepared = collect(lambda found: prepare(found, rules, scanner, policy.secrets, key))
    return guard(prepared, rules, scanner)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:  # noqa: ARG001
    """Say that a callback failed: what and where, never the message, which may quote the agent.

    The event loop closes the connection it belongs to, so nothing goes on.
    """
    error = context.get("exception")
    if isinstance(error, OSError):
        return  # a peer went away while we wrote to it
    place = ""
    trace = error.__traceback__ if isinstance(error, BaseException) else None
    while trace is not None:
        place = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    what = type(error).__name__ if error is not None else "an event loop fault"
    sys.stderr.write(f"egressguard: internal error, connection closed: {what}{place}\n")


def _import_what_is_imported_late() -> None:
    """Some modules are imported at first use; later no file may be readable."""
    import interceptor.flow.http2_agent  # noqa: F401
    from interceptor.decide.suffixes import public_suffixes
    from interceptor.decide.tunnels import shared_domains
    from interceptor.scan.naming import words
    from interceptor.scan.naming.ordinary import ordinary

    preload()
    preload_readers()
    public_suffixes()
    shared_domains()
    ordinary()
    words.preload()
    "a".encode("idna")
    for name in ("ascii", "latin-1", "utf-8"):
        "a".encode(name)
