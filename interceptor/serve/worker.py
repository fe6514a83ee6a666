"""The interceptor process: one worker that owns one jail and all its state.

It is forked by the supervisor, gives up every privilege before it reads a byte of the agent's,
and ends when the supervisor's end of the control socket closes.
"""

from __future__ import annotations

import asyncio
import datetime
import gc
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from interceptor.decide.judge import Judge
from interceptor.evidence.log import EvidenceLog
from interceptor.flow.dns_flow import DnsFlow
from interceptor.flow.names import Leases
from interceptor.flow.steps import Finished, Record
from interceptor.model import Origin
from interceptor.policy.schema import Policy, digest
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import load_rules
from interceptor.serve import dns
from interceptor.serve.tcp import Service
from interceptor.serve.upstream import Dialler
from interceptor.tls.authority import Authority
from interceptor.tls.trust import client_context

_LEASES: Final = 100_000
_FLUSH_SECONDS: Final = 0.5
_DESCRIPTORS: Final = 32


class Settings(msgspec.Struct, frozen=True):
    """What the supervisor tells the worker at its start."""

    jail: str
    policy: Policy
    evidence: int
    """Descriptor of the evidence file, open for appending."""
    cache: Path | None
    """Directory of the compiled rule database."""


class Listeners(msgspec.Struct, frozen=True):
    """How many listeners of each kind the supervisor hands over, in this order."""

    tcp: int
    dns_udp: int
    dns_tcp: int


def run(settings: Settings, control: socket.socket, confine: Callable[[], None]) -> None:
    """Serve a jail until the control socket closes.

    The conversation on `control` (a sequenced-packet socket): the worker sends the authority's
    certificate; the supervisor sends `Listeners` with the descriptors; the worker confines itself
    and sends `ready`.

    Args:
        settings: see there.
        control: connected to the supervisor.
        confine: gives up all privileges for good; called once everything that needs any is done.

    Raises:
        TrustError, RuleError, EvidenceError: what made a start impossible.
    """
    policy = settings.policy
    authority = Authority(settings.jail, datetime.datetime.now(datetime.UTC))
    control.send(authority.certificate_pem)
    scanner = Scanner.build(load_rules(), settings.cache)
    judge = Judge(policy, scanner, secrets.token_bytes(32))
    context = client_context(policy.upstream.ca_file, policy.upstream.min_tls)
    _warm_codecs()
    message, descriptors, _, _ = socket.recv_fds(control, 65_536, _DESCRIPTORS)
    if not message:
        return  # the supervisor has given up
    counts = msgspec.json.decode(message, type=Listeners)
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    confine()
    log = EvidenceLog(settings.evidence, settings.jail, digest(policy))
    # What lives from here on lives as long as the jail: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = runner.get_loop()
        service = Service(
            jail=settings.jail,
            loop=loop,
            judge=judge,
            limits=policy.limits,
            leases=Leases(secrets.token_bytes(32), _LEASES),
            authority=authority,
            dialler=Dialler(loop, context, policy.limits.connect_seconds),
            record=log.write,
            finished=log.finished,
        )
        runner.run(_serve(service, log, sockets, counts, control))


async def _serve(
    service: Service,
    log: EvidenceLog,
    sockets: Sequence[socket.socket],
    counts: Listeners,
    control: socket.socket,
) -> None:
    loop = service.loop
    servers = await service.listen(sockets[: counts.tcp])
    flow = DnsFlow(service.judge, service.leases, service.jail)
    names = dns.serve(list(sockets[counts.tcp :]), flow, service.record, loop)
    flusher = loop.create_task(_flush(log))
    control.setblocking(False)
    await loop.sock_sendall(control, b"ready")
    try:
        while await loop.sock_recv(control, 64):
            log.flush()
            await loop.sock_sendall(control, b"flushed")
    except OSError:
        pass  # the supervisor is gone
    finally:
        flusher.cancel()
        for server in servers:
            server.close()
        names.close()
        service.close()
        await asyncio.sleep(0)
        log.flush()


async def _flush(log: EvidenceLog) -> None:
    """Write `finished` events out even when no verdict follows them."""
    while True:
        await asyncio.sleep(_FLUSH_SECONDS)
        log.flush()


def _warm_codecs() -> None:
    """Import what the standard library imports at first use; later no file may be readable."""
    "a".encode("idna")
    b"a".decode("latin-1")
    for module in ("encodings.ascii", "encodings.utf_8", "stringprep"):
        __import__(module)
    os.urandom(1)


__all__ = ["Listeners", "Origin", "Record", "Finished", "Settings", "run"]
