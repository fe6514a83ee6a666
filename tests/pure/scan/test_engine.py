"""The scanner itself: digests, decoys, budget, known secrets, threads, and what never leaks."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import threading
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.scan.engine import CLEAN, RulePatternError, Scanner
from interceptor.scan.ruleset import KnownSecret, Rule, Ruleset, example, load_rules
from interceptor.verdict import Severity

SECRET = example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "engine")
CARD = Rule(
    kind="structured",
    id="card",
    title="Card",
    pattern=r"[0-9]{16}",
    severity=Severity.HIGH,
    validator="luhn",
    surfaces=("body",),
)
SCANNER = Scanner.build(load_rules(), None)


def test_span_and_digest(scanner: Scanner) -> None:
    (raw,) = scanner.scan(b"token " + SECRET + b" end", "body", b"key").findings
    assert (raw.start, raw.end, raw.encoding) == (6, 6 + len(SECRET), "")
    assert raw.digest == hashlib.blake2b(SECRET, digest_size=8, key=b"key").hexdigest()
    (nested,) = scanner.scan(base64.b64encode(SECRET.hex().encode()), "body", b"key").findings
    assert nested.encoding == "base64>hex"
    assert nested.digest == raw.digest


def test_clean_is_one_object(scanner: Scanner) -> None:
    assert scanner.scan(b"nothing here", "body") is CLEAN
    assert scanner.scan(b"", "body") is CLEAN
    assert scanner.scan(b"a/very/long/path/that/looks/like/base64/text", "url") is CLEAN


def test_a_decoy_hides_nothing() -> None:
    scanner = Scanner.build(Ruleset((CARD,)), None)
    real = b"4111" + b"111111111111"
    decoys = b" ".join(b"%016d" % (n * 7 + 1) for n in range(200) if n)
    text = decoys + b" " + real
    digest = hashlib.blake2b(real, digest_size=8).hexdigest()
    one = scanner.scan(real, "body").findings
    assert [raw.digest for raw in one] == [digest]
    failing = b" ".join(d for d in decoys.split() if not scanner.scan(d, "body").findings)
    assert failing.count(b" ") > 100
    assert [r.digest for r in scanner.scan(failing + b" " + real, "body").findings] == [digest]
    assert scanner.scan(text, "body").findings


def test_surfaces() -> None:
    scanner = Scanner.build(Ruleset((CARD,)), None)
    real = b"4111" + b"111111111111"
    assert scanner.scan(real, "body").findings
    assert scanner.scan(real, "head").findings
    assert not scanner.scan(real, "url").findings
    assert not scanner.scan(real, "header:x").findings


def test_budget_makes_incomplete(scanner: Scanner) -> None:
    body = base64.b64encode(b"harmless text, again and again. " * 400)
    assert not scanner.scan(body, "body").incomplete
    assert scanner.scan(body, "body", decoded_bytes=1000).incomplete


def test_known_secrets_are_found_and_never_shown() -> None:
    value = b"opalescent heron\x00battery \xff staple"
    secret = KnownSecret(id="env-token", title="TOKEN", value=value)
    scanner = Scanner.build(load_rules(), None, secrets=[secret])
    for data in (b"x" + value + b"y", base64.b64encode(value), value.hex().encode()):
        (raw,) = scanner.scan(data, "body").findings
        assert scanner.rules[raw.rule].id == "env-token"
        assert raw.digest == hashlib.blake2b(value, digest_size=8).hexdigest()
    assert scanner.scan(value[:-1], "body") is CLEAN
    shown = repr((secret, scanner.rules, scanner.scan(value, "body"), vars(scanner).keys()))
    assert "opalescent" not in shown


def test_findings_show_no_secret(scanner: Scanner) -> None:
    scan = scanner.scan(SECRET, "body", b"k")
    assert scan.findings
    for text in (repr(scan), str(scan), msgspec.json.encode(scan).decode()):
        assert SECRET.decode()[4:] not in text
        assert SECRET.decode()[8:20] not in text


def test_clones_scan_in_parallel(scanner: Scanner) -> None:
    body = (b"some prose without anything " * 20_000) + SECRET
    results: list[int] = []

    def work(mine: Scanner) -> None:
        results.extend(len(mine.scan(body, "body").findings) for _ in range(5))

    threads = [threading.Thread(target=work, args=(scanner.clone(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [1] * 15


def test_a_refused_pattern_is_named() -> None:
    bad = Rule(id="bad-one", title="Bad", pattern=r"(?<=x)y", severity=Severity.LOW)
    with pytest.raises(RulePatternError, match="bad-one"):
        Scanner.build(Ruleset((CARD, bad)), None)


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_scan(data: bytes) -> None:
    SCANNER.scan(data, "body")


_BITS = st.sampled_from(
    [
        *(b"%41", b"%25", b"\\u0041", b"\\/", b"&#65;", b"&amp;", b"QUtJQQ" * 5, b"41" * 21),
        *(b"\n", b"\\n", b"=", b"sk-ant-", b"-----BEGIN PRIVATE KEY-----", b"41:" * 20),
    ]
)


@settings(deadline=None)
@given(st.lists(_BITS, max_size=40))
def test_any_encodings_scan(pieces: list[bytes]) -> None:
    scan = SCANNER.scan(b"".join(pieces), "body")
    assert not scan.incomplete


@settings(deadline=None)
@given(before=st.binary(max_size=200), after=st.binary(max_size=200))
def test_no_surroundings_hide_a_secret(before: bytes, after: bytes) -> None:
    findings = SCANNER.scan(before + SECRET + after, "body").findings
    assert any(SCANNER.rules[raw.rule].id == "github-token" for raw in findings)


@pytest.mark.parametrize(
    "flood",
    [
        b"sk-ant-",
        b"AK" + b"IA",
        b"aws_secret_access_key=",
        b"twilio_token=",
        b"cloudflare_api_key: " + b"0" * 40,
        b"postgres://a:" + b"b" * 90,
        b"-----BEGIN PRIVATE KEY-----",
        b"gh" + b"p_" + b"x" * 36,
        b"%2525252525",
        b"&#x41;",
        b"\\u0041",
        b"\\" * 9,
        b"41",
        b"41:",
        b"QUJD",
        b"1111111111:AA",
    ],
)
def test_floods_stay_linear(scanner: Scanner, flood: bytes) -> None:
    """Ten times the text takes about ten times as long, and never seconds."""

    def seconds(size: int) -> float:
        data = flood * (size // len(flood))
        best = 9.0
        for _ in range(2):
            start = time.perf_counter()
            scanner.scan(data, "body")
            best = min(best, time.perf_counter() - start)
        return best

    small, large = seconds(20_000), seconds(200_000)
    assert large < 2.0
    assert large < 40 * small + 0.02


def test_hyperscan_is_not_imported_for_help() -> None:
    code = (
        "import sys, interceptor.scan.engine, interceptor.decide.judge;"
        "assert 'hyperscan' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("escaped", [0, 20, len(SECRET) - 1])
def test_one_escape_anywhere_in_a_block(scanner: Scanner, escaped: int) -> None:
    """Decoding works on blocks near escapes; a secret may straddle their borders."""
    secret = SECRET[:escaped] + b"%%%02x" % SECRET[escaped] + SECRET[escaped + 1 :]
    for gap in [*range(1990, 2060), *range(4080, 4110)]:
        scan = scanner.scan(b"." * gap + secret + b"." * 5000, "body")
        assert [raw.encoding for raw in scan.findings] == ["percent"], gap
