"""The hold-back window: releases everything that is clean, in order, in constant memory."""

from __future__ import annotations

import base64
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.scan.engine import Scan, Scanner
from interceptor.scan.ruleset import example, load_rules
from interceptor.scan.window import HOLD, STRIDE, BodyWindow
from interceptor.verdict import Finding, Reason, Severity, Verdict

SCANNER = Scanner.build(load_rules(), None)
SECRET = example(["gl", "pat-", "{url64:20}"], "window")


def block(_scan: Scan) -> tuple[Verdict | None, tuple[Finding, ...]]:
    return Verdict(reason=Reason.SECRET), ()


def note(scan: Scan) -> tuple[Verdict | None, tuple[Finding, ...]]:
    return None, tuple(
        Finding("r", "R", Severity.LOW, "body", raw.encoding, raw.digest) for raw in scan.findings
    )


@settings(deadline=None)
@given(st.lists(st.binary(max_size=30_000), max_size=6))
def test_clean_bytes_come_out_as_they_went_in(chunks: list[bytes]) -> None:
    window = BodyWindow(SCANNER, block)
    sent = b"".join([window.feed(chunk) for chunk in chunks]) + window.finish()
    assert window.verdict is None
    assert sent == b"".join(chunks)


@pytest.mark.parametrize("size", [1, 7, 1000, HOLD, 65_536])
def test_in_any_chunks(size: int) -> None:
    data = b"plain words, nothing else. " * 1500
    for middle, clean in ((b"", True), (SECRET, False)):
        body = data + middle + data
        window = BodyWindow(SCANNER, block)
        sent = b""
        for at in range(0, len(body), size):
            sent += window.feed(body[at : at + size])
        sent += window.finish()
        assert (window.verdict is None) is clean
        assert body.startswith(sent)
        assert (sent == body) is clean
        assert SECRET[:6] not in sent


def test_an_encoded_secret_in_a_long_encoded_stream() -> None:
    text = b"words of no interest " * 5000
    body = base64.b64encode(text + SECRET + text)
    window = BodyWindow(SCANNER, block)
    sent = b"".join(window.feed(body[at : at + 4096]) for at in range(0, len(body), 4096))
    assert window.verdict is not None
    assert len(sent) < len(base64.b64encode(text))


def test_nothing_after_a_verdict() -> None:
    window = BodyWindow(SCANNER, block)
    assert window.feed(b"x" * STRIDE * 2 + SECRET + b"x" * STRIDE) == b""
    assert window.verdict is not None
    assert window.feed(b"y" * 100_000) == b""
    assert window.finish() == b""


def test_findings_that_pass_are_noted_once() -> None:
    window = BodyWindow(SCANNER, note)
    sent = window.feed(SECRET + b" " * STRIDE)
    for _ in range(5):
        sent += window.feed(b"z" * 9000)
    sent += window.finish()
    assert len(window.findings) == 1
    assert window.verdict is None
    assert sent.startswith(SECRET)


def test_memory_does_not_grow() -> None:
    window = BodyWindow(SCANNER, block)
    for _ in range(200):
        window.feed(b"some text " * 3000)
        assert sys.getsizeof(window._buffer) < HOLD + STRIDE + 4 * 30_000


def test_incomplete_reaches_the_judge() -> None:
    got: list[bool] = []

    def decide(scan: Scan) -> tuple[Verdict | None, tuple[Finding, ...]]:
        got.append(scan.incomplete)
        return Verdict(reason=Reason.INCOMPLETE), ()

    window = BodyWindow(SCANNER, decide, decoded_bytes=100)
    assert window.feed(base64.b64encode(b"harmless words again " * 1000)) == b""
    assert got == [True]
