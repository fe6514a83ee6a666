"""Dialling upstream: resolved once, by judged literal, verified, pooled."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Final

from interceptor.model import Target
from interceptor.serve.outbox import Outbox
from interceptor.serve.upstream import DialError, NoCommonProtocolError, UpstreamConnection
from interceptor.tls.session import TlsSession
from interceptor.verdict import Reason

_IDLE_SECONDS: Final = 30.0
_IDLE_PER_HOST: Final = 256
"""Above it each request of so many at once pays a handshake upstream: 300 us instead of 95."""
_HTTP1: Final = ("http/1.1",)
_HTTP2: Final = ("h2",)
_REMEMBERED: Final = 4096


class Dialler:
    """Resolves, dials and pools; one per worker. It decides nothing."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext, timeout: float
    ) -> None:
        """Dial on `loop` with `context`; `timeout` seconds for each address."""
        self.outbox = Outbox(loop)
        self._loop = loop
        self._context = context
        self._timeout = timeout
        self._alpn: tuple[str, ...] | None = None
        self._only_h2: set[tuple[str, str, int]] = set()
        self._idle: dict[tuple[str, str, int], list[UpstreamConnection]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def pooled(self, target: Target) -> UpstreamConnection | None:
        """Take an idle connection for `target` out of the pool."""
        idle = self._idle.get((target.scheme, target.host, target.port))
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

    async def resolve(self, target: Target) -> tuple[str, ...]:
        """Addresses of the target's host by the host's own resolver, in its order.

        Raises:
            DialError: RESOLVE_FAILED.
        """
        try:
            async with asyncio.timeout(self._timeout):
                found = await self._loop.getaddrinfo(
                    target.host, target.port, type=socket.SOCK_STREAM
                )
        except TimeoutError:
            raise DialError(Reason.RESOLVE_FAILED, "no answer from the resolver") from None
        except (OSError, UnicodeError) as error:
            text = error.strerror if isinstance(error, OSError) else "not a valid host name"
            raise DialError(Reason.RESOLVE_FAILED, text or "the name has no address") from None
        return tuple(dict.fromkeys(str(info[4][0]) for info in found))

    def session(self, name: str, alpn: tuple[str, ...]) -> TlsSession:
        """Begin TLS as a client that offers `alpn` and verifies for `name`."""
        if alpn != self._alpn:
            # OpenSSL copies the list into each new connection: one context serves all offers.
            self._context.set_alpn_protocols(list(alpn))
            self._alpn = alpn
        return TlsSession(self._context, server_name=name)

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
        self, target: Target, addresses: tuple[str, ...], alpn: tuple[str, ...] = ("http/1.1",)
    ) -> UpstreamConnection:
        """Connect to the first of the judged literals that answers.

        Raises:
            DialError: CONNECT_FAILED or CERTIFICATE_INVALID, for the last address tried.
        """
        key = (target.scheme, target.host, target.port)
        if key in self._only_h2 and alpn == _HTTP1:
            alpn = _HTTP2
        try:
            return await self._dial(key, addresses, alpn)
        except NoCommonProtocolError:
            if alpn != _HTTP1:
                raise
        # HTTP/1.1 is offered alone, as it costs less; a server that has only HTTP/2 says so
        # (RFC 7301 section 3.2), and that is remembered.
        connection = await self._dial(key, addresses, _HTTP2)
        if len(self._only_h2) < _REMEMBERED:
            self._only_h2.add(key)
        return connection

    async def _dial(
        self, key: tuple[str, str, int], addresses: tuple[str, ...], alpn: tuple[str, ...]
    ) -> UpstreamConnection:
        fault = DialError(Reason.CONNECT_FAILED, "the host has no address")
        scheme, host, port = key
        for address in addresses:
            tls = self.session(host, alpn) if scheme in ("https", "tls") else None
            connection = UpstreamConnection(key, address, tls, self.outbox)
            kept = False
            try:
                async with asyncio.timeout(self._timeout):
                    await self._loop.create_connection(connection.itself, address, port)
                    await connection.ready()
            except TimeoutError:
                fault = DialError(Reason.CONNECT_FAILED, f"{address} did not answer")
            except OSError as error:
                fault = DialError(Reason.CONNECT_FAILED, f"{address}: {error.strerror or error}")
            except NoCommonProtocolError:
                raise
            except DialError as error:
                fault = error
                if error.reason is Reason.CERTIFICATE_INVALID:
                    break  # another address of the host would not make the certificate better
            else:
                kept = connection.usable
                return connection
            finally:
                if not kept:  # also where nobody waits for it any more, ready or not
                    connection.abort()
        raise fault

    def close(self) -> None:
        """Close every idle connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for idle in self._idle.values():
            for connection in idle:
                with contextlib.suppress(RuntimeError):
                    connection.close()
        self._idle.clear()
