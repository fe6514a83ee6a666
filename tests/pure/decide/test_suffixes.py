"""Registrable domains, by the examples of the public suffix list's own tests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.decide.suffixes import public_suffixes


# fmt: off
@pytest.mark.parametrize(("name", "domain"), [
    ("com", "com"), ("example.com", "example.com"), ("b.example.com", "example.com"),
    ("a.b.example.com", "example.com"), ("localhost", "localhost"),
    ("uk.com", "uk.com"), ("example.uk.com", "example.uk.com"),
    ("b.example.uk.com", "example.uk.com"), ("test.ac", "test.ac"),
    ("c.kobe.jp", "c.kobe.jp"), ("b.c.kobe.jp", "b.c.kobe.jp"), ("a.b.c.kobe.jp", "b.c.kobe.jp"),
    ("city.kobe.jp", "city.kobe.jp"), ("www.city.kobe.jp", "city.kobe.jp"),
    ("test.ck", "test.ck"), ("b.test.ck", "b.test.ck"), ("a.b.test.ck", "b.test.ck"),
    ("www.ck", "www.ck"), ("www.www.ck", "www.ck"),
    ("test.k12.ak.us", "test.k12.ak.us"), ("www.test.k12.ak.us", "test.k12.ak.us"),
    ("a.unknown-tld", "a.unknown-tld"), ("b.a.unknown-tld", "a.unknown-tld"),
    ("www.xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn"),
    ("a.d111.cloudfront.net", "d111.cloudfront.net"), ("x.me.github.io", "me.github.io"),
    ("a.b.s3.us-east-1.amazonaws.com", "b.s3.us-east-1.amazonaws.com"),
    ("x.y.example.co.uk", "example.co.uk"), ("co.uk", "co.uk"),
])
def test_domains(name: str, domain: str) -> None:
    for _ in range(2):  # the second time from what was kept
        assert public_suffixes().registrable(name) == domain


@given(st.lists(st.sampled_from(["a", "www", "com", "co", "uk", "jp", "kobe", "ck", "amazonaws"]),
                min_size=1, max_size=7))
def test_what_is_asked_for_makes_no_difference(labels: list[str]) -> None:
    name = ".".join(labels)
    domain = public_suffixes().registrable(name)
    assert name == domain or name.endswith(f".{domain}")
    assert public_suffixes().registrable(f"more.{name}").endswith(domain)
