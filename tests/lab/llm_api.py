"""A language model that repeats what it is told, word by word, in two vendors' wire formats.

`/v1/chat/completions` and `/v1/responses` answer as OpenAI's API does, `/v1/messages` as
Anthropic's: whole, or as server-sent events when the request says `"stream": true`. Only what their
SDKs need is there. Every delta carries the time it was sent, CLOCK_MONOTONIC in seconds, as its
text: `word@12345.678 `.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.lab.web_server import Exchange

PACE = 0.25
"""Seconds between two words."""
_EVENTS = [("Content-Type", "text/event-stream; charset=utf-8"), ("Cache-Control", "no-cache")]


async def answer(exchange: Exchange) -> None:
    """Answer one call."""
    await exchange.read_all()
    try:
        asked = json.loads(exchange.request.body)
        call = _CALLS[exchange.path]
    except (KeyError, ValueError):
        await exchange.reply(b'{"error": {"message": "no such call"}}', _JSON, 404)
        return
    events, whole = call
    if not asked.get("stream"):
        text = " ".join(_words(asked))
        await exchange.reply(json.dumps(whole(text)).encode(), _JSON)
        return
    exchange.stream(_EVENTS)
    async for name, data in events(_words(asked)):
        head = f"event: {name}\n" if name else ""
        text = data if isinstance(data, str) else json.dumps(data)
        await exchange.piece(f"{head}data: {text}\n\n".encode())
    await exchange.end()


_JSON = "application/json"
_Events = AsyncIterator[tuple[str, Any]]


def _words(asked: dict[str, Any]) -> list[str]:
    """Words of the last thing the user said."""
    said = asked.get("input") or asked.get("messages") or ""
    if isinstance(said, list):
        said = said[-1]["content"]
    if isinstance(said, list):
        said = " ".join(part.get("text", "") for part in said)
    return str(said).split()


async def _paced(words: list[str]) -> AsyncIterator[str]:
    for number, word in enumerate(words):
        if number:
            await asyncio.sleep(PACE)
        yield f"{word}@{time.monotonic():.6f} "


# Chat completions

_CHAT = {"id": "chatcmpl-lab", "created": 1, "model": "lab"}


async def _chat_events(words: list[str]) -> _Events:
    def chunk(delta: dict[str, str], finish: str | None = None) -> tuple[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return "", {**_CHAT, "object": "chat.completion.chunk", "choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    async for word in _paced(words):
        yield chunk({"content": word})
    yield chunk({}, "stop")
    yield "", "[DONE]"


def _chat_whole(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {**_CHAT, "object": "chat.completion", "choices": [choice]}


# Responses


def _response(status: str, text: str | None = None) -> dict[str, Any]:
    output = [] if text is None else [_item("completed", text)]
    return {
        "id": "resp_lab",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": "lab",
        "output": output,
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
    }


def _item(status: str, text: str | None = None) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": []}
    content = [] if text is None else [part]
    own = {"id": "msg_lab", "type": "message", "role": "assistant"}
    return {**own, "status": status, "content": content}


async def _response_events(words: list[str]) -> _Events:
    place = {"item_id": "msg_lab", "output_index": 0, "content_index": 0}
    number, text = 0, ""

    def event(kind: str, **values: object) -> tuple[str, Any]:
        nonlocal number
        number += 1
        return kind, {"type": kind, "sequence_number": number - 1, **values}

    yield event("response.created", response=_response("in_progress"))
    yield event("response.output_item.added", output_index=0, item=_item("in_progress"))
    part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": []}
    yield event("response.content_part.added", **place, part=part)
    async for word in _paced(words):
        text += word
        yield event("response.output_text.delta", **place, delta=word, logprobs=[])
    yield event("response.output_text.done", **place, text=text, logprobs=[])
    yield event("response.content_part.done", **place, part={**part, "text": text})
    yield event("response.output_item.done", output_index=0, item=_item("completed", text))
    yield event("response.completed", response=_response("completed", text))


# Anthropic's messages


def _message(text: str | None, stop: str | None) -> dict[str, Any]:
    return {
        "id": "msg_lab",
        "type": "message",
        "role": "assistant",
        "model": "lab",
        "content": [] if text is None else [{"type": "text", "text": text}],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


async def _message_events(words: list[str]) -> _Events:
    def event(kind: str, **values: object) -> tuple[str, Any]:
        return kind, {"type": kind, **values}

    yield event("message_start", message=_message(None, None))
    yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    yield event("ping")
    async for word in _paced(words):
        yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
    yield event("content_block_stop", index=0)
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    yield event("message_delta", delta=stop, usage={"output_tokens": len(words)})
    yield event("message_stop")


_CALLS = {
    "/v1/chat/completions": (_chat_events, _chat_whole),
    "/v1/responses": (_response_events, lambda text: _response("completed", text)),
    "/v1/messages": (_message_events, lambda text: _message(text, "end_turn")),
}
