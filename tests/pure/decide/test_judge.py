"""The judge: hosts, ports, methods, names, addresses, secrets, presets."""

from __future__ import annotations

import ast
import base64
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.decide.hints import HINTS
from interceptor.decide.judge import Judge
from interceptor.model import Target
from interceptor.policy.loading import load
from interceptor.policy.schema import (
    Addresses,
    Hosts,
    Limits,
    Policy,
    RequestRule,
    RuleAt,
    RuleHome,
    RuleTuning,
)
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import example, load_rules
from interceptor.verdict import Action, Reason, Verdict

JudgeOf = Callable[[Policy], Judge]
ANTHROPIC = example(["sk", "-ant-", "api03-", "{url64:93}", "AA"], "judge")
GITHUB = example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "judge")
SHARED = Judge(Policy(), Scanner.build(load_rules(), None), b"k" * 16)


def ask(
    judge: Judge,
    host: str = "www.example.com",
    *,
    port: int = 443,
    method: str = "GET",
    path: str = "/",
    headers: Sequence[tuple[str, bytes]] = (),
    body: bytes = b"",
    scheme: str = "https",
) -> Verdict:
    fields = [(name.lower().encode(), value) for name, value in headers]
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: " + host.encode()]
    lines += [name.encode() + b": " + value for name, value in headers]
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    return judge.request(Target(scheme, host, port, method, path), head, fields, body)


def test_clean_request(judge: Judge) -> None:
    verdict = ask(judge, headers=[("Accept", b"*/*")], body=b'{"a": 1}')
    assert (verdict.action, verdict.reason) == (Action.ALLOW, Reason.ALLOWED)
    assert verdict.findings == ()


@pytest.mark.parametrize(
    ("where", "arguments"),
    [
        ("url", {"path": "/x?k=" + GITHUB.decode()}),
        ("url", {"path": "/" + base64.urlsafe_b64encode(GITHUB).decode()}),
        ("url", {"method": GITHUB.decode().upper().replace("GHP_", "ghp_")}),
        ("header:x-note", {"headers": [("X-Note", GITHUB)]}),
        ("header:cookie", {"headers": [("Cookie", b"a=1; b=" + GITHUB)]}),
        ("header:authorization", {"headers": [("Authorization", b"Bearer " + GITHUB)]}),
        ("header:" + GITHUB.decode().lower(), {"headers": [(GITHUB.decode(), b"1")]}),
        ("body", {"body": b'{"k":"' + GITHUB + b'"}'}),
        ("body", {"body": base64.b64encode(b"k: " + GITHUB)}),
    ],
)
def test_secrets_block_wherever_they_are(
    judge: Judge, where: str, arguments: dict[str, str]
) -> None:
    verdict = ask(judge, **arguments)  # type: ignore[arg-type]
    assert verdict.action is Action.BLOCK
    assert verdict.reason is Reason.SECRET
    assert verdict.rule == "github-token"
    # A header's name is found as raw head or as that header.
    assert where in {f.where for f in verdict.findings} or where.startswith("header:gh")
    assert GITHUB.decode()[8:] not in repr(verdict)
    assert GITHUB.decode()[8:] not in msgspec.json.encode(verdict).decode()


def test_at_home(judge: Judge) -> None:
    verdict = ask(judge, "api.anthropic.com", headers=[("X-Api-Key", ANTHROPIC)])
    assert (verdict.action, verdict.reason) == (Action.ALLOW, Reason.ALLOWED)
    (finding,) = verdict.findings
    assert finding.home
    assert finding.where == "header:x-api-key"


@pytest.mark.parametrize(
    "arguments",
    [
        {"host": "api.example.com", "headers": [("X-Api-Key", ANTHROPIC)]},
        {"host": "api.anthropic.com.example.com", "headers": [("X-Api-Key", ANTHROPIC)]},
        {"host": "api.anthropic.com", "headers": [("X-Other", ANTHROPIC)]},
        {"host": "api.anthropic.com", "body": ANTHROPIC},
        {"host": "api.anthropic.com", "path": "/?k=" + ANTHROPIC.decode()},
        {"host": "api.anthropic.com", "headers": [("X-Api-Key", GITHUB)]},
        {
            "host": "api.anthropic.com",
            "headers": [("X-Api-Key", ANTHROPIC), ("X-Other", ANTHROPIC)],
        },
        {
            "host": "api.anthropic.com",
            "scheme": "http",
            "port": 80,
            "headers": [("X-Api-Key", ANTHROPIC)],
        },
    ],
)
def test_not_at_home(judge: Judge, arguments: dict[str, str]) -> None:
    verdict = ask(judge, **arguments)  # type: ignore[arg-type]
    assert (verdict.action, verdict.reason) == (Action.BLOCK, Reason.SECRET)


def test_basic_authorization_at_home(judge: Judge) -> None:
    value = b"Basic " + base64.b64encode(b"x-access-token:" + GITHUB)
    assert ask(judge, "github.com", headers=[("Authorization", value)]).allowed
    assert not ask(judge, "git.example.com", headers=[("Authorization", value)]).allowed


def test_policy_adds_a_home(judge_of: JudgeOf) -> None:
    tuning = RuleTuning(homes=(RuleHome(rule="github-token", host="ghe.example.com"),))
    judge = judge_of(Policy(rules=tuning))
    headers = [("Authorization", b"Bearer " + GITHUB)]
    assert ask(judge, "ghe.example.com", headers=headers).allowed
    assert ask(judge, "api.github.com", headers=headers).allowed
    assert not ask(judge, "ghe.example.com", body=GITHUB).allowed
    assert not ask(judge, "other.example.com", headers=headers).allowed


def test_tuning(judge_of: JudgeOf) -> None:
    at = RuleAt(rule="github-token", host="*.example.com")
    suppressed = ask(judge_of(Policy(rules=RuleTuning(suppress=(at,)))), body=GITHUB)
    assert (suppressed.reason, suppressed.findings) == (Reason.ALLOWED, ())
    judge = judge_of(Policy(rules=RuleTuning(warn=(at,))))
    warned = ask(judge, body=GITHUB)
    assert (warned.action, warned.reason) == (Action.ALLOW, Reason.WOULD_BLOCK)
    assert len(warned.findings) == 1
    assert not ask(judge, "www.example.org", body=GITHUB).allowed
    assert not ask(judge, body=GITHUB + b" " + ANTHROPIC).allowed


def test_audit_records_findings_and_enforces_the_rest(judge_of: JudgeOf) -> None:
    judge = judge_of(load(None, "audit"))
    verdict = ask(judge, body=GITHUB)
    assert (verdict.action, verdict.reason) == (Action.ALLOW, Reason.WOULD_BLOCK)
    assert verdict.rule == "github-token"
    assert ask(judge, "10.0.0.1").reason is Reason.ADDRESS_PRIVATE
    target = Target("https", "www.example.com", 443)
    assert judge.addresses(target, ["10.0.0.5"])[0].reason is Reason.ADDRESS_PRIVATE
    assert ask(judge, port=22).reason is Reason.PORT_NOT_ALLOWED
    window = judge.upload_window(target, [])
    sent = window.feed(GITHUB) + window.finish()
    assert (sent, window.verdict, len(window.findings)) == (GITHUB, None, 1)


def test_unreadable_is_blocked_even_in_audit(judge_of: JudgeOf) -> None:
    policy = load(None, "audit")
    judge = judge_of(msgspec.structs.replace(policy, limits=Limits(decoded_bytes=100)))
    body = base64.b64encode(b"harmless words, many of them " * 50)
    assert ask(judge, body=body).reason is Reason.INCOMPLETE
    window = judge.upload_window(Target("https", "www.example.com", 443), [])
    assert window.feed(body) + window.finish() == b""
    assert window.verdict is not None
    assert window.verdict.reason is Reason.INCOMPLETE


def test_hosts_and_ports(judge_of: JudgeOf) -> None:
    hosts = Hosts(allow=("ok.example", "dev.example:8443"), deny=("*.bad.example", "ok.example:80"))
    judge = judge_of(Policy(hosts=hosts))

    def reason(host: str, port: int) -> Reason:
        verdict = judge.connection(Target("tcp", host, port))
        assert verdict is judge.connection(Target("tcp", host, port))
        return verdict.reason

    assert reason("ok.example", 443) is Reason.ALLOWED
    assert reason("ok.example", 80) is Reason.HOST_DENIED
    assert reason("x.bad.example", 443) is Reason.HOST_DENIED
    assert reason("other.example", 443) is Reason.ALLOWED
    assert reason("other.example", 8443) is Reason.PORT_NOT_ALLOWED
    assert reason("dev.example", 8443) is Reason.ALLOWED
    assert reason("ok.example", 22) is Reason.PORT_NOT_ALLOWED
    denied = judge.connection(Target("tcp", "x.bad.example", 443))
    assert denied.rule == "hosts.deny[0]"


def test_strict(judge_of: JudgeOf) -> None:
    policy = msgspec.structs.replace(
        load(None, "strict"),
        hosts=Hosts(allow=("ok.example", "1.1.1.1"), others="deny", literals="deny"),
    )
    judge = judge_of(policy)
    assert judge.connection(Target("tcp", "ok.example", 443)).allowed
    refused = judge.connection(Target("tcp", "no.example", 443))
    assert refused.reason is Reason.HOST_NOT_ALLOWED
    assert judge.connection(Target("tcp", "8.8.8.8", 443)).reason is Reason.NO_NAME
    assert judge.connection(Target("tcp", "1.1.1.1", 443)).allowed
    assert judge.connection(Target("tcp", "10.0.0.1", 443)).reason is Reason.ADDRESS_PRIVATE
    assert ask(judge, "no.example").reason is Reason.HOST_NOT_ALLOWED


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("8.8.8.8", Reason.ALLOWED),
        ("2606:4700::1111", Reason.ALLOWED),
        ("10.0.0.1", Reason.ADDRESS_PRIVATE),
        ("::1", Reason.ADDRESS_PRIVATE),
        ("::ffff:10.0.0.1", Reason.ADDRESS_PRIVATE),
        ("169.254.169.254", Reason.ADDRESS_METADATA),
        ("198.18.0.9", Reason.ADDRESS_RESERVED),
        ("0x7f.1", Reason.ADDRESS_PRIVATE),
        ("2130706433", Reason.ADDRESS_PRIVATE),
        ("0x8.0x8.0x8.0x8", Reason.NAME_INVALID),
        ("a b", Reason.NAME_INVALID),
        ("", Reason.NAME_INVALID),
    ],
)
def test_literals(judge: Judge, host: str, reason: Reason) -> None:
    assert judge.connection(Target("tcp", host, 443)).reason is reason
    assert ask(judge, host).reason is reason


def test_address_exceptions(judge_of: JudgeOf) -> None:
    judge = judge_of(Policy(addresses=Addresses(allow=("10.1.0.0/16",))))
    assert judge.connection(Target("tcp", "10.1.0.1", 80)).allowed
    assert not judge.connection(Target("tcp", "10.2.0.1", 80)).allowed
    target = Target("https", "intranet.example", 443)
    assert judge.addresses(target, ["10.1.0.1"])[1] == ("10.1.0.1",)


def test_addresses(judge: Judge) -> None:
    target = Target("https", "www.example.com", 443)
    verdict, literals = judge.addresses(target, ["8.8.8.8", "2606:4700:0::1", "8.8.8.8"])
    assert verdict.allowed
    assert literals == ("8.8.8.8", "2606:4700::1")
    verdict, literals = judge.addresses(target, ["8.8.8.8", "10.0.0.5"])
    assert (verdict.reason, literals) == (Reason.ADDRESS_PRIVATE, ())
    assert "resolves to 10.0.0.5" in verdict.detail
    assert judge.addresses(target, [])[0].reason is Reason.RESOLVE_FAILED
    assert judge.addresses(target, ["fe80::1%eth0"])[0].reason is Reason.ADDRESS_RESERVED
    assert judge.addresses(target, ["169.254.169.254"])[0].reason is Reason.ADDRESS_METADATA


def test_names(judge: Judge) -> None:
    assert judge.name("www.example.com").allowed
    assert judge.name("www.example.com.").allowed
    assert judge.name("localhost").allowed
    secret = judge.name(f"{GITHUB.hex()[:60]}.{GITHUB.hex()[60:]}.example.com")
    assert (secret.action, secret.reason) == (Action.BLOCK, Reason.SECRET_IN_NAME)
    assert secret.findings[0].encoding == "hex"
    for name in ("", "a..b", "8.8.8.8", "0x8.8", "x.2130706433", "a" * 64, "é.example"):
        assert judge.name(name).reason is Reason.NAME_INVALID, name
    for name in ("10.0.0.1", "0x7f.1"):
        assert judge.name(name).reason is Reason.ADDRESS_PRIVATE, name
    refused = judge.connection(Target("tcp", f"{GITHUB.decode().lower()}.example.com", 443))
    assert refused.reason is Reason.SECRET_IN_NAME


def test_memory_of_names_is_bounded(judge: Judge) -> None:
    for n in range(10_000):
        judge.name(f"h{n}.example")
        judge.connection(Target("tcp", f"h{n}.example", 443))
    assert len(judge.names.settled) <= 4096
    assert len(judge.names.connections) <= 4096


def test_request_rules(judge_of: JudgeOf) -> None:
    host = "api.example.com"
    rules = (
        RequestRule(host=host, action="allow", methods=("GET", "HEAD"), paths=("/public",)),
        RequestRule(host=host, action="deny", methods=("DELETE",)),
        RequestRule(host=host, action="allow", paths=("/data/",)),
        RequestRule(host=host, action="deny"),
        RequestRule(host="*.upload.example", action="deny", paths=("/admin",)),
    )
    judge = judge_of(Policy(requests=rules))

    def reason(method: str, path: str, name: str = host) -> Reason:
        return ask(judge, name, method=method, path=path).reason

    assert reason("GET", "/public/x?y=1") is Reason.ALLOWED
    assert reason("POST", "/public/x") is Reason.METHOD_NOT_ALLOWED
    assert reason("DELETE", "/data/1") is Reason.METHOD_NOT_ALLOWED
    assert reason("POST", "/data/1") is Reason.ALLOWED
    assert reason("GET", "/data/../secret") is Reason.PATH_NOT_ALLOWED
    assert reason("GET", "/public/%2e%2e/secret") is Reason.PATH_NOT_ALLOWED
    assert reason("GET", "/", "other.example.com") is Reason.ALLOWED
    assert reason("GET", "/a/../b", "other.example.com") is Reason.ALLOWED
    assert reason("GET", "/%61dmin/x", "x.upload.example") is Reason.PATH_NOT_ALLOWED
    assert reason("GET", "/administer", "x.upload.example") is Reason.ALLOWED
    verdict = ask(judge, host, method="DELETE", path="/data/1")
    assert verdict.rule == "requests[1]"


def test_trailers(judge: Judge) -> None:
    target = Target("https", "www.example.com", 443)
    assert judge.trailers(target, [(b"digest", b"abc")]).allowed
    refused = judge.trailers(target, [(b"x-t", GITHUB)])
    assert refused.reason is Reason.SECRET
    assert refused.findings[0].where == "trailer:x-t"


def test_refuse_never_allows(judge: Judge) -> None:
    for reason in Reason:
        assert judge.refuse(reason, "x").action is Action.BLOCK
    assert judge.refuse(Reason.ALLOWED).reason is Reason.INTERNAL_ERROR


def test_key_and_patterns_are_checked(judge_of: JudgeOf) -> None:
    with pytest.raises(ValueError, match="digest_key"):
        Judge(Policy(), SHARED._scanner, b"")
    with pytest.raises(ValueError, match="no scheme"):
        judge_of(Policy(hosts=Hosts(allow=("https://x",))))


def test_digests_depend_on_the_jail(scanner: Scanner) -> None:
    one = Judge(Policy(), scanner, b"1" * 16)
    two = Judge(Policy(), scanner, b"2" * 16)
    first, second = (ask(judge, body=GITHUB).findings[0].digest for judge in (one, two))
    assert first != second
    assert first == ask(one, body=b"again " + GITHUB).findings[0].digest


@settings(deadline=None)
@given(st.text(max_size=80), st.integers(0, 70_000), st.binary(max_size=200))
def test_anything_gets_a_verdict(host: str, port: int, data: bytes) -> None:
    target = Target("https", host, port, "GET", "/")
    verdict = SHARED.request(target, data, [(b"x", data)], data)
    assert verdict.reason in HINTS
    if verdict.allowed:
        assert port in (80, 443)
    SHARED.name(host)
    SHARED.addresses(target, [host])


def test_every_reason_has_a_hint_and_a_line_in_the_docs() -> None:
    assert set(HINTS) == set(Reason)
    assert all(hint.endswith((".", "!")) for hint in HINTS.values())
    text = (Path(__file__).parents[3] / "docs" / "reason-codes.md").read_text()
    for reason in Reason:
        assert f"`{reason}`" in text, reason
    documented = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    assert documented == {str(reason) for reason in Reason}


def allowing_calls(source: str) -> list[int]:
    """Lines where `Verdict` or a replacement of one is made with Action.ALLOW or a number."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        for value in values:
            if isinstance(value, ast.Attribute) and value.attr == "ALLOW":
                lines.append(node.lineno)
        name = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        if name == "Action":
            lines.append(node.lineno)
    return lines


def test_the_judge_alone_makes_allow() -> None:
    root = Path(__file__).parents[3]
    makers = {
        str(path.relative_to(root))
        for folder in ("interceptor", "netns")
        for path in root.glob(f"{folder}/**/*.py")
        if allowing_calls(path.read_text())
    }
    assert makers == {"interceptor/decide/verdicts.py"}
    assert allowing_calls("x = Verdict(Action.ALLOW)")  # positive controls
    assert allowing_calls("x = Verdict(action=verdict.Action.ALLOW)")
    assert allowing_calls("x = Action(2)")
    assert not allowing_calls("x = v.action is Action.ALLOW")


@pytest.mark.parametrize("name", ["x-http-method-override", "x-http-method", "x-method-override"])
def test_a_method_rule_holds_for_an_overriding_method_too(name: str, judge_of: JudgeOf) -> None:
    rules = (RequestRule(host="api.example.com", action="deny", methods=("DELETE",)),)
    judge = judge_of(Policy(requests=rules))
    target = Target("https", "api.example.com", 443, "POST", "/x")
    for value, allowed in ((b"DELETE", False), (b"delete", False), (b"PUT", True)):
        head = b"POST /x HTTP/1.1\r\n" + name.encode() + b": " + value + b"\r\n"
        verdict = judge.request(target, head, [(name.encode(), value)], b"")
        assert verdict.allowed is allowed
        assert allowed or verdict.reason is Reason.METHOD_NOT_ALLOWED
