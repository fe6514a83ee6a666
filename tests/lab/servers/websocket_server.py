"""A WebSocket echo server with the `websockets` library.

    python websocket_server.py KEY CERTIFICATE ADDRESS...

443: TLS, takes permessage-deflate; 8443: TLS, refuses it; 80: in clear. Every handshake and message
is a line of JSON on standard output. Messages `close 4001 bye` and `ticks 3 0.1` are commands.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from typing import Any

from websockets.asyncio.server import serve


def note(**values: object) -> None:
    """Write one line of the log at once."""
    print(json.dumps(values), flush=True)


async def echo(connection: Any) -> None:
    """Serve one connection."""
    request = connection.request
    note(open=request.path, fields=[list(pair) for pair in request.headers.raw_items()])
    async for message in connection:
        if isinstance(message, bytes):
            note(binary=message[:65536].decode("latin-1"), size=len(message))
        else:
            note(text=message[:65536], size=len(message))
            word, *values = message.split(" ")
            if word == "close":
                await connection.close(int(values[0]), values[1])
                break
            if word == "ticks":
                for number in range(int(values[0])):
                    await connection.send(json.dumps({"number": number, "sent": time.monotonic()}))
                    await asyncio.sleep(float(values[1]))
                continue
        await connection.send(message)
    note(closed=connection.close_code, reason=connection.close_reason)


async def main() -> None:
    """Serve until killed."""
    key, certificate, *addresses = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    size = {"max_size": 64 << 20, "ping_interval": None}
    await serve(echo, addresses, 443, ssl=context, compression="deflate", **size)
    await serve(echo, addresses, 8443, ssl=context, compression=None, **size)
    await serve(echo, addresses, 80, compression="deflate", **size)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())
