"""Encodings turned round or in ROT13 as a whole: found, at any distance, at a bounded cost."""

from __future__ import annotations

import codecs
import time
from urllib.parse import quote

import pytest

from interceptor.scan.decoders.model import Decoder
from interceptor.scan.decoders.near import REACH
from interceptor.scan.decoders.sieve import Sieve
from interceptor.scan.decoders.turned import TURNED
from interceptor.scan.engine import Scanner
from tests.recall.encodings import BY_NAME, Encode
from tests.scan_samples import ACME, sample_rules

REVERSED, ROT13 = TURNED


def back(text: bytes) -> bytes:
    return text[::-1]


def rot13(text: bytes) -> bytes:
    return codecs.encode(text.decode("latin-1"), "rot13").encode("latin-1")


def quoted(text: bytes) -> bytes:
    return quote(text).encode()


ESCAPED: dict[str, Encode] = {
    **{
        name: BY_NAME[name].encode
        for name in (
            *("percent", "percent-twice", "entities", "entities-named", "escapes-u", "escapes-x"),
            *("escapes-octal", "quoted-printable", "zero-width", "full-width"),
        )
    },
    "percent-u": lambda data: b"".join(b"%%u%04x" % byte for byte in data),
    "entities-hex": lambda data: b"".join(b"&#x%x;" % byte for byte in data),
    "escapes-u-braces": lambda data: b"".join(b"\\u{%x}" % byte for byte in data),
    "one-entity": lambda data: data.replace(b"_", b"&lowbar;"),
    "full-width-percent": lambda data: quote(BY_NAME["full-width"].encode(data)).encode(),
}
AS_IT_IS = {"entities", "escapes-octal", "zero-width", "full-width"}
"""In ROT13 these are what they were: digits, and characters that are no letters."""


@pytest.fixture(scope="module")
def samples() -> Scanner:
    return Scanner.build(sample_rules(), None)


@pytest.mark.parametrize("name", ESCAPED)
@pytest.mark.parametrize("turn", [back, rot13])
def test_found(samples: Scanner, name: str, turn: Encode) -> None:
    text = turn(ESCAPED[name](ACME))
    filler = b"lorem ipsum, " * 1000
    for before, after in ((b"", b""), (b'{"note":"', b'"}'), (filler, filler)):
        scan = samples.scan(before + text + after, "head")
        found = {samples.rules[raw.rule].id for raw in scan.findings}
        assert "acme-token" in found, (before[:9], after[:9])
        assert not scan.incomplete


def test_both_turnings(samples: Scanner) -> None:
    for text in (back(rot13(ACME)), b"x=" + rot13(back(ACME)) + b"&y"):
        scan = samples.scan(text, "head")
        assert {raw.encoding for raw in scan.findings} == {"reversed>rot13"}


@pytest.mark.parametrize("name", ESCAPED)
@pytest.mark.parametrize("turn", [back, rot13])
def test_found_in_a_long_run(samples: Scanner, name: str, turn: Encode) -> None:
    around = b"The quick brown fox, etc. " * 60
    text = turn(ESCAPED[name](around + ACME + b" " + around))
    scan = samples.scan(b'"' + text + b'"', "head")
    assert {samples.rules[raw.rule].id for raw in scan.findings} == {"acme-token"}


@pytest.mark.parametrize("name", ESCAPED)
@pytest.mark.parametrize(("decoder", "turn"), [(REVERSED, back), (ROT13, rot13)])
def test_where_a_gate_fires_the_evidence_is_seen(name: str, decoder: Decoder, turn: Encode) -> None:
    """A long text is cut to its evidence, so that must be wherever a gate found something."""
    text = turn(ESCAPED[name](ACME))
    if decoder is ROT13 and name in AS_IT_IS:
        return
    assert Sieve(*decoder.gates).holds(text + b'"')
    data = b"~" * (3 * REACH) + text + b"~" * (3 * REACH)
    outs = [out for _, out in decoder.decode(data, set())]
    assert any(turn(text) in out for out in outs)
    assert all(len(out) <= len(text) + 4 * REACH for out in outs)


@pytest.mark.parametrize("decoder", TURNED, ids=lambda decoder: decoder.name)
def test_what_is_not_turned_wakes_no_gate(decoder: Decoder) -> None:
    sieve = Sieve(*decoder.gates)
    cyrillic = "Съешь же ещё этих мягких французских булок, да выпей чаю 42."
    for text in (
        cyrillic,
        "中文，测试：一二三。",
        "a=1&b=20%25&c=%7B%22x%22:[1,2]%7D",
        "\\xe2\\x80",
    ):
        for encode in (*ESCAPED.values(), quoted):
            data = encode(text.encode())
            assert not sieve.holds(data + b'", '), data[:80]
    for line in (
        rb"C:\Users\heather\k4\h0 and \h1{x} \k<name> \u00e9\u00e8 \x41\x42 \101\102",
        b'printf("%2s %3n%5.2f%%", x); a=4N&b=2; 12#&x; ;12&; width:25%;height:40%;50%"',
        b"SELECT * FROM t WHERE a LIKE '%25ns%' -- =3D=3D\r\n",
    ):
        assert not sieve.holds(line), line


@pytest.mark.parametrize(
    "flood",
    [
        *(b"14%", b"a452%", b"1400u%", b";56#&", b";14x#&", b";rabwol&", b"14x\\", b"1400u\\"),
        *(b"}14{u\\", b"101\\", b"14=", b"a\x8b\x80\xe2", b"\xa1\xbc\xef", b"%4n%61", b"%254n"),
        *(b"%h004n", b"&#k4n;", b"&ybjone;", b"\\k6o", b"\\h006o", b"\\h{6o}", b"=4N=61"),
        *(b"14%24%34%44%.", b"\\k6o\\k62" + b"." * 5000, b"&#65;;56#&", b"\\x41\\14x\\24x\\"),
    ],
)
def test_floods_are_linear(samples: Scanner, flood: bytes) -> None:
    fired = [decoder for decoder in TURNED if Sieve(*decoder.gates).holds(flood * 100)]
    assert fired
    for decoder in fired:
        seconds = []
        for size in (20_000, 200_000):
            data = flood * (size // len(flood))
            start = time.thread_time()
            out = sum(len(out) for _, out in decoder.decode(data, set()))
            seconds.append(time.thread_time() - start)
            assert out <= len(data)
        assert seconds[1] < 40 * seconds[0] + 0.1
    seconds = []
    for size in (20_000, 200_000):
        start = time.thread_time()
        samples.scan(flood * (size // len(flood)), "body")
        seconds.append(time.thread_time() - start)
    assert seconds[1] < 40 * seconds[0] + 0.1


def test_turning_back_and_forth_ends(samples: Scanner) -> None:
    """What was turned once is not turned again, whatever evidence stands in it."""
    text = b"14%24%34%44% %4n%61%4n ;56#& &#k4n; \\k6o\\k62 &#65; \\x41 " * 40
    seen: set[tuple[str, bytes]] = set()
    for decoder in TURNED:
        ((_, out),) = decoder.decode(text, seen)
        assert list(decoder.decode(out, seen)) == []
    assert not samples.scan(text, "body", decoded_bytes=40 * len(text)).incomplete
