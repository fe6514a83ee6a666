"""Compiled host lists and path rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.decide.hosts import HostSet
from interceptor.decide.paths import plain_path, under


def test_find() -> None:
    hosts = HostSet(
        ["a.example", "*.b.example", "c.example:8443", "[2001:db8::1]:443", "192.0.2.1"], "list"
    )
    assert hosts.find("a.example", 1) == ("list[0]", False)
    assert hosts.find("x.a.example", 1) is None
    assert hosts.find("x.y.b.example", 1) == ("list[1]", False)
    assert hosts.find("b.example", 1) is None
    assert hosts.find("xb.example", 1) is None
    assert hosts.find("c.example", 8443) == ("list[2]", True)
    assert hosts.find("c.example", 443) is None
    assert hosts.find("2001:db8::1", 443) == ("list[3]", True)
    assert hosts.find("192.0.2.1", 9) == ("list[4]", False)
    assert hosts.find("1.192.0.2.1", 9) is None


def test_star() -> None:
    hosts = HostSet(["*"], "list")
    for host in ("a", "a.b", "2001:db8::1", "192.0.2.1"):
        assert hosts.find(host, 80) == ("list[0]", False)
    assert HostSet(["*:22"], "list").find("a", 80) is None


def test_first_of_several_and_none() -> None:
    hosts = HostSet(["*.example", "a.example", "a.example:1"], "list")
    assert hosts.find("a.example", 1) == ("list[0]", False)
    assert not HostSet([], "list")
    assert HostSet([], "list").find("a", 1) is None


@given(st.text(max_size=60), st.integers(0, 70_000))
def test_any_host(host: str, port: int) -> None:
    assert HostSet(["*.example.org", "example.net"], "list").find(host, port) is None or (
        host.endswith(".example.org") or host == "example.net"
    )


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/a/b?x=/../y", "/a/b"),
        ("/a/", "/a/"),
        ("/%61b", "/ab"),
        ("/a%20b", "/a%20b"),
        ("/a%c3%a9", "/a%C3%A9"),
        ("/a/../b", None),
        ("/a/./b", None),
        ("/a/%2e%2E/b", None),
        ("/a/..", None),
        ("/a/..;x=1/b", None),
        ("/a//b", None),
        ("//a", None),
        ("/a%2fb", None),
        ("/a%5cb", None),
        ("/a\\b", None),
        ("/a%00", None),
        ("/a%0d", None),
        ("/a%252e", None),
        ("/a%", None),
        ("/a%zz", None),
        ("a", None),
        ("", None),
        ("*", None),
    ],
)
def test_plain_paths(target: str, path: str | None) -> None:
    assert plain_path(target) == path


@given(st.text(alphabet="/.%2eEfF5cabAB;?\\", max_size=30))
def test_plain_paths_mean_one_thing(target: str) -> None:
    path = plain_path("/" + target)
    if path is not None:
        assert ".." not in path.split("/")
        assert "//" not in path
        assert plain_path(path) == path


@pytest.mark.parametrize(
    ("path", "prefix", "expected"),
    [
        ("/api", "/api", True),
        ("/api/x", "/api", True),
        ("/apix", "/api", False),
        ("/api/x", "/api/", True),
        ("/api", "/api/", False),
        ("/x", "/", True),
    ],
)
def test_under(path: str, prefix: str, expected: bool) -> None:
    assert under(path, prefix) is expected
