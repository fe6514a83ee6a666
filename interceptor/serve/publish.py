"""`--publish`: the host reaches a server of the agent's, and nothing goes the other way.

A listener on the host, a socket made inside the captive namespace, and bytes between them. The
agent can only answer who has connected: it cannot open anything here. Each connection is on record
before its first byte is passed on. What the agent's server answers goes to the host's client as it
is; the operator has asked for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Sequence
from typing import Final, cast

from interceptor.evidence.log import EvidenceError
from interceptor.flow.steps import Finished, Record
from interceptor.model import Kind, Origin, Target
from interceptor.serve.messages import Published
from interceptor.serve.service import Service
from interceptor.verdict import Reason

PATIENCE: Final = 3.0
"""Seconds for which a server that is not there, or restarts, is waited for."""
_PAUSE: Final = 0.1
_WRITE_HIGH: Final = 262_144
_PLACES: Final = ((b"4", "127.0.0.1"), (b"6", "::1"))
"""Where development servers listen: `localhost` is either, or both."""


class Sockets:
    """Sockets made in the captive namespace, by `netns.socket_maker` at the channel's other end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, channel: socket.socket) -> None:
        channel.setblocking(False)  # noqa: FBT003
        self._loop = loop
        self._channel = channel
        self._turn = asyncio.Lock()

    async def make(self, family: bytes) -> socket.socket:
        """Return a socket of this family, not connected.

        Raises:
            OSError: there is none.
        """
        async with self._turn:
            await self._loop.sock_sendall(self._channel, family)
            readable = self._loop.create_future()
            self._loop.add_reader(self._channel, _wake, readable)
            try:
                await readable
            finally:
                self._loop.remove_reader(self._channel)
            _, descriptors, _, _ = socket.recv_fds(self._channel, 1, 1)
        if not descriptors:
            raise OSError(errno.EAFNOSUPPORT, "no socket of this family")
        return socket.socket(fileno=descriptors[0])

    def close(self) -> None:
        """Close the channel; the process at its other end ends."""
        self._channel.close()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Publisher:
    """Serves the published ports of a jail."""

    def __init__(
        self,
        service: Service,
        listeners: Sequence[tuple[socket.socket, Published]],
        sockets: Sockets,
    ) -> None:
        """Serve on `listeners`, which are the host's, once `open` is called."""
        self.service = service
        self.sockets = sockets
        self._listeners = listeners
        self._servers: list[asyncio.Server] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Begin to accept; who has connected before waits in the queue of the kernel."""
        loop = self.service.loop
        for listener, place in self._listeners:
            self._servers.append(
                await loop.create_server(
                    lambda port=place.jail_port: _Client(self, port),  # type: ignore[misc]
                    sock=listener,
                )
            )

    def close(self) -> None:
        """Accept nobody any more."""
        for server in self._servers:
            server.close()
        for task in self.tasks:
            task.cancel()
        self.sockets.close()


class _End(asyncio.Protocol):
    """One end: what it brings is written to the other one."""

    def __init__(self) -> None:
        self.other: _End | None = None
        self.transport: asyncio.Transport | None = None
        self.brought = 0
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        # uvloop's transports are not subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=_WRITE_HIGH)

    def data_received(self, data: bytes) -> None:
        """Pass on what has come."""
        self.brought += len(data)
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """End the other end's input; it may still answer."""
        self.ended = True
        other = self.other
        if other is None or other.transport is None:
            return True  # there is no way in yet
        if other.transport.is_closing():
            return False
        with contextlib.suppress(OSError, RuntimeError):
            other.transport.write_eof()
        return not other.ended

    def pause_writing(self) -> None:
        """This end reads slowly: the other one is not read."""
        self._hold(hold=True)

    def resume_writing(self) -> None:
        """It has caught up."""
        self._hold(hold=False)

    def _hold(self, *, hold: bool) -> None:
        transport = self.other.transport if self.other is not None else None
        if transport is not None and not transport.is_closing():
            if hold:
                transport.pause_reading()
            else:
                transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone: the other end goes too, after what was written if this was no reset."""
        self.transport = None
        other, self.other = self.other, None
        if other is None:
            return
        if other.transport is not None:
            if exc is None:
                other.transport.close()
            else:
                other.transport.abort()


class _Client(_End):
    """A client on the host."""

    def __init__(self, publisher: Publisher, port: int) -> None:
        super().__init__()
        self._publisher = publisher
        self._port = port
        self._server = _End()
        self._early = b""
        self._connected = False
        self._began = 0.0
        self._allowed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted: on record first, then the way in."""
        super().connection_made(transport)
        assert self.transport is not None  # noqa: S101
        service = self._publisher.service
        peer = self.transport.get_extra_info("peername") or ("", 0)
        address = str(peer[0])
        self._origin = Origin(service.jail, service.next_flow(), address, self._port)
        self._began = service.loop.time()
        judge = service.judge
        verdict = judge.passed(())
        if len(service.open) >= service.limits.connections:
            detail = f"more than {service.limits.connections} connections"
            verdict = judge.refuse(Reason.LIMIT_EXCEEDED, detail)
        target = Target("tcp", "127.0.0.1", self._port)
        try:
            service.record(Record(verdict, target, Kind.PUBLISHED, 1), self._origin)
        except EvidenceError:
            self.transport.abort()
            return
        if not verdict.allowed:
            self.transport.abort()
            return
        self._allowed = True
        service.open.add(self)
        task = service.loop.create_task(self._enter())
        self._publisher.tasks.add(task)
        task.add_done_callback(self._publisher.tasks.discard)

    def data_received(self, data: bytes) -> None:
        """Pass on what has come; before the way in stands, keep it, and take no more."""
        if self._connected:
            super().data_received(data)
            return
        self.brought += len(data)
        self._early += data
        if self.transport is not None:
            self.transport.pause_reading()

    async def _enter(self) -> None:
        """Connect to the agent's server; a moment's patience for one that restarts."""
        loop = self._publisher.service.loop
        end = loop.time() + PATIENCE
        while self.transport is not None and not self.transport.is_closing():
            for family, address in _PLACES:
                if await self._connect(family, address):
                    return
            if loop.time() >= end:
                self.transport.abort()
                return
            await asyncio.sleep(_PAUSE)

    async def _connect(self, family: bytes, address: str) -> bool:
        loop = self._publisher.service.loop
        try:
            made = await self._publisher.sockets.make(family)
        except OSError:
            return False
        try:
            await asyncio.wait_for(loop.sock_connect(made, (address, self._port)), PATIENCE)
        except (OSError, TimeoutError):
            made.close()
            return False
        except BaseException:
            made.close()
            raise
        client, server = self.transport, self._server
        if client is None or client.is_closing():
            made.close()
            return True
        self.other, server.other = server, self
        await loop.create_connection(lambda: server, sock=made)
        self._connected = True
        if server.transport is None:
            return True  # gone already, and the client with it
        server.transport.write(self._early)
        self._early = b""
        if self.ended:
            server.transport.write_eof()
        if not client.is_closing():
            client.resume_reading()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, or was refused."""
        super().connection_lost(exc)
        service = self._publisher.service
        service.open.discard(self)
        if not self._allowed:
            return
        service.finished(
            Finished(
                1,
                0,
                self._server.brought,
                self.brought,
                "",
                service.loop.time() - self._began,
                "" if self._connected else Reason.CONNECT_FAILED.value,
                "127.0.0.1",
                self._port,
            ),
            self._origin,
        )

    def drop(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()
