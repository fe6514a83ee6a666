"""Values that a word announces: drawn ones, not words, templates, names and numbers."""

from __future__ import annotations

import base64
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.scan.engine import Scanner
from interceptor.scan.validators import VALIDATORS, base62_crc32, looks_drawn

DRAW = random.Random("values")
ALPHABETS = {
    "hexadecimal": "0123456789abcdef",
    "small": string.ascii_lowercase + string.digits,
    "alphanumeric": string.ascii_letters + string.digits,
    "base64": string.ascii_letters + string.digits + "+/",
    "url64": string.ascii_letters + string.digits + "-_",
    "printable": string.ascii_letters + string.digits + "!@#^*-_.~",
}


@pytest.mark.parametrize("length", [16, 20, 24, 32, 40, 64])
@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_what_is_drawn_passes(alphabet: str, length: int) -> None:
    draws = ["".join(DRAW.choices(ALPHABETS[alphabet], k=length)) for _ in range(2000)]
    passed = sum(looks_drawn(value.encode()) for value in draws)
    least = {16: 0.7, 20: 0.85, 24: 0.9}.get(length, 0.96)
    assert passed / len(draws) >= least


@pytest.mark.parametrize(
    "value",
    [
        "correct-horse-battery-staple",
        "my-secret-name-2024-01-02",
        "${DATABASE_PASSWORD_1}",
        "$DATABASE_PASSWORD_12",
        "{{ vault.password123 }}",
        "<your-password-here-1>",
        "%(password)s0123456789",
        "os.environ.get.SECRET1",
        "https://login.example.org/v2",
        "projects/p1/secrets/s2/v3",
        "getSecretValueFromVault2()",
        "MyVeryLongClassName",
        "kubernetes.io/service-account-token",
        "arn-aws-secretsmanager-us-east-1",
        "next_payload_number=39",
        "sha256sum_of_file_1",
        "xxxxxxxxxxxxxxxxxxxx",
        "0000000000000000000000",
        "1234567890123456",
        "2024-05-01T12:00:00Z",
        "abcdefghijklmnop",
        "changeme-changeme-1a2b",
        "text/html;charset=utf8",
        "test1234password5678",
        "v1.2.3-alpha.4+build.5",
        "",
        "a1",
    ],
)
def test_what_people_write_does_not(value: str) -> None:
    assert not looks_drawn(value.encode())


def drawn(kind: str = "alphanumeric", length: int = 24) -> str:
    while True:
        value = "".join(DRAW.choices(ALPHABETS[kind], k=length))
        if looks_drawn(value.encode()):
            return value


@pytest.mark.parametrize(
    "form",
    [
        "DB_PASSWORD=%s\n",
        "export API_KEY='%s'\n",
        'environment: {"JWT_SECRET": "%s"}',
        "  - SESSION_SECRET=%s\n",
        'define("AUTH_TOKEN", "%s");',
        "<add key='APP_KEY' value='x'/> SECRET_KEY := `%s`",
        'password = "%s"',
        "password: '%s',",
        'client_secret => "%s"',
        '{"text": "api_key = \\"%s\\""}',
        '{"file": "{\\"password\\": \\"%s\\"}"}',
        '{"smtp_password": "%s"}',
        "spring:\n  password: %s\n",
        "[db]\npassword = %s\n",
        "tool --api-key %s run\n",
        "tool --password='%s' run\n",
        "curl -u deploy:%s https://api.example.org\n",
        "curl -H 'Authorization: Bearer %s' https://api.example.org",
        "machine api.example.org login x password %s\n",
        "db.example.org:5432:app:svc:%s\n",
        "mysql -h db1 -u app -p%s app",
    ],
)
def test_announced_values_are_found(scanner: Scanner, form: str) -> None:
    value = drawn()
    assert found(scanner, form % value), form % value
    assert not found(scanner, form % "${PLACEHOLDER_1}")
    assert not found(scanner, form % "your-password-here")
    assert not found(scanner, form % "xxxxxxxxxxxxxxxxxxxx")
    decoy = form % "xxxxxxxxxxxxxxxxxxxx"
    assert found(scanner, decoy + "\n" + form % value), "hidden behind a decoy"


@pytest.mark.parametrize(
    "form",
    [
        "username=a&password=%s&x=1",
        "grant_type=client_credentials&client_secret=%s",
        '{"username": "a", "password": "%s"}',
        '{"client_secret":"%s"}',
        '{"access_token": "%s", "expires_in": 3600}',
        "password_hash = '%s'",
        "cache_key: %s\n",
        "next_page_token=%s\n",
        "integrity: sha512-%s\n",
        "commit %s\n",
        "etag: %s\n",
    ],
)
def test_logins_and_other_values_are_not(scanner: Scanner, form: str) -> None:
    assert not found(scanner, form % drawn())


def test_passwords_of_urls() -> None:
    check = VALIDATORS["url-password"]
    real = b"k3Jx9" + b"QpLm2"
    assert check(real, b"@db.example.org/x")
    assert check(b"p%40ss%2F" + b"Kx81m", b"@db.example.org/x")
    assert check(b"a*b!" + real, b"@db.example.org/x")
    for after in (b"@localhost/x", b"@127.0.0.1:5432", b"@db:5432/x", b"@[::1]/", b"@postgres/"):
        assert not check(real, after)
    for text in ("password", "<password>", "${PASSWORD}", "{password}", "%(pass)s", "[password]"):
        assert not check(text.encode(), b"@db.example.org/x")
    for text in ("your_password", "my-secret-token", "user_password_1", "********", "short"):
        assert not check(text.encode(), b"@db.example.org/x")


def test_basic_credentials() -> None:
    check = VALIDATORS["basic-credentials"]
    assert check(base64.b64encode(b"deploy:k3Jx9" + b"QpLm2"), b"")
    assert check(base64.b64encode(b"deploy:k3Jx9" + b"QpLm2").rstrip(b"="), b"")
    for text in (b"user:password", b"Aladdin:open sesame", b"no colon at all", b"a:\x00\x01\x02"):
        assert not check(base64.b64encode(text), b"")
    assert not check(b"not base64!", b"")


def test_ends_of_tokens() -> None:
    token = b"k3Jx9QpLm2" + b"Zt7Wn4Rv8"
    for name in ("whole-varied", "whole-mixed"):
        assert VALIDATORS[name](token, b"")
        assert VALIDATORS[name](token, b'"')
        for after in (b"a", b"7", b"_", b"-"):
            assert not VALIDATORS[name](token, after)


def test_dense_values() -> None:
    check, draw = VALIDATORS["dense"], random.Random("dense")
    characters = ALPHABETS["url64"]
    for size in (20, 34, 80, 120):
        drawn_ = ["".join(draw.choices(characters, k=size)).encode() for _ in range(3000)]
        assert sum(check(value, b"") for value in drawn_) >= 2990
        numbers = b"".join(draw.randrange(1 << 14).to_bytes(4, "little") for _ in range(size))
        assert not check(base64.b64encode(numbers)[:size], b"")  # a table of them


def test_key_ids() -> None:
    check, draw = VALIDATORS["key-id"], random.Random("ids")
    ids = [
        "AKIA" + "".join(draw.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=16))
        for _ in range(5000)
    ]
    assert sum(check(one.encode(), b'"') for one in ids) >= 4980
    steps = ["AKIA" + "".join(draw.choices("ACEI" * 3 + "GKMOQSU", k=16)) for _ in range(500)]
    assert sum(check(one.encode(), b"A") for one in steps) <= 100  # of source maps


def test_checksums_of_tokens() -> None:
    check = VALIDATORS["crc32"]
    real = b"k3Jx9QpLm2Zt7Wn4Rv8Bc5Yd1Hs6Gf"
    prefix = b"gh" + b"p_"
    whole = prefix + real + base62_crc32(real)
    wrong = prefix + real + b"k3Jx9Q"
    for after in (b"", b'"', b"A", b"_x"):
        assert check(whole, after)
    assert check(wrong, b"")
    assert check(wrong, b'"}')
    assert not check(wrong, b"A")
    assert not check(wrong, b"_x")


NAMES = [
    *("varied", "mixed", "whole-varied", "whole-mixed", "filled-in", "key-id", "crc32", "drawn"),
    "dense",
    *("assigned", "assigned-line", "password", "url-password", "basic-credentials"),
]


@pytest.mark.parametrize("name", NAMES)
@given(st.binary(max_size=200), st.binary(max_size=256))
def test_any_bytes(name: str, secret: bytes, after: bytes) -> None:
    assert VALIDATORS[name](secret, after) in (True, False)


@pytest.mark.parametrize("name", NAMES)
@given(st.text("aZ09_-$%{=:+/", max_size=60), st.text("aZ0 \"'(\r\n", max_size=20))
def test_any_text(name: str, secret: str, after: str) -> None:
    assert VALIDATORS[name](secret.encode(), after.encode()) in (True, False)


def test_every_validator_is_attacked() -> None:
    here = {"card", "whole-card", "iban", "social-security", "luhn", "bip39"}
    here |= {"wif", "base58check", "bitcoin-address", "monero-address", "bech32", "segwit-address"}
    here |= {"ethereum-key", "ethereum-address", "ethereum-address-in-context", "solana-keypair"}
    here |= {"pem", "der-key", "jwt", "jwe", *NAMES}
    assert set(VALIDATORS) == here


def found(scanner: Scanner, text: str) -> set[str]:
    return {scanner.rules[raw.rule].id for raw in scanner.scan(text.encode(), "body").findings}
