"""Noise in long texts is left out, and what stands in it is not."""

from __future__ import annotations

import base64
import random
import zlib

import pytest

from interceptor.scan.decoders.noise import readable, without_noise
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import example

NOISE = random.Random(5).randbytes(300_000)
KEY = example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "noise")


def rules_of(scanner: Scanner, data: bytes) -> set[str]:
    return {scanner.rules[raw.rule].id for raw in scanner.scan(data, "body").findings}


@pytest.mark.parametrize("at", [0, 4090, 100_000, 299_000, 300_000])
def test_a_key_in_noise(scanner: Scanner, at: int) -> None:
    data = NOISE[:at] + b" " + KEY + b" " + NOISE[at:]
    assert "github-token" in rules_of(scanner, data)
    assert "github-token" in rules_of(scanner, b'{"a":"%b"}' % base64.b64encode(data))
    assert "github-token" in rules_of(scanner, base64.b64encode(data)[::-1])


@pytest.mark.parametrize(
    "written",
    [
        "".join(f"%{byte:02x}" for byte in KEY).encode(),
        "".join(f"&#{byte};" for byte in KEY).encode(),
        KEY[:10] + "\u200b".encode() + KEY[10:],
        KEY[:12] + b'" + "' + KEY[12:],
        KEY[:12] + b"\x01" + KEY[12:],
        b"-".join(KEY[at : at + 1] for at in range(len(KEY))),
    ],
    ids=["percent", "entities", "invisible", "concatenated", "control", "separated"],
)
def test_a_key_in_noise_in_an_encoding(scanner: Scanner, written: bytes) -> None:
    assert "github-token" in rules_of(scanner, written)
    data = NOISE[:150_000] + b'\n "' + written + b'" \n' + NOISE[150_000:]
    assert "github-token" in rules_of(scanner, data)


def test_a_stream_after_its_words(scanner: Scanner) -> None:
    words = b" ".join(b"%d" % number for number in range(8_000))
    packed = zlib.compress(words + KEY + b"\n" + words)
    assert len(packed) < 1 << 16
    document = NOISE[:50_000] + b"<< /Filter /FlateDecode >>\nstream\n" + packed + NOISE[50_000:]
    assert "github-token" in rules_of(scanner, b'{"a":"%b"}' % base64.b64encode(document))


def test_most_of_noise_is_left_out() -> None:
    assert len(readable(NOISE)) < len(NOISE) // 10
    word = b"words that may be read by anybody"
    marked = NOISE[:200_000] + word + NOISE[200_000:]
    assert word in readable(marked)
    left = without_noise(marked)
    assert word in left
    assert len(left) < len(marked) // 2


@pytest.mark.parametrize(
    "text",
    [
        b"plain words, and many of them\n" * 2000,
        "Слова другого алфавита, и их много\n".encode() * 1000,
        "没有什么可看的，朋友。".encode() * 2000,
        NOISE[:2000],
    ],
    ids=["English", "Russian", "Chinese", "short"],
)
def test_text_stays_as_it_is(text: bytes) -> None:
    assert readable(text) == text


def test_text_beside_noise_stays() -> None:
    text = "Слова другого алфавита, и их много\n".encode() * 2000
    mixed = NOISE[:40_960] + text + NOISE[:40_960]
    kept = readable(mixed)
    assert text[8192:-8192] in kept
    assert len(kept) < len(text) + 20_000
