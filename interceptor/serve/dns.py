"""The DNS shim's sockets: datagrams and streams of the captive namespace, served from outside it.

Every failure is contained in one message or one connection. An answer goes out only after its
records were written; if they cannot be written, the answer is SERVFAIL.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Final, cast

from interceptor.flow.dns_flow import DnsFlow
from interceptor.flow.steps import Record
from interceptor.model import Origin
from interceptor.serve.datagrams import answer_from, prepare, received
from interceptor.serve.sockets import original_destination, reset_on_close
from interceptor.wire import dns

BATCH: Final = 64
"""Messages or connections taken per wake-up, so that other flows of the worker get their turn."""
IDLE: Final = 10.0
"""Seconds a TCP connection may pass without a complete query (RFC 7766 section 6.2.3)."""
CONNECTIONS: Final = 128
"""TCP connections at a time; more are reset."""

_PORT = 53  # what the jail's rules redirect here; a datagram does not carry its original port
_ACCEPT_PAUSE = 0.5  # seconds; when descriptors have run out
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

WriteRecord = Callable[[Record, Origin], None]


def serve(
    sockets: Sequence[socket.socket],
    flow: DnsFlow,
    write_record: WriteRecord,
    loop: asyncio.AbstractEventLoop,
) -> DnsServer:
    """Answer on bound UDP sockets and listening TCP sockets until `close` is called.

    The sockets stay the caller's, who closes them after the server. Times given to `flow` are
    `loop.time()`, which is CLOCK_MONOTONIC for asyncio and uvloop.
    """
    return DnsServer(sockets, flow, write_record, loop)


class DnsServer:
    """Serves one jail's DNS. Made by `serve`."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        flow: DnsFlow,
        write_record: WriteRecord,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.answered = 0
        """Replies given, refusals included."""
        self.failed = 0
        """Replies that the kernel did not take."""
        self._flow = flow
        self._write_record = write_record
        self._loop = loop
        self._sockets = list(sockets)
        self._buffer = bytearray(65_536)
        self._flows = 0
        self._open_streams = 0  # accepted and not yet closed
        self._streams: set[_Stream] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._closed = False
        for sock in self._sockets:
            sock.settimeout(0)
            if sock.type == socket.SOCK_DGRAM:
                prepare(sock)
                loop.add_reader(sock, self._datagrams, sock)
            else:
                loop.add_reader(sock, self._connections, sock)

    def close(self) -> None:
        """Stop serving at once; open connections are reset."""
        self._closed = True
        for sock in self._sockets:
            self._loop.remove_reader(sock)
        for task in self._opening:
            task.cancel()
        for stream in list(self._streams):
            stream.abort()

    def reply(self, data: bytes, over: dns.Transport, resolver: tuple[str, int]) -> bytes | None:
        """The reply to one message, after its records were written."""
        reply, records = self._flow.query(data, over, resolver, self._loop.time())
        if records:
            self._flows += 1
            origin = Origin(
                jail=self._flow.jail,
                flow=f"d{self._flows}",
                address=resolver[0],
                port=resolver[1],
            )
            try:
                for record in records:
                    self._write_record(record, origin)
            except Exception:  # noqa: BLE001 - whatever the sink raises: no evidence, no answer
                reply = dns.failure(data)
        if reply is not None:
            self.answered += 1
        return reply

    def _datagrams(self, sock: socket.socket) -> None:
        for data, asked, interface, source in received(sock, self._buffer, BATCH):
            answer = self.reply(data, "udp", (asked, _PORT))
            if answer is None:
                continue
            try:
                sock.sendmsg([answer], answer_from(asked, interface), 0, source)
            except OSError:
                self.failed += 1  # the asker has gone, or asks faster than it reads

    def _connections(self, listener: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:  # the listener stays readable: do not spin
                    self._loop.remove_reader(listener)
                    self._loop.call_later(_ACCEPT_PAUSE, self._listen_again, listener)
                return
            if self._open_streams >= CONNECTIONS:
                _reset(connection)
                continue
            self._open_streams += 1
            task = self._loop.create_task(self._open(connection))
            self._opening.add(task)
            task.add_done_callback(functools.partial(self._opened, connection))

    def _opened(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if task.cancelled() or task.exception() is not None:  # gone before it was served
            connection.close()
            self._open_streams -= 1

    def _listen_again(self, listener: socket.socket) -> None:
        if not self._closed:
            self._loop.add_reader(listener, self._connections, listener)

    async def _open(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        resolver = _asked_destination(connection)
        await self._loop.connect_accepted_socket(
            lambda: _Stream(self, resolver, self._loop), connection
        )

    def opened(self, stream: _Stream) -> None:
        """A stream is there."""
        self._streams.add(stream)

    def ended(self, stream: _Stream) -> None:
        """A stream is gone."""
        self._streams.discard(stream)
        self._open_streams -= 1


class _Stream(asyncio.Protocol):
    """One TCP connection: queries with a two-byte length, answered in order (RFC 7766)."""

    def __init__(
        self,
        server: DnsServer,
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
        return self._whole()  # else the transport closes after what was written

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
            if not self._whole():
                if self._ended:
                    transport.close()
                else:
                    transport.resume_reading()
                return
            end = 2 + int.from_bytes(self._buffer[:2])
            query = bytes(self._buffer[2:end])
            del self._buffer[:end]
            self._last = self._loop.time()
            reply = self._server.reply(query, "tcp", self._resolver)
            if reply is None:  # no query: nothing sensible follows on this stream
                transport.abort()
                return
            transport.write(len(reply).to_bytes(2) + reply)
        if transport is not None and not self._ended:
            transport.pause_reading()
        self._loop.call_soon(self._answer)

    def _check_idle(self) -> None:
        """Bytes that trickle in do not keep a connection; whole queries do."""
        left = self._last + IDLE - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check_idle)
        else:
            self.abort()


def _asked_destination(connection: socket.socket) -> tuple[str, int]:
    """What the agent dialled, before the rules redirected it; the local address without them."""
    with contextlib.suppress(OSError):
        return original_destination(connection)
    name = connection.getsockname()
    return str(ipaddress.ip_address(name[0].partition("%")[0])), name[1]


def _reset(connection: socket.socket) -> None:
    """Close with RST, so that the asker knows at once."""
    with contextlib.suppress(OSError):
        reset_on_close(connection)
    connection.close()
