"""Recovery phrases (BIP-39): ten languages, and that prose and word lists are none."""

from __future__ import annotations

import hashlib
import random
import time
import unicodedata
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.scan.engine import Scanner
from interceptor.scan.validators import VALIDATORS

DRAW = random.Random("phrases")
LANGUAGES = [
    *("english", "spanish", "french", "italian", "portuguese", "czech"),
    *("japanese", "korean", "chinese_simplified", "chinese_traditional"),
]


def words_of(language: str) -> list[str]:
    file = resources.files("mnemonic") / "wordlist" / f"{language}.txt"
    return file.read_text().split()


def phrase(language: str, count: int, *, valid: bool = True) -> list[str]:
    """Words whose last carries the checksum, computed bit by bit as BIP-39 says it."""
    listed = words_of(language)
    while True:
        entropy = DRAW.randbytes(count * 4 // 3)
        check = format(hashlib.sha256(entropy).digest()[0], "08b")[: count // 3]
        if not valid:
            check = "".join("10"[int(bit)] for bit in check)
        bits = "".join(format(byte, "08b") for byte in entropy) + check
        words = [listed[int(bits[at : at + 11], 2)] for at in range(0, count * 11, 11)]
        if words[:12] != sorted(words[:12]):
            return words


@pytest.mark.parametrize("count", [12, 15, 18, 21, 24])
@pytest.mark.parametrize("language", LANGUAGES)
def test_languages(scanner: Scanner, language: str, count: int) -> None:
    blank = "　" if language == "japanese" else " "
    text = unicodedata.normalize("NFC", blank.join(phrase(language, count)))
    for around in ('{"note": "%s"}', "%s", "wallet: %s", "q=%s&x=1"):
        assert is_found(scanner, (around % text).encode()), around % text


@pytest.mark.parametrize(
    ("before", "between", "behind"),
    [
        ("my seed phrase is ", " ", " ok"),
        ("the wallet words were these and only these ", " ", ""),
        ('["', '", "', '"]'),
        ('{"text": "[\\"', '\\", \\"', '\\"]"}'),
        ("q=", "+", "&"),
        ("p: ", ", ", "."),
        ("p:\n", "\n", "\n"),
        ("p: ", "-", ""),
        ("p: ", "\\n", "\\n"),
        ("P: ", "\t", ""),
    ],
)
def test_ways_of_writing(scanner: Scanner, before: str, between: str, behind: str) -> None:
    for count in (12, 24):
        words = phrase("english", count)
        for told in (words, [word.upper() for word in words], [w.title() for w in words]):
            text = before + between.join(told) + behind
            assert is_found(scanner, text.encode()), text


@pytest.mark.parametrize("form", ["{}. {}\n", "{}) {} ", "{}: {}, ", '{}."{}"\n', "{} {}\\n"])
def test_numbered(scanner: Scanner, form: str) -> None:
    words = phrase("english", 12)
    text = "words:\n" + "".join(form.format(n, word) for n, word in enumerate(words, 1))
    assert is_found(scanner, text.encode()), text


def test_the_checksum_decides(scanner: Scanner) -> None:
    for _ in range(30):
        # Twelve words only, since of the windows of a longer text one may hold by chance.
        words = phrase("english", 12, valid=False)
        assert not is_found(scanner, f'"{" ".join(words)}"'.encode())


def test_published_phrases_of_test_nodes(scanner: Scanner) -> None:
    assert not is_found(scanner, b'mnemonic: "' + b"test " * 11 + b'junk"')
    vector = b"legal winner thank year wave sausage worth useful " + b"legal winner thank yellow"
    assert is_found(scanner, b'mnemonic: "' + vector + b'"')


def test_a_decoy_hides_nothing(scanner: Scanner) -> None:
    decoy = " ".join(phrase("english", 12, valid=False))
    real = " ".join(phrase("english", 12))
    assert is_found(scanner, f"one: {decoy}. two: {real}.".encode())


def test_word_lists_are_no_phrases(scanner: Scanner) -> None:
    for language in LANGUAGES:
        words = words_of(language)
        for blank in ("\n", " ", '", "'):
            assert not is_found(scanner, blank.join(words).encode()), language
    common = [word for word in words_of("english") if len(word) < 6]
    DRAW.shuffle(common)
    prose = ". ".join(" ".join(common[at : at + 9]) for at in range(0, 600, 9))
    assert not is_found(scanner, prose.encode())


def test_long_runs_of_words_are_cheap(scanner: Scanner) -> None:
    """A megabyte of words takes little more than a megabyte of anything else."""
    words = [word for word in words_of("italian") if word not in words_of("english")]
    text = " ".join(DRAW.choices([*words, "lorem", "ipsum", "dolor"], k=130_000)).encode()
    assert len(text) > 800_000
    began = time.thread_time()
    scanner.scan(text, "body")
    assert time.thread_time() - began < 2


@given(st.binary(max_size=200), st.binary(max_size=256))
def test_any_bytes(secret: bytes, after: bytes) -> None:
    assert VALIDATORS["bip39"](secret, after) in (True, False)


@given(st.lists(st.sampled_from(words_of("english")[:40]), max_size=30), st.integers(0, 200))
def test_any_words(words: list[str], cut: int) -> None:
    text = " ".join(words).encode()
    assert VALIDATORS["bip39"](text[:cut], text[cut:]) in (True, False)


@given(st.text(max_size=120), st.text(max_size=120))
def test_any_text(secret: str, after: str) -> None:
    assert VALIDATORS["bip39"](secret.encode(), after.encode()) in (True, False)


def is_found(scanner: Scanner, data: bytes) -> bool:
    rules = {scanner.rules[raw.rule].id for raw in scanner.scan(data, "body").findings}
    return any(rule.startswith("recovery-phrase") for rule in rules)
