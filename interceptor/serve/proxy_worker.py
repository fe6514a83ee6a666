"""The process of the explicit proxy: serves until its supervisor's end of a socket closes."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc
import hashlib
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import uvloop

from interceptor.decide.findings import digest_key
from interceptor.evidence.log import EvidenceError, EvidenceLog
from interceptor.policy.schema import Policy, digest
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.serve.compiling import in_threads
from interceptor.serve.dialler import Dialler
from interceptor.serve.host_networks import HostNetworks
from interceptor.serve.messages import Failure, Ready, Settings, Stop
from interceptor.serve.proxy import Proxy
from interceptor.serve.proxy_agents import Agents
from interceptor.serve.tenant import Rules
from interceptor.serve.worker import (
    FLUSH_SECONDS,
    Collect,
    begin_scanner,
    import_what_is_imported_late,
    report,
)
from interceptor.tls.authority import Authority
from interceptor.tls.kept import open_kept
from interceptor.tls.trust import client_context


class ProxySettings(msgspec.Struct, frozen=True):
    """What the supervisor tells the worker at its fork."""

    name: str
    policy: Policy
    evidence: int
    """Descriptor of the evidence file, open for appending."""
    cache: Path | None
    authority: Path | None
    """Directory of an authority that is kept; None: one in memory, for this run."""
    agents: Agents | None
    user: str
    uid: int
    versions: dict[str, str]


def run(
    settings: ProxySettings,
    listeners: Sequence[socket.socket],
    control: socket.socket,
    confine: Callable[[], None],
    collect: Collect,
) -> None:
    """Serve until the control socket closes.

    Says its authority's certificate (PEM) first, then Ready, or Failure in place of either; Ready
    again when a Stop is done.
    """
    try:
        now = dt.datetime.now(dt.UTC)
        kept = settings.authority
        authority = open_kept(kept, now) if kept else Authority(settings.name, now)
        control.send(authority.certificate_pem)
        worker = _Worker(settings, authority, collect)
        confine()
    except Exception as error:  # noqa: BLE001 - whatever it is, the supervisor must be told
        with contextlib.suppress(OSError):
            control.send(msgspec.json.encode(Failure(f"{error}" or type(error).__name__)))
        return
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)  # as of `interceptor.serve.worker`
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(worker.serve(listeners, control))


class _Worker:
    """The worker's state. Made while it may still read files."""

    def __init__(self, settings: ProxySettings, authority: Authority, collect: Collect) -> None:
        policy = settings.policy
        self._settings = settings
        self._authority = authority
        key = digest_key(policy) or secrets.token_bytes(32)
        shared = Settings(settings.name, policy, settings.evidence, settings.cache)
        scanner_of = begin_scanner(shared, key, collect)
        inbound = InjectionScanner.build(settings.cache, together=in_threads)
        self._context = client_context(policy.upstream.ca_file, policy.upstream.min_tls)
        self._log = EvidenceLog(settings.evidence, settings.name, digest(policy))
        self._networks = HostNetworks()
        import_what_is_imported_late()
        scanner, guarded = scanner_of()
        self._rules = Rules(scanner, inbound, key, guarded)

    async def serve(self, listeners: Sequence[socket.socket], control: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(report)
        settings, policy, log = self._settings, self._settings.policy, self._log
        proxy = Proxy(
            name=settings.name,
            loop=loop,
            policy=policy,
            rules=self._rules,
            authority=self._authority,
            dialler=Dialler(loop, self._context, policy.limits.connect_seconds),
            log=log,
            agents=settings.agents,
        )
        control.setblocking(False)  # noqa: FBT003
        servers: list[asyncio.Server] = []
        flusher = loop.create_task(self._flush(proxy))
        try:
            self._networks.watch(loop, proxy.on_host)
            self._log_start()
            servers += await proxy.listen(listeners)
            await loop.sock_sendall(
                control, msgspec.json.encode(Ready(self._rules.guarded.lines()))
            )
            while message := await loop.sock_recv(control, 1 << 17):
                order = msgspec.json.decode(message, type=Stop)
                for server in servers:
                    server.close()
                proxy.close()
                await asyncio.sleep(0)  # connections note their ends
                log.stopped(time.time(), code=order.code, seconds=order.seconds)
                await loop.sock_sendall(control, msgspec.json.encode(Ready()))
        except EvidenceError as error:
            lost = f"{log.lost} decisions could not be recorded and were refused: {error}"
            await loop.sock_sendall(control, msgspec.json.encode(Failure(lost)))
        except OSError:
            pass  # the supervisor is gone
        finally:
            flusher.cancel()
            self._networks.close()
            for server in servers:
                server.close()
            proxy.close()

    async def _flush(self, proxy: Proxy) -> None:
        """Give the judges their time, and write `finished` events that no verdict follows."""
        while True:
            proxy.tick(time.monotonic())
            await asyncio.sleep(FLUSH_SECONDS)
            with contextlib.suppress(EvidenceError):
                self._log.flush()

    def _log_start(self) -> None:
        settings, guarded = self._settings, self._rules.guarded
        der = ssl.PEM_cert_to_DER_cert(self._authority.certificate_pem.decode("ascii"))
        self._log.started(
            time.time(),
            command=("egressguard", "proxy"),
            user=settings.user,
            uid=settings.uid,
            rootless=settings.uid != 0,
            preset=settings.policy.preset.value,
            authority=hashlib.sha256(der).hexdigest(),
            versions=settings.versions,
            secrets=guarded.names,
            canaries=guarded.canaries,
            registries=guarded.registries,
            guarantee="cooperative",
        )
