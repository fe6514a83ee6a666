"""Known secrets as literals: what stands for a value, and which values are worth it."""

from __future__ import annotations

import base64
import codecs
import html
import json
import quopri
import random
import string
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.decide.findings import Weigher
from interceptor.model import Target
from interceptor.policy.patterns import parse_pattern
from interceptor.policy.schema import Policy, SecretHome, Secrets
from interceptor.scan.candidates import MOST, known_secrets
from interceptor.scan.collected import Candidate, Collected, with_registries
from interceptor.scan.engine import Scanner
from interceptor.scan.known import LONGEST, SHORTEST, literals
from interceptor.scan.ruleset import Home, KnownSecret, Rule, Ruleset
from interceptor.scan.vendors import HOSTS, IN_URL
from interceptor.scan.worth import looks_random, says_secret, worth
from interceptor.verdict import Severity

VALUE = b"q7Jx0vR2/mWz9T+Lb4=Kd8&p\"Yn'3"
"""Of no format, with everything that some encoding writes differently."""


def spaced(between: str) -> Callable[[bytes], bytes]:
    return lambda data: between.join(f"{byte:02x}" for byte in data).encode()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "upper case": bytes.upper,
    "percent": lambda data: quote(data, safe="").encode(),
    "percent, slashes kept": lambda data: quote(data).encode(),
    "form": lambda data: quote_plus(data).encode(),
    "percent, all": lambda data: b"".join(b"%%%02X" % byte for byte in data),
    "percent twice": lambda data: quote(quote(data, safe=""), safe="").encode(),
    "base64": base64.b64encode,
    "base64 URL": base64.urlsafe_b64encode,
    "base64 twice": lambda data: base64.b64encode(base64.b64encode(data)),
    "base64 of UTF-16": lambda data: base64.b64encode(data.decode("latin-1").encode("utf-16-le")),
    "hex": lambda data: data.hex().encode(),
    "HEX": lambda data: data.hex().upper().encode(),
    "hex with colons": spaced(":"),
    "hex with blanks": spaced(" "),
    "hex escapes": lambda data: b"".join(b"\\x%02x" % byte for byte in data),
    "base32": base64.b32encode,
    "base32, lower": lambda data: base64.b32encode(data).lower(),
    "base85": base64.b85encode,
    "ascii85": base64.a85encode,
    "JSON": lambda data: json.dumps(data.decode("latin-1")).encode(),
    "HTML": lambda data: html.escape(data.decode("latin-1")).encode(),
    "HTML, decimal": lambda data: b"".join(b"&#%d;" % byte for byte in data),
    "HTML, hex": lambda data: b"".join(b"&#x%X;" % byte for byte in data),
    "\\u escapes": lambda data: b"".join(b"\\u00%02X" % byte for byte in data),
    "octal": lambda data: b"".join(b"\\%03o" % byte for byte in data),
    "UTF-16LE": lambda data: data.decode("latin-1").encode("utf-16-le"),
    "UTF-16BE": lambda data: data.decode("latin-1").encode("utf-16-be"),
    "reversed": lambda data: data[::-1],
    "ROT13": lambda data: codecs.encode(data.decode("latin-1"), "rot13").encode(),
    "quoted-printable": quopri.encodestring,
}  # fmt: skip


def stands_in(value: bytes, text: bytes) -> bool:
    """Whether a literal of `value` is in `text`, as the matcher would see it."""
    lower = text.lower()
    return any(
        literal.data.lower() in lower if literal.caseless else literal.data in text
        for literal in literals(value)
    )


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoding_is_found_whatever_stands_around(name: str) -> None:
    encode = ENCODERS[name]
    whole = name in ("base64 twice", "base64 of UTF-16")
    for before in range(1 if whole else 6):
        # A multiple of four: base85 has no literals for other places.
        width = before * 4 if name in ("base85", "ascii85") else before
        text = encode(b"#" * width + VALUE + b"#" * (0 if whole else 4))
        assert stands_in(VALUE, text), (before, text)
    assert not stands_in(VALUE, encode(VALUE.replace(b"9T", b"9S")))


@settings(max_examples=60, deadline=None)
@given(st.text(string.ascii_letters + string.digits + "-_./+", min_size=12, max_size=90))
def test_any_value_is_found_in_every_encoding(text: str) -> None:
    value = text.encode()
    for name, encode in ENCODERS.items():
        if name == "quoted-printable":  # breaks long lines, which a decoder undoes
            continue
        assert stands_in(value, encode(value)), name


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=3000))
def test_literals_of_any_bytes_are_short_and_few(value: bytes) -> None:
    found = literals(value)
    assert all(SHORTEST <= len(literal.data) <= LONGEST for literal in found)
    assert len({(literal.data, literal.caseless) for literal in found}) == len(found)
    assert len(found) <= 150


def test_a_usual_token_has_about_thirty() -> None:
    generator = random.Random(7)
    token = "".join(generator.choices(string.ascii_letters + string.digits, k=40)).encode()
    assert 25 <= len(literals(token)) <= 36


def pem(seed: int, *, escaped: bool = False) -> str:
    body = base64.b64encode(random.Random(seed).randbytes(600)).decode()
    # What all keys of a kind have in common.
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ" + body[50:]
    lines = [body[i : i + 64] for i in range(0, len(body), 64)]
    marks = ("-----BEGIN PRIVATE" + " KEY-----", "-----END PRIVATE" + " KEY-----", "")
    return ("\\n" if escaped else "\n").join([marks[0], *lines, *marks[1:]])


def test_a_key_of_many_lines_is_known_by_some_of_them() -> None:
    key = pem(1).encode()
    assert stands_in(key, json.dumps({"key": pem(1)}).encode())
    assert stands_in(key, base64.b64encode(key))
    assert stands_in(key, "".join(pem(1).splitlines()[1:-1]).encode())
    assert stands_in(pem(1, escaped=True).encode(), key)
    assert not stands_in(key, pem(2).encode())
    assert len(literals(key)) <= 120


def test_a_long_value_is_known_by_its_end() -> None:
    token = base64.b64encode(random.Random(3).randbytes(900))
    assert stands_in(token, b"Cookie: a=" + token)
    assert stands_in(token, token.hex().encode())
    assert not stands_in(token, token[:600])


def scanner(*rules: Rule) -> Scanner:
    return Scanner.build(Ruleset(rules), None)


RULE = Rule(
    id="acme-key",
    title="ACME key",
    pattern="acme_[a-z0-9]{12}",
    severity=Severity.HIGH,
    home=(Home(("api.acme.example",), ("header:x-acme", "url")),),
)
KEY = b"acme_q7jx0vr2mwz9"


def test_the_scanner_finds_each_with_one_digest_and_keeps_no_value() -> None:
    secret = KnownSecret("known:A", "the agent's A", VALUE)
    known = scanner(RULE).with_secrets([secret], b"k" * 16)
    digests = set()
    for name, encode in ENCODERS.items():
        findings = known.scan(b"{" + encode(VALUE) + b"}", "body", b"k" * 16).findings
        if name in ("base85", "ascii85", "base32", "base32, lower"):
            findings = known.scan(encode(VALUE), "body", b"k" * 16).findings
        assert findings, name
        assert {known.rules[finding.rule].id for finding in findings} == {"known:A"}, name
        digests |= {finding.digest for finding in findings}
    assert len(digests) == 1
    assert VALUE.decode() not in repr(known.__dict__)
    assert VALUE.decode() not in repr(secret)
    assert not known.scan(VALUE[:-3], "body", b"k" * 16).findings


def test_known_secrets_are_found_in_host_names() -> None:
    value = b"q7jx0vr2mwz9tlb4kd8p"
    known = scanner(RULE).with_secrets([KnownSecret("known:A", "A", value)], b"")
    for label in (value, value.hex().encode(), base64.b32encode(value).rstrip(b"=").lower()):
        assert known.scan_folded(label + b".attacker.example", "")
    assert not known.scan_folded(b"www.attacker.example", "")


def decide(
    *candidates: Candidate, policy: Secrets | None = None
) -> tuple[dict[str, KnownSecret], dict[str, str]]:
    secrets, guarded = known_secrets(Collected(candidates), scanner(RULE), policy or Secrets())
    assert len(guarded.names) >= len([s for s in secrets if not s.canary])
    return {secret.id: secret for secret in secrets}, dict(guarded.unguarded)


def test_a_name_makes_a_secret_and_a_reason_unmakes_it() -> None:
    known, unguarded = decide(
        Candidate("A_TOKEN", VALUE),
        Candidate("PGPASSWORD", b"short"),
        Candidate("DB_PASSWORD", b"postgres"),
        Candidate("APP_NAME", b"q7Jx0vR2mWz9TfLb4Kd8", sure=False),
        Candidate("KEY_PATH", b"/etc/ssl/private.pem"),
    )
    assert set(known) == {"known:A_TOKEN"}
    assert unguarded == {"PGPASSWORD": "too short", "DB_PASSWORD": "dictionary word"}


def test_a_key_of_no_format_is_at_home_at_the_vendor_of_its_name() -> None:
    """Or the agent's own work would stop: no rule knows such a key in a header."""
    known, _ = decide(
        Candidate("MISTRAL_API_KEY", VALUE),
        Candidate("SERPAPI_API_KEY", VALUE + b"2"),
        Candidate("NEXT_PUBLIC_NOBODY_KEY", VALUE + b"3"),
    )
    places = {
        (host, place)
        for home in known["known:MISTRAL_API_KEY"].home
        for host in home.hosts
        for place in home.places
    }
    assert ("api.mistral.ai", "header:authorization") in places
    assert all(place.startswith("header:") for _, place in places)
    assert known["known:SERPAPI_API_KEY"].home == (Home(("serpapi.com",), ("url",)),)
    assert known["known:NEXT_PUBLIC_NOBODY_KEY"].home == ()


def test_a_platforms_name_alone_is_no_home_at_everybodys_hosts() -> None:
    def rule(word: str, *hosts: str) -> Rule:
        home = (Home(hosts, ("header:authorization",)),)
        return Rule(id=word, title="x", pattern=f"{word}x", severity=Severity.LOW, home=home)

    rules = (
        rule("azure-function-key", "*.apps.example", "manage.example"),
        rule("azure-openai-key", "*.models.example"),
    )
    names = ("AZURE_CLIENT_SECRET", "AZURE_OPENAI_API_KEY")
    candidates = [Candidate(name, VALUE + name.encode()) for name in names]
    known, _ = known_secrets(Collected(tuple(candidates)), scanner(*rules), Secrets())
    hosts = [{host for home in secret.home for host in home.hosts} for secret in known]
    assert hosts == [{"manage.example"}, {"manage.example", "*.models.example"}]


def test_hosts_of_vendors_are_no_wider_than_a_vendor() -> None:
    for table in (HOSTS, IN_URL):
        assert list(table) == [word.lower() for word in table]
        for hosts in table.values():
            for host in hosts:
                pattern = parse_pattern(host)
                assert pattern.host.count(".") >= 1, host
                assert pattern.port is None


def test_a_rule_makes_a_secret_of_any_name_and_gives_it_a_home() -> None:
    known, _ = decide(Candidate("WHATEVER", b"use " + KEY + b" for it", sure=False))
    assert known["known:WHATEVER"].value == KEY
    assert known["known:WHATEVER"].home == RULE.home


def test_homes_of_a_name_a_rule_a_file_and_the_policy_add_up() -> None:
    own = Home(("own.example",), ("header:authorization",))
    policy = Secrets(homes=(SecretHome(name="ACME_TOKEN", host="more.example"),))
    known, _ = decide(Candidate("ACME_TOKEN", VALUE, homes=(own,)), policy=policy)
    assert set(known["known:ACME_TOKEN"].home) == {
        own,
        # By the vendor's name: headers only, as the format is not the rule's.
        Home(("api.acme.example",), ("header:x-acme",)),
        Home(("more.example",), ("header:authorization",)),
    }


def test_one_value_under_two_names_is_one_secret_with_both_homes() -> None:
    first, second = Home(("a.example",), ("url",)), Home(("b.example",), ("url",))
    known, _ = decide(
        Candidate("X_TOKEN", VALUE, homes=(first,)), Candidate("Y_TOKEN", VALUE, homes=(second,))
    )
    assert known["known:X_TOKEN"].home == (first, second)


def test_what_is_ignored_is_not_there_but_a_canary_is() -> None:
    policy = Secrets(ignore=("A_TOKEN", ".env", "C"))
    known, unguarded = decide(
        Candidate("A_TOKEN", VALUE),
        Candidate(".env:B_TOKEN", VALUE + b"2"),
        Candidate("C", VALUE + b"3", canary=True),
        policy=policy,
    )
    assert set(known) == {"canary:C"}
    assert known["canary:C"].canary
    assert known["canary:C"].home == ()
    assert unguarded == {}


def test_a_canary_that_a_rule_or_file_knows_has_no_home() -> None:
    home = Home(("a.example",), ("url",))
    known, _ = decide(Candidate("D", KEY, canary=True), Candidate("E_TOKEN", KEY, homes=(home,)))
    assert set(known) == {"canary:D"}
    assert known["canary:D"].home == ()


def test_their_number_is_bounded_and_the_rest_is_named() -> None:
    generator = random.Random(5)
    many = [
        Candidate(f"T{i}_TOKEN", generator.randbytes(12).hex().encode()) for i in range(MOST + 3)
    ]
    known, unguarded = decide(*many)
    assert len(known) == MOST
    assert set(unguarded.values()) == {f"more than {MOST}"}


def test_the_operators_line_names_and_never_shows() -> None:
    collected = Collected(
        (Candidate("A_TOKEN", VALUE), Candidate("B_KEY", b"short")),
        skipped=(("~/.x", "unreadable"),),
    )
    _, guarded = known_secrets(collected, scanner(RULE), Secrets())
    (line,) = guarded.lines()
    assert line.startswith("1 secret of the agent is guarded (A_TOKEN)")
    assert "B_KEY (too short)" in line
    assert "~/.x (unreadable)" in line
    assert VALUE.decode() not in line
    assert "secrets.homes" in line


def test_registry_rules_get_the_hosts_of_their_clients() -> None:
    others = [
        Rule(id=f"{word}-token", title="x", pattern="x{9}", severity=Severity.LOW)
        for word in ("npm", "npmx")
    ]
    rules = Ruleset((RULE, *others))
    housed = with_registries(rules, {"npm": ("packages.example",)})
    assert [bool(rule.home) for rule in housed.rules] == [True, True, False]
    assert housed.rules[1].home[0].hosts == ("packages.example",)
    assert "header:authorization" in housed.rules[1].home[0].places
    assert housed.rules[0] == RULE


def test_the_password_of_a_service_is_at_home_in_its_stream_alone() -> None:
    home = Home(("cache.example:6379",), ("stream",))
    secret = KnownSecret("known:A", "A", VALUE, home=(home,))
    known = scanner(RULE).with_secrets([secret], b"")
    found = [("body", finding) for finding in known.scan(VALUE, "body").findings]
    weigher = Weigher(known.rules, Policy())
    for scheme, host, port, at_home in (
        ("tcp", "cache.example", 6379, True),
        ("tls", "cache.example", 6379, True),
        ("https", "cache.example", 6379, False),
        ("tcp", "cache.example", 6380, False),
        ("tcp", "other.example", 6379, False),
    ):
        weighed = weigher.weigh(found, Target(scheme, host, port))
        assert bool(weighed.home) is at_home
        assert bool(weighed.blocking) is not at_home


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("hunter2", "too short"),
        ("true", "too short"),
        ("required", "boolean"),
        ("1234567890", "number"),
        ("3.14159265", "number"),
        ("2024-05-06", "number"),
        ("1.22.333-rc1", "version"),
        ("en_US.UTF-8", "locale"),
        ("dev@corp.test", "e-mail address"),
        ("db.internal.corp:5432", "host name"),
        ("10.20.30.40:5432", "address"),
        ("2001:db8::1:2:3", "address"),
        ("/usr/share/keys/x", "path"),
        ("~/.ssh/id_rsa", "path"),
        ("https://corp.test/a/b", "URL without a password"),
        ("${VAULT_TOKEN}", "placeholder"),
        ("your-api-key-here", "placeholder"),
        ("changeme", "placeholder"),
        ("xxxxxxxxxxxxxxxx", "placeholder"),
        ("abababababababab", "low entropy"),
        ("postgres", "dictionary word"),
        ("postgres123", "dictionary word"),
        ("P@ssw0rd!", "dictionary word"),
        ("correct-horse-battery-staple", "dictionary word"),
        ("thequickbrownfox", "dictionary word"),
        ("MyCompanyName2024", "dictionary word"),
    ],
)
def test_what_is_not_worth_it(value: str, why: str) -> None:
    assert worth(value.encode()) == why


@pytest.mark.parametrize(
    "value",
    ["Summer2024!", "tr0ub4dor&3", "S3cr3t/P@th", "xkwqzvbtrgpl", "4fz8-qq19-zz", "hT9sLq2vWx"],
)
def test_what_is_worth_it(value: str) -> None:
    assert worth(value.encode()) == ""


@pytest.mark.parametrize(
    ("alphabet", "size", "most"),
    [
        (string.ascii_lowercase, 16, 0.02),
        (string.ascii_lowercase, 8, 0.09),
        (string.ascii_letters, 10, 0.03),
        (string.ascii_letters + string.digits, 12, 0.005),
        ("0123456789abcdef", 32, 0.0),
        (string.ascii_letters + string.digits + "+/", 40, 0.0),
        (string.ascii_letters + string.digits + "-_", 43, 0.0),
    ],
)
def test_keys_drawn_at_random_are_guarded(alphabet: str, size: int, most: float) -> None:
    generator = random.Random(11)
    drawn = ["".join(generator.choices(alphabet, k=size)).encode() for _ in range(2000)]
    assert sum(bool(worth(value)) for value in drawn) <= most * len(drawn)


@given(st.binary(max_size=200), st.text(max_size=20))
def test_any_bytes_have_an_answer(value: bytes, name: str) -> None:
    assert isinstance(worth(value, name), str)
    assert looks_random(value) in (True, False)
    assert says_secret(name) in (True, False)


def test_the_judgement_is_linear_in_the_worst_texts() -> None:
    for text in (b"a." * 30_000, b"0" * 60_000, b"aA" * 30_000, b"${" * 30_000, b"/a" * 30_000):
        assert isinstance(worth(text), str)


SECRET_NAMES = (
    "OPENAI_API_KEY AWS_SECRET_ACCESS_KEY PGPASSWORD authToken client-secret GITHUB_PAT SENTRY_DSN "
    "MYSQL_ROOT_PASSWORD _authToken SESSION_COOKIE npm_config__auth SECRET_KEY_BASE apikey2 "
    "DB_PASS refresh_token accessKey PRIVATE_KEY_PEM HTTP_COOKIE TF_TOKEN_app_example_com"
)
PLAIN_NAMES = (
    "PWD OLDPWD SSH_AUTH_SOCK MAX_TOKENS TOKENIZERS_PARALLELISM KEYMAP DATABASE_URL GPG_KEY MONKEY "
    "RSA_PUBLIC_KEY KEY_FILE AUTHOR PASSENGER KEYBOARD_LAYOUT TOKEN_TTL PATH HOME AWS_ACCESS_KEY_ID"
)


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_names_that_promise_a_secret(name: str) -> None:
    assert says_secret(name)


@pytest.mark.parametrize("name", PLAIN_NAMES.split())
def test_names_that_do_not(name: str) -> None:
    assert not says_secret(name)


def test_no_literal_of_words_joined_is_met_in_this_repository_by_chance() -> None:
    """A text of the size of a module, against literals of a hundred keys."""
    generator = random.Random(13)
    text = Path(__file__).read_bytes()
    for _ in range(100):
        value = "".join(generator.choices(string.ascii_letters + string.digits, k=12)).encode()
        assert not stands_in(value, text)
