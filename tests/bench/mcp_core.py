"""What the judge of MCP takes for a message, without a transport, held against the goals."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from interceptor.decide.judge import Judge
from interceptor.decide.mcp.conversation import Conversation
from interceptor.decide.mcp.pins import PinBook
from interceptor.model import Target
from interceptor.policy.mcp import Budgets, Mcp
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.scan.ruleset import load_rules
from tests.bench.goals import Goal
from tests.lab.programs import ROOT

GOALS: Final = {
    "a result of 1 KB": 20.0,
    "a result of 100 KB": 2_000.0,
    "a list of 500 tools": 20_000.0,
}
"""Microseconds at most, of the quickest."""
_TOOLS: Final = 500
_FREE: Final = Policy(mcp=Mcp(budgets=Budgets(tool_calls=0, server_calls=0, repeats=0)))


def measure(cache: Path, number: int) -> dict[str, float]:
    """Microseconds of each row: the quickest of so many, each a message of its own."""
    scanner, inbound = Scanner.build(load_rules(), cache), InjectionScanner.build(cache)
    judge = Judge(_FREE, scanner, b"k" * 16, inbound)
    found = {}
    for name, size in (("1 KB", 1000), ("100 KB", 100_000)):
        pages = [_page(size, at) for at in range(4)]
        one = Conversation(judge, Target("stdio", "bench", 0), server="bench", pins=PinBook())
        took = [_call(one, at, pages[at % 4]) for at in range(number)]
        found[f"a call of {name}"] = min(said for said, _ in took) * 1e6
        found[f"a result of {name}"] = min(heard for _, heard in took) * 1e6
    lists = []
    for _ in range(10):  # each time a server that was never seen
        one = Conversation(judge, Target("stdio", "bench", 0), server="bench", pins=PinBook())
        one.from_client(_message(1, method="tools/list"), 0.0)
        data = _message(1, result={"tools": list(_tools())})
        begin = time.perf_counter()
        ruling = one.from_server(data, 0.0)
        lists.append(time.perf_counter() - begin)
        assert ruling.forward is data, ruling.verdict
    found["a list of 500 tools"] = min(lists) * 1e6
    return found


def goals(found: dict[str, float]) -> list[Goal]:
    """Hold what was measured against what was promised."""
    return [
        Goal(
            f"judging {name}",
            f"at most {most:,.0f} us",
            f"{found[name]:,.0f} us",
            found[name] <= most,
        )
        for name, most in GOALS.items()
    ]


def table(found: dict[str, float]) -> str:
    """What is shown."""
    return "\n".join(f"{'judging ' + name:30} {value:8,.0f}   us" for name, value in found.items())


def _call(one: Conversation, at: int, text: str) -> tuple[float, float]:
    params = {"name": "write_file", "arguments": {"path": f"notes/{at}.md", "content": text}}
    asked = _message(at, method="tools/call", params=params)
    told = _message(at, result={"content": [{"type": "text", "text": text}]})
    begin = time.perf_counter()
    said = one.from_client(asked, float(at))
    middle = time.perf_counter()
    heard = one.from_server(told, float(at))
    end = time.perf_counter()
    assert said.forward is asked, said.verdict
    assert heard.forward is told, heard.verdict
    return middle - begin, end - middle


def _page(size: int, number: int) -> str:
    """Return prose that people have written: pages of this repository, begun at another place."""
    text = (ROOT / "docs" / "dns.md").read_text("utf-8") + (ROOT / "docs" / "http1.md").read_text(
        "utf-8"
    )
    text = text[number * 997 :] + text[: number * 997]
    return (text * (size // len(text) + 1))[:size]


def _tools() -> Iterator[dict[str, Any]]:
    words = _page(40_000, 0).split()
    for at in range(_TOOLS):
        said = " ".join(words[at * 9 : at * 9 + 36])
        properties = {
            name: {"type": "string", "description": " ".join(words[at : at + 9])}
            for name in ("path", "query", "limit")
        }
        schema = {"type": "object", "properties": properties, "required": ["path"]}
        yield {"name": f"tool_{at}", "description": f"Always {said}", "inputSchema": schema}


def _message(ident: int, **rest: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": ident, **rest}, separators=(",", ":")).encode()
