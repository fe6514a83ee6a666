"""Reads event streams and notes when each event came: `event_streams.py CLIENT URL [STREAMS]`.

CLIENT is aiohttp, httpx or httpx-h2. With STREAMS, that many are read at once. An event is a line
of JSON, behind `data: ` or alone. Prints a JSON list for each stream of `[number, sent, arrived]`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

Tick = tuple[int, float, float]


def tick(line: str) -> Tick | None:
    """An event with its time of arrival, when the line is one."""
    text = line.strip().removeprefix("data: ")
    if not text.startswith("{"):
        return None
    found = json.loads(text)
    return found["number"], found["sent"], time.monotonic()


async def aiohttp_stream(session: Any, url: str) -> list[Tick]:
    """Read one stream with aiohttp."""
    found = []
    async with session.get(url) as answer:
        async for line in answer.content:
            if (entry := tick(line.decode())) is not None:
                found.append(entry)
    return found


async def httpx_stream(client: Any, url: str) -> list[Tick]:
    """Read one stream with httpx."""
    found = []
    async with client.stream("GET", url) as answer:
        async for line in answer.aiter_lines():
            if (entry := tick(line)) is not None:
                found.append(entry)
    return found


async def main() -> None:
    """Read and print."""
    client, url, *rest = sys.argv[1:]
    count = int(rest[0]) if rest else 1
    if client == "aiohttp":
        import aiohttp

        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=120)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            found = await asyncio.gather(*(aiohttp_stream(session, url) for _ in range(count)))
    else:
        import httpx

        only = client == "httpx-h2"
        async with httpx.AsyncClient(http1=not only, http2=True, timeout=60) as web:
            found = await asyncio.gather(*(httpx_stream(web, url) for _ in range(count)))
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
