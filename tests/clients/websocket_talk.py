"""A WebSocket conversation, CLIENT being websockets or aiohttp: `websocket_talk.py CLIENT PLAN`.

PLAN is JSON: `{"url", "headers", "deflate": true, "send": [...]}`; each thing to send is a text,
`{"hex"}`, `{"parts": [...]}` (one message in several frames), `{"fill": size}` or
`{"burst": [...]}` (several messages without waiting). After each step as many messages are read as
were sent. Prints JSON.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from typing import Any

Plan = dict[str, Any]


def message(step: Any) -> Any:
    """What `send` of the library takes."""
    if isinstance(step, str):
        return step
    if "hex" in step:
        return bytes.fromhex(step["hex"])
    if "parts" in step:
        return iter(step["parts"])
    return bytes(step["fill"])


def shown(data: str | bytes) -> Plan:
    """What is printed of a message."""
    found: Plan = {"at": time.monotonic(), "size": len(data)}
    if isinstance(data, str):
        return {**found, "text": data[:10_000]}
    return {**found, "hex": data[:64].hex(), "sha256": hashlib.sha256(data).hexdigest()}


async def with_websockets(plan: Plan, found: Plan) -> None:
    """Talk with the `websockets` library."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed, InvalidStatus

    compression = "deflate" if plan.get("deflate", True) else None
    options = {"max_size": 64 << 20, "additional_headers": plan.get("headers"), "proxy": None}
    try:
        async with connect(plan["url"], compression=compression, **options) as socket:
            found["extensions"] = [extension.name for extension in socket.protocol.extensions]
            pong = await socket.ping()
            await asyncio.wait_for(pong, 5)
            try:
                for step in plan["send"]:
                    burst = step["burst"] if isinstance(step, dict) and "burst" in step else [step]
                    for part in burst:
                        await socket.send(message(part))
                    for _ in range(plan.get("answers", len(burst))):
                        found["answers"].append(shown(await asyncio.wait_for(socket.recv(), 10)))
            except ConnectionClosed:
                pass
        found["code"], found["reason"] = socket.close_code, socket.close_reason
    except InvalidStatus as error:
        found["status"] = error.response.status_code
        found["body"] = (error.response.body or b"").decode()


async def with_aiohttp(plan: Plan, found: Plan) -> None:
    """Talk with aiohttp."""
    import aiohttp

    options = {"compress": 15 if plan.get("deflate", True) else 0, "max_msg_size": 64 << 20}
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(
                plan["url"], headers=plan.get("headers"), **options
            ) as socket:
                found["extensions"] = ["permessage-deflate"] if socket.compress else []
                for step in plan["send"]:
                    data = message(step)
                    if isinstance(data, str):
                        await socket.send_str(data)
                    else:
                        await socket.send_bytes(data)
                    answer = await socket.receive(10)
                    if answer.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                        found["reason"] = str(answer.extra or "")
                        break
                    found["answers"].append(shown(answer.data))
            found["code"] = socket.close_code
        except aiohttp.WSServerHandshakeError as error:
            found["status"] = error.status


async def main() -> None:
    """Talk and print."""
    client, text = sys.argv[1:]
    found: Plan = {"answers": []}
    talk = {"websockets": with_websockets, "aiohttp": with_aiohttp}[client]
    try:
        await talk(json.loads(text), found)
    except (OSError, TimeoutError, EOFError) as error:
        found["error"] = f"{type(error).__name__}: {error}"
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
