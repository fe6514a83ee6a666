"""Ordinary traffic, in the shapes agents make, gives no alarm: a sample.

`python -m tests.false_alarms` judges the whole corpus, files of the machine included.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
import json
import random
import sysconfig
import uuid
import zlib
from pathlib import Path

import pytest

from interceptor.decide.judge import Judge
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import Ruleset, example
from tests.false_alarms import corpus, noise
from tests.false_alarms.items import Item, decide, judge_of
from tests.false_alarms.report import GOAL, Summary, noted, private_keys, rules_of

DRAW = random.Random(20240611)


def lockfile() -> bytes:
    packages = {
        f"node_modules/pkg-{n}": {
            "version": f"1.{n}.0",
            "resolved": f"https://registry.example.org/pkg-{n}/-/pkg-{n}-1.{n}.0.tgz",
            "integrity": "sha512-" + base64.b64encode(DRAW.randbytes(64)).decode(),
        }
        for n in range(400)
    }
    return json.dumps({"lockfileVersion": 3, "packages": packages}, indent=2).encode()


def requirements() -> bytes:
    lines = [
        f"package-{n}==1.{n}.0 \\\n    --hash=sha256:{DRAW.randbytes(32).hex()}" for n in range(400)
    ]
    return "\n".join(lines).encode()


def minified() -> bytes:
    names = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_$"
    words = [
        "function",
        "return",
        "var",
        "this",
        "prototype",
        "length",
        "call",
        "sk",
        "npm_",
        "hf_",
    ]
    parts = []
    for _ in range(20_000):
        parts += [DRAW.choice(words), DRAW.choice(names) * DRAW.randint(1, 2)]
        parts.append(DRAW.choice(["(", ")", "{", "}", ";", ",", "=", "!", "&&", "||", "?", ":"]))
    return "".join(parts).encode()


def chat() -> bytes:
    text = (
        "To configure the client, export OPENAI_API_KEY=sk-your-key-here and "
        "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7"
        "EXAMPLE. Never commit tokens such as ghp_"
        + "x"
        * 36
        + ". The token=abc123 in the docs is a placeholder; password: ${DB_PASSWORD}. Use "
        "postgresql://user:password@localhost:5432/app or redis://cache:6379/0 in development. "
        "A PEM file begins with -----BEGIN RSA PRIVATE" + " KEY----- and a JWT has three parts."
    )
    messages = [{"role": "user", "content": f"{n}: {text}"} for n in range(60)]
    return json.dumps({"model": "m", "messages": messages, "stream": True}).encode()


SAMPLES = {
    "uuids": "\n".join(str(uuid.UUID(bytes=DRAW.randbytes(16))) for _ in range(3000)).encode(),
    "sha1 and sha256": b"\n".join(
        hashlib.new(name, str(n).encode()).hexdigest().encode()
        for n in range(1500)
        for name in ("sha1", "sha256", "md5", "sha512")
    ),
    "lockfile": lockfile(),
    "requirements": requirements(),
    "minified": minified(),
    "chat": chat(),
    "image as data URI": b'{"url":"data:image/png;base64,'
    + base64.b64encode(DRAW.randbytes(400_000))
    + b'"}',
    "wrapped base64": base64.encodebytes(DRAW.randbytes(100_000)),
    "urlsafe base64": base64.urlsafe_b64encode(DRAW.randbytes(300_000)),
    "binary": DRAW.randbytes(800_000),
    "git pack": b"".join(zlib.compress(DRAW.randbytes(20) * n) for n in range(1, 2000)),
    "embeddings": json.dumps([DRAW.uniform(-1, 1) for _ in range(20_000)]).encode(),
    "hex dump": DRAW.randbytes(60_000).hex(" ").encode(),
    "cookies": b"; ".join(
        b"c%d=" % n + base64.urlsafe_b64encode(DRAW.randbytes(48)) for n in range(200)
    ),
    "presigned": b"GET /o?X-Sig-Date=20240101T000000Z&X-Sig-Expires=900&X-Sig-Signature="
    + DRAW.randbytes(32).hex().encode(),
    "certificates": b"-----BEGIN CERTIFICATE-----\n"
    + base64.encodebytes(DRAW.randbytes(1500))
    + b"-----END CERTIFICATE-----\n",
    "public key": b"-----BEGIN PUBLIC" + b" KEY-----\n" + base64.encodebytes(DRAW.randbytes(300)),
    "ssh public key": b"ssh-ed25519 " + base64.b64encode(DRAW.randbytes(300)) + b" a@b",
    "timestamps": b"\n".join(
        b"2024-05-%02dT12:%02d:00Z: INFO ok" % (n % 28, n % 60) for n in range(999)
    ),
    "form": b"&".join(b"field%d=value+with%%20spaces%%2Fand%%2Fslashes" % n for n in range(500)),
    "windows paths": b"\n".join(b"C:\\Users\\x\\Desktop\\file%d.txt" % n for n in range(2000)),
    "chinese escapes": json.dumps("中文文本，没有秘密。" * 2000).encode(),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_ordinary_traffic(scanner: Scanner, name: str) -> None:
    scan = scanner.scan(SAMPLES[name], "head")
    assert [scanner.rules[raw.rule].id for raw in scan.findings] == []
    assert not scan.incomplete


def test_this_repository(scanner: Scanner) -> None:
    """Our own sources hold no whole example, and an agent may upload them."""
    root = Path(__file__).parents[3]
    files = [*root.glob("interceptor/**/*.py"), *root.glob("interceptor/rules/*.toml")]
    files += [*root.glob("tests/pure/**/*.py"), *root.glob("docs/*.md"), *root.glob("netns/*.py")]
    assert len(files) > 30
    for file in files:
        scan = scanner.scan(file.read_bytes(), "body")
        assert [scanner.rules[raw.rule].id for raw in scan.findings] == [], file


@pytest.fixture(scope="module")
def judge(scanner: Scanner) -> Judge:
    return judge_of(scanner)


@pytest.mark.parametrize("family", corpus.FAMILIES)
def test_made_traffic_passes(judge: Judge, family: str) -> None:
    maker, count = corpus.FAMILIES[family]
    numbers = range(10_000, 10_000 + max(20, count // 3))  # other draws than those of a whole run
    summary = Summary()
    for number in numbers:
        summary.add(decide(judge, maker(random.Random(f"{family}/{number}"), number)))
    blocked = [(r.item.name, rules_of(r)) for r, note in summary.blocked if note is None]
    assert blocked == []


def test_what_is_at_home_passes(judge: Judge, ruleset: Ruleset) -> None:
    items = list(corpus.at_home(ruleset.rules))
    assert len(items) > 50
    for item in items:
        result = decide(judge, item)
        assert not result.blocked, (item.name, rules_of(result))


def test_files_of_python_itself_pass(judge: Judge) -> None:
    """The one collection of files that is wherever the tests are."""
    summary = Summary()
    for item in corpus.of_files(0.15, [sysconfig.get_path("stdlib")]):
        summary.add(decide(judge, item))
    assert summary.items > 50
    unnoted = [r.item.name for r, note in summary.blocked if note is None]
    assert len(unnoted) <= GOAL * summary.items, unnoted


def test_noise_is_no_secret(scanner: Scanner) -> None:
    assert noise.hits(scanner, 1, seed=9) == {}


def test_a_secret_in_ordinary_traffic_is_still_found(judge: Judge) -> None:
    """Positive control: each family carries one where the next item carries none."""
    secret = example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "control").decode()
    for family, (maker, _) in corpus.FAMILIES.items():
        item = maker(random.Random("control"), 1)
        if item.body:
            leaking = item._replace(body=item.body + f" {secret} ".encode())
        else:
            leaking = item._replace(path=f"{item.path}&x={secret}")
        assert decide(judge, leaking).blocked, family


def test_summary_tells_alarms_from_secrets(judge: Judge) -> None:
    key = (
        "-----BEGIN EC PRIVATE"
        " KEY-----\n" + base64.b64encode(b"\x30" + random.Random(1).randbytes(120)).decode()
    )
    key += "\n-----END EC PRIVATE" + " KEY-----\n"
    assert private_keys(key.encode()) == 1
    assert private_keys(b"-----BEGIN PRIVATE KEY----- and -----END PRIVATE KEY-----") == 0
    summary = Summary()
    summary.add(decide(judge, Item("a/1", "a.example.com", body=key.encode())))
    assert (len(summary.secrets), len(summary.blocked)) == (1, 0)
    token = example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "alarm")
    summary.add(decide(judge, Item("b/1", "a.example.com", body=token)))
    summary.add(decide(judge, Item("b/2", "a.example.com", body=b"nothing")))
    assert [result.item.name for result, _ in summary.blocked] == ["b/1"]
    assert summary.rate == 0.5
    assert "b/1" in "\n".join(summary.lines())


def test_what_is_accounted_for_says_why() -> None:
    for note in noted():
        assert note.verdict in ("secret", "defended", "defect")
        assert len(note.why) > 20


def font(draw: random.Random, size: int) -> bytes:
    """Tables of small numbers, offsets and noise, as fonts and other binary files hold them."""
    out = bytearray()
    while len(out) < size:
        low = draw.choices((*range(128), *range(24), *range(24)), k=draw.randrange(20, 120))
        out += bytes(low) + draw.randbytes(draw.randrange(10, 90))
        for _ in range(draw.randrange(8, 40)):
            out += bytes((0, draw.randrange(32, 127)))
    return bytes(out)


def test_escapes_by_chance_in_binary_data_stay_within_the_budget(scanner: Scanner) -> None:
    secret = example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "font")
    between = b"\x01".join(secret[at : at + 1] for at in range(len(secret)))
    escaped = b"".join(b"\\u%04x" % byte for byte in secret)
    noise = font(random.Random("font"), 500_000)
    scan = scanner.scan(noise, "body", decoded_bytes=16 * len(noise))
    assert (scan.findings, scan.incomplete) == ((), False)
    for hidden in (between, escaped, secret.decode().encode("utf-16-le")):
        scan = scanner.scan(noise[:250_000] + hidden + noise[250_000:], "body")
        assert {scanner.rules[raw.rule].id for raw in scan.findings} == {"github-token"}


def test_a_turned_secret_is_a_value(scanner: Scanner) -> None:
    """In the midst of base64 a turned prefix is chance."""
    token = example(["AK", "ID", "{alnum:32}"], "turned")
    other = example(["gs", "k_", "{alnum:52}"], "turned")
    for secret, rule in ((token, "tencent-secret-id"), (other, "groq-api-key")):
        rot13 = codecs.encode(secret.decode(), "rot13").encode()
        for turned in (secret[::-1], rot13, rot13[::-1]):
            for form in (b"%b", b"x %b y", b'{"a": "%b"}', b"q=%b&r=1", b"first\n%b\n"):
                found = scanner.scan(form % turned, "body").findings
                assert rule in {scanner.rules[raw.rule].id for raw in found}, form
            found = scanner.scan(b"k3Jx9QpLm2%bZt7Wn4Rv8" % turned, "body").findings
            assert rule not in {scanner.rules[raw.rule].id for raw in found}
