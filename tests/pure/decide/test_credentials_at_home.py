"""Bearer tokens of no vendor: at home where clients authorize themselves, leaked elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from interceptor.decide.judge import Judge
from interceptor.model import Target
from interceptor.scan.ruleset import example
from interceptor.verdict import Action, Verdict

TOKEN = example(
    ["eyJhbGci", "OiJSUzI1NiJ9", ".eyJzdWIi", "OiI0MiIsImlhdCI6MTcwMDAwMDAwMH0", ".", "{url64:43}"],
    "at home",
)
ADDRESS = b"0x" + b"d8dA6BF26964aF9D7eEd9e0" + b"3E53415D37aA96045"


def ask(
    judge: Judge,
    host: str = "api.example.com",
    *,
    path: str = "/",
    headers: Sequence[tuple[bytes, bytes]] = (),
    body: bytes = b"",
    scheme: str = "https",
) -> Verdict:
    lines = [b"POST %b HTTP/1.1" % path.encode(), b"Host: " + host.encode()]
    lines += [name + b": " + value for name, value in headers]
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    return judge.request(Target(scheme, host, 443, "POST", path), head, headers, body)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"authorization", b"Bearer %b"),
        (b"authorization", b"%b"),
        (b"cookie", b"theme=dark; session=%b; lang=en"),
        (b"x-auth-token", b"%b"),
        (b"apikey", b"%b"),
    ],
)
def test_a_token_goes_where_clients_put_it(judge: Judge, name: bytes, value: bytes) -> None:
    verdict = ask(judge, headers=[(name, value % TOKEN)])
    assert verdict.action is Action.ALLOW
    assert [(found.rule, found.home) for found in verdict.findings] == [("jwt", True)]


def test_not_in_clear_text(judge: Judge) -> None:
    verdict = ask(judge, headers=[(b"authorization", b"Bearer " + TOKEN)], scheme="http")
    assert verdict.action is Action.BLOCK


def test_not_in_other_fields(judge: Judge) -> None:
    assert ask(judge, headers=[(b"x-note", TOKEN)]).action is Action.BLOCK


def test_not_in_a_url(judge: Judge) -> None:
    assert ask(judge, path="/collect/" + TOKEN.decode()).action is Action.BLOCK
    assert ask(judge, path="/collect?t=" + TOKEN.decode()).action is Action.BLOCK


def test_in_a_body_only_with_who_exchanges_tokens(judge: Judge) -> None:
    body = b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=" + TOKEN
    kind = [(b"content-type", b"application/x-www-form-urlencoded")]
    assert ask(judge, body=body, headers=kind).action is Action.BLOCK
    verdict = ask(judge, "oauth2.googleapis.com", path="/token", body=body, headers=kind)
    assert verdict.action is Action.ALLOW


@pytest.mark.parametrize(
    "field",
    [
        (b"authorization", b"Basic ZGVwbG95" + b"OmtKM3ZMOXhRMnRXOHpS"),
        (b"authorization", b"Bearer k7QzW2m9" + b"Xc4Tv8LpR3nB"),
        (b"x-api-key", b"k7QzW2m9" + b"Xc4Tv8LpR3nB"),
        (b"api_key", b"k7QzW2m9" + b"Xc4Tv8LpR3nB"),
        (b"authorization", b'OAuth oauth_token="k7QzW2m9' + b'Xc4Tv8LpR3nB", oauth_version="1.0"'),
        (b"cookie", b'access_token="k7QzW2m9' + b'Xc4Tv8LpR3nB"'),
    ],
)
def test_a_client_authorizes_itself(judge: Judge, field: tuple[bytes, bytes]) -> None:
    assert ask(judge, headers=[field, (b"accept", b"*/*")]).action is Action.ALLOW


def test_a_client_logs_in(judge: Judge) -> None:
    password = b"k7QzW2m9" + b"Xc4T"
    form = b"username=a&password=" + password + b"&client_secret=" + password
    kind = [(b"content-type", b"application/x-www-form-urlencoded")]
    assert ask(judge, body=form, headers=kind).action is Action.ALLOW
    document = b'{"username": "a", "password": "' + password + b'"}'
    kind = [(b"content-type", b"application/json")]
    assert ask(judge, body=document, headers=kind).action is Action.ALLOW
    # Control: the same within a file that is told in a string.
    told = b'{"text": "password = \\"' + password + b'v8Lp\\""}'
    assert ask(judge, body=told, headers=kind).action is Action.BLOCK


def test_an_address_is_at_home_with_explorers(judge: Judge) -> None:
    path = "/address/" + ADDRESS.decode()
    assert ask(judge, "etherscan.io", path=path).action is Action.ALLOW
    assert ask(judge, path=path).action is Action.BLOCK
