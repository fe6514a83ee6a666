"""The interceptor process: one worker that owns one jail and all its state.

It is forked by the supervisor, gives up every privilege before it reads a byte of the agent's,
and ends when the supervisor's end of the control socket closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc
import secrets
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import uvloop

from interceptor.decide.findings import digest_key
from interceptor.decide.mcp.pins import PinBook
from interceptor.evidence.log import EvidenceError, EvidenceLog
from interceptor.flow.names import Leases
from interceptor.policy.loading import rule_files
from interceptor.scan.collected import Guarded
from interceptor.scan.engine import Scanner
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.scan.ruleset import load_rules, load_user_rules
from interceptor.serve.compiling import in_threads
from interceptor.serve.guarding import guard, prepare
from interceptor.serve.host_networks import HostNetworks
from interceptor.serve.messages import PACKET, Failure, Open, Pins, Ready, Settings, Start, Stop
from interceptor.serve.pin_exchange import PinExchange
from interceptor.serve.tenant import Rules, Tenant
from interceptor.tls.authority import Authority
from interceptor.tls.trust import client_context
from interceptor.wire.body.stream import preload
from interceptor.wire.rendered.readers import preload as preload_readers

Collect = Callable[[Callable[[bytes], bytes]], Callable[[], bytes]]
"""Has its argument called, in a child process, with what was found in the agent's environment and
files; what it returns waits for the result. The values themselves never come here."""

FLUSH_SECONDS: Final = 0.5
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
        authority = _authority(settings)
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
        if start.guest is not None:
            from interceptor.serve import guest, guest_site

            assert all((guest, guest_site))  # noqa: S101
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


def _authority(settings: Settings) -> Authority:
    """Make the authority of this run, or open the one that is kept.

    Raises:
        KeptError: that one cannot be used.
    """
    now = dt.datetime.now(dt.UTC)
    if settings.authority is None:
        return Authority(settings.jail, now)
    from interceptor.tls.kept import open_kept

    return open_kept(settings.authority, now)


class _Worker:
    """The worker's state. Made while it may still read files."""

    def __init__(self, settings: Settings, authority: Authority, collect: Collect) -> None:
        policy = settings.policy
        key = digest_key(policy) or secrets.token_bytes(32)
        scanner_of = begin_scanner(settings, key, collect)
        # A child is at work, which takes as long as all of this.
        inbound = InjectionScanner.build(settings.cache, together=in_threads)
        context = client_context(policy.upstream.ca_file, policy.upstream.min_tls)
        self.networks = HostNetworks()
        import_what_is_imported_late()
        self.pins = PinBook() if settings.pins is None else settings.pins
        scanner, guarded = scanner_of()
        self.tenant = Tenant(
            settings.jail,
            policy,
            rules=Rules(scanner, inbound, key, guarded),
            authority=authority,
            context=context,
            log=EvidenceLog(settings.evidence, settings.jail),
            leases=Leases(secrets.token_bytes(32)),
            pins=self.pins,
        )
        self._exchange: PinExchange | None = None

    async def serve(
        self, sockets: Sequence[socket.socket], start: Start, control: socket.socket
    ) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(report)
        tenant = self.tenant
        flusher = loop.create_task(self._flush())
        control.setblocking(False)  # noqa: FBT003
        try:
            self.networks.watch(loop, tenant.judge.on_host)
            await tenant.start(sockets, start)
            await loop.sock_sendall(control, msgspec.json.encode(Ready(tenant.guarded.lines())))
            while message := await loop.sock_recv(control, PACKET):
                order = msgspec.json.decode(message, type=Open | Stop | Pins)
                if isinstance(order, Pins):
                    if self._exchange is not None:
                        self._exchange.learn(order)
                    continue
                if isinstance(order, Open):
                    await tenant.open(start)
                    self._exchange = PinExchange(self.pins, control)
                else:
                    try:
                        await tenant.stop(order)
                    finally:  # evidence that cannot be written is no reason to forget these
                        if self._exchange is not None:
                            await self._exchange.finish(loop)
                            self._exchange = None
                await loop.sock_sendall(control, msgspec.json.encode(Ready()))
        except EvidenceError as error:
            await loop.sock_sendall(control, msgspec.json.encode(Failure(tenant.lost(error))))
        except OSError:
            pass  # the supervisor is gone
        finally:
            flusher.cancel()
            self.networks.close()
            tenant.close()

    async def _flush(self) -> None:
        """Write `finished` events out even when no verdict follows them."""
        while True:
            now = time.monotonic()
            self.tenant.tick(now)
            if self._exchange is not None:
                self._exchange.flush(now)
            await asyncio.sleep(FLUSH_SECONDS)


def begin_scanner(
    settings: Settings, key: bytes, collect: Collect
) -> Callable[[], tuple[Scanner, Guarded]]:
    """Begin to build what looks for credentials, those included that `collect` finds.

    Returns:
        What waits for it, and gives it with the names of what is looked for. Call it once.
    """
    policy = settings.policy
    rules = load_rules()
    if policy.rules.files:
        rules = load_user_rules(rule_files(policy), rules)
    scanner = Scanner.build(rules, settings.cache)
    prepared = collect(lambda found: prepare(found, rules, scanner, policy.secrets, key))
    return lambda: guard(prepared(), rules, scanner)


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:  # noqa: ARG001
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


def import_what_is_imported_late() -> None:
    """Import what is imported at first use: later no file may be readable."""
    import interceptor.flow.http2_agent
    import interceptor.flow.mcp  # noqa: F401
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
