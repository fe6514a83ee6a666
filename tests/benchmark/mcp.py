"""The benchmark's MCP and A2A cases through the pure core: `python -m tests.benchmark.mcp`.

Dev only. Each case is driven with its hosts and secrets swapped, and shown as it lies there: its
sample key is one that vendors print, which is no secret. A transport is not part of it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from interceptor.decide.a2a import A2aConversation, judge_card
from interceptor.decide.judge import Judge
from interceptor.decide.mcp.conversation import Conversation, Ruling
from interceptor.decide.mcp.pins import PinBook
from interceptor.model import Target
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.scan.ruleset import load_rules
from tests.benchmark.cases import Case, load
from tests.benchmark.swap import Swapped


def main() -> int:
    """Drive all of them and print a table; 1 where one is decided wrongly."""
    cache = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    scanner, inbound = Scanner.build(load_rules(), cache), InjectionScanner.build(cache)
    wrong = 0
    for case in load():
        if not case.input_type.startswith(("mcp_", "a2a_")):
            continue
        for kind, payload in (
            ("as is", case.payload),
            ("swapped", Swapped(case.payload, case.id, shape=False).payload),
        ):
            judge = Judge(Policy(), scanner, b"k" * 16, inbound)
            found = _drive(case, payload, judge)
            right = (found != "") == case.blocks
            wrong += not right and kind == "swapped"
            mark = "" if right else "  <--"
            print(f"{case.id:<40}{kind:<9}{case.expected_verdict:<7}{found}{mark}")
    print(f"{wrong} wrong")
    return 1 if wrong else 0


def _drive(case: Case, payload: dict[str, Any], judge: Judge) -> str:
    """Return the reason of the first refusal."""
    if case.input_type == "a2a_agent_card":
        verdict = judge_card(
            judge, Target("https", "agent.example", 443), payload["agent_card"], PinBook(), 0.0
        )
        return "" if verdict is None or verdict.allowed else f"{verdict.reason} {verdict.rule}"
    if case.input_type.startswith("a2a"):
        target = Target("https", "agent.example", 443)
        one: Any = A2aConversation(judge, target, server="agent.example", pins=PinBook())
    else:
        one = Conversation(judge, Target("stdio", "tool", 0), server="tool", pins=PinBook())
    for at, message in enumerate(payload["jsonrpc_messages"]):
        data = json.dumps(message, ensure_ascii=False).encode()
        if "method" in message:
            ruling = one.from_client(data, float(at))
            if not _refused(ruling):
                done = {"jsonrpc": "2.0", "id": message["id"], "result": {"content": []}}
                one.from_server(json.dumps(done).encode(), float(at))
        else:
            listed = "tools" in message["result"]
            asked = {"jsonrpc": "2.0", "id": message["id"], "method": "tools/list"}
            call = {"method": "tools/call", "params": {"name": "lookup", "arguments": {}}}
            one.from_client(json.dumps(asked if listed else asked | call).encode(), float(at))
            ruling = one.from_server(data, float(at))
        if _refused(ruling):
            return f"{ruling.verdict.reason} {ruling.verdict.rule}" if ruling.verdict else "?"
    return ""


def _refused(ruling: Ruling) -> bool:
    return ruling.verdict is not None and not ruling.verdict.allowed


if __name__ == "__main__":
    sys.exit(main())
