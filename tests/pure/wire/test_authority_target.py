from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.wire.authority import Authority, parse_authority, parse_target
from interceptor.wire.http1 import HttpError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (b"API.Example.com", "api.example.com", None),
        (b"api.example.com.:443", "api.example.com", 443),
        (b"[2001:DB8::1]:8443", "2001:db8::1", 8443),
        (b"[::ffff:10.0.0.1]", "::ffff:a00:1", None),
        (b"198.18.0.9:80", "198.18.0.9", 80),
        (b"_dmarc.example.com", "_dmarc.example.com", None),
    ],
)
def test_authorities(text: bytes, host: str, port: int | None) -> None:
    assert parse_authority(text) == Authority(host, port)


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"a@b", b"user:pw@host", b"host:", b"host:0", b"host:65536", b"a..b", b".a", b"a/b"),
        *(b"[::1", b"::1", b"[::g]", b"h\xc3\xb6st", b"a b", b"a%2eb", b"[fe80::1%25eth0]"),
        b"x" * 64,
    ],
)
def test_bad_authorities(text: bytes) -> None:
    with pytest.raises(HttpError):
        parse_authority(text)


def test_target_forms() -> None:
    assert parse_target("GET", b"/x?y").form == "origin"
    assert parse_target("OPTIONS", b"*").form == "asterisk"
    connect = parse_target("CONNECT", b"a.example:443")
    assert connect.authority == Authority("a.example", 443)
    absolute = parse_target("GET", b"HTTP://A.example:81?q=1")
    assert (absolute.scheme, absolute.path) == ("http", b"/?q=1")
    assert absolute.authority == Authority("a.example", 81)


@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", b"*"), ("CONNECT", b"a.example"), ("CONNECT", b"/"), ("GET", b"a.example:443")]
    + [("GET", b"ftp://a.example/"), ("GET", b"http:///x"), ("GET", b"http://u@a.example/")]
    + [
        ("GET", path)
        for path in (
            b"/../x",
            b"/a/..",
            b"/./x",
            b"/%2e%2E/x",
            b"/a/.%2e?x",
            b"/a/..%2fb",
            b"/..;/",
        )
    ],
)
def test_bad_targets(method: str, target: bytes) -> None:
    with pytest.raises(HttpError):
        parse_target(method, target)


@pytest.mark.parametrize(
    "path", [b"/.well-known/x", b"/a..b/c", b"/...", b"/@scope%2fname", b"/a?x=/../y", b"/a/.git"]
)
def test_honest_paths_pass_unchanged(path: bytes) -> None:
    assert parse_target("GET", path).path == path


@given(st.binary(max_size=80), st.sampled_from(["GET", "CONNECT", "OPTIONS"]))
def test_only_http_errors_come_out(data: bytes, method: str) -> None:
    with contextlib.suppress(HttpError):
        parse_target(method, data)
