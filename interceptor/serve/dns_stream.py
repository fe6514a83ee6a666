"""One TCP connection of the DNS shim: queries with a two-byte length, cut anywhere (RFC 7766)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast

from interceptor.flow.dns_flow import Fetch
from interceptor.wire import dns

BATCH: Final = 64
"""Messages or connections taken per wake-up, so that other flows of the worker get their turn."""
IDLE: Final = 10.0
"""Seconds a TCP connection may pass without a complete query (RFC 7766 section 6.2.3)."""
PIPELINED: Final = 64
"""Queries of one connection that wait for a look-up; what follows them is not read meanwhile."""


class Server(Protocol):
    """The part of `interceptor.serve.dns.DnsServer` that a connection needs."""

    def reply(
        self, data: bytes, over: dns.Transport, resolver: tuple[str, int]
    ) -> bytes | Fetch | None:
        """See there."""

    def later(
        self, fetch: Fetch, resolver: tuple[str, int], deliver: Callable[[bytes], None]
    ) -> None:
        """See there."""

    def opened(self, stream: Stream) -> None:
        """See there."""

    def ended(self, stream: Stream) -> None:
        """See there."""


class Stream(asyncio.Protocol):
    """One TCP connection: queries with a two-byte length, answered in order (RFC 7766)."""

    def __init__(
        self,
        server: Server,
        resolver: tuple[str, int],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._server = server
        self._resolver = resolver
        self._loop = loop
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last = loop.time()
        self._blocked = False  # the agent does not read its answers
        self._ended = False  # the agent has sent all it will send
        self._waiting = 0  # answers that wait for a look-up

    def abort(self) -> None:
        """Reset the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The stream is open."""
        self._transport = cast("asyncio.Transport", transport)
        self._server.opened(self)
        self._timer = self._loop.call_later(IDLE, self._check_idle)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The stream is closed."""
        self._transport = None
        self._server.ended(self)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Bytes of queries, cut anywhere."""
        self._buffer += data
        self._answer()

    def eof_received(self) -> bool:
        """Half-closed: what was asked is still answered."""
        self._ended = True
        # Else the transport closes after what was written.
        return self._whole() or self._waiting > 0

    def pause_writing(self) -> None:
        """Answers pile up: read no more questions."""
        self._blocked = True
        if self._transport is not None and not self._ended:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Answers were read."""
        self._blocked = False
        self._loop.call_soon(self._answer)

    def _whole(self) -> bool:
        """True if a whole query waits."""
        buffer = self._buffer
        return len(buffer) >= 2 and len(buffer) >= 2 + int.from_bytes(buffer[:2])

    def _answer(self) -> None:
        transport = self._transport
        for _ in range(BATCH):
            if transport is None or transport.is_closing() or self._blocked:
                return
            if not self._whole() or self._waiting >= PIPELINED:
                if not self._ended:
                    self._read_on(transport)
                elif not self._waiting:
                    transport.close()
                return
            end = 2 + int.from_bytes(self._buffer[:2])
            query = bytes(self._buffer[2:end])
            del self._buffer[:end]
            self._last = self._loop.time()
            reply = self._server.reply(query, "tcp", self._resolver)
            if type(reply) is bytes:
                transport.write(len(reply).to_bytes(2) + reply)
            elif isinstance(reply, Fetch):
                self._waiting += 1
                self._server.later(reply, self._resolver, self._found)
            else:  # no query: nothing sensible follows on this stream
                transport.abort()
                return
        if transport is not None and not self._ended:
            transport.pause_reading()
        self._loop.call_soon(self._answer)

    def _read_on(self, transport: asyncio.Transport) -> None:
        """Read while there is something to be done with it."""
        if self._waiting < PIPELINED:
            transport.resume_reading()
        else:
            transport.pause_reading()

    def _found(self, reply: bytes) -> None:
        """An answer that waited is there."""
        self._waiting -= 1
        self._last = self._loop.time()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(len(reply).to_bytes(2) + reply)
            self._loop.call_soon(self._answer)

    def _check_idle(self) -> None:
        """Bytes that trickle in do not keep a connection; whole queries do."""
        left = self._last + IDLE - self._loop.time()
        if left > 0 or self._waiting:
            left = max(left, IDLE / 2)
            self._timer = self._loop.call_later(left, self._check_idle)
        else:
            self.abort()
