"""What an upstream server says before anybody owns the connection is for the first owner."""

from __future__ import annotations

import asyncio
import ssl
from types import SimpleNamespace
from typing import Any, cast

import pytest

from interceptor.serve.dialler import Dialler
from interceptor.serve.upstream import UpstreamConnection

GREETING = b"220 the server speaks first\r\n"


class Listener:
    """An owner that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[bytes] = []
        self.ended = False

    def upstream_bytes(self, data: bytes, lane: int) -> None:
        assert lane == 7
        self.told.append(data)

    def upstream_eof(self, lane: int) -> None:
        self.ended = True

    def upstream_full(self, lane: int, *, full: bool) -> None:
        pass


async def _dialled(closes: bool) -> tuple[UpstreamConnection, asyncio.Server]:
    """A connection to a server that greets, then closes or greets again after a while."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(GREETING)
            if not closes:
                await asyncio.sleep(0.1)
                writer.write(b"later")
                await reader.read()
        finally:
            writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    dialler = Dialler(loop, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), 5.0)
    target: Any = SimpleNamespace(scheme="tcp", host="localhost", port=port)
    return await dialler.dial(target, ("127.0.0.1",)), server


def _own(connection: UpstreamConnection) -> Listener:
    owner = Listener()
    connection.owner = owner
    connection.lane = 7
    return owner


@pytest.mark.parametrize("wait", [0.0, 0.05])
def test_a_greeting_reaches_the_first_owner(wait: float) -> None:
    async def scene() -> None:
        connection, server = await _dialled(closes=False)
        await asyncio.sleep(wait)
        owner = _own(connection)
        await asyncio.sleep(0.3)
        assert b"".join(owner.told) == GREETING + b"later"
        assert not owner.ended
        connection.abort()
        await asyncio.sleep(0.02)
        server.close()

    asyncio.run(scene())


def test_an_end_reaches_the_first_owner() -> None:
    async def scene() -> None:
        connection, server = await _dialled(closes=True)
        await asyncio.sleep(0.05)
        owner = _own(connection)
        await asyncio.sleep(0.05)
        assert owner.told == [GREETING]
        assert owner.ended
        connection.abort()
        await asyncio.sleep(0.02)
        server.close()

    asyncio.run(scene())


def test_bytes_on_a_pooled_connection_still_close_it() -> None:
    async def scene() -> None:
        connection, server = await _dialled(closes=False)
        owner = _own(connection)
        await asyncio.sleep(0.02)
        cast("Any", connection).owner = None
        await asyncio.sleep(0.2)
        assert owner.told == [GREETING]
        assert not connection.usable
        await asyncio.sleep(0.02)
        server.close()

    asyncio.run(scene())
