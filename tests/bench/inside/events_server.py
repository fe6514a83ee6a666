"""Server-sent events on a Unix socket, for nginx to pass on.

    python3 -I events_server.py SOCKET RATE

Each event is its number in the stream and CLOCK_MONOTONIC in nanoseconds: `data: 7 123456789`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


async def main() -> None:
    """Serve until killed."""
    path, pause = sys.argv[1], 1 / float(sys.argv[2])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(_HEAD)
            number = 0
            due = time.monotonic()
            while True:
                event = b"data: %d %d\n\n" % (number, time.monotonic_ns())
                writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                await writer.drain()
                number += 1
                due += pause
                await asyncio.sleep(max(0.0, due - time.monotonic()))
        except (OSError, asyncio.IncompleteReadError):
            writer.close()  # the reader has gone

    server = await asyncio.start_unix_server(serve, path, backlog=1024)
    os.chmod(path, 0o666)  # noqa: PTH101, S103 - nginx's worker
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
