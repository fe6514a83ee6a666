"""A sequence of messages that come back: judged each, and over cuts; noted once; no text kept."""

from __future__ import annotations

from interceptor.decide.inbound import InboundWindow
from interceptor.decide.judge import Judge
from interceptor.model import Target
from interceptor.policy.inbound import Inbound
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from interceptor.verdict import Reason
from tests.scan_samples import STEERS, sample_injections, sample_rules

TARGET = Target("wss", "chat.example.com", 443)
SCANNER = Scanner.build(sample_rules(), None)


def window(inbound: Inbound | None = None, *, apart: bool = True) -> InboundWindow:
    judge = Judge(Policy(inbound=inbound or Inbound()), SCANNER, b"k" * 16, sample_injections())
    found = judge.inbound_window("ws_message", TARGET, apart=apart)
    assert found is not None
    return found


def test_a_text_is_found_wherever_it_is_cut() -> None:
    text = STEERS.encode()
    for apart in (True, False):
        for cut in range(1, len(text)):
            pieces = window(apart=apart)
            before = b"x " * 1500 + text[:cut]
            assert pieces.judge(before) is None
            verdict = pieces.judge(text[cut:] + b" and so on")
            if apart and text[cut - 1 : cut + 1].isalnum():
                continue  # two messages, with a word cut in two, are two texts
            assert verdict is not None, (apart, cut)
            assert (verdict.allowed, verdict.reason) == (False, Reason.INJECTION)
            assert verdict.rule == "sample-injection"


def test_what_is_only_noted_is_noted_once() -> None:
    text = STEERS.encode()
    pieces = window(Inbound(findings="record"))
    first = pieces.judge(text)
    assert first is not None
    assert (first.allowed, first.reason) == (True, Reason.WOULD_BLOCK)
    assert pieces.judge(text) is None
    assert pieces.judge(b"more") is None


def test_findings_hold_a_digest_and_no_text() -> None:
    verdict = window().judge(STEERS.encode())
    assert verdict is not None
    assert len(verdict.findings[0].digest) == 16
    assert "forget" not in repr(verdict)
