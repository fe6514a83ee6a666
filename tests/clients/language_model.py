"""Streams from a language model with a vendor's SDK: `language_model.py SDK BASE_URL PROMPT`.

SDK is openai-chat, openai-responses or anthropic. Prints JSON: each delta with its time of arrival
(CLOCK_MONOTONIC), and the text of a call without streaming.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

KEY = "lab-key"
Found = dict[str, Any]


def openai_chat(url: str, prompt: str, found: Found) -> None:
    """Chat completions."""
    from openai import OpenAI

    client = OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
    asked: Any = [{"role": "user", "content": prompt}]
    stream = client.chat.completions.create(model="lab", messages=asked, stream=True)
    for chunk in stream:
        if text := chunk.choices[0].delta.content:
            found["deltas"].append([text, time.monotonic()])
    whole = client.chat.completions.create(model="lab", messages=asked)
    found["whole"] = whole.choices[0].message.content


def openai_responses(url: str, prompt: str, found: Found) -> None:
    """Responses, with the SDK's own assembly of the stream."""
    from openai import OpenAI

    client = OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
    for event in client.responses.create(model="lab", input=prompt, stream=True):
        if event.type == "response.output_text.delta":
            found["deltas"].append([event.delta, time.monotonic()])
    found["whole"] = client.responses.create(model="lab", input=prompt).output_text


def anthropic(url: str, prompt: str, found: Found) -> None:
    """Messages, with the SDK's stream helper."""
    from anthropic import Anthropic

    client = Anthropic(base_url=url, api_key=KEY, max_retries=0)
    asked: Any = {"model": "lab", "max_tokens": 100}
    asked["messages"] = [{"role": "user", "content": prompt}]
    with client.messages.stream(**asked) as stream:
        for text in stream.text_stream:
            found["deltas"].append([text, time.monotonic()])
    found["whole"] = client.messages.create(**asked).content[0].text


def main() -> None:
    """Stream and print."""
    sdk, url, prompt = sys.argv[1:]
    found: Found = {"deltas": []}
    talk = {
        "openai-chat": openai_chat,
        "openai-responses": openai_responses,
        "anthropic": anthropic,
    }[sdk]
    try:
        talk(url, prompt, found)
    except Exception as error:  # noqa: BLE001  # each SDK has its own
        found["error"] = type(error).__name__
        found["status"] = getattr(error, "status_code", None)
        answer = getattr(error, "response", None)
        found["message"] = str(error) if answer is None else answer.text
    print(json.dumps(found))


if __name__ == "__main__":
    main()
