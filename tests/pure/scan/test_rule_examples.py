"""Every rule's own examples through the whole scanner: plain in every carrier, and a sample of the
encodings and cuts that tests/matrix holds every rule to; and whether rules are sound.
"""

from __future__ import annotations

import base64
import re

import pytest

from interceptor.policy.patterns import parse_pattern
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import (
    MAX_SPAN,
    Rule,
    RulesetError,
    collect,
    example,
    parse_rules,
    widest,
)
from interceptor.scan.window import HOLD
from tests.recall.chains import missing
from tests.recall.cuts import leaks
from tests.recall.encodings import BY_NAME, Encode
from tests.recall.examples import Chain, applies, chain, secrets
from tests.recall.groups import EACH_GROUP, RULES, nothing

OF_NO_VENDOR = {"jwt", "jwe", "configuration-secret", "settings-secret", "sk-environment-key"}
"""What any service may have given its client to authorize itself with: at home in the fields of a
request that are there for that, wherever it goes."""
PLACE = re.compile(r"url|body|header:[a-z0-9_-]+")
CARRIERS = [
    (b"", b"\n"),
    (b'{"a": "', b'"}'),
    (b"GET /?q=", b" HTTP/1.1\r\n"),
    (b"\\n", b"\n\\n"),
]
SAMPLE = ("percent", "base64", "hex", "entities", "escapes-u", "gzip+base64", "reversed", "rot13")


def found(scanner: Scanner, data: bytes) -> set[str]:
    return {scanner.rules[raw.rule].id for raw in scanner.scan(data, "head").findings}


@pytest.mark.parametrize("rules", EACH_GROUP)
def test_match_in_every_carrier(scanner: Scanner, rules: list[Rule]) -> None:
    nothing(
        [
            f"{secret.rule.id}[{secret.number}] in {before!r}"
            for secret in secrets(rules, 1)
            for before, after in CARRIERS
            if secret.rule.id not in found(scanner, before + secret.text + after)
        ]
    )


@pytest.mark.parametrize("rules", EACH_GROUP)
def test_no_match(scanner: Scanner, rules: list[Rule]) -> None:
    missed = []
    for rule in rules:
        for number, parts in enumerate(rule.no_match):
            text = example(parts, f"{rule.id}/no/{number}")
            for name in ("plain", "base64", "percent", "hex"):
                if rule.id in found(scanner, BY_NAME[name].encode(text)):
                    missed.append(f"{rule.id}[{number}] {name}")
    nothing(missed)


@pytest.mark.parametrize("rules", EACH_GROUP)
def test_a_sample_of_encodings(scanner: Scanner, rules: list[Rule]) -> None:
    """One encoding of each rule, another one for the next."""
    missed = []
    for number, rule in enumerate(rules):
        encoding = BY_NAME[SAMPLE[number % len(SAMPLE)]]
        secret = next(secrets([rule], 1, first=2))
        missed += [f"{rule.id} {one}" for one in missing(scanner, secret, [Chain((encoding,))])[1]]
    nothing(missed)


@pytest.mark.parametrize(
    "names",
    [
        ("base64", "hex"),
        ("hex", "hex"),
        ("entities", "base64url", "percent", "base64"),
        ("reversed", "percent"),
        ("rot13", "escapes-x"),
        ("reversed", "rot13"),
    ],
    ids=">".join,
)
def test_a_sample_of_chains(scanner: Scanner, names: tuple[str, ...]) -> None:
    missed = []
    for rule in RULES[:: 5 + len(names)]:
        secret = next(secrets([rule], 1))
        missed += [f"{rule.id} {one}" for one in missing(scanner, secret, [chain(*names)])[1]]
    nothing(missed)


def test_a_sample_of_cuts(scanner: Scanner) -> None:
    """No byte of a secret leaves a window: of every rule at one byte, plain or encoded."""
    missed = []
    for number, rule in enumerate(RULES):
        encoding = BY_NAME[("plain", *SAMPLE)[number % 9]]
        if applies(rule, (encoding,)):
            text = encoding.encode(next(secrets([rule], 1, first=6)).text)
            cut = 1 + number * 7 % (len(text) - 1)
            leaked = leaks(scanner, rule.id, text, [cut])
            missed += [f"{rule.id} {encoding.name}: {leak}" for leak in leaked]
    nothing(missed)


# How else base64 and hexadecimal are written: what tests/recall has no encoder for.
VARIANTS: dict[str, Encode] = {
    "unpadded": lambda data: base64.b64encode(data).rstrip(b"="),
    "in a path": lambda data: b"/v1/items/" + base64.urlsafe_b64encode(data),
    "inside longer": lambda data: base64.b64encode(b"a prefix " + data + b" and a tail"),
    "wrapped in JSON": lambda data: base64.encodebytes(b"x " * 15 + data + b" y" * 40).replace(
        b"\n", b"\\n"
    ),
    "hex, odd": lambda data: b"f" + data.hex().encode(),
    "hex, blanks": lambda data: data.hex(" ").encode(),
    "percent, thrice": lambda data: b"".join(b"%%2525%02x" % byte for byte in data),
    "percent, one": lambda data: b"%%%02x" % data[0] + data[1:],
    "escapes, braces": lambda data: b"".join(b"\\u{%x}" % byte for byte in data),
    "escaped slashes": lambda data: data.replace(b"/", b"\\/"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_other_ways_to_write_it(scanner: Scanner, name: str) -> None:
    write = VARIANTS[name]
    nothing(
        [
            rule.id
            for rule in RULES[len(name) % 4 :: 4]
            if rule.id
            not in found(scanner, b'{"a": "' + write(next(secrets([rule], 1)).text) + b'"}')
        ]
    )


@pytest.mark.parametrize("rules", EACH_GROUP)
def test_rules_are_sound(rules: list[Rule]) -> None:
    for rule in rules:
        assert 0 < widest(rule.pattern) < MAX_SPAN, f"{rule.id}: longer than windows hold back for"
        assert len(rule.match) >= 2, f"{rule.id}: two examples that must match"
        assert len(rule.no_match) >= 2, f"{rule.id}: two examples that must not"
        assert rule.references, rule.id
        assert all(url.startswith("https://") for url in rule.references), rule.id
        if rule.kind == "contextual":
            one = re.compile(rule.pattern).groups == 1
            assert one, f"{rule.id}: the words around are no part of the secret"
            assert "name" not in rule.surfaces, f"{rule.id}: a host name holds no such words"
        for home in rule.home:
            named = all(parse_pattern(host).host for host in home.hosts)
            assert named or rule.id in OF_NO_VENDOR, f"{rule.id}: at home everywhere"
            assert all(PLACE.fullmatch(place) for place in home.places), (rule.id, home.places)


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
