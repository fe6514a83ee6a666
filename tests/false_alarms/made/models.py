"""Traffic with language models: the bulk of what an agent sends, with its own key at home."""

from __future__ import annotations

import json
import random
from typing import Any

from interceptor.scan.ruleset import example
from tests.bench.scanning.texts import code, prose
from tests.false_alarms.drawing import ALNUM, b64, guid, hexa, text, url64, when
from tests.false_alarms.items import Item
from tests.false_alarms.made import documents, lockfiles

_JSON = ("Content-Type", "application/json")


def _key(draw: random.Random, *parts: str) -> str:
    return example(parts, str(draw.random())).decode()


def _talk(draw: random.Random, turns: int) -> list[str]:
    """What is said and shown in a session: prose, code, documents with placeholders, outputs."""
    said = []
    for _ in range(turns):
        kind = draw.random()
        if kind < 0.35:
            said.append(prose(draw, draw.randint(100, 900)).decode())
        elif kind < 0.6:
            said.append(f"```\n{code(draw, draw.randint(200, 2500)).decode()}\n```")
        elif kind < 0.85:
            said.append(documents.document(draw))
        elif kind < 0.95:
            said.append(documents.output(draw))
        else:
            said.append(lockfiles.content(draw))
    return said


def _chat(draw: random.Random, number: int) -> Item:
    messages: list[dict[str, Any]] = [{"role": "system", "content": prose(draw, 1500).decode()}]
    for said in _talk(draw, draw.randint(2, 16)):
        if draw.random() < 0.4:
            call = f"call_{text(draw, ALNUM, 24)}"
            arguments = json.dumps({"path": "src/app.py", "content": said})
            function = {"name": "write_file", "arguments": arguments}
            messages.append(
                {
                    "role": "assistant",
                    "tool_calls": [{"id": call, "type": "function", "function": function}],
                }
            )
            messages.append({"role": "tool", "tool_call_id": call, "content": "ok"})
        else:
            messages.append({"role": draw.choice(("user", "assistant")), "content": said})
    body = {
        "model": "gpt-5",
        "messages": messages,
        "stream": True,
        "seed": draw.getrandbits(31),
        "user": guid(draw),
    }
    key = _key(draw, "sk", "-proj-", "{url64:74}", "T3Blbk", "FJ", "{url64:74}")
    fields = (
        ("Authorization", f"Bearer {key}"),
        _JSON,
        ("OpenAI-Organization", f"org-{text(draw, ALNUM, 24)}"),
    )
    return Item(
        f"model/chat-{number}",
        "api.openai.com",
        "/v1/chat/completions",
        "POST",
        fields,
        json.dumps(body).encode(),
    )


def _responses(draw: random.Random, number: int) -> Item:
    items: list[dict[str, Any]] = []
    for said in _talk(draw, draw.randint(2, 10)):
        items.append(
            {
                "type": "reasoning",
                "id": f"rs_{hexa(draw, 48)}",
                "summary": [],
                "encrypted_content": "gAAAAA" + url64(draw, 900),
            }
        )
        items.append(
            {
                "type": "message",
                "id": f"msg_{hexa(draw, 48)}",
                "role": "assistant",
                "content": [{"type": "output_text", "text": said}],
            }
        )
        call = {
            "type": "function_call",
            "id": f"fc_{hexa(draw, 48)}",
            "call_id": f"call_{text(draw, ALNUM, 24)}",
        }
        items.append(
            {
                **call,
                "name": "shell",
                "arguments": json.dumps({"command": ["bash", "-lc", "git status"]}),
            }
        )
    body = {
        "model": "gpt-5",
        "input": items,
        "store": False,
        "prompt_cache_key": guid(draw),
        "include": ["reasoning.encrypted_content"],
    }
    key = _key(draw, "sk", "-proj-", "{url64:74}", "T3Blbk", "FJ", "{url64:74}")
    return Item(
        f"model/responses-{number}",
        "api.openai.com",
        "/v1/responses",
        "POST",
        (("Authorization", f"Bearer {key}"), _JSON),
        json.dumps(body, ensure_ascii=False).encode(),
    )


def _messages(draw: random.Random, number: int) -> Item:
    messages: list[dict[str, Any]] = []
    for said in _talk(draw, draw.randint(2, 16)):
        use = f"toolu_01{text(draw, ALNUM, 22)}"
        thought = {
            "type": "thinking",
            "thinking": prose(draw, 300).decode(),
            "signature": "ErUB" + b64(draw, 300),
        }
        call = {
            "type": "tool_use",
            "id": use,
            "name": "read_file",
            "input": {"path": "docs/setup.md"},
        }
        messages.append({"role": "assistant", "content": [thought, call]})
        result: dict[str, Any] = {"type": "tool_result", "tool_use_id": use, "content": said}
        if draw.random() < 0.2:
            image = {
                "type": "base64",
                "media_type": "image/png",
                "data": "iVBORw0KGgo" + b64(draw, 4000),
            }
            result["content"] = [{"type": "image", "source": image}]
        messages.append({"role": "user", "content": [result]})
    body = {
        "model": "claude-opus-4-5",
        "max_tokens": 8192,
        "messages": messages,
        "metadata": {"user_id": f"user_{hexa(draw, 64)}_account_{guid(draw)}_session_{guid(draw)}"},
    }
    if number % 2:
        key = _key(draw, "sk", "-ant-", "api03-", "{url64:93}", "AA")
        fields: tuple[tuple[str, str], ...] = (
            ("x-api-key", key),
            ("anthropic-version", "2023-06-01"),
            _JSON,
        )
    else:
        key = _key(draw, "sk", "-ant-", "oat01-", "{url64:93}", "AA")
        fields = (("Authorization", f"Bearer {key}"), ("anthropic-beta", "oauth-2025-04-20"), _JSON)
    return Item(
        f"model/messages-{number}",
        "api.anthropic.com",
        "/v1/messages",
        "POST",
        fields,
        json.dumps(body, ensure_ascii=number % 3 == 0).encode(),
    )


def _generate(draw: random.Random, number: int) -> Item:
    contents = [
        {
            "role": "user",
            "parts": [
                {"text": said},
                {
                    "inlineData": {
                        "mimeType": "image/jpeg",
                        "data": "/9j/4AAQSkZJRg" + b64(draw, 900),
                    }
                },
            ],
        }
        for said in _talk(draw, 3)
    ]
    body = {
        "contents": contents,
        "thoughtSignature": b64(draw, 200),
        "generationConfig": {"temperature": 0.2},
    }
    key = _key(draw, "AI", "zaSy", "{url64:33}")
    where = "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
    fields: tuple[tuple[str, str], ...] = (("x-goog-api-key", key), _JSON)
    if number % 2:
        where, fields = f"{where}&key={key}", (_JSON,)
    return Item(
        f"model/generate-{number}",
        "generativelanguage.googleapis.com",
        where,
        "POST",
        fields,
        json.dumps(body).encode(),
    )


def _embeddings(draw: random.Random, number: int) -> Item:
    """Vectors on their way to a store of the agent's own: thousands of long decimals."""
    vectors = [
        {
            "id": guid(draw),
            "values": [draw.uniform(-1, 1) for _ in range(384)],
            "metadata": {"page": n, "at": when(draw)},
        }
        for n in range(4)
    ]
    return Item(
        f"model/vectors-{number}",
        "vectors.example.com",
        "/vectors/upsert",
        "POST",
        (_JSON, ("Api-Key", guid(draw))),
        json.dumps({"vectors": vectors}).encode(),
    )


def _local(draw: random.Random, number: int) -> Item:
    """A gateway of one's own, with a key that says nothing to anyone."""
    messages = [{"role": "user", "content": said} for said in _talk(draw, 4)]
    fields = (("Authorization", f"Bearer {hexa(draw, 48)}"), _JSON)
    return Item(
        f"model/gateway-{number}",
        "llm-gateway.example.com",
        "/v1/chat/completions",
        "POST",
        fields,
        json.dumps({"model": "m", "messages": messages}).encode(),
    )


def _tools(draw: random.Random, number: int) -> Item:
    """MCP over HTTP: a tool call with a document for its argument."""
    arguments = {"title": "Setup", "text": documents.document(draw), "cursor": b64(draw, 60)}
    call = {
        "jsonrpc": "2.0",
        "id": number,
        "method": "tools/call",
        "params": {
            "name": "create_page",
            "arguments": arguments,
            "_meta": {"progressToken": guid(draw)},
        },
    }
    fields = (_JSON, ("Mcp-Session-Id", guid(draw)), ("Authorization", f"Bearer {url64(draw, 32)}"))
    return Item(
        f"model/mcp-{number}", "mcp.example.com", "/mcp", "POST", fields, json.dumps(call).encode()
    )


_MAKERS = (_chat, _responses, _messages, _generate, _embeddings, _local, _tools)


def model(draw: random.Random, number: int) -> Item:
    """A request to a language model or to what works with one."""
    return _MAKERS[number % len(_MAKERS)](draw, number)
