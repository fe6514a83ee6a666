"""Every rule's own examples through the whole scanner: plain, encoded, nested, cut anywhere."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

import hyperscan
import pytest

from interceptor.policy.patterns import parse_pattern
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import (
    MAX_SPAN,
    Rule,
    RulesetError,
    collect,
    example,
    load_rules,
    parse_rules,
    widest,
)
from interceptor.scan.window import HOLD, STRIDE, BodyWindow
from interceptor.verdict import Reason, Verdict

RULES = load_rules().rules
EXAMPLES = [
    pytest.param(rule, example(parts, f"{rule.id}/{i}"), id=f"{rule.id}-{i}")
    for rule in RULES
    for i, parts in enumerate(rule.match)
]
OF_NO_VENDOR = {"jwt", "jwe", "configuration-secret", "settings-secret"}
"""What any service may have given its client to authorize itself with: at home in the fields of a
request that are there for that, wherever it goes."""
COUNTER = [
    pytest.param(rule, example(parts, f"{rule.id}/no/{i}"), id=f"{rule.id}-{i}")
    for rule in RULES
    for i, parts in enumerate(rule.no_match)
]


def hex_of(data: bytes) -> bytes:
    return data.hex().encode()


def every(template: str) -> Callable[[bytes], bytes]:
    return lambda data: b"".join(template.format(byte).encode() for byte in data)


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "base64": base64.b64encode,
    "base64-unpadded": lambda data: base64.b64encode(data).rstrip(b"="),
    "base64-url": lambda data: base64.urlsafe_b64encode(data).rstrip(b"="),
    "base64-in-a-path": lambda data: b"/v1/items/" + base64.urlsafe_b64encode(data),
    "base64-inside-longer": lambda data: base64.b64encode(b"a prefix " + data + b" and a tail"),
    "base64-wrapped": lambda data: base64.encodebytes(b"x " * 15 + data + b" y" * 40),
    "base64-wrapped-in-json": lambda data: base64.encodebytes(
        b"x " * 15 + data + b" y" * 40
    ).replace(b"\n", b"\\n"),
    "hex": hex_of,
    "hex-upper": lambda data: data.hex().upper().encode(),
    "hex-odd": lambda data: b"f" + hex_of(data),
    "hex-colons": lambda data: data.hex(":").encode(),
    "hex-spaces": lambda data: data.hex(" ").encode(),
    "hex-0x": lambda data: b", ".join(b"0x%02x" % byte for byte in data) + b", ",
    "percent": every("%{:02X}"),
    "percent-lower": every("%{:02x}"),
    "percent-twice": every("%25{:02x}"),
    "percent-thrice": every("%2525{:02x}"),
    "one-percent": lambda data: b"%%%02x" % data[0] + data[1:],
    "entities": every("&#{};"),
    "entities-hex": every("&#x{:x};"),
    "escapes-u": every("\\u{:04x}"),
    "escapes-u-braces": every("\\u{{{:x}}}"),
    "escapes-x": every("\\x{:02x}"),
    "escapes-octal": every("\\{:03o}"),
    "escaped-slashes": lambda data: data.replace(b"/", b"\\/"),
}
CHAINS = [
    ("base64", "hex"),
    ("hex", "base64"),
    ("percent", "base64"),
    ("base64", "base64", "base64", "base64"),
    ("escapes-u", "base64", "hex", "percent"),
    ("entities", "base64-url", "percent", "base64"),
    ("hex", "hex"),
]
PLACE = re.compile(r"url|body|header:[a-z0-9_-]+")
CARRIERS = [(b"", b""), (b'{"a": "', b'"}'), (b"GET /?q=", b" HTTP/1.1\r\n"), (b"\\n", b"\\n")]


def found(scanner: Scanner, data: bytes) -> set[str]:
    return {scanner.rules[raw.rule].id for raw in scanner.scan(data, "head").findings}


@pytest.mark.parametrize(("rule", "text"), EXAMPLES)
def test_match_in_every_carrier(scanner: Scanner, rule: Rule, text: bytes) -> None:
    for before, after in CARRIERS:
        assert rule.id in found(scanner, before + text + after), before


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_match_under_encodings(scanner: Scanner, rule: Rule) -> None:
    """Every rule under every encoding and chain, its examples and the carriers in turn.

    `tests/recall` draws other secrets, and measures all of them under all of these.
    """
    texts = [example(parts, f"{rule.id}/{i}") for i, parts in enumerate(rule.match)]
    chains = [(name,) for name in ENCODINGS] + CHAINS
    for turn, chain in enumerate(chains):
        data = texts[turn % len(texts)]
        for name in reversed(chain):
            data = ENCODINGS[name](data)
        before, after = CARRIERS[(turn + len(rule.id)) % len(CARRIERS)]
        assert rule.id in found(scanner, before + data + after), (chain, before)


@pytest.mark.parametrize(("rule", "text"), COUNTER)
def test_no_match(scanner: Scanner, rule: Rule, text: bytes) -> None:
    for name in ("plain", "base64", "percent", "hex"):
        assert rule.id not in found(scanner, ENCODINGS[name](text)), name


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_cut_anywhere(scanner: Scanner, rule: Rule) -> None:
    """No byte of a secret leaves the window: at every byte plain, at some of them encoded."""
    text = example(rule.match[0], f"{rule.id}/0")
    before = b"lorem ipsum " * (STRIDE // 12 + 1)
    for encoding, step in (("plain", 1), ("base64", 17), ("hex", 29)):
        secret = ENCODINGS[encoding](text)
        for cut in range(0, len(secret) + 1, step):
            hit: list[str] = []
            window = BodyWindow(scanner, blocker(scanner, hit))
            sent = window.feed(before + secret[:cut])
            sent += window.feed(secret[cut:] + b" " + before)
            sent += window.finish()
            assert window.verdict is not None, (encoding, cut)
            assert rule.id in hit
            assert before.startswith(sent), (encoding, cut)


def blocker(scanner: Scanner, hit: list[str]):  # type: ignore[no-untyped-def]
    def decide(scan):  # type: ignore[no-untyped-def]
        hit.extend(scanner.rules[raw.rule].id for raw in scan.findings)
        return Verdict(reason=Reason.SECRET), ()

    return decide


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_rule_is_sound(rule: Rule) -> None:
    assert 0 < widest(rule.pattern) < MAX_SPAN, "longer than the window holds back for"
    assert len(rule.match) >= 2, "two examples that must match"
    assert len(rule.no_match) >= 2, "two examples that must not"
    assert rule.references
    assert all(url.startswith("https://") for url in rule.references)
    if rule.kind == "contextual":
        assert re.compile(rule.pattern).groups == 1, "the words around are no part of the secret"
        assert "name" not in rule.surfaces, "a host name holds no such words"
    for home in rule.home:
        named = all(parse_pattern(host).host for host in home.hosts)
        assert named or rule.id in OF_NO_VENDOR, "at home everywhere"
        assert all(PLACE.fullmatch(place) for place in home.places), home.places
    # One bad pattern fails the whole compile without a name, so each compiles alone here.
    hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK).compile(
        expressions=[rule.pattern.encode()], ids=[0], elements=1, flags=[0]
    )


def test_shipped_files_pass_the_strict_check() -> None:
    from importlib import resources

    folder = resources.files("interceptor") / "rules"
    files = [entry for entry in folder.iterdir() if entry.name.endswith(".toml")]
    assert files
    for entry in files:
        parse_rules(entry.read_bytes(), entry.name)
        text = entry.read_text()
        for rule in parse_rules(entry.read_bytes(), entry.name):
            for i, parts in enumerate(rule.match):
                whole = example(parts, f"{rule.id}/{i}").decode()
                assert whole not in text, "an example stands whole in the file"


ENTRY = """version = 1
[[rule]]
id = "a-key"
title = "A key"
severity = "high"
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\xff", "not TOML"),
        (b"version = ", "not TOML"),
        (b"version = 2\nrule = []", "version"),
        ((ENTRY + "pattern = 'x{20}'\nnope = 1").encode(), "nope"),
        ((ENTRY + "pattern = 'x{20,}'").encode(), "bounded"),
        ((ENTRY + "pattern = 'x*'").encode(), "bounded"),
        ((ENTRY + "pattern = 'x{600}'").encode(), "at most 511"),
        ((ENTRY + "pattern = '(x{20}'").encode(), "bad pattern"),
        ((ENTRY + "pattern = '(x)(y)'").encode(), "one group"),
        ((ENTRY + "pattern = 'x{0,3}'").encode(), "nothing at all"),
        ((ENTRY + "pattern = 'x'\nvalidator = 'lunn'").encode(), "lunn"),
        ((ENTRY + 'pattern = "x\\u0000"').encode(), "NUL"),
        ((ENTRY + "pattern = 'é'").encode(), "escapes"),
        ((ENTRY + "pattern = 'x'\nsurfaces = ['boddy']").encode(), "boddy"),
    ],
)
def test_bad_rule_files(text: bytes, words: str) -> None:
    with pytest.raises(RulesetError, match=re.escape(words)):
        parse_rules(text, "x.toml")


def test_ids_differ() -> None:
    with pytest.raises(RulesetError, match="stands twice"):
        collect(RULES + RULES[:1])


def test_hold_back_covers_the_longest_rule() -> None:
    assert HOLD >= MAX_SPAN * 16
