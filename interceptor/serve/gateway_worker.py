"""A worker of the gateway: one process that serves many captive namespaces.

It is forked by the supervisor, which has built what all guests share; gives up every privilege
before it reads a byte of a guest's; and ends when the supervisor's end of the control socket
closes. Guests come and go while it runs. A fault of one guest (its evidence, its policy) ends with
that guest.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc
import os
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from interceptor.decide.findings import digest_key
from interceptor.decide.judge import Judge
from interceptor.evidence.log import EvidenceError, EvidenceLog
from interceptor.evidence.schema import decode
from interceptor.policy.schema import Policy
from interceptor.scan.collected import Guarded
from interceptor.scan.engine import Scanner
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.scan.ruleset import Ruleset, load_rules, load_user_rules
from interceptor.serve.compiling import in_threads
from interceptor.serve.gateway_messages import (
    Alter,
    Answer,
    Done,
    Failure,
    Order,
    Payload,
    Ready,
    Release,
    Report,
    Take,
    Taken,
    Tally,
    Watch,
)
from interceptor.serve.guarding import guard
from interceptor.serve.host_networks import HostNetworks
from interceptor.serve.keepsake import Keepsake
from interceptor.serve.messages import Stop
from interceptor.serve.tenant import Rules, Tenant
from interceptor.serve.worker import FLUSH_SECONDS, import_what_is_imported_late, report
from interceptor.tls.trust import context_of, host_authorities

DESCRIPTORS: Final = 253
"""Most descriptors of one message (unix(7), SCM_RIGHTS)."""

_LARGEST: Final = 1 << 20
_OWN: Final = 4  # payload, evidence, evidence to read, keepsake
_TAIL: Final = 1 << 16


class Shared:
    """What all guests of all workers share; built before workers are forked, and read-only then."""

    def __init__(self, cache: Path | None) -> None:
        """Build it. `cache`: directory of the compiled rule databases."""
        self.cache = cache
        self.rules: Ruleset = load_rules()
        self.scanner = Scanner.build(self.rules, cache)
        self.inbound = InjectionScanner.build(cache, together=in_threads)
        self.authorities = host_authorities()
        import interceptor.serve.guest
        import interceptor.serve.guest_site
        import interceptor.serve.publish  # noqa: F401

        import_what_is_imported_late()
        # What is compiled of the rules' homes is kept; so the first guest is as quick as the next.
        Judge(Policy(), self.scanner, bytes(32), self.inbound)


def run(shared: Shared, control: socket.socket, confine: Callable[[], None]) -> None:
    """Serve until the control socket closes.

    Args:
        shared: see there.
        control: connected to the supervisor.
        confine: gives up all privileges for good.
    """
    try:
        networks = HostNetworks()
        confine()
    except Exception as error:  # noqa: BLE001 - whatever it is, the supervisor must be told
        with contextlib.suppress(OSError):
            control.send(msgspec.json.encode(Failure(f"{error}" or type(error).__name__)))
        return
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)  # as the jail's worker has it
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_Worker(shared, networks).serve(control))


class _Worker:
    def __init__(self, shared: Shared, networks: HostNetworks) -> None:
        self.shared = shared
        self.networks = networks
        self.tenants: dict[str, _Guest] = {}
        self.contexts: dict[tuple[str, str], ssl.SSLContext] = {}
        self.scanners: dict[tuple[tuple[str, bytes], ...], tuple[Ruleset, Scanner]] = {
            (): (shared.rules, shared.scanner)
        }

    async def serve(self, control: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(report)
        self.networks.watch(loop, self._on_host)
        clock = loop.create_task(self._clock())
        control.setblocking(False)  # noqa: FBT003
        try:
            await self._say(control, Ready())
            while True:
                message, descriptors = await _receive(loop, control)
                if not message:
                    return
                await self._say(control, await self._obey(message, descriptors))
        except OSError:
            pass  # the supervisor is gone
        finally:
            clock.cancel()
            self.networks.close()
            for guest in self.tenants.values():
                guest.close()

    async def _say(self, control: socket.socket, answer: Answer) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(control, msgspec.json.encode(answer))

    async def _obey(self, message: bytes, descriptors: list[int]) -> Answer:
        order: Order = msgspec.json.decode(message, type=Order)
        try:
            if isinstance(order, Take):
                return await self._take(order, descriptors)
            if isinstance(order, Alter):
                return await self._alter(order, descriptors)
            if isinstance(order, Release):
                return await self._release(order)
            if isinstance(order, Watch):
                return self._watch(order, descriptors)
            return Report(tuple(guest.tally() for guest in self.tenants.values()))
        except EvidenceError as error:
            return Failure(str(error))
        except Exception as error:  # noqa: BLE001 - one guest's fault is not another's
            return Failure(f"{error}" or type(error).__name__)
        finally:
            for descriptor in descriptors:
                with contextlib.suppress(OSError):
                    os.close(descriptor)

    async def _take(self, order: Take, descriptors: list[int]) -> Answer:
        if order.name in self.tenants:
            return Failure(f"{order.name} is served already")
        start = order.start
        wanted = _OWN + start.tcp + start.dns_udp + start.dns_tcp
        wanted += len(start.quic) + len(start.channels)
        if len(descriptors) != wanted:  # recvmsg(2) leaves out those that there is no room for
            return Failure("descriptors were lost: raise the limit of open files (ulimit -Hn)")
        payload = _payload(descriptors[0])
        guest = _Guest(order, descriptors)
        try:
            await guest.serve(self._tenant(guest, payload), order.cause)
        except BaseException:
            guest.close()
            raise
        self.tenants[order.name] = guest
        assert guest.tenant is not None  # noqa: S101
        certificate = guest.keepsake.authority.certificate_pem.decode("ascii")
        return Taken(order.name, certificate, guest.tenant.guarded.lines())

    async def _alter(self, order: Alter, descriptors: list[int]) -> Answer:
        guest = self.tenants[order.name]
        # Made first: what cannot be made leaves the guest as it is.
        tenant = self._tenant(guest, _payload(descriptors[0]))
        try:
            await guest.serve(tenant, "policy")
        except BaseException:
            del self.tenants[order.name]  # half of each policy is none
            guest.close()
            raise
        return Done(order.name, tenant.guarded.lines())

    async def _release(self, order: Release) -> Answer:
        guest = self.tenants.pop(order.name)
        try:
            if guest.tenant is not None:
                await guest.tenant.stop(Stop(0, order.seconds))
        finally:
            guest.close()
        return Done(order.name)

    def _watch(self, order: Watch, descriptors: list[int]) -> Answer:
        tenant = self.tenants[order.name].tenant
        if tenant is not None:
            tenant.watch(socket.socket(fileno=os.dup(descriptors[0])))
        return Done(order.name)

    def _tenant(self, guest: _Guest, payload: Payload) -> Tenant:
        policy = payload.policy
        files = payload.rule_files
        if files not in self.scanners:
            rules = load_user_rules(files, self.shared.rules)
            self.scanners[files] = rules, Scanner.build(rules, self.shared.cache)
        rules, scanner = self.scanners[files]
        guarded = Guarded()
        if payload.prepared:
            scanner, guarded = guard(payload.prepared, rules, scanner)
        key = payload.key or digest_key(policy) or guest.keepsake.key
        place = (payload.authorities, policy.upstream.min_tls)
        context = self.contexts.get(place)
        if context is None:
            texts = (*self.shared.authorities, payload.authorities)
            context = self.contexts[place] = context_of(texts, policy.upstream.min_tls)
        tenant = Tenant(
            guest.name,
            policy,
            rules=Rules(scanner, self.shared.inbound, key, guarded),
            authority=guest.keepsake.authority,
            context=context,
            log=guest.log,
            leases=guest.keepsake.leases,
        )
        tenant.judge.on_host(self.networks.now)
        return tenant

    def _on_host(self, networks: object) -> None:  # noqa: ARG002
        for guest in self.tenants.values():
            if guest.tenant is not None:
                guest.tenant.judge.on_host(self.networks.now)

    async def _clock(self) -> None:
        """One for all guests: time, and what waits to be written."""
        while True:
            now = time.monotonic()
            for guest in self.tenants.values():
                if guest.tenant is not None:
                    guest.tenant.tick(now)
            await asyncio.sleep(FLUSH_SECONDS)


class _Guest:
    """One guest: what stays the same when its policy is replaced."""

    def __init__(self, order: Take, descriptors: list[int]) -> None:
        self.name = order.name
        self.start = order.start
        self.tenant: Tenant | None = None
        _, evidence, reading, kept = descriptors[:_OWN]
        self._sockets = [socket.socket(fileno=each) for each in descriptors[_OWN:]]
        self._files = [evidence, kept]
        # They are ours now; the payload stays the caller's, and so does what is read but once.
        descriptors[:] = [descriptors[0], reading]
        try:
            self.log = EvidenceLog(
                evidence, order.name, sequence=last_sequence(reading, order.name)
            )
            self.keepsake = Keepsake(kept, order.name, dt.datetime.now(dt.UTC))
        except BaseException:
            self.close()
            raise

    async def serve(self, tenant: Tenant, cause: str) -> None:
        """Serve by `tenant`, in place of the one before."""
        before, self.tenant = self.tenant, None
        if before is not None:
            await before.quit()
            before.close()
        # Channels and listeners end with the tenant that has them; ours are for the next one.
        await tenant.start([sock.dup() for sock in self._sockets], self.start)
        self.tenant = tenant
        await tenant.open(self.start, cause)

    def tally(self) -> Tally:
        log = self.log
        service = self.tenant.service if self.tenant is not None else None
        connections = len(service.open) if service is not None else 0
        return Tally(self.name, log.decisions, log.refused, log.lost, connections)

    def close(self) -> None:
        if self.tenant is not None:
            self.tenant.close()
            self.tenant.flush()
            self.tenant = None  # nothing of it writes to a descriptor that may soon be another's
        for sock in self._sockets:
            sock.close()
        for descriptor in self._files:
            os.close(descriptor)
        self._files = []


def last_sequence(descriptor: int, name: str) -> int:
    """Number of the last event of `name` in the last lines of an evidence file; 0 if there is none.

    Args:
        descriptor: open for reading.
        name: of the guest; a file may hold events of others.
    """
    size = os.fstat(descriptor).st_size
    start = max(0, size - _TAIL)
    for line in reversed(os.pread(descriptor, _TAIL, start).splitlines()):
        try:
            event = decode(line)
        except ValueError:
            continue
        if event.jail == name:
            return event.seq
    return 0


def _payload(descriptor: int) -> Payload:
    size = os.fstat(descriptor).st_size
    return msgspec.json.decode(os.pread(descriptor, size, 0), type=Payload)


async def _receive(
    loop: asyncio.AbstractEventLoop, control: socket.socket
) -> tuple[bytes, list[int]]:
    """One order and its descriptors; nothing when the supervisor is gone."""
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(control, _wake, readable)
    try:
        await readable
    finally:
        loop.remove_reader(control)
    message, descriptors, _, _ = socket.recv_fds(control, _LARGEST, DESCRIPTORS)
    return message, list(descriptors)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
