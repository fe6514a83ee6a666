"""The windows: release everything that is clean, in order, in constant memory."""

from __future__ import annotations

import base64
import itertools
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.scan.engine import Scan, Scanner
from interceptor.scan.ruleset import Rule, Ruleset, example, load_rules
from interceptor.scan.window import HOLD, LONG_STRIDE, STRIDE, BodyWindow, Decide, MessageWindow
from interceptor.verdict import Action, Finding, Reason, Severity, Verdict

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
    assert window.feed(b"x" * LONG_STRIDE + SECRET + b"x" * STRIDE) == b""
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
    assert window.feed(base64.b64encode(b"harmless words again " * 3000)) == b""
    assert got == [True]


# -- a body that pauses ------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.binary(max_size=20_000)), max_size=8))
def test_flushes_change_nothing_in_clean_bytes(chunks: list[bytes | None]) -> None:
    window = BodyWindow(SCANNER, block)
    sent = fed = b""
    for chunk in chunks:
        if chunk is None:
            sent += window.flush()
            assert sent == fed
        else:
            fed += chunk
            sent += window.feed(chunk)
            assert fed.startswith(sent)
    assert sent + window.finish() == fed
    assert window.verdict is None


@pytest.mark.parametrize("before", [b"", b"words ", b"w" * 3 * HOLD])
@pytest.mark.parametrize("encode", [bytes, base64.b64encode])
def test_a_flush_at_every_cut_never_lets_the_last_piece_go(
    before: bytes, encode: Callable[[bytes], bytes]
) -> None:
    secret = encode(SECRET)
    for cut in range(len(secret) + 1):
        window = BodyWindow(SCANNER, block)
        sent = window.feed(before + secret[:cut]) + window.flush()
        clean = window.verdict is None
        assert clean == (sent == before + secret[:cut])
        assert clean or cut > len(secret) - 4  # the secret may be whole before its padding is
        sent += window.feed(secret[cut:] + b" and more")
        sent += window.flush() if cut % 2 else window.finish()
        assert window.verdict is not None
        assert secret.rstrip(b"=") not in sent
        assert window.feed(b"x" * 3 * HOLD) + window.flush() + window.finish() == b""


def test_a_flush_after_every_byte() -> None:
    window = BodyWindow(SCANNER, block)
    body = b"before " + SECRET + b" after"
    sent = b"".join(window.feed(body[at : at + 1]) + window.flush() for at in range(len(body)))
    assert window.verdict is not None
    assert sent == b"before " + SECRET[:-1]


def test_what_was_flushed_is_kept_as_context_and_no_longer() -> None:
    window = BodyWindow(SCANNER, block)
    assert window.feed(b"x" * 100_000)
    assert window.flush()
    assert len(window._buffer) == HOLD
    assert window.flush() == b""
    assert window.feed(b"y" * 10) == b""
    assert window.flush() == b"y" * 10
    assert window.feed(b"z" * LONG_STRIDE) == b"z" * (LONG_STRIDE - HOLD)
    assert window.finish() == b"z" * HOLD


@pytest.mark.parametrize("size", [1, 100, 3000, 16_384, 65_536])
def test_a_slow_sender_waits_for_little_and_a_quick_one_is_scanned_seldom(size: int) -> None:
    window = BodyWindow(SCANNER, block)
    fed = sent = held = 0
    while fed < 20 * LONG_STRIDE:
        fed += size
        sent += len(window.feed(b"q" * size))
        held = max(held, fed - sent)
    assert held <= HOLD + max(STRIDE, 3 * size) + size
    assert held <= HOLD + LONG_STRIDE + size


# -- messages ----------------------------------------------------------------------------------


def passed(findings: tuple[Finding, ...]) -> Verdict:
    return Verdict(Action.ALLOW, Reason.WOULD_BLOCK, findings=findings)


def messages(decide: Decide = block, scanner: Scanner = SCANNER) -> MessageWindow:
    return MessageWindow(scanner, decide, passed)


@pytest.mark.parametrize("encode", [bytes, base64.b64encode, bytes.hex])
@pytest.mark.parametrize("before", [b"", b'{"op":"subscribe"}', b"hello", b"w" * 3 * HOLD])
def test_a_secret_cut_over_messages_is_found_with_its_last_part(
    encode: Callable[[bytes], bytes | str], before: bytes
) -> None:
    encoded = encode(SECRET)
    secret = encoded if isinstance(encoded, bytes) else encoded.encode()
    for parts in range(1, 6):
        for first in range(1, len(secret) // parts):
            size = max(1, (len(secret) - first) // max(1, parts - 1))
            cuts = [0, first, *(first + size * i for i in range(1, parts - 1)), len(secret)]
            pieces = [secret[a:b] for a, b in itertools.pairwise(cuts if parts > 1 else [0, None])]
            assert b"".join(pieces) == secret
            window = messages()
            assert window.judge(before) is None
            verdicts = [window.judge(piece) for piece in pieces]
            assert any(verdict is not None for verdict in verdicts)
            stopped = next(i for i, verdict in enumerate(verdicts) if verdict is not None)
            # Base64 gives all but its last characters away: the secret is whole before they come.
            assert b"".join(pieces[stopped:]).endswith(secret[-1:])
            assert secret[: -4 if encode is base64.b64encode else -1] not in b"".join(
                pieces[:stopped]
            )


def test_messages_that_hold_parts_of_no_secret_pass() -> None:
    window = messages()
    for piece in (SECRET[:6], b"!", SECRET[6:], SECRET[:6], b"!", SECRET[6:]):
        assert window.judge(piece) is None


RULES = Ruleset((Rule(id="w", title="W", pattern=r"\bkey[0-9]{8}\b", severity=Severity.LOW),))


@pytest.mark.parametrize("before", [b"hello", b"a b", b"x", b"w" * 1000])
@pytest.mark.parametrize("cuts", [(), (1,), (3, 4), (2, 5, 9), (1, 2, 3, 4)])
def test_the_start_of_a_message_is_the_start_of_a_word(before: bytes, cuts: tuple[int]) -> None:
    scanner = Scanner.build(RULES, None)
    secret = b"key12345678"
    window = messages(scanner=scanner)
    assert window.judge(before) is None
    ends = [0, *cuts, len(secret)]
    verdicts = [window.judge(secret[a:b]) for a, b in itertools.pairwise(ends)]
    assert [verdict is None for verdict in verdicts] == [True] * len(cuts) + [False]
    # The control: what runs on within one message is no word of its own.
    assert messages(scanner=scanner).judge(before + secret) is None


def test_starts_of_words_are_forgotten() -> None:
    window = messages()
    for _ in range(100):
        assert window.judge(b"word") is None
    assert len(window._starts) <= 8
    assert window.judge(b"w" * 600) is None
    assert window.judge(b" ") is None
    assert window._starts == ()


@pytest.mark.parametrize("at", [0, 1, 250_000, 253_944, 262_130, 262_144, 270_336, 999_970])
def test_a_long_message_is_scanned_in_pieces(at: int) -> None:
    size = 1_000_000
    message = b"a b " * (size // 4)
    window = messages()
    assert window.judge(b"before") is None
    assert window.judge(message) is None
    bad = message[:at] + SECRET + message[at + len(SECRET) :]
    assert messages().judge(bad) is not None


def test_each_piece_of_a_long_message_has_a_budget_of_its_own() -> None:
    text = base64.b64encode(b"harmless words again " * 200_000)
    window = MessageWindow(SCANNER, block, passed, decoded_bytes=2_000_000)
    assert window.judge(text) is None
    small = MessageWindow(SCANNER, block, passed, decoded_bytes=1000)
    verdict = small.judge(text)
    assert verdict is not None


def test_findings_that_pass_are_reported_once_and_all_together() -> None:
    window = messages(note)
    other = example(["gl", "pat-", "{url64:20}"], "another")
    verdict = window.judge(SECRET + b" " * 600_000 + other)
    assert verdict is not None
    assert verdict.allowed
    assert len(verdict.findings) == 2
    assert window.judge(b"clean") is None
    assert window.judge(SECRET) is None


def test_a_copy_goes_its_own_way() -> None:
    window = messages()
    assert window.judge(SECRET[:8]) is None
    other = window.copy()
    assert other.judge(b"!") is None
    assert window.judge(SECRET[8:]) is not None
    assert other.judge(SECRET[8:]) is None


def test_what_a_copy_reports_is_not_reported_again() -> None:
    window = messages(note)
    assert window.copy().judge(SECRET) is not None
    assert window.judge(SECRET) is None


def test_the_memory_of_messages_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interceptor.scan.window._REMEMBERED", 20)
    window = messages(note)
    for i in range(100):
        window.judge(b"%d " % i * 5000)
        window.judge(example(["gl", "pat-", "{url64:20}"], f"m{i}"))
    assert len(window._tail) == HOLD
    assert len(window._known) <= 40
