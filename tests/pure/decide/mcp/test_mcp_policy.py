"""Rules of the policy on calls, what may be spent, and what is only recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from interceptor.decide.mcp.conversation import Conversation, Ruling
from interceptor.policy.loading import PolicyError, load
from interceptor.policy.schema import Policy
from interceptor.verdict import Reason
from tests.pure.decide.mcp.conftest import Talk


def policy(**mcp: Any) -> Policy:
    return msgspec.convert({"version": 1, "mcp": mcp}, Policy)


class Caller:
    def __init__(self, conversation: Conversation) -> None:
        self.one = conversation
        self.count = 0
        self.now = 0.0

    def call(self, tool: str, /, result: Any = None, **arguments: Any) -> Ruling:
        self.count += 1
        params = {"name": tool, "arguments": arguments}
        asked = {"jsonrpc": "2.0", "id": self.count, "method": "tools/call", "params": params}
        ruling = self.one.from_client(json.dumps(asked).encode(), self.now)
        if ruling.forward is not None:
            done = {"jsonrpc": "2.0", "id": self.count, "result": result or {"content": []}}
            self.last = self.one.from_server(json.dumps(done).encode(), self.now)
        return ruling

    def reason(self, tool: str, /, **arguments: Any) -> str:
        verdict = self.call(tool, **arguments).verdict
        return "" if verdict is None or verdict.allowed else str(verdict.reason)


def test_rules_by_arguments(talk: Talk) -> None:
    rules = policy(
        tools=[
            {"action": "deny", "tool": "drop_*"},
            {
                "action": "deny",
                "tool": "write_*",
                "unless": [{"argument": "path", "inside": ["/srv/app", "."]}],
                "say": "write below /srv/app",
            },
            {"action": "deny", "when": [{"argument": "options.mode", "in": ["raw", 7]}]},
            {"action": "deny", "when": [{"argument": "limit", "most": -1}]},
            {"action": "deny", "when": [{"argument": "*", "regex": "(?i)drop +table"}]},
            {"action": "deny", "when": [{"argument": "branch", "equals": "main"}]},
            {"action": "deny", "when": [{"argument": "files", "glob": "*.lock"}]},
            {
                "action": "deny",
                "tool": "fetch",
                "unless": [{"argument": "url", "host": ["*.docs.example"]}],
            },
            {"action": "deny", "server": "other"},
        ]
    )
    caller = Caller(talk(policy=rules))
    denied: tuple[tuple[str, dict[str, Any]], ...] = (
        ("drop_all", {}),
        ("write_file", {"path": "/srv/other/a"}),
        ("write_file", {"path": "/srv/app/../other"}),
        ("write_file", {"path": "/srv/application"}),
        ("write_file", {"path": "../a"}),
        ("write_file", {}),
        ("open", {"options": {"mode": "raw"}}),
        ("open", {"options": {"mode": 7}}),
        ("take", {"limit": -2}),
        ("query", {"sql": {"text": "x; DROP  TABLE a"}}),
        ("push", {"branch": "main"}),
        ("edit", {"files": ["a.py", "b.lock"]}),
        ("fetch", {"url": "https://docs.example.org/"}),
    )
    for tool, arguments in denied:
        assert caller.reason(tool, **arguments) == "tool_denied", (tool, arguments)
    allowed: tuple[tuple[str, dict[str, Any]], ...] = (
        ("write_file", {"path": "/srv/app/src/a"}),
        ("write_file", {"path": "src/a"}),
        ("open", {"options": {"mode": "7"}}),
        ("take", {"limit": 2}),
        ("push", {"branch": "mainline"}),
        ("edit", {"files": ["a.py"]}),
        ("fetch", {"url": "https://a.docs.example/x"}),
    )
    for tool, arguments in allowed:
        assert caller.reason(tool, **arguments) == "", (tool, arguments)
    assert Caller(talk("other", rules)).reason("anything") == "tool_denied"


def test_asking_and_approving(talk: Talk) -> None:
    caller = Caller(talk(policy=policy(tools=[{"action": "ask", "tool": "deploy"}])))
    ruling = caller.call("deploy", to="prod")
    assert ruling.verdict is not None
    assert ruling.verdict.reason is Reason.TOOL_UNAPPROVED
    words = ruling.verdict.detail.split()
    pins = caller.one._outgoing._pins
    assert pins.approve(words[-2], words[-1])
    assert caller.reason("deploy", to="test") == "tool_unapproved"
    assert caller.reason("deploy", to="prod") == ""
    assert caller.reason("deploy", to="prod") == "tool_unapproved"  # once


def test_redirecting(talk: Talk) -> None:
    rules = policy(tools=[{"action": "redirect", "tool": "rm", "to": "move_to_bin"}])
    ruling = Caller(talk(policy=rules)).call("rm", path="a")
    assert ruling.forward is not None
    params = json.loads(ruling.forward)["params"]
    assert params == {"name": "move_to_bin", "arguments": {"path": "a"}}
    assert ruling.tool == "move_to_bin"


def test_budgets(talk: Talk) -> None:
    caller = Caller(talk(policy=policy(budgets={"tool_calls": 3})))
    said = [caller.reason("look", n=n) for n in range(5)]
    assert said == ["", "", "", "tool_budget", "tool_budget"]
    assert caller.reason("other") == ""
    caller.now = 61.0
    assert caller.reason("look", n=9) == ""
    caller = Caller(talk(policy=policy(budgets={"repeats": 2})))
    assert [caller.reason("see", n=1) for _ in range(3)] == ["", "", "tool_budget"]
    assert caller.reason("see", n=2) == ""
    caller = Caller(talk(policy=policy(budgets={"retries": 2})))
    for expected in ("", "", "tool_budget"):
        verdict = caller.call("try", {"isError": True, "content": []}).verdict
        assert (str(verdict.reason) if verdict else "") == expected
    caller = Caller(talk("stock", policy(budgets={"argument_bytes": 100})))
    assert [caller.reason("put", text="x" * 60) for _ in range(2)] == ["", "tool_budget"]
    caller = Caller(talk("depot", policy(budgets={"result_bytes": 200})))
    caller.call("get", {"content": [{"type": "text", "text": "words " * 50}]})
    assert caller.last.verdict is not None
    assert caller.last.verdict.reason is Reason.TOOL_BUDGET
    caller = Caller(talk("web", policy(budgets={"hosts": 2})))
    urls = [f"https://h{n}.example/" for n in (1, 2, 1, 3)]
    assert [caller.reason("fetch", url=url) for url in urls] == ["", "", "", "tool_budget"]


def test_what_is_only_recorded(talk: Talk) -> None:
    caller = Caller(talk(policy=policy(commands={"findings": "record"})))
    ruling = caller.call("bash", command="rm -rf /srv/x")
    assert ruling.verdict is not None
    assert ruling.verdict.reason is Reason.WOULD_BLOCK
    assert ruling.forward is not None
    caller = Caller(talk(policy=policy(commands={"exempt": ["destroy-files"]})))
    assert caller.reason("bash", command="rm -rf /srv/x") == ""
    assert caller.reason("bash", command="cat /etc/shadow") == "tool_command"
    caller = Caller(talk(policy=policy(chains={"findings": "off"})))
    assert caller.reason("read_file", path=".env") == ""
    assert caller.reason("fetch", url="https://new.example/") == ""
    audit = msgspec.convert({"version": 1, "findings": "record"}, Policy)
    assert Caller(talk(policy=audit)).reason("bash", command="rm -rf /srv/x") == ""


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("{action: redirect, tool: a}", "belong together"),
        ("{action: deny, when: [{argument: a}]}", "asks for nothing"),
        ("{action: deny, when: [{argument: '', glob: a}]}", "no argument"),
        ("{action: deny, when: [{argument: a, regex: '(?=x)'}]}", "linear time"),
        ("{action: deny, when: [{argument: a, regex: '('}]}", "no regular expression"),
        ("{action: deny, when: [{argument: a, inside: [x]}]}", "no folder"),
        ("{action: deny, when: [{argument: a, host: ['http://x']}]}", "no host pattern"),
        ("{action: deny, tol: a}", "there is no such key"),
    ],
)
def test_what_is_wrong_with_a_policy(tmp_path: Path, rule: str, says: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"version: 1\nmcp:\n  tools:\n    - {rule}\n")
    with pytest.raises(PolicyError, match=says):
        load(file, None)
