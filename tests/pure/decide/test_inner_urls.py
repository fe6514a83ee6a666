"""URLs within a URL: services that fetch for others are not asked for a cloud's metadata."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.decide.inner_urls import inner_hosts
from interceptor.decide.items import Items
from interceptor.decide.known_names import known_addresses
from interceptor.decide.urls import read_url
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from interceptor.verdict import Reason
from interceptor.wire.fields import HttpError


@pytest.fixture
def items(scanner: Scanner) -> Items:
    return Items(Policy(), scanner, b"k" * 16)


FETCHED = [
    "https://fetch.example.com/?url=http://169.254.169.254/latest/meta-data/",
    "https://fetch.example.com/?url=http%3A%2F%2F169.254.169.254%2Flatest",
    "https://fetch.example.com/?url=http%253A%252F%252F169.254.169.254%252Flatest",
    "https://fetch.example.com/?a=1&target=169.254.169.254",
    "https://fetch.example.com/?target=//169.254.169.254/latest",
    "https://fetch.example.com/?target=169.254.169.254:80/latest",
    "https://fetch.example.com/?target=[fd00:ec2::254]",
    "https://fetch.example.com/?target=100.100.100.200%2Flatest",
    "https://fetch.example.com/http://169.254.169.254/latest",
    "https://fetch.example.com/http:/%2F169.254.169.254/latest",
    "https://fetch.example.com/x?http://metadata.google.internal/computeMetadata/v1/",
    "https://fetch.example.com/x?url=http://METADATA.google.internal./",
    "https://fetch.example.com/x?url=https://a@169.254.169.254/",
    "https://fetch.example.com/x?url=http://2852039166/",
    "https://fetch.example.com/x?url=http://0xa9.0xfe.0xa9.0xfe/",
    "https://fetch.example.com/x?url=http://[::ffff:169.254.169.254]/",
    "https://fetch.example.com/x?url=http%3A%2F%2F%EF%BC%91%EF%BC%96%EF%BC%99.254.169.254",
    "https://fetch.example.com/x?url=http://kubernetes.default.svc/api/v1/secrets",
    "https://fetch.example.com/x?url=http://good.example.com/&next=http://169.254.169.254/",
    "https://fetch.example.com/x#http://169.254.169.254/",
]
HONEST = [
    "https://login.example.com/?redirect_uri=http://localhost:8080/callback",
    "https://login.example.com/?redirect_uri=http%3A%2F%2F127.0.0.1%3A8080%2Fcallback",
    "https://fetch.example.com/?url=https://docs.example.com/imds",
    "https://search.example.com/?q=http://169.254.169.254/latest/meta-data/",
    "https://search.example.com/?query=169.254.169.254&lang=en",
    "https://docs.example.com/imds/169.254.169.254",
    "https://docs.example.com/?type=metadata&topic=kubernetes&id=2852039166",
    "https://api.example.com/?ip=10.0.0.1&version=1.2.3.4",
    "https://web.example.com/http://example.com/a?b=http://other.example.com/",
    "https://api.example.com/?time=12:30&ratio=16:9&x=[1,2]&y=%5B%5D&z=%zz",
]


@pytest.mark.parametrize("url", FETCHED)
def test_metadata_by_way_of_another(items: Items, url: str) -> None:
    call = msgspec.json.encode({"name": "fetch", "arguments": {"url": url}})
    verdict = items.judge_item("tool_call", call)
    assert verdict.reason is Reason.ADDRESS_METADATA, verdict
    assert verdict.detail.startswith("within the URL: ") or "#" in url


@pytest.mark.parametrize("url", HONEST)
def test_honest_urls_within_urls(items: Items, url: str) -> None:
    call = msgspec.json.encode({"name": "fetch", "arguments": {"url": url}})
    assert items.judge_item("tool_call", call).allowed


@given(st.text(alphabet="ahtp:/?&=#%[].@12 \\\u00e9", max_size=80))
def test_any_url_can_be_read(text: str) -> None:
    with contextlib.suppress(HttpError):
        for host in inner_hosts(read_url(b"https://example.com/" + text.encode())):
            assert host.canonical


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("10.0.0.1.nip.io", ("10.0.0.1",)),
        ("app-10-0-0-1.nip.io", ("10.0.0.1",)),
        ("www.169.254.169.254.sslip.io", ("169.254.169.254",)),
        ("7f000001.nip.io", ("127.0.0.1",)),
        ("app-0a000001.nip.io", ("10.0.0.1",)),
        ("--1.sslip.io", ("::1",)),
        ("fe80--1.sslip.io", ("fe80::1",)),
        ("www.fd00-ec2--254.sslip.io", ("fd00:ec2::254",)),
        ("127.0.0.1.xip.io", ("127.0.0.1",)),
        ("app.10.0.0.1.traefik.me", ("10.0.0.1",)),
        ("7f000001.0b16210a.rbndr.us", ("127.0.0.1", "11.22.33.10")),
        ("make-11.22.33.10-rebind-169.254.169.254-rr.1u.ms", ("11.22.33.10", "169.254.169.254")),
        *((name, ("127.0.0.1",)) for name in ("lvh.me", "a.lvh.me", "x.lacolhost.com", "fuf.me")),
        ("a.b.localhost", ("127.0.0.1", "::1")),
        ("metadata.google.internal", ("169.254.169.254",)),
        *((name, ()) for name in ("nip.io", "www.nip.io", "notlvh.me", "10.0.0.1.example.com")),
        *((name, ()) for name in ("beef.nip.io", "x-y-z.sslip.io", "localhost.example.com", "io")),
    ],
)
def test_names_that_say_where_they_lead(name: str, addresses: tuple[str, ...]) -> None:
    assert known_addresses(name) == addresses
