"""Lines joined with a backslash."""

from __future__ import annotations

import json
import time

import pytest

from interceptor.scan.decoders.continued import CONTINUED
from interceptor.scan.decoders.sieve import Sieve
from interceptor.scan.engine import Scanner
from tests.scan_samples import ACME, sample_rules


@pytest.fixture(scope="module")
def samples() -> Scanner:
    return Scanner.build(sample_rules(), None)


@pytest.mark.parametrize("end", ["\\\n", "\\\r\n"])
@pytest.mark.parametrize("size", [1, 3, 9, 20])
def test_found_at_every_depth(samples: Scanner, end: str, size: int) -> None:
    text = ACME.decode()
    joined = end.join(text[at : at + size] for at in range(0, len(text), size))
    filler = "lorem ipsum " * 1000
    for _ in range(3):
        for before, after in (("", ""), (filler, filler)):
            scan = samples.scan((before + joined + after).encode(), "body")
            assert {samples.rules[raw.rule].id for raw in scan.findings} == {"acme-token"}
        joined = json.dumps(joined)


@pytest.mark.parametrize(
    "text",
    [
        b"make all \\\n  CFLAGS=-O2 \\\n  install\n",
        b"RUN apt-get update && \\\nrm -rf /var/lib\n",
        b"first\nsecond\\n\nthird\r\n",
        json.dumps("a\nb\nc").encode(),
        json.dumps(json.dumps("a\nb\r\nc")).encode(),
        json.dumps(json.dumps(json.dumps("a\nb\r\nc"))).encode(),
        b"C:\\\\new\\\\names \\\\n",
    ],
)
def test_other_line_ends_wake_no_gate(text: bytes) -> None:
    assert not Sieve(*CONTINUED.gates).holds(text)


@pytest.mark.parametrize(
    "flood", [b"a\\\nb", b"a\\\\\\nb", b"\\\n", b"a\\\r\n", b"\\" * 50 + b"\nb"]
)
def test_floods_are_linear(flood: bytes) -> None:
    seconds = []
    for size in (20_000, 200_000):
        data = flood * (size // len(flood))
        start = time.thread_time()
        out = sum(len(out) for _, out in CONTINUED.decode(data, set()))
        seconds.append(time.thread_time() - start)
        assert out <= len(data)
    assert seconds[1] < 40 * seconds[0] + 0.1
