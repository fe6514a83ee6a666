"""HTTP/2 with real clients: each side may speak another version than the other one does.

Each test runs outside the jail too: the positive control.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.agents import Ran, need, node, python, run, secret
from tests.lab.clients import no_environment

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

both_ways = pytest.mark.parametrize("jailed", [False, True], ids=["outside", "jailed"])


def _curl(option: str) -> Callable[[dict[str, Any]], list[str]]:
    def words(plan: dict[str, Any]) -> list[str]:
        (request,) = plan["requests"]
        argv = ["curl", "-sS", option, "-X", request.get("method", "GET")]
        for name, value in request.get("headers", {}).items():
            argv += ["-H", f"{name}: {value}"]
        if "body" in request:
            argv += ["--data-binary", request["body"]]
        shown = '\n{"status": %{http_code}, "version": "%{http_version}"}'
        return [*argv, "-w", shown, request["url"]]

    return words


CLIENTS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "curl-http2": _curl("--http2"),
    "curl-http1.1": _curl("--http1.1"),
    "curl-prior-knowledge": _curl("--http2-prior-knowledge"),
    "httpx": lambda plan: python("http_requests.py", "httpx", plan),
    "httpx-h2": lambda plan: python("http_requests.py", "httpx-h2", plan),
    "aiohttp": lambda plan: python("http_requests.py", "aiohttp", plan),
    "node-http2": lambda plan: node("http_requests.cjs", "node-http2", plan),
    "undici": lambda plan: node("http_requests.cjs", "undici", plan),
}
ONLY_HTTP1 = ("curl-http1.1", "aiohttp")
ONLY_HTTP2 = ("httpx-h2", "node-http2")
SITES = {"api.example.com": "HTTP/1.1", "h2.example.com": "", "h2only.example.com": "HTTP/2"}
"""Name of a site -> the only version it speaks, or empty for both."""


@pytest.fixture(autouse=True)
def _equipped() -> None:
    need(no_environment())


def _answers(name: str, ran: Ran) -> list[dict[str, Any]]:
    """What the client printed, curl's brought into the others' form."""
    if not name.startswith("curl"):
        found: list[dict[str, Any]] = ran.json()
        return found
    if ran.returncode:
        return [{"error": ran.errors}]
    text, _, shown = ran.text.rpartition("\n")
    return [{"text": text, **json.loads(shown)}]


def _need_understanding(client: str, site: str, jailed: bool) -> None:
    """Outside the jail nobody translates. Call it before the client runs."""
    apart = (client in ONLY_HTTP1 and SITES[site] == "HTTP/2") or (
        client in ONLY_HTTP2 and SITES[site] == "HTTP/1.1"
    )
    if apart and not jailed:
        pytest.skip("client and server have no version in common")


@both_ways
@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("client", CLIENTS)
def test_get(clean_lab: Lab, client: str, site: str, jailed: bool) -> None:
    _need_understanding(client, site, jailed)
    plan = {"requests": [{"url": f"https://{site}/get?a=1", "headers": {"X-Note": "honest"}}]}
    ran = run(clean_lab, CLIENTS[client](plan), jailed=jailed)
    (answer,) = _answers(client, ran)
    assert answer.get("status") == 200, (answer, ran.errors, ran.blocks())
    seen = json.loads(answer["text"])
    assert (seen["host"].partition(":")[0], seen["target"]) == (site, "/get?a=1")
    assert ["x-note", "honest"] in seen["fields"]
    (request,) = clean_lab.requests()
    assert request.version == seen["version"]
    assert SITES[site] in ("", seen["version"])
    if client in ONLY_HTTP2:
        assert answer["version"] in ("HTTP/2", "2")
    assert clean_lab.oracle.records() == []


@both_ways
@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("client", ["httpx-h2", "node-http2", "undici", "aiohttp"])
def test_large_bodies_both_ways(clean_lab: Lab, client: str, site: str, jailed: bool) -> None:
    size = 3_000_001
    up = {"url": f"https://{site}/echo", "method": "POST", "fill": size}
    down = {"url": f"https://{site}/bytes/{size}"}
    _need_understanding(client, site, jailed)
    ran = run(clean_lab, CLIENTS[client]({"requests": [up, down]}), jailed=jailed)
    sent, received = _answers(client, ran)
    told = json.loads(sent["text"])
    assert told["size"] == size
    assert told["sha256"] == hashlib.sha256(bytes(size)).hexdigest()
    expected = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    assert received["size"] == size
    assert received["sha256"] == hashlib.sha256(expected).hexdigest()


PLACES: dict[str, dict[str, Any]] = {
    "query": {"url": "https://SITE/get?note=SECRET"},
    "header": {"url": "https://SITE/get", "headers": {"X-Note": "note=SECRET"}},
    "cookie": {"url": "https://SITE/get", "headers": {"Cookie": "a=b; note=SECRET"}},
    "body": {"url": "https://SITE/echo", "method": "POST", "body": "note=SECRET"},
}


@both_ways
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("site", ["api.example.com", "h2only.example.com"])
@pytest.mark.parametrize("client", ["curl-prior-knowledge", "httpx-h2", "node-http2", "undici"])
def test_secret(clean_lab: Lab, client: str, site: str, place: str, jailed: bool) -> None:
    text = json.dumps(PLACES[place]).replace("SITE", site).replace("SECRET", secret())
    _need_understanding(client, site, jailed)
    ran = run(clean_lab, CLIENTS[client]({"requests": [json.loads(text)]}), jailed=jailed)
    (answer,) = _answers(client, ran)
    if not jailed:
        assert answer["status"] == 200
        assert len(clean_lab.requests()) == 1
        return
    assert answer.get("status") == 403, (answer, ran.errors)
    assert json.loads(answer["text"])["reason"] == "secret"
    assert clean_lab.requests() == []
    assert clean_lab.oracle.records() == []
    assert [event["reason"] for event in ran.blocks()] == ["secret"]
    assert secret() not in json.dumps(ran.evidence)


@both_ways
@pytest.mark.parametrize("site", ["api.example.com", "h2only.example.com"])
@pytest.mark.parametrize("client", ["node-http2", "httpx-h2"])
def test_many_streams_one_of_them_bad(clean_lab: Lab, client: str, site: str, jailed: bool) -> None:
    """One refused stream takes nothing from the other forty-nine on its connection."""
    _need_understanding(client, site, jailed)
    requests = [
        {"url": f"https://{site}/echo", "method": "POST", "body": f"note={number}", "fill": 9000}
        for number in range(50)
    ]
    requests[17]["body"] = f"note={secret()}"
    plan = {"requests": requests, "parallel": True}
    ran = run(clean_lab, CLIENTS[client](plan), jailed=jailed)
    answers = ran.json()
    statuses = [answer.get("status", answer.get("error")) for answer in answers]
    expected = [200] * 50
    if jailed:
        expected[17] = 403
    assert statuses == expected
    assert len(clean_lab.requests()) == 50 - jailed
    assert not any(secret().encode() in request.body for request in clean_lab.requests()) or (
        not jailed
    )


@both_ways
@pytest.mark.parametrize("site", SITES)
def test_trailers(clean_lab: Lab, site: str, jailed: bool) -> None:
    plan = {"requests": [{"url": f"https://{site}/trailers"}]}
    _need_understanding("node-http2", site, jailed)
    (answer,) = run(clean_lab, CLIENTS["node-http2"](plan), jailed=jailed).json()
    assert answer["text"] == "with trailers\n"
    assert answer["trailers"] == {"x-checksum": "42"}


@both_ways
@pytest.mark.parametrize("client", ["curl-prior-knowledge", "node-http2"])
def test_in_clear(clean_lab: Lab, client: str, jailed: bool) -> None:
    """h2c with prior knowledge (RFC 9113 section 3.3)."""
    plan = {"requests": [{"url": "http://h2.example.com/get"}]}
    ran = run(clean_lab, CLIENTS[client](plan), jailed=jailed)
    (answer,) = _answers(client, ran)
    assert answer.get("status") == 200, (answer, ran.blocks())
    assert json.loads(answer["text"])["host"].partition(":")[0] == "h2.example.com"


@pytest.mark.parametrize("client", ["curl-http2", "node-http2"])
def test_another_authority_is_misdirected(clean_lab: Lab, client: str) -> None:
    """A stream for another name than the connection's gets 421, and goes nowhere."""
    words = CLIENTS[client](
        {"requests": [{"url": "https://h2.example.com/get", "headers": _other_name(client)}]}
    )
    assert _answers(client, run(clean_lab, words, jailed=False))[0]["status"] == 200
    clean_lab.clear()
    ran = run(clean_lab, words, jailed=True)
    (answer,) = _answers(client, ran)
    assert answer["status"] in (403, 421), answer
    assert {event["reason"] for event in ran.blocks()} == {"name_mismatch"}
    assert clean_lab.requests() == []


def _other_name(client: str) -> dict[str, str]:
    name = ":authority" if client == "node-http2" else "Host"
    return {name: "attacker.example"}
