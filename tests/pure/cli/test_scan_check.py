"""`egressguard check`: verdict, reason, hint and exit code of a request that is not made."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from interceptor.cli import main
from interceptor.cli.scan_setup import Prepared
from tests.scan_samples import ACME

Prepare = Callable[..., Prepared]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is resolved or connected to: whoever tries fails the test."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def check(
    sampled: Prepare, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, dict[str, object]]:
    code = main.run(["check", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["https://x.example/a?b=c"], 0, "allowed"),
        (["http://169.254.169.254/"], 1, "address_metadata"),
        (["https://x.example:8443/"], 1, "port_not_allowed"),
        (["ftp://x.example/"], 1, "protocol_refused"),
        ([f"https://x.example/?k={ACME.decode()}"], 1, "secret"),
        (["-H", f"X-Key: {ACME.decode()}", "https://x.example/"], 1, "secret"),
        (["-d", ACME.decode(), "https://x.example/"], 1, "secret"),
        (["-H", f"Authorization: {ACME.decode()}", "https://api.acme.example/"], 0, "allowed"),
        (["-H", "A: b\r\nHost: y", "https://x.example/"], 1, "http_malformed"),
        (["-H", "Content-Encoding: gzip", "-d", "x", "https://x.example/"], 1, "incomplete"),
        (["--preset", "strict", "https://x.example/"], 1, "host_not_allowed"),
        (["--preset", "audit", "-d", ACME.decode(), "https://x.example/"], 0, "would_block"),
    ],
)
def test_verdicts(
    arguments: list[str],
    code: int,
    reason: str,
    sampled: Prepare,
    capsys: pytest.CaptureFixture[str],
) -> None:
    got, told = check(sampled, capsys, *arguments)
    assert (got, told["reason"]) == (code, reason)
    assert told["action"] == ("allow" if code == 0 else "block")
    assert ACME.decode() not in json.dumps(told)


def test_the_method_is_that_of_the_policy(
    sampled: Prepare, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text(
        "version: 1\nrequests:\n  - {host: x.example, methods: [DELETE], action: deny}\n"
        "  - {host: y.example, methods: [POST], action: deny}\n"
    )
    options = ["--policy", str(policy)]
    code, told = check(sampled, capsys, *options, "-X", "DELETE", "https://x.example/")
    assert (code, told["reason"], told["rule"]) == (1, "method_not_allowed", "requests[0]")
    assert check(sampled, capsys, *options, "https://x.example/")[0] == 0
    assert check(sampled, capsys, *options, "-d", "", "https://y.example/")[0] == 1  # a POST


def test_what_a_person_reads(sampled: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["check", "http://10.0.0.1/"]) == 1
    out = capsys.readouterr().out
    assert "action   block\n" in out
    assert "reason   address_private\n" in out
    assert "rule     addresses\n" in out
    assert "hint     Private networks are out of reach" in out
    assert (
        main.run(["check", "-H", f"Authorization: {ACME.decode()}", "https://api.acme.example"])
        == 0
    )
    out = capsys.readouterr().out
    assert "finding  Acme token in header:authorization, at home\n" in out
    assert "Nothing was resolved or connected to" in out


def test_data_from_files(
    sampled: Prepare,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "body").write_bytes(b"\0" + ACME)
    assert check(sampled, capsys, "-d", f"@{tmp_path}/body", "https://x.example/")[0] == 1
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ACME)))
    assert check(sampled, capsys, "-d", "@-", "https://x.example/")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing argument"),
        (["-H", "nocolon", "https://x.example/"], "there is no colon"),
        (["-X", "A B", "https://x.example/"], "is no method"),
        (["-X", "A\r\n", "https://x.example/"], "is no method"),
        (["-d", "@/no/such", "https://x.example/"], "/no/such: cannot be read"),
        (["--policy", "/no/such", "https://x.example/"], "/no/such: there is no such file"),
    ],
)
def test_wrong_usage_is_2(
    arguments: list[str], words: str, sampled: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["check", *arguments]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""
