"""Secrets in host names, and names that only look odd."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.scan.engine import Scanner
from interceptor.scan.names import MAX_NAME, fault, scan_name
from interceptor.scan.ruleset import example, load_rules

SCANNER = Scanner.build(load_rules(), None)
KEYS = {
    "aws-access-key-id": example(["AK", "IA", "{upper32:16}"], "names"),
    "github-token": example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "names"),
    "gitlab-token": example(["gl", "pat-", "{alnum:20}"], "names"),
    "anthropic-api-key": example(["sk", "-ant-", "api03-", "{alnum:93}", "AA"], "names"),
}
TAIL = "exfil.example.com"


def found(name: str) -> set[str]:
    assert fault(name) == "", name
    return {SCANNER.rules[raw.rule].id for raw in scan_name(SCANNER, name, b"k")}


def split(text: str, size: int) -> str:
    return ".".join(text[at : at + size] for at in range(0, len(text), size))


def base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=")


@pytest.mark.parametrize("rule", KEYS)
@pytest.mark.parametrize("size", [63, 40, 17])
@pytest.mark.parametrize("case", [str.lower, str.upper, str])
def test_keys_in_names(rule: str, size: int, case: type[str]) -> None:
    key = KEYS[rule]
    forms = {"hex": key.hex(), "base32": base32(key)}
    if not any(piece.startswith("-") for piece in split(key.decode(), size).split(".")):
        forms["plain"] = key.decode()
    for form, text in forms.items():
        name = f"{split(case(text), size)}.{TAIL}"
        if len(name) > MAX_NAME or fault(name):
            continue
        assert rule in found(name), (form, name)


@pytest.mark.parametrize("rule", ["aws-access-key-id", "github-token", "gitlab-token"])
def test_base64_where_case_survives(rule: str) -> None:
    text = base64.urlsafe_b64encode(KEYS[rule]).decode().rstrip("=").replace("_", "_")
    name = f"{split(text, 20)}.{TAIL}"
    if not fault(name):
        assert rule in found(name)


def test_hex_of_base64_of_a_key() -> None:
    key = KEYS["aws-access-key-id"]
    name = f"{split(base64.b64encode(key).hex(), 60)}.{TAIL}"
    (raw, *_) = scan_name(SCANNER, name)
    assert raw.encoding == "hex>base64"


@pytest.mark.parametrize(
    "name",
    [
        "slovakiatravelguides.example",
        "www.nakiamanagementservices.example.com",
        "d111111abcdef8.cdn.example.net",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301.example.com",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b.example.com",
        "k8s-default-ingress-1a2b3c4d5e-1234567890.eu-west-1.elb.example.com",
        "xn--bcher-kva.example",
        "_acme-challenge.www.example.com",
        "ec2-203-0-113-25.compute-1.example.com",
        "this-is-a-very-long-label-made-of-many-english-words-for-fun.example.org",
        "r3---sn-4g5e6nzz.video.example.com",
        "a" * 63 + ".example.com",
        "p2p-abcdefghijklmnopqrstuvwxyz234567.example.com",
    ],
)
def test_ordinary_names(name: str) -> None:
    assert found(name) == set()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "empty"),
        ("a..b", "label is empty"),
        (".", "label is empty"),
        ("a" * 64 + ".example", "longer than 63"),
        (".".join(["a" * 50] * 6), "longer than 253"),
        ("-a.example", "other characters"),
        ("a-.example", "other characters"),
        ("a b.example", "other characters"),
        ("a\n.example", "other characters"),
        ("a.example\n", "other characters"),
        ("*.example", "other characters"),
        ("é.example", "other characters"),
        ("a/b.example", "other characters"),
    ],
)
def test_faults(name: str, words: str) -> None:
    assert words in fault(name)


@pytest.mark.parametrize("name", ["a", "a" * 63, ".".join(["a" * 49] * 5) + ".abc", "_x.y-z.w_"])
def test_no_faults(name: str) -> None:
    assert fault(name) == ""


@given(st.from_regex(r"\A[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,30}[a-zA-Z0-9_])?(\.[a-z0-9]{1,30}){0,4}\Z"))
def test_any_good_name_scans(name: str) -> None:
    assert fault(name) == ""
    scan_name(SCANNER, name)


@given(st.text(max_size=80))
def test_any_text_has_a_fault_or_scans(name: str) -> None:
    if not fault(name):
        scan_name(SCANNER, name)
