"""The DNS shim's sockets: datagrams and streams of the captive namespace, served from outside it.

Every failure is contained in one message or one connection. An answer goes out only after its
records were written, and only then is a name looked up; if they cannot be written, the answer is
SERVFAIL. Answers that wait for a look-up overtake nobody's turn: what comes after is answered
meanwhile (RFC 7766 section 6.2.1.1).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from interceptor.flow.dns_flow import DnsFlow, Fetch
from interceptor.flow.dns_neighbours import Neighbours
from interceptor.flow.steps import Record
from interceptor.model import Origin
from interceptor.serve.datagrams import answer_from, prepare, received
from interceptor.serve.dns_stream import BATCH, Stream
from interceptor.serve.sockets import original_destination, reset_on_close
from interceptor.wire import dns, dns_answers
from interceptor.wire.dns_records import Found

CONNECTIONS: Final = 128
"""TCP connections at a time; more are reset."""
PATIENCE: Final = 5.0
"""Seconds that a look-up on the host may take; askers try again after as many."""
LOOKUPS: Final = 256
"""Queries that wait for a look-up; one more fails at once."""

_PORT = 53  # what the jail's rules redirect here; a datagram does not carry its original port
_ACCEPT_PAUSE = 0.5  # seconds; when descriptors have run out
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

WriteRecord = Callable[[Record, Origin], None]
Deliver = Callable[[bytes], None]


class Lookups(Protocol):
    """Looks up names on the host: `interceptor.serve.resolving.Lookups`."""

    def look_up(self, name: str, qtype: int) -> Awaitable[Found]:
        """Look up a name. Whatever it raises is a failure."""


def serve(
    sockets: Sequence[socket.socket],
    flow: DnsFlow,
    write_record: WriteRecord,
    loop: asyncio.AbstractEventLoop,
    lookups: Lookups | None = None,
    neighbours: Sequence[tuple[socket.socket, int]] = (),
) -> DnsServer:
    """Answer on bound UDP sockets and listening TCP sockets until `close` is called.

    On `neighbours`, each with the port that was dialled, questions to neighbours arrive.

    The sockets stay the caller's, who closes them after the server. Times given to `flow` are
    `loop.time()`, which is CLOCK_MONOTONIC for asyncio and uvloop.
    """
    return DnsServer(sockets, flow, write_record, loop, lookups, neighbours)


class DnsServer:
    """Serves one jail's DNS. Made by `serve`."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        flow: DnsFlow,
        write_record: WriteRecord,
        loop: asyncio.AbstractEventLoop,
        lookups: Lookups | None = None,
        neighbours: Sequence[tuple[socket.socket, int]] = (),
    ) -> None:
        self.answered = 0
        """Replies given, refusals included."""
        self.failed = 0
        """Replies that the kernel did not take."""
        self._flow = flow
        self._write_record = write_record
        self._loop = loop
        self._lookups = lookups
        self._waiting: set[asyncio.Task[None]] = set()
        self._sockets = list(sockets)
        self._buffer = bytearray(65_536)
        self._flows = 0
        self._open_streams = 0  # accepted and not yet closed
        self._streams: set[Stream] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._closed = False
        self._neighbours = Neighbours()
        self._refusing = [sock for sock, _ in neighbours]
        for sock, port in neighbours:
            sock.settimeout(0)
            loop.add_reader(sock, self._refused, sock, port)
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
        for sock in [*self._sockets, *self._refusing]:
            self._loop.remove_reader(sock)
        for task in [*self._opening, *self._waiting]:
            task.cancel()
        for stream in list(self._streams):
            stream.abort()

    def reply(
        self, data: bytes, over: dns.Transport, resolver: tuple[str, int]
    ) -> bytes | Fetch | None:
        """The reply to one message, or what must be looked up for it: that is for `later`.

        Its records are written by then.
        """
        reply, records = self._flow.query(data, over, resolver, self._loop.time())
        if records:
            reply = reply if self._record(records, resolver) else dns_answers.failure(data)
        if type(reply) is bytes:
            self.answered += 1
        return reply

    def later(self, fetch: Fetch, resolver: tuple[str, int], deliver: Deliver) -> None:
        """Look up what a reply needs, and give the reply to `deliver` then."""
        if self._lookups is None or len(self._waiting) >= LOOKUPS:
            self._give(fetch, None, resolver, deliver)
            return
        task = self._loop.create_task(self._fetch(self._lookups, fetch, resolver, deliver))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _fetch(
        self, lookups: Lookups, fetch: Fetch, resolver: tuple[str, int], deliver: Deliver
    ) -> None:
        found = None
        with contextlib.suppress(Exception):
            async with asyncio.timeout(PATIENCE):
                found = await lookups.look_up(fetch.name, fetch.qtype)
        self._give(fetch, found, resolver, deliver)

    def _give(
        self, fetch: Fetch, found: Found | None, resolver: tuple[str, int], deliver: Deliver
    ) -> None:
        reply, records = self._flow.fetched(fetch, found, self._loop.time())
        if records:
            failure = dns_answers.message(fetch.query, rcode=dns.SERVFAIL)
            reply = reply if self._record(records, resolver) else failure
        self.answered += 1
        deliver(reply)

    def _record(self, records: list[Record], resolver: tuple[str, int]) -> bool:
        """Write records; False if they cannot be: no evidence, no answer."""
        self._flows += 1
        origin = Origin(
            jail=self._flow.jail, flow=f"d{self._flows}", address=resolver[0], port=resolver[1]
        )
        try:
            for record in records:
                self._write_record(record, origin)
        except Exception:  # noqa: BLE001 - whatever the sink raises
            return False
        return True

    def _datagrams(self, sock: socket.socket) -> None:
        for data, asked, interface, source in received(sock, self._buffer, BATCH):
            answer = self.reply(data, "udp", (asked, _PORT))
            if type(answer) is bytes:
                self._send(sock, asked, interface, source, answer)
            elif isinstance(answer, Fetch):
                send = functools.partial(self._send, sock, asked, interface, source)
                self.later(answer, (asked, _PORT), send)

    def _send(
        self,
        sock: socket.socket,
        asked: str,
        interface: int,
        source: tuple[Any, ...],
        answer: bytes,
    ) -> None:
        try:
            sock.sendmsg([answer], answer_from(asked, interface), 0, source)
        except OSError:
            self.failed += 1  # the asker has gone, or asks faster than it reads

    def _refused(self, sock: socket.socket, port: int) -> None:
        """Take what was asked of neighbours, and say so in the evidence."""
        for _ in range(BATCH):
            try:
                sock.recv_into(self._buffer)
            except OSError:
                return
            ipv6 = sock.family == socket.AF_INET6
            record = self._neighbours.asked(port, self._loop.time(), ipv6=ipv6)
            if record is not None:
                self._record([record], (record.target.host, port))

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
            lambda: Stream(self, resolver, self._loop), connection
        )

    def opened(self, stream: Stream) -> None:
        """A stream is there."""
        self._streams.add(stream)

    def ended(self, stream: Stream) -> None:
        """A stream is gone."""
        self._streams.discard(stream)
        self._open_streams -= 1


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
