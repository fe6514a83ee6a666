"""No secret gets into the evidence, wherever it is planted; honest destinations stay legible."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.evidence import masking
from interceptor.evidence.log import EvidenceLog
from interceptor.evidence.place import open_evidence
from interceptor.flow.steps import Finished, Record
from interceptor.model import Origin, Target
from interceptor.scan.ruleset import example
from interceptor.verdict import Action, Finding, Reason, Severity, Verdict

AWS = example(["AK", "IA", "{upper32:16}"], "masking").decode()
GITHUB = example(["gh", "p_", "{alnum:36}"], "masking").decode()
OPAQUE = "Zm9v" + "YmFyYmF6cXV4MTIzNDU2Nzg5MA=="
SECRETS = [AWS, GITHUB, OPAQUE]
CLEAN = Verdict(Action.ALLOW, Reason.ALLOWED)


def found(where: str, action: Action = Action.BLOCK, reason: Reason = Reason.SECRET) -> Verdict:
    finding = Finding("some-rule", "Some key", Severity.HIGH, where, "", "0123456789abcdef")
    return Verdict(action, reason, "some-rule", "a key in the request", (finding,))


def lines_of(tmp_path: Path, record: Record, origin: Origin) -> str:
    path = tmp_path / "box.jsonl"
    descriptor = open_evidence(path)
    log = EvidenceLog(descriptor, "box")
    log.write(record, origin, 1.0)
    log.finished(Finished(1, 200, 1, 1, "", 0.1, "", record.target.host), origin, 1.0)
    later = Record(Verdict(reason=Reason.HOST_NOT_ALLOWED), record.target, "connection")
    log.write(later, origin, 2.0)
    os.close(descriptor)
    return path.read_text()


def pieces(secret: str) -> list[str]:
    """The secret and its halves: half a secret is a leak too."""
    middle = len(secret) // 2
    return [secret, secret[:middle], secret[middle:]]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "path",
    [
        "/{0}",
        "/a/{0}/b",
        "/a?key={0}",
        "/a?{0}",
        "/a?{0}=1",
        "/a?x=1&{0}",
        "/a/{0}?x=%41",
        "/bot{0}/send",
        "/a;v={0}",
        "/a?q[{0}]=1",
    ],
)
def test_secrets_in_paths_are_masked_even_when_nothing_was_found(
    tmp_path: Path, secret: str, path: str
) -> None:
    target = Target("https", "api.example.com", 443, "GET", path.format(secret))
    text = lines_of(
        tmp_path,
        Record(CLEAN, target, "http_request", 1),
        Origin("box", "f1", "198.18.0.1", 443, "api.example.com"),
    )
    assert not [piece for piece in pieces(secret) if piece in text]
    assert "api.example.com" in text


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("allowed", [False, True])
def test_a_finding_in_the_url_masks_all_of_it(tmp_path: Path, secret: str, allowed: bool) -> None:
    # Split into pieces that look harmless, as a decoder that joins them would find it.
    path = "/" + "/".join(secret[i : i + 3] for i in range(0, len(secret), 3))
    action = Action.ALLOW if allowed else Action.BLOCK
    target = Target("https", "api.example.com", 443, "GET", path)
    shown = masking.path(target.path, found("url", action))
    assert shown == "/…"


@pytest.mark.parametrize(
    ("where", "encoding", "masked"),
    [
        ("head", "", True),
        ("header:x-part", "fields", True),
        ("query:d", "requests>base64", True),
        ("header:x-part", "base64", False),
    ],
)
def test_pieces_that_may_lie_in_the_url_mask_it(where: str, encoding: str, masked: bool) -> None:
    finding = Finding("rule", "Rule", Severity.HIGH, where, encoding, "0" * 16)
    verdict = Verdict(Action.BLOCK, Reason.SPLIT_SECRET, findings=(finding,))
    assert (masking.path("/a/bc/de", verdict) == "/…") is masked


@pytest.mark.parametrize("secret", [AWS.lower(), "mzxw6ytboi" + "4tqmztgy3to", "61626364" * 5])
@pytest.mark.parametrize("name", ["{0}.evil.example", "a.{0}.evil.example", "{0}.example"])
def test_secrets_in_names_stay_masked_in_every_later_event(
    tmp_path: Path, secret: str, name: str
) -> None:
    host = name.format(secret)
    target = Target("dns", host, 53)
    record = Record(found("name", reason=Reason.SECRET_IN_NAME), target, "dns_query")
    text = lines_of(tmp_path, record, Origin("box", "f1", "198.18.0.1", 53, host))
    assert not [piece for piece in pieces(secret) if piece in text]
    assert "example" in text
    assert len(text.splitlines()) == 3


def test_the_attackers_domain_stays_legible() -> None:
    verdict = found("name", reason=Reason.SECRET_IN_NAME)
    assert masking.host(f"{AWS.lower()}.x.evil.example", verdict) == "….evil.example"


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_in_methods_rule_places_and_details_are_masked(tmp_path: Path, secret: str) -> None:
    verdict = found(f"header:{secret.lower()}")
    verdict = Verdict(Action.BLOCK, Reason.SECRET, "r", f"found {secret} here", verdict.findings)
    target = Target("https", "api.example.com", 443, secret, "/")
    record = Record(verdict, target, "http_request", 1)
    text = lines_of(tmp_path, record, Origin("box", "f1", "198.18.0.1", 443, "api.example.com"))
    for piece in [*pieces(secret), *pieces(secret.lower())]:
        assert piece not in text


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/chat/completions",
        "/simple/requests/",
        "/packages/requests-2.32.3-py3-none-any.whl",
        "/repos/octocat/hello-world/git/refs/heads/main",
        "/2024-11-05/index.html",
        "*",
    ],
)
def test_honest_paths_stay(path: str) -> None:
    assert masking.path(path, CLEAN) == path


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/a?page=2&q=secret", "/a?page=…&q=…"),
        ("/a?", "/a?"),
        ("/a?flag", "/a?…"),
        ("/a?empty=", "/a?empty="),
        ("?x=1", "?x=…"),
    ],
)
def test_query_values_are_always_masked(path: str, shown: str) -> None:
    assert masking.path(path, CLEAN) == shown


@pytest.mark.parametrize("where", ["header:authorization", "header:x-api-key", "body", "name"])
def test_places_of_findings_stay_legible(where: str) -> None:
    assert masking.where(where) == where


@pytest.mark.parametrize("host", ["d111111abcdef8.cloudfront.example", "a.b.example", "fd65::7"])
def test_honest_names_stay_exact(host: str) -> None:
    assert masking.host(host, CLEAN) == host
    assert masking.host(host, Verdict(reason=Reason.HOST_DENIED)) == host


@given(st.text(alphabet=st.characters(codec=None), max_size=60), st.sampled_from(["host", "path"]))
def test_lines_are_one_line_of_printable_json(text: str, field: str) -> None:
    """Controls, C1, bidi marks, surrogates: nothing that steers a terminal gets through."""
    target = (
        Target("https", text, 443, "GET", "/")
        if field == "host"
        else Target("https", "a.example", 443, "GET", text)
    )
    reader, writer = os.pipe()
    try:
        log = EvidenceLog(writer, "box")
        log.write(Record(CLEAN, target, "http_request"), Origin("box", "f", "::1", 1), 0.0)
        data = os.read(reader, 1 << 16)
    finally:
        os.close(reader)
        os.close(writer)
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    assert data.decode()[:-1].isprintable()
    json.loads(data)


@pytest.mark.parametrize("fill", ["a", "1", "A1-", "%", "=", "a1" * 9 + "/", "…", "aA_"])
def test_masking_takes_linear_time(fill: str) -> None:
    import time

    text = "/" + fill * (200_000 // len(fill))
    begin = time.perf_counter()
    masking.tokens(text)
    masking.path(text, CLEAN)
    masking.path("/?" + text, CLEAN)
    assert time.perf_counter() - begin < 1.0


def test_command_lines_keep_what_says_something() -> None:
    secret = example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "command line").decode()

    def holds(data: bytes) -> bool:
        return b"p_" in data

    shown = masking.arguments(
        ["/usr/bin/curl", "-H", f"Authorization: Bearer {secret}", "--retry=3", "https://u:p@a.test/x?q=1"],
        holds,
    )  # fmt: skip
    assert shown == ["/usr/bin/curl", "-H", "…", "--retry=…", "https://…@a.test/x"]
    assert masking.arguments(["python3", "-c", "print(1)", "x" * 300], holds)[2:] == ["…", "…"]
    assert masking.arguments(["a\x1b]0;b", "a\x1b]0;b", "-v"], holds) == ["a\\u{1b}]0;b", "…", "-v"]
