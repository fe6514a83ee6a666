"""What streams keeps streaming: events, lines, chunks and tokens arrive when they are sent.

Times are CLOCK_MONOTONIC, which server and client share: an event came in time when it came before
the next one was sent. Each test runs outside the jail too: the positive control.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.agents import need, python, run, secret
from tests.lab.clients import no_environment

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

both_ways = pytest.mark.parametrize("jailed", [False, True], ids=["outside", "jailed"])
_COUNT = 4


@pytest.fixture
def equipped(clean_lab: Lab) -> Iterator[Lab]:
    need(no_environment())
    yield clean_lab
    assert clean_lab.oracle.records() == []


def _assert_in_time(stream: list[list[float]]) -> None:
    """Each event came before the next one was sent."""
    for (_, _, arrived), (_, sent, _) in itertools.pairwise(stream):
        assert arrived < sent


@both_ways
@pytest.mark.parametrize("form", ["sse", "ndjson"])
@pytest.mark.parametrize(
    ("client", "site"),
    [
        ("aiohttp", "api.example.com"),
        ("httpx", "h2.example.com"),
        ("httpx-h2", "h2.example.com"),
        ("httpx-h2", "h2only.example.com"),
    ],
)
def test_events_come_one_by_one(
    equipped: Lab, client: str, site: str, form: str, jailed: bool
) -> None:
    url = f"https://{site}/ticks/{form}?n={_COUNT}&interval=0.3"
    ran = run(equipped, python("event_streams.py", client, url), jailed=jailed)
    (stream,) = ran.json()
    assert [number for number, _, _ in stream] == list(range(_COUNT))
    _assert_in_time(stream)


@both_ways
@pytest.mark.parametrize("url", ["https://api.example.com", "https://h2.example.com"])
def test_single_bytes_come_one_by_one(equipped: Lab, url: str, jailed: bool) -> None:
    """curl -N on a body of one byte a chunk; a reader notes when each came."""
    reader = (
        "import os, time, json\n"
        "seen = []\n"
        "while data := os.read(0, 100): seen.append([data.decode(), time.monotonic()])\n"
        "print(json.dumps(seen))"
    )
    fetch = f"curl -sSN '{url}/trickle?text=trickle&interval=0.1' | /usr/bin/python3 -c '{reader}'"
    seen = run(equipped, ["sh", "-c", fetch], jailed=jailed).json()
    assert [text for text, _ in seen] == list("trickle")
    gaps = [later - sooner for (_, sooner), (_, later) in itertools.pairwise(seen)]
    assert min(gaps) > 0.02  # they did not come at once


@both_ways
def test_two_hundred_streams_at_once(equipped: Lab, jailed: bool) -> None:
    """All progress: no event of any stream waits until its next one is sent."""
    count, streams = 4, 200
    url = f"https://api.example.com/ticks/sse?n={count}&interval=1.5"
    words = python("event_streams.py", "aiohttp", url, str(streams))
    found = run(equipped, words, jailed=jailed, timeout=120).json()
    assert len(found) == streams
    for stream in found:
        assert [number for number, _, _ in stream] == list(range(count))
        _assert_in_time(stream)


SDKS = ["openai-chat", "openai-responses", "anthropic"]


@both_ways
@pytest.mark.parametrize("site", ["llm.example.com", "h2.example.com"])
@pytest.mark.parametrize("sdk", SDKS)
def test_tokens_flow(equipped: Lab, sdk: str, site: str, jailed: bool) -> None:
    prompt = "say these words one by one"
    words = python("language_model.py", sdk, f"https://{site}", prompt)
    ran = run(equipped, words, jailed=jailed)
    found = ran.json()
    assert "error" not in found, (found, ran.errors, ran.blocks())
    told = [text.partition("@")[0] for text, _ in found["deltas"]]
    assert told == prompt.split()
    sent = [float(text.partition("@")[2]) for text, _ in found["deltas"]]
    arrived = [when for _, when in found["deltas"]]
    for number in range(len(told) - 2):  # on a busy machine one of them may be a little late
        assert arrived[number] < sent[number + 2]
    prompt_ones = sum(arrived[number] < sent[number + 1] for number in range(len(told) - 1))
    assert prompt_ones > len(told) // 2
    assert found["whole"] == prompt
    asked = [
        request.field("authorization") or request.field("x-api-key") for request in _v1(equipped)
    ]
    assert asked in (["Bearer lab-key"] * 2, ["lab-key"] * 2)


@both_ways
@pytest.mark.parametrize("sdk", SDKS)
def test_secret_in_a_prompt(equipped: Lab, sdk: str, jailed: bool) -> None:
    prompt = f"my key is {secret()} please keep it"
    words = python("language_model.py", sdk, "https://llm.example.com", prompt)
    ran = run(equipped, words, jailed=jailed)
    found = ran.json()
    if not jailed:
        assert secret() in json.dumps(found["deltas"])
        assert secret().encode() in _v1(equipped)[0].body
        return
    assert found["status"] == 403, (found, ran.errors)
    assert "egressguard" in found["message"]
    assert "secret" in found["message"]
    assert equipped.requests() == []
    assert {event["reason"] for event in ran.blocks()} == {"secret"}
    assert secret() not in json.dumps(ran.evidence) + found["message"]


def _v1(lab: Lab) -> list[Any]:
    return [request for request in lab.requests() if request.target.startswith("/v1/")]
