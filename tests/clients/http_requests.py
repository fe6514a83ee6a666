"""HTTP requests with httpx or aiohttp: `http_requests.py CLIENT PLAN`.

PLAN is JSON: `{"requests": [{"url", "method", "headers", "body", "fill"}], "parallel": false}`;
`fill` adds that many zero bytes to the body. Prints a JSON list of what came back.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from typing import Any

Plan = dict[str, Any]


def body(request: Plan) -> bytes | None:
    """Body of a request, if it has one."""
    if "fill" not in request and "body" not in request:
        return None
    return str(request.get("body", "")).encode() + bytes(request.get("fill", 0))


def shown(status: int, version: str, data: bytes) -> Plan:
    """What is printed of a response."""
    text = data.decode("utf-8", "replace") if len(data) < 10_000 else ""
    digest = hashlib.sha256(data).hexdigest()
    return {"status": status, "version": version, "text": text, "size": len(data), "sha256": digest}


async def with_httpx(plan: Plan, versions: dict[str, bool]) -> list[Plan]:
    """Run the plan with httpx, in the versions that are asked for."""
    import httpx

    async with httpx.AsyncClient(**versions, timeout=30) as client:

        async def one(request: Plan) -> Plan:
            try:
                answer = await client.request(
                    request.get("method", "GET"),
                    request["url"],
                    headers=request.get("headers"),
                    content=body(request),
                )
            except httpx.HTTPError as error:
                return {"error": f"{type(error).__name__}: {error}"}
            return shown(answer.status_code, answer.http_version, answer.content)

        return await run(plan, one)


async def with_aiohttp(plan: Plan) -> list[Plan]:
    """Run the plan with aiohttp, which speaks HTTP/1.1."""
    import aiohttp

    async with aiohttp.ClientSession() as session:

        async def one(request: Plan) -> Plan:
            options = {"headers": request.get("headers"), "data": body(request)}
            try:
                method = request.get("method", "GET")
                async with session.request(method, request["url"], **options) as answer:
                    data = await answer.read()
                    return shown(answer.status, "HTTP/1.1", data)
            except aiohttp.ClientError as error:
                return {"error": f"{type(error).__name__}: {error}"}

        return await run(plan, one)


async def run(plan: Plan, one: Any) -> list[Plan]:
    """All requests, in turn or at once."""
    if plan.get("parallel"):
        return list(await asyncio.gather(*map(one, plan["requests"])))
    return [await one(request) for request in plan["requests"]]


async def main() -> None:
    """Run the plan and print."""
    client, text = sys.argv[1:]
    plan = json.loads(text)
    match client:
        case "httpx":
            found = await with_httpx(plan, {"http1": True, "http2": True})
        case "httpx-h2":
            found = await with_httpx(plan, {"http1": False, "http2": True})
        case "httpx-h1":
            found = await with_httpx(plan, {"http1": True, "http2": False})
        case "aiohttp":
            found = await with_aiohttp(plan)
        case _:
            raise SystemExit(f"unknown client {client}")
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
