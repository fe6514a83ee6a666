"""Read many streams of server-sent events at once: how late each event came.

    python3 -I events.py HOST PORT SERVER-NAME STREAMS SECONDS

Prints JSON: {"streams", "events", "lost", "late": {"median", "99", "most"}} in milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import ssl
import sys
import time

_EVENT = re.compile(rb"data: ([0-9]+) ([0-9]+)\n\n")


async def main() -> None:
    """Open all streams, then read for some seconds."""
    host, port, name, streams, seconds = sys.argv[1:]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # as wrk: the client's side is not what is measured
    request = f"GET /events HTTP/1.1\r\nHost: {name}\r\nAccept: text/event-stream\r\n\r\n"
    late: list[int] = []
    lost = 0
    settled = asyncio.Event()

    async def read(reader: asyncio.StreamReader) -> None:
        nonlocal lost
        expected = -1
        held = b""
        while True:
            piece = await reader.read(65536)
            now = time.monotonic_ns()
            if not piece:
                sys.exit("a stream has ended")
            held += piece
            end = 0
            for found in _EVENT.finditer(held):
                number, sent = int(found[1]), int(found[2])
                end = found.end()
                lost += expected not in (-1, number)
                expected = number + 1
                if settled.is_set():
                    late.append(now - sent)
            held = held[end:]

    async def open_one() -> asyncio.Task[None]:
        reader, writer = await asyncio.open_connection(
            host, int(port), ssl=context, server_hostname=name
        )
        writer.write(request.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            sys.exit(f"unexpected answer: {head[:60]!r}")
        return asyncio.create_task(read(reader))

    tasks = [await open_one() for _ in range(int(streams))]
    await asyncio.sleep(0.5)
    settled.set()  # the opening of the others is not what is measured
    done, _ = await asyncio.wait(tasks, timeout=float(seconds), return_when="FIRST_EXCEPTION")
    for task in done:
        task.result()
    late.sort()
    shown = {
        "median": late[len(late) // 2] / 1e6,
        "99": late[len(late) * 99 // 100] / 1e6,
        "most": late[-1] / 1e6,
    }
    print(json.dumps({"streams": len(tasks), "events": len(late), "lost": lost, "late": shown}))
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
