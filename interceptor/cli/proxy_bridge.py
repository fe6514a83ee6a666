"""The bridge to a proxy elsewhere: adds a token that changes, and decides nothing.

Each connection is led through a tunnel of the proxy's own: CONNECT with the token in
Proxy-Authorization, and then, inside, whatever the program says to what it takes for its proxy. So
the token is read anew for each, and the program that uses the bridge never has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from pathlib import Path
from typing import Final

_INSIDE: Final = "127.0.0.1:8888"
"""What the tunnel is asked for: nobody dials it, as another target is named inside."""
_HEAD: Final = 16_384
_CHUNK: Final = 65_536
_SECONDS: Final = 10.0
_MOST: Final = 1_024
_UNAVAILABLE: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


def serve(listener: socket.socket, upstream: tuple[str, int], token: Path) -> int:
    """Lead connections of `listener` to `upstream` until SIGINT or SIGTERM; returns 0."""
    asyncio.run(_serve(listener, upstream, token))
    return 0


async def _serve(listener: socket.socket, upstream: tuple[str, int], token: Path) -> None:
    slots = asyncio.Semaphore(_MOST)

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with slots:
            try:
                await _lead(reader, writer, upstream, token)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
                sys.stderr.write(f"egressguard: bridge: {type(error).__name__}: {error}\n")
                with contextlib.suppress(OSError):
                    writer.write(_UNAVAILABLE)
                    await writer.drain()
            finally:
                writer.close()

    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    server = await asyncio.start_server(lead, sock=listener)
    async with server:
        await ended.wait()


async def _lead(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    upstream: tuple[str, int],
    token: Path,
) -> None:
    proof = await asyncio.to_thread(token.read_text, "ascii")
    async with asyncio.timeout(_SECONDS):
        far_reader, far_writer = await asyncio.open_connection(*upstream, limit=_HEAD)
    try:
        far_writer.write(
            f"CONNECT {_INSIDE} HTTP/1.1\r\nHost: {_INSIDE}\r\n"
            f"Proxy-Authorization: Bearer {proof.strip()}\r\n\r\n".encode("ascii")
        )
        async with asyncio.timeout(_SECONDS):
            head = await far_reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ConnectionRefusedError(head.partition(b"\r\n")[0].decode("latin-1"))
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
    finally:
        far_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, and then its end."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()
