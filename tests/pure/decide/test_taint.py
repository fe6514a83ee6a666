"""Taint: what an agent may still send after it has received text that steers."""

from __future__ import annotations

import pytest

from interceptor.decide.judge import Judge
from interceptor.decide.sources import Sources
from interceptor.model import Target
from interceptor.policy.inbound import Inbound, InboundSources, Taint
from interceptor.policy.schema import Hosts, Policy, RuleAt, RuleTuning
from interceptor.scan.engine import Scanner
from interceptor.verdict import Action, Reason, Received, Verdict
from interceptor.wire.fields import HttpError
from tests.scan_samples import ACME, sample_injections, sample_rules

SCANNER = Scanner.build(sample_rules(), None)
PAGE = Target("https", "docs.example.com", 443, "GET", "/")


def judge_of(taint: Taint | None = None, **more: object) -> Judge:
    inbound = Inbound(taint=taint or Taint(), sources=InboundSources(own=("own.example",)))
    policy = Policy(inbound=inbound, **more)  # type: ignore[arg-type]
    judge = Judge(policy, SCANNER, b"k" * 16, sample_injections())
    judge.tick(10.0)
    ask(judge, "known.example")
    ask(judge, "docs.example.com")
    return judge


def ask(
    judge: Judge, host: str, method: str = "GET", path: str = "/", body: bytes = b""
) -> Verdict:
    target = Target("https", host, 443, method, path)
    fields = [(b"content-length", b"%d" % len(body))] if body else []
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n".encode()
    return judge.request(target, head, fields, body)


def steer(judge: Judge, score: int, source: str = "web", *, seen: bool = True) -> None:
    verdict = Verdict(Action.BLOCK, Reason.INJECTION, received=Received(score, source, "warn"))
    judge.came_back(verdict, PAGE, "f7", seen=seen)


def test_new_sites_get_questions_and_known_ones_go_on() -> None:
    judge = judge_of(hosts=Hosts(allow=("*.named.example",)))
    assert ask(judge, "new.example", "POST", "/", b"x").allowed  # the control
    judge = judge_of(hosts=Hosts(allow=("*.named.example",)))
    steer(judge, 50)
    for refused in (
        ask(judge, "new.example", "POST", "/", b"x"),
        ask(judge, "new.example", "GET", "/?q=" + "a" * 200),
        ask(judge, "new.example", "GET", "/" + "a/" * 300),
        ask(judge, "new.example", "PUT"),
    ):
        assert (refused.reason, refused.rule) == (Reason.TAINTED, "inbound.taint.new_hosts")
        assert refused.taint == "f7"
    for host in ("new.example", "www.known.example"):
        verdict = ask(judge, host, "GET", "/guide?page=2")
        assert (verdict.allowed, verdict.taint) == (True, "f7")
    # What was asked while tainted is still new.
    assert not ask(judge, "new.example", "POST", "/", b"x").allowed
    for host in ("api.known.example", "docs.example.com", "a.named.example", "own.example"):
        assert ask(judge, host, "POST", "/", b"x").allowed, host
    assert ask(judge, "api.openai.com", "POST", "/v1/x", b"x").allowed
    judge.tick(10.0 + 601)
    verdict = ask(judge, "new.example", "POST", "/", b"x")
    assert (verdict.allowed, verdict.taint) == (True, "")


def test_a_high_score_makes_its_own_site_new() -> None:
    judge = judge_of()
    steer(judge, 90)
    assert ask(judge, "docs.example.com", "POST", "/collect", b"x").reason is Reason.TAINTED
    target = Target("https", "docs.example.com", 443, "GET", "/")
    with pytest.raises(HttpError, match=r"docs\.example\.com") as caught:
        judge.upload_window(target, [])
    assert caught.value.reason is Reason.TAINTED


def test_what_taints() -> None:
    for score, source, seen, tainted in (
        (39, "web", True, False),
        (40, "web", True, True),
        (90, "web", False, False),
        (69, "own", True, False),
        (70, "own", True, True),
        (99, "llm", True, False),
    ):
        judge = judge_of()
        steer(judge, score, source, seen=seen)
        assert bool(judge.taint.at(10.0)) is tainted, (score, source, seen)
    judge = judge_of(Taint(seconds=0))
    steer(judge, 90)
    assert not judge.taint.at(10.0)


def test_policy_says_how_narrow_it_gets() -> None:
    judge = judge_of(Taint(new_hosts="deny", uploads="deny"))
    steer(judge, 50)
    assert ask(judge, "new.example").rule == "inbound.taint.new_hosts"
    assert ask(judge, "known.example", "POST", "/", b"x").rule == "inbound.taint.uploads"
    assert ask(judge, "known.example").allowed
    judge = judge_of(Taint(new_hosts="allow"))
    steer(judge, 50)
    assert ask(judge, "new.example", "POST", "/", b"x").allowed
    judge = judge_of(findings="record")
    steer(judge, 50)
    noted = ask(judge, "new.example", "POST", "/", b"x")
    assert (noted.allowed, noted.reason, noted.taint) == (True, Reason.WOULD_BLOCK, "f7")


def test_credentials_that_are_only_warned_about_block_meanwhile() -> None:
    rules = RuleTuning(warn=(RuleAt(rule="acme-token"),))
    for taint, reason in ((Taint(), Reason.TAINTED), (Taint(credentials="allow"), "would_block")):
        judge = judge_of(taint, rules=rules)
        assert ask(judge, "known.example", "POST", "/", ACME).reason is Reason.WOULD_BLOCK
        steer(judge, 50)
        verdict = ask(judge, "known.example", "POST", "/", ACME)
        assert verdict.reason == reason
        assert [finding.rule for finding in verdict.findings] == ["acme-token"]


def test_sources() -> None:
    policy = Policy(inbound=Inbound(sources=InboundSources(own=("*.own.example:8443",))))
    sources = Sources(policy)
    for host, port, source in (
        ("wiki.own.example", 8443, "own"),
        ("wiki.own.example", 443, "web"),
        ("api.openai.com", 443, "llm"),
        ("openai.com", 443, "web"),
        ("bedrock-runtime.eu-west-1.amazonaws.com", 443, "llm"),
        ("bedrock-runtime.a.b.amazonaws.com", 443, "web"),
        ("bedrock-runtime..amazonaws.com.example", 443, "web"),
        ("europe-west1-aiplatform.googleapis.com", 443, "llm"),
        ("x.y-aiplatform.googleapis.com", 443, "web"),
        ("github.com", 443, "web"),
    ):
        assert sources.of(Target("https", host, port)) == source, host
