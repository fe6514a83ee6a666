"""Agents on the official SDKs of MCP and A2A, over HTTP: `mcp_http.py JOBS`, JSON, a list of

- `["mcp", MODE, URL, CALLS]`: MODE is `auto` (what `Client` does by itself), `legacy` (with
  initialize) or `sse`; CALLS is a list of [tool, arguments].
- `["a2a", BINDING, URL, TEXTS]`: BINDING is `JSONRPC` or `HTTP+JSON`; URL has the card.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


def plain(value: Any) -> Any:
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


async def mcp(mode: str, url: str, calls: list[tuple[str, dict[str, Any]]]) -> Any:
    from mcp import Client, MCPError, types
    from mcp.client.sse import sse_client

    async def sampled(_context: Any, _params: Any) -> types.CreateMessageResult:
        text = types.TextContent(type="text", text="a short summary")
        return types.CreateMessageResult(role="assistant", content=text, model="none")

    progress: list[Any] = []

    async def told(done: float, total: float | None, message: str | None) -> None:
        progress.append([done, total, message])

    async def asked(what: Any) -> Any:
        try:
            return plain(await what)
        except MCPError as error:
            return {"error": error.error.code, "data": error.error.data}

    server = sse_client(url) if mode == "sse" else url
    how = {} if mode == "auto" else {"mode": "legacy"}
    async with Client(server, sampling_callback=sampled, **how) as client:
        said: dict[str, Any] = {"revision": client.protocol_version}
        said["tools"] = [tool["name"] for tool in plain(await client.list_tools())["tools"]]
        said["resources"] = await asked(client.list_resources())
        for resource in said["resources"].get("resources", []):
            said[f"read {resource['uri']}"] = await asked(client.read_resource(resource["uri"]))
        said["prompts"] = await asked(client.list_prompts())
        said["calls"] = [
            await asked(client.call_tool(tool, given, progress_callback=told))
            for tool, given in calls
        ]
    return said | {"progress": progress}


async def a2a(binding: str, url: str, texts: list[str]) -> Any:
    from a2a.client import ClientConfig, ClientFactory
    from a2a.client.errors import A2AClientError
    from a2a.helpers.proto_helpers import new_text_message
    from a2a.types import Role, SendMessageRequest
    from google.protobuf.json_format import MessageToDict

    said = []
    for streaming in (False, True):
        config = ClientConfig(streaming=streaming, supported_protocol_bindings=[binding])
        client = await ClientFactory(config).create_from_url(url)
        for text in texts:
            message = new_text_message(text, role=Role.ROLE_USER)
            try:
                events = client.send_message(SendMessageRequest(message=message))
                said.append([MessageToDict(event) async for event in events])
            except A2AClientError as error:
                said.append([{"error": str(error)}])
        await client.close()
    return said


async def main(jobs: list[list[Any]]) -> list[Any]:
    return [
        await (mcp if what == "mcp" else a2a)(how, url, given) for what, how, url, given in jobs
    ]


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
