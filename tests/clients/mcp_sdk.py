"""An agent on the official Python SDK of MCP: uses all that a server offers, and tells what came.

`mcp_sdk.py CALLS COMMAND...`: CALLS is JSON, a list of [tool, arguments].
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from mcp import ClientSession, MCPError, StdioServerParameters, types
from mcp.client.stdio import stdio_client


async def sampled(_context: Any, _params: Any) -> types.CreateMessageResult:
    text = types.TextContent(type="text", text="a short summary")
    return types.CreateMessageResult(role="assistant", content=text, model="none")


def plain(value: Any) -> Any:
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


async def asked(what: Any) -> Any:
    try:
        return plain(await what)
    except MCPError as error:
        return {"error": error.error.code, "message": error.error.message}


async def main(calls: list[tuple[str, dict[str, Any]]], command: list[str]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    server = StdioServerParameters(command=command[0], args=command[1:], env=None)
    async with (
        stdio_client(server) as (reading, writing),
        ClientSession(reading, writing, sampling_callback=sampled) as session,
    ):
        said["initialize"] = plain(await session.initialize())
        said["tools"] = await asked(session.list_tools())
        capabilities = said["initialize"]["capabilities"]
        if "resources" in capabilities:
            said["resources"] = await asked(session.list_resources())
            for resource in said["resources"].get("resources", [])[:3]:
                uri = resource["uri"]
                said[f"read {uri}"] = await asked(session.read_resource(uri))
        if "prompts" in capabilities:
            said["prompts"] = await asked(session.list_prompts())
        said["calls"] = [await asked(session.call_tool(tool, given)) for tool, given in calls]
    return said


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1]), sys.argv[2:])), sort_keys=True))
