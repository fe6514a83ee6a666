"""Messages before the judge: homes, tuning and presets, as for bodies."""

from __future__ import annotations

import base64
from collections.abc import Callable

import msgspec

from interceptor.decide.judge import Judge
from interceptor.model import Target
from interceptor.policy.loading import load
from interceptor.policy.schema import Limits, Policy, RuleAt, RuleTuning
from interceptor.scan.ruleset import example
from interceptor.verdict import Action, Reason

JudgeOf = Callable[[Policy], Judge]
ANTHROPIC = example(["sk", "-ant-", "ort01-", "{url64:93}", "AA"], "message")
GITHUB = example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "message")
CHAT = Target("https", "chat.example.com", 443, "GET", "/socket")


def test_a_secret_blocks_and_says_where(judge: Judge) -> None:
    window = judge.message_window(CHAT, "ws_message")
    assert window.judge(b'{"type":"hello"}') is None
    verdict = window.judge(b'{"token":"' + GITHUB + b'"}')
    assert verdict is not None
    assert (verdict.action, verdict.reason) == (Action.BLOCK, Reason.SECRET)
    assert verdict.findings[0].where == "ws_message"
    assert verdict.detail.endswith("in ws_message")
    assert GITHUB.decode() not in repr(verdict)


def test_what_is_at_home_in_a_body_is_at_home_in_a_message(judge: Judge) -> None:
    window = judge.message_window(Target("https", "api.anthropic.com", 443), "ws_message")
    verdict = window.judge(ANTHROPIC)
    assert verdict is not None
    assert verdict.action is Action.ALLOW
    assert [finding.home for finding in verdict.findings] == [True]
    assert window.judge(b"and on") is None
    away = judge.message_window(CHAT, "ws_message").judge(ANTHROPIC)
    assert away is not None
    assert not away.allowed


def test_a_warning_and_the_audit_preset_let_pass_and_record(judge_of: JudgeOf) -> None:
    tuned = Policy(rules=RuleTuning(warn=(RuleAt(rule="github-token"),)))
    for policy in (tuned, load(None, "audit")):
        window = judge_of(policy).message_window(CHAT, "ws_message")
        verdict = window.judge(GITHUB)
        assert verdict is not None
        assert (verdict.action, verdict.reason) == (Action.ALLOW, Reason.WOULD_BLOCK)
        assert window.judge(GITHUB) is None


def test_unreadable_is_blocked_even_in_audit(judge_of: JudgeOf) -> None:
    policy = msgspec.structs.replace(load(None, "audit"), limits=Limits(decoded_bytes=100))
    window = judge_of(policy).message_window(CHAT, "ws_message")
    verdict = window.judge(base64.b64encode(b"harmless words, many of them " * 50))
    assert verdict is not None
    assert verdict.reason is Reason.INCOMPLETE
