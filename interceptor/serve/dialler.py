"""Dialling upstream: judged literals only, one by one in quick succession, verified, pooled."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from interceptor.model import Target
from interceptor.serve.outbox import Outbox
from interceptor.serve.resolver import Resolved, Resolver
from interceptor.serve.upstream import (
    DialError,
    NoCommonProtocolError,
    PoolKey,
    UpstreamConnection,
)
from interceptor.tls.session import TlsSession
from interceptor.tls.trust import offer
from interceptor.verdict import Reason

STAGGER: Final = 0.25
"""Seconds until the next address is tried beside one that does not answer (RFC 8305 section 5)."""
HANDSHAKE: Final = 2.0
"""The same for one that has answered, and whose TLS handshake is not done yet."""
_IDLE_SECONDS: Final = 30.0
_IDLE_PER_HOST: Final = 256
"""Above it each request of so many at once pays a handshake upstream: 300 us instead of 95."""
_HTTP1: Final = ("http/1.1",)
_HTTP2: Final = ("h2",)
_REMEMBERED: Final = 4096


class Dialler:
    """Resolves, dials and pools; one per jail. It decides nothing.

    Attributes:
        resolver: the host's.
        sites: what is at an address that no host has, in this process (`guest_site`).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext,
        timeout: float,
        resolver: Resolver | None = None,
    ) -> None:
        """Dial on `loop` with `context`, which may be shared.

        A name has `timeout` seconds, and so have its addresses.
        """
        self.outbox = Outbox(loop)
        self.resolver = Resolver(loop, timeout) if resolver is None else resolver
        self.sites: dict[str, Callable[[], Awaitable[socket.socket]]] = {}
        self._loop = loop
        self._context = context
        self._timeout = timeout
        self._only_h2: set[tuple[str, str, int]] = set()
        self._idle: dict[PoolKey, list[UpstreamConnection]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def pooled(self, target: Target, judged: int = 0) -> UpstreamConnection | None:
        """Take an idle connection for `target` out of the pool.

        Args:
            target: where it must lead.
            judged: see `Resolve`: what was dialled under another judgement stays where it is.
        """
        idle = self._idle.get((target.scheme, target.host, target.port, judged))
        while idle:
            connection = idle.pop()
            if connection.usable:
                return connection
        return None

    def keep(self, connection: UpstreamConnection) -> None:
        """Put a connection whose exchange ended cleanly into the pool."""
        connection.owner = None
        idle = self._idle.setdefault(connection.key, [])
        if len(idle) >= _IDLE_PER_HOST or not connection.usable:
            connection.close()
            return
        connection.hold_reading(hold=False)
        connection.idle_since = self._loop.time()
        idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_IDLE_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        limit = self._loop.time() - _IDLE_SECONDS + 0.5
        for key, idle in list(self._idle.items()):
            for connection in [c for c in idle if c.idle_since <= limit or not c.usable]:
                idle.remove(connection)
                connection.close()
            if not idle:
                del self._idle[key]
        if self._idle:
            self._sweeper = self._loop.call_later(_IDLE_SECONDS / 3, self._sweep)

    async def resolve(self, target: Target) -> Resolved:
        """Resolve the target's host by the host's own resolver.

        Raises:
            ResolveError: RESOLVE_FAILED.
        """
        return await self.resolver.resolve(target.host)

    def session(self, name: str, alpn: tuple[str, ...]) -> TlsSession:
        """Begin TLS as a client that offers `alpn` and verifies for `name`."""
        return TlsSession(offer(self._context, alpn), server_name=name)

    async def seal(self, connection: UpstreamConnection, name: str) -> None:
        """Put TLS into a connection that was plain so far.

        Raises:
            DialError: CONNECT_FAILED or CERTIFICATE_INVALID.
        """
        try:
            async with asyncio.timeout(self._timeout):
                connection.seal(self.session(name, ()))
                await connection.ready()
        except TimeoutError:
            raise DialError(Reason.CONNECT_FAILED, "no answer in the TLS handshake") from None

    async def dial(
        self,
        target: Target,
        addresses: Sequence[str],
        alpn: tuple[str, ...] = _HTTP1,
        *,
        port: int = 0,
        judged: int = 0,
    ) -> UpstreamConnection:
        """Connect to that of the judged literals that answers first.

        Args:
            target: whose connection it will be; TLS is verified for its host.
            addresses: judged literals. They are tried one after the other, families in turn, the
                next one `STAGGER` seconds after the one before, or when that has failed.
            alpn: protocols to offer.
            port: to dial, where it is not the target's.
            judged: see `Resolve`.

        Raises:
            DialError: CONNECT_FAILED or CERTIFICATE_INVALID, for the last address tried.
        """
        place = (target.scheme, target.host, target.port)
        key = (*place, judged)
        port = port or target.port
        if place in self._only_h2 and alpn == _HTTP1:
            alpn = _HTTP2
        try:
            return await self._dial(key, addresses, port, alpn)
        except NoCommonProtocolError:
            if alpn != _HTTP1:
                raise
        # HTTP/1.1 is offered alone, as it costs less; a server that has only HTTP/2 says so
        # (RFC 7301 section 3.2), and that is remembered.
        connection = await self._dial(key, addresses, port, _HTTP2)
        if len(self._only_h2) < _REMEMBERED:
            self._only_h2.add(place)
        return connection

    async def _dial(
        self, key: PoolKey, addresses: Sequence[str], port: int, alpn: tuple[str, ...]
    ) -> UpstreamConnection:
        scheme, host = key[:2]

        def begin(address: str) -> UpstreamConnection:
            tls = self.session(host, alpn) if scheme in ("https", "tls") else None
            return UpstreamConnection(key, address, tls, self.outbox)

        try:
            async with asyncio.timeout(self._timeout):
                if len(addresses) == 1:
                    return await self._attempt(begin(addresses[0]), port)
                return await self._race(alternating(addresses), port, begin)
        except TimeoutError:
            self.resolver.forget(host)
            tried = addresses[0] if len(addresses) == 1 else f"none of {', '.join(addresses)}"
            said = "did not answer" if len(addresses) == 1 else "answered"
            detail = f"{tried} {said} within {self._timeout:g} s"
            raise DialError(Reason.CONNECT_FAILED, detail) from None
        except DialError:
            self.resolver.forget(host)
            raise

    async def _attempt(self, connection: UpstreamConnection, port: int) -> UpstreamConnection:
        """Connect and shake hands.

        Raises:
            DialError: CONNECT_FAILED or CERTIFICATE_INVALID.
        """
        address = connection.address
        kept = False
        try:
            site = self.sites.get(address) if self.sites else None
            if site is None:
                await self._loop.create_connection(connection.itself, address, port)
            else:
                await self._loop.create_unix_connection(connection.itself, sock=await site())
            await connection.ready()
            kept = connection.usable
        except TimeoutError:  # the kernel's, not ours
            raise DialError(Reason.CONNECT_FAILED, f"{address} did not answer") from None
        except OSError as error:
            detail = f"{address}: {error.strerror or error}"
            raise DialError(Reason.CONNECT_FAILED, detail) from None
        finally:
            if not kept:  # also where nobody waits for it any more, ready or not
                connection.abort()
        return connection

    async def _race(
        self, addresses: list[str], port: int, begin: Callable[[str], UpstreamConnection]
    ) -> UpstreamConnection:
        """Try all, staggered; the first that stands wins, and the others are closed."""
        fault = DialError(Reason.CONNECT_FAILED, "the host has no address")
        running: dict[asyncio.Task[UpstreamConnection], UpstreamConnection] = {}
        waiting = addresses[::-1]
        winner: UpstreamConnection | None = None
        try:
            while waiting or running:
                began = self._loop.time()
                if waiting:
                    connection = begin(waiting.pop())
                    running[self._loop.create_task(self._attempt(connection, port))] = connection
                for task in await self._first(running, began, forever=not waiting):
                    del running[task]
                    error = task.exception()
                    if error is None and winner is None:
                        winner = task.result()
                    elif error is None:
                        task.result().abort()
                    elif not isinstance(error, DialError):
                        raise error
                    elif winner is None:
                        fault = error
                        # another address of the host would not make the certificate better
                        if isinstance(error, NoCommonProtocolError) or (
                            error.reason is Reason.CERTIFICATE_INVALID
                        ):
                            raise error
                if winner is not None:
                    return winner
            raise fault
        finally:
            for task, connection in running.items():
                task.cancel()
                connection.abort()
                task.add_done_callback(_unheard)

    async def _first(
        self,
        running: dict[asyncio.Task[UpstreamConnection], UpstreamConnection],
        began: float,
        *,
        forever: bool,
    ) -> set[asyncio.Task[UpstreamConnection]]:
        """Wait until an attempt has ended, or until it is time for the next one."""
        if forever:
            return (await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED))[0]
        for patience in (STAGGER, HANDSHAKE):
            left = began + patience - self._loop.time()
            done, _ = await asyncio.wait(
                running, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED
            )
            if done or not any(connection.connected for connection in running.values()):
                return done
        return set()

    def close(self) -> None:
        """Close every idle connection."""
        self.resolver.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for idle in self._idle.values():
            for connection in idle:
                with contextlib.suppress(RuntimeError):
                    connection.close()
        self._idle.clear()


def alternating(addresses: Sequence[str]) -> list[str]:
    """Order addresses so that families take turns, the first one's first (RFC 8305 section 4)."""
    first = [text for text in addresses if (":" in text) == (":" in addresses[0])]
    other = [text for text in addresses if (":" in text) != (":" in addresses[0])]
    mixed: list[str] = []
    for index in range(max(len(first), len(other))):
        mixed += first[index : index + 1] + other[index : index + 1]
    return mixed


def _unheard(task: asyncio.Task[UpstreamConnection]) -> None:
    """Take the outcome of an attempt that lost; what it brought all the same is closed."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()
