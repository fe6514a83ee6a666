"""The MCP and A2A cases through the jail over HTTP: a client, and a server that answers as it says.

`block` means all three: what is wrong reached nobody, the client got an explicit refusal in the
protocol's own terms, and an event says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.benchmark.cases import Case
from tests.benchmark.drive import Outcome
from tests.benchmark.swap import Swapped
from tests.lab import Lab, daemons
from tests.lab.host_files import BUNDLE
from tests.lab.world import DEV_WORK, STATE

_PLACE = "https://mcp.example.com/scripted"
_CURL = "curl -sS --max-time 15 -w '\\n'"
_POST = (
    f"{_CURL} -H 'Content-Type: application/json' "
    "-H 'Accept: application/json, text/event-stream' --data-binary @"
)
_REFUSED = -32080


class Talker:
    """Drives conversations in a lab."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._server = daemons.mcp(lab)
        self._arrived: set[str] = set()

    def arrive(self, cases: Sequence[Case]) -> None:
        """Have all of them without the jail, in one go: the positive control of `drive`."""
        script = "".join(self._prepare(case)[0] for case in cases)
        self._server.clear()
        self._lab.run(["sh", "-c", script], user="dev", env={"CURL_CA_BUNDLE": BUNDLE})
        seen = self._server.records()
        self._arrived = {str(one.get("scripted", one.get("card"))) for one in seen}

    def drive(self, case: Case) -> Outcome:
        """Have one conversation in the jail."""
        script, said, answers = self._prepare(case)
        self._server.clear()
        self._lab.forget_pins()
        done = self._lab.jail(["sh", "-c", script])
        told = [json.loads(line) for line in done.text.splitlines() if line]
        heard = [one.get("message") for one in self._server.records() if "message" in one]
        blocks = [e for e in done.events() if e["event"] == "decision" and e["action"] == "block"]
        refused = any(map(_refuses, told)) or any(map(_strips, told, answers))
        passed = heard == said and told == answers
        reason = str(blocks[0]["reason"]) if blocks else ""
        rule = str(blocks[0].get("rule", "")) if blocks else ""
        verdict = f"error: {len(blocks)} events, {told}"
        if blocks and refused and not passed:
            verdict = "block"
        elif passed and not blocks:
            verdict = "allow"
        return Outcome(case, verdict, reason, rule, case.id in self._arrived)

    def _prepare(self, case: Case) -> tuple[str, list[Any], list[Any]]:
        """Write a case's files; return the client's script, what it says, what the server says."""
        payload = Swapped(case.payload, case.id).payload
        folder, scripts = self._lab.path(DEV_WORK), self._lab.path(f"{STATE}/scripts")
        scripts.mkdir(exist_ok=True)
        if "agent_card" in payload:
            card = payload["agent_card"]
            (scripts / case.id).write_text(json.dumps({"card": card}), "utf-8")
            return f"{_CURL} {_PLACE}/{case.id}/.well-known/agent-card.json\n", [], [card]
        lines: list[str] = []
        said, answers = [], []
        script: dict[str, Any] = {}
        for number, message in enumerate(payload["jsonrpc_messages"]):
            asked = message if "method" in message else _asked(message)
            ident = asked["id"]
            done = {"content": [{"type": "text", "text": "done"}]}
            answer = {"jsonrpc": "2.0", "id": ident, "result": done}
            answer = answer if "method" in message else message
            script[str(ident)] = answer
            said.append(asked)
            answers.append(answer)
            file = f"{case.id}-{number}.json"
            (folder / file).write_text(json.dumps(asked, ensure_ascii=False), "utf-8")
            lines.append(f"{_POST}{DEV_WORK}/{file} {_PLACE}/{case.id}\n")
        (scripts / case.id).write_text(json.dumps(script), "utf-8")
        return "".join(lines), said, answers


def _asked(answer: dict[str, Any]) -> dict[str, Any]:
    """What a client has asked to get this answer."""
    asked = {"jsonrpc": "2.0", "id": answer["id"], "method": "tools/list"}
    if "tools" in answer["result"]:
        return asked
    return asked | {"method": "tools/call", "params": {"name": "lookup", "arguments": {}}}


def _refuses(told: Any) -> bool:
    """An error of ours, or the explanation of a refusal."""
    error = told.get("error")
    if isinstance(error, dict):
        return bool(error.get("code") == _REFUSED and error["data"]["reason"])
    return bool(error == "egressguard" and told["reason"])


def _strips(told: Any, answer: Any) -> bool:
    """A list of tools that lacks one."""
    listed, wanted = (one.get("result", {}).get("tools") for one in (told, answer))
    return isinstance(listed, list) and len(listed) < len(wanted)
