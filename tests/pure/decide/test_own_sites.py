"""A token passes in a URL or a body only where it comes from or is meant for."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.decide.judge import Judge
from interceptor.decide.own_sites import PROVIDERS, is_own
from interceptor.model import Target
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import load_rules
from interceptor.scan.validators.jwt import own_hosts


def token(**claims: object) -> str:
    parts = ({"alg": "ES256", "typ": "JWT"}, {"sub": "42", "exp": 1_900_000_000} | claims)
    texts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    ]
    return ".".join((*texts, "c2lnbmF0dXJlLXNpZ25hdHVyZQ"))


OWN = token(iss="https://login.example.com/", aud=["web", "https://api.example.org/v1"])


@pytest.fixture(scope="module")
def judge() -> Judge:
    rules = load_rules()
    jwt = [rule for rule in rules.rules if rule.id == "jwt"]
    return Judge(Policy(), Scanner.build(type(rules)(tuple(jwt)), None), b"k" * 16)


def passes(judge: Judge, host: str, path: str = "/", body: str = "", scheme: str = "https") -> bool:
    target = Target(scheme, host, 443, "POST", path)
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    return judge.request(target, head, [(b"host", host.encode())], body.encode()).allowed


@pytest.mark.parametrize("host", ["login.example.com", "stream.example.com", "example.com"])
def test_issuer(judge: Judge, host: str) -> None:
    assert passes(judge, host, f"/events?channel=7&access_token={OWN}")
    assert passes(judge, host, "/token", f"grant_type=x&assertion={OWN}&scope=y")
    assert passes(judge, host, "/token", json.dumps({"a": 1, "refresh_token": OWN}))
    assert passes(judge, host, f"/logout?id_token_hint={OWN}")


def test_audience(judge: Judge) -> None:
    assert passes(judge, "api.example.org", f"/?access_token={OWN}")
    assert passes(judge, "push.example.org", f"/?access_token={OWN}")


@pytest.mark.parametrize(
    "host",
    ["evil.test", "login.example.com.evil.test", "example.net", "notexample.com", "192.0.2.7"],
)
def test_elsewhere(judge: Judge, host: str) -> None:
    assert not passes(judge, host, f"/events?access_token={OWN}")
    assert not passes(judge, host, "/token", f"assertion={OWN}")


@pytest.mark.parametrize("place", ["note={}", "?{}", "my_token={}x", "{}", "text=token+{}"])
def test_not_sent_as_a_token(judge: Judge, place: str) -> None:
    """A comment, a search, a file: at the issuer's site others read those."""
    assert not passes(judge, "login.example.com", "/post", place.format(OWN))
    assert not passes(judge, "login.example.com", f"/find?q={place.format(OWN)}")


def test_only_as_it_stands_and_sealed(judge: Judge) -> None:
    coded = base64.b64encode(OWN.encode()).decode()
    assert not passes(judge, "login.example.com", f"/?access_token={coded}")
    assert not passes(judge, "login.example.com", f"/?access_token={OWN}", scheme="http")


def test_providers_have_other_tenants() -> None:
    assert not PROVIDERS & {"example.com"}
    assert is_own(("accounts.google.com",), "accounts.google.com")
    assert not is_own(("accounts.google.com",), "script.google.com")
    assert not is_own(("a.github.io",), "b.github.io")
    assert not is_own(("10.0.0.1", "a.example.com"), "9.9.0.1")
    assert not is_own((), "example.com")


def test_claims_that_name_no_host(judge: Judge) -> None:
    for claims in ({}, {"iss": 7, "aud": {}}, {"iss": "evil", "aud": ["x", 3]}, {"iss": "co.uk"}):
        assert not passes(judge, "www.evil.co.uk", f"/?access_token={token(**claims)}")
    assert own_hosts(b"token=" + token(iss="a b.example.com").encode(), 6) == ()
    cut = f"token={OWN}".encode()[:90]
    assert own_hosts(cut, 6) == ()


@given(st.binary(max_size=200), st.integers(0, 220))
def test_any_bytes(text: bytes, start: int) -> None:
    assert isinstance(own_hosts(b"token=" + text, start), tuple)


@given(st.lists(st.text(max_size=30), max_size=3), st.text(max_size=30))
def test_any_names(hosts: list[str], host: str) -> None:
    ascii_hosts = [one for one in hosts if one.isascii()]
    assert is_own(ascii_hosts, host) in (True, False)
