"""Decoders of texts alone: what each yields, what it leaves alone, and its bounds."""

from __future__ import annotations

import html
import quopri
import re
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from urllib.parse import quote, quote_plus, unquote_to_bytes

import hyperscan
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interceptor.scan.decoders import escapes, folding, lookalikes, percent, separators, texts, wide
from interceptor.scan.decoders.entities import unreferenced
from interceptor.scan.decoders.model import Decoder
from interceptor.scan.decoders.near import REACH, Replacements, cut, merged, replaced
from interceptor.scan.decoders.quoted_printable import QUOTED_PRINTABLE, unquoted
from interceptor.scan.decoders.texts import TEXTS, UNESCAPE


def yielded(decoder: Decoder, text: bytes) -> list[tuple[str, bytes]]:
    return list(decoder.decode(text, set()))


def only(decoder: Decoder, text: bytes) -> bytes:
    ((_, out),) = yielded(decoder, text)
    return out


def fires(decoder: Decoder, text: bytes) -> bool:
    hits: list[int] = []
    _matcher(decoder).scan(text, lambda index, *_: hits.append(index))
    return bool(hits)


_MATCHERS: dict[tuple[str, ...], Any] = {}


def _matcher(decoder: Decoder) -> Any:
    if decoder.gates not in _MATCHERS:
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        count = len(decoder.gates)
        database.compile(
            expressions=[gate.encode() for gate in decoder.gates],
            ids=list(range(count)),
            elements=count,
            flags=[hyperscan.HS_FLAG_SINGLEMATCH] * count,
        )
        database.scratch = hyperscan.Scratch(database)
        _MATCHERS[decoder.gates] = database
    return _MATCHERS[decoder.gates]


# --- escapes, as one


@pytest.mark.parametrize(
    ("text", "chain", "expected"),
    [
        (b"%41%2F%2541 %zz", "percent", b"A/%41 %zz"),
        (b"100%%41 %\r\n %= 5%", "percent", b"100%A %\r\n %= 5%"),
        (b"a=1%3D2&b=3%3d4", "percent", b"a=1=2&b=3=4"),
        (b"%u0041%u200B%u004b %uzz", "percent", "A\u200bK %uzz".encode()),
        (b"%C1%81%e0%81%82%F0%80%81%83", "percent", b"ABC"),
        (b"A%E2%80%8BK", "percent", "A\u200bK".encode()),
        (b"A%D0%90K%D0%90", "percent", "AАKА".encode()),
        (b"&#65;&#x42;&#0000067;&#x0000000000044;&#69", "entities", b"ABCDE"),
        (b"&#65;&amp;&lt;&lowbar;&equals;&none;&#9999999;", "entities", b"A&<_=&none;&#9999999;"),
        (b"&#65;&ZeroWidthSpace;&shy;&Aopf;&bfr;", "entities", "A\u200b\u200bAb".encode()),
        (b"&#65313;&#xff2b;", "entities", "ＡＫ".encode()),
        (rb"\u0041\\u0042\x43\104\/\u{45}", "escapes", b"ABCD/E"),
        (rb"\U00000041\u{0000041}\x{41}", "escapes", b"AAA"),
        (rb"\060\0101\101", "escapes", b"0AA"),
        (rb"\u0041\ud835\udc00", "escapes", "A𝐀".encode()),
        (rb"\xe2\x80\x8b\342\200\213\x41", "escapes", "\u200b\u200bA".encode()),
        (rb"\\\\\\\"key\\\\\\\"\u0041", "escapes", b'"key"A'),
        (rb"C:\Users\x\ud800\uzz\x4", "escapes", b"C:\\Users\\x\xed\xa0\x80\\uzz\\x4"),
        ("é\\u0041中\\u00e9".encode() + b"\xff", "escapes", "éA中é".encode() + b"\xff"),
        (b"%41&#66;\\u0043", "percent+entities+escapes", b"ABC"),
        (b"%26%2365%3B", "percent+entities", b"A"),
        (rb"%41\u0042", "percent+escapes", b"AB"),
    ],
)
def test_unescape(text: bytes, chain: str, expected: bytes) -> None:
    assert yielded(UNESCAPE, text) == [(chain, expected)]


@pytest.mark.parametrize("text", [b"", b"plain text", b"100% of it", b"a && b", b"C:\\Users\\z"])
def test_nothing_to_undo(text: bytes) -> None:
    assert yielded(UNESCAPE, text) == []
    assert not fires(UNESCAPE, text)


@given(st.binary(max_size=300))
@example(b"%%%41%")
@example(b"%3D%3d=%=\r%=\n\x1a")
def test_percent_agrees_with_urllib(data: bytes) -> None:
    """But for U+001A, which stands for an equals sign meanwhile."""
    plain = data.replace(b"\x1a", b"")
    assert percent.hex_pairs(plain, b"%") == unquote_to_bytes(plain)


@given(st.binary(max_size=200))
def test_percent_round_trip(data: bytes) -> None:
    if b"\x1a" not in data:
        assert percent.hex_pairs(quote(data).encode(), b"%") == data


@given(st.text(max_size=100))
def test_json_round_trip(chars: str) -> None:
    raw = chars.encode("utf-16-be", "surrogatepass")
    escaped = "".join(f"\\u{raw[i]:02x}{raw[i + 1]:02x}" for i in range(0, len(raw), 2))
    assert escapes.unescaped(escaped.encode()) == chars.encode("utf-8", "surrogatepass")


@given(st.text(st.characters(min_codepoint=160, exclude_categories=["Cs"]), max_size=60))
def test_entities_round_trip(chars: str) -> None:
    for template in ("&#{};", "&#x{:x};", "&#X{:08X};"):
        text = "".join(template.format(ord(char)) for char in chars)
        assert unreferenced(text.encode()).decode() == chars == html.unescape(text)


def test_css_is_not_read_as_octal() -> None:
    (css,) = [decoder for decoder in TEXTS if decoder.name == "css"]
    assert only(css, rb"\41 \4b\000049\41 x") == b"AKIAx"
    assert fires(css, rb"\41 KIA")
    # Percent comes off first, and leaves both readings open.
    once = only(UNESCAPE, b"%5c000041%5c00004b")
    assert only(css, once) == b"AK"


def test_forms() -> None:
    assert only(percent.FORM, b"a=b&c=password+%3D+hunter2%2B") == b"a=b&c=password = hunter2+"
    assert fires(percent.FORM, quote_plus("password = hunter2").encode())
    assert fires(percent.FORM, b"-----BEGIN+RSA+PRIVATE")
    assert not fires(percent.FORM, b"x += 1; a+b; C++; q=how+to+do+it")


# --- encodings of mail, wide characters, controls


@given(st.binary(max_size=300))
def test_quoted_printable_round_trip(data: bytes) -> None:
    plain = data.replace(b"\r", b"")
    assert unquoted(quopri.encodestring(plain)) == plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"=41=4b", b"AK"),
        (b"A=\r\nK=\nI= \t\r\nA", b"AKIA"),
        (b"A=\rKIA=41=42", b"AKIAAB"),
        (b"key=3Dx", b"key=x"),
        (b"q==41=4B", b"q=AK"),
        (rb'{"a": "=41=4B=\r\n=49=\n=41"}', b'{"a": "AKIA"}'),
        (rb'{"a": "AK=\r\nIA"}', b'{"a": "AKIA"}'),
    ],
)
def test_quoted_printable(text: bytes, expected: bytes) -> None:
    assert only(QUOTED_PRINTABLE, text) == expected
    assert fires(QUOTED_PRINTABLE, text)


@pytest.mark.parametrize("text", [b"?a=41&b=4F&c=3f", b"x=1; y=20", b"a == b", b"QUtJQQ==\n"])
def test_no_quoted_printable(text: bytes) -> None:
    assert not fires(QUOTED_PRINTABLE, text)


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("shift", [0, 1])
def test_wide(codec: str, shift: int) -> None:
    key = "a key of some length"
    text = b"x" * shift + key.encode(codec)
    assert fires(wide.WIDE[0], text)
    assert key.encode() in only(wide.WIDE[0], text)


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("shift", [0, 1])
def test_wide_characters_beyond_latin(codec: str, shift: int) -> None:
    for key in ("AKIA\u200bKEY", "ＡＫＩＡＫＥＹ"):
        text = b"x" * shift + key.encode(codec)
        assert fires(wide.WIDE[1], text)
        assert key.encode() in b"".join(out for _, out in yielded(wide.WIDE[1], text))


def test_utf7() -> None:
    assert only(wide.UTF7, b"x +AEEASwBJAEE- y +AEE-") == b"x AKIA y A"
    assert fires(wide.UTF7, b"+AEEASwBJAEE-")
    assert not fires(wide.UTF7, b"a+AB-c+AEEx")


def test_controls() -> None:
    text = b"\x1b[01;31m\x1b[KAKIA\x1b[m\x1b[KIOSFODNN7 abcd\x00efghijkl"
    assert only(wide.CONTROLS, text) == b"AKIAIOSFODNN7 abcdefghijkl"
    assert fires(wide.CONTROLS, text)
    assert not fires(wide.CONTROLS, b"line\r\nline\tand\ttabs\n\n\x0cpage")


# --- look-alikes

KEY = "AKIAKEYcop0123456789"


@pytest.mark.parametrize(
    "text",
    [
        "AKIA\u200bKEYcop0123456789",
        "\u200b".join(KEY),
        "АKIAKEYcop0123456789",
        "AKIAKEYсор0123456789",
        "ΑΚΙΑΚΕΥcop0123456789",
        "ＡＫＩＡＫＥＹｃｏｐ０１２３４５６７８９",
        "𝐀𝐊𝐈𝐀𝐊𝐄𝐘𝐜𝐨𝐩𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
        "ⒶⓀⒾⒶⓀⒺⓎⓒⓞⓟ⓪①②③④⑤⑥⑦⑧⑨",
        "🅐🅚🅘🅐🄺🄴🅈cop0123456789",
        "\u202eAKIA\u202cKEY\u2066cop0123456789",
        "A\u0301K\u0302IAKEYcop0123456789",
        "AKIA\u00adKEY\ufeffcop\u180e0123456789",
        "AKIA\ufe0fKEYcop\U000e00410123456789",
        "AKIA\u3164KEY\u1160cop0123456789",
        "ᎪᏦᎥᎪKEYcop0123456789",
        "ꓮꓗꓲꓮKEYcop0123456789",
        "АKIAKEYcop٠١٢٣٤٥٦٧٨٩",
    ],
)
def test_folding(text: str) -> None:
    for around in ("{}", "Текст {} текст", "key={}&x", "中文{}中文", "\udcff{}\udc80"):
        data = around.format(text).encode("utf-8", "surrogateescape")
        assert fires(folding.FOLDING, data), around
        folded = b"\n".join(out for _, out in yielded(folding.FOLDING, data))
        assert KEY.encode() in folded.replace(b"i", b"I"), around


def test_messages_in_what_nobody_sees() -> None:
    tags = "hi" + "".join(chr(0xE0000 + ord(char)) for char in KEY)
    selectors = "😀" + "".join(
        chr(0xFE00 + byte) if byte < 16 else chr(0xE0100 + byte - 16)
        for byte in KEY.encode() + b"\n\x0f"
    )
    for text in (tags, selectors):
        assert fires(folding.FOLDING, text.encode())
        outs = [out for _, out in yielded(folding.FOLDING, text.encode())]
        assert any(KEY.encode() in out for out in outs)


ORDINARY = (
    "Обычный русский текст, в котором ничего нет; 20го числа, web-сервер и JSON-файл, версия 1С. ",
    "Συνηθισμένο κείμενο στα ελληνικά, έκδοση 3.1 και JSON, 2024. ",
    "普通的中文文本，使用API密钥和JSON格式，版本3.1。（2024年）：！ ",
    "Les développeurs français — l’été, déjà « voilà » 10 km ; naïf. ",
    "Great work 👍🏽 ❤️ everyone! 🎉 See you — 1990–2000, people’s notes… 1️⃣ 👨‍👩‍👧 ™ © ",
    "نص عربي عادي مع می‌خواهم 123 و JSON. हिन्दी क्ष ",
)


@pytest.mark.parametrize("sentence", ORDINARY)
def test_ordinary_text_is_not_folded(sentence: str) -> None:
    text = (sentence * 200).encode()
    assert sum(len(out) for _, out in yielded(folding.FOLDING, text)) == 0


def test_table() -> None:
    table = folding.table()
    assert table[:128] == "".join(map(chr, range(128)))
    assert all(ord(char) <= 0x80 for char in table)
    for char, points in lookalikes.ALIKE.items():
        assert all(table[int(point, 16)] == char for point in points.split())
    for first, last in lookalikes.VANISHING:
        assert set(table[first : last + 1]) == {"\x80"}
    assert folding.folded("é ½ ﬁ № ™ ǆ 中\xa0x".encode()) == b"e \x7f fi \x7f \x7f \x7f \x7f x"


# --- separators


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"key: A-K-I-A-I-O-S-F-O-D-N-N", b"AKIAIOSFODNN"),
        (b"s.k.-.a.n.t.-.a.p.i.0.3", b"sk-ant-api03"),
        (b'["s", "k", "-", "a", "n", "t", "-", "a", "p", "i", "0"]', b"sk-ant-api0"),
        (b"A\r\nK\r\nI\r\nA\r\nI\r\nO\r\nS\r\nF\r\nO\r\nD\r\nN", b"AKIAIOSFODN"),
        (b"%_4_1_%_4_b_%_4_9_%_4_1_%_4_1", b"%41%4b%49%41%41"),
        (b"AKIA-IOSF-ODNN-7EXA-MPLE", b"AKIAIOSFODNN7EXAMPLE"),
        (b"(AKI, AIO, SFO, DNN, 7EX, AMP, LE)", b"(AKIAIOSFODNN7EXAMPLELE)"),
    ],
)
def test_separated(text: bytes, expected: bytes) -> None:
    fired = [decoder for decoder in separators.SEPARATED if fires(decoder, text)]
    assert any(expected.rstrip(b"LE)") in only(decoder, text) for decoder in fired)


@pytest.mark.parametrize(
    "text",
    [
        b"Ordinary prose, with commas, and so on. It goes on - as it does - for a while: a, b, c.",
        b"[0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 1, 1]",
        b"0,1,0,1,1,0,0,1,0,1,0,1,1,0,0,1",
        b"7f3c1a52-9b0d-4c1e-8a77-0123456789ab",
        b"2024-05-01 10:20:30 192.168.10.20 fe80::1 12-34-56",
        b"    if x:\n        y = z\n            return a\n",
        b"/usr/lib/python3/dist-packages/a/b/c.py",
    ],
)
def test_no_separators(text: bytes) -> None:
    assert [decoder for decoder in separators.SEPARATED if fires(decoder, text)] == []


def test_hexadecimal_in_groups_is_left_alone() -> None:
    for decoder in separators.SEPARATED:
        assert yielded(decoder, b"aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66") == []


# --- bounds


@settings(deadline=None)
@given(data=st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    for decoder in TEXTS:
        for chain, out in yielded(decoder, data):
            assert chain
            assert len(out) <= 3 * len(data) + 8


_BITS = st.sampled_from(
    [
        *(b"%41", b"%", b"%u0041", b"%C1%81", b"&#65;", b"&", b"&#x41", b"&amp;lt;", b"\\u0041"),
        *(b"\\", b"\\x41", b"\\101", b"\\u{41}", b"\\ud835", b"\\udc00", b"\\41 ", b"\\U0001d400"),
        *(b"=41", b"=", b"=3D", b"=\r\n", b"=\r", b"A\x00K\x00", b"\x00", b"\x0b \xff\xfe"),
        *(b"+AEE-", b"+", b"\x1b[31m", b"\x1b", b"\x01", b"\r\n", b" ", b"AKIA", b"-", b"a,b,"),
        *("\u200b".encode(), "А".encode(), "Ａ".encode(), "𝐀".encode(), "\U000e0041".encode()),
        *("ﬁ".encode(), "\ufe0f".encode(), "é".encode(), b"\xff", b"\xc3", b"\xed\xa0\x80"),
    ]
)


@settings(deadline=None, max_examples=150)
@given(st.lists(_BITS, max_size=60), st.integers(0, 5000))
def test_any_mixture(bits: list[bytes], gap: int) -> None:
    data = b"".join(bits) + b"." * gap + b"".join(bits)
    for decoder in TEXTS:
        assert sum(len(out) for _, out in yielded(decoder, data)) <= 3 * len(data) + 64


@settings(deadline=None, max_examples=150)
@given(st.lists(_BITS, max_size=12), st.integers(0, 4000))
def test_where_a_gate_fires_the_evidence_is_seen(bits: list[bytes], gap: int) -> None:
    """A long text is cut to its evidence, so that must be wherever a gate found something."""
    data = b"~" * (6000 + gap) + b"".join(bits) + b"~" * 6000
    for decoder in (UNESCAPE, percent.FORM, QUOTED_PRINTABLE, wide.UTF7):
        if yielded(decoder, b"".join(bits)) and fires(decoder, data):
            outs = [out for _, out in yielded(decoder, data)]
            whole = [out for _, out in yielded(decoder, b"~" * 60 + b"".join(bits) + b"~" * 60)]
            for part in whole:
                assert any(part.strip(b"~") in out for out in outs)


@pytest.mark.parametrize(
    "flood",
    [
        *(b"%41", b"%%%%%%%%%41", b"%C1%81", b"&#65;", b"&" * 30 + b"&#65;", b"&#0000000065"),
        *(b"\\u0041", b"\\" * 63 + b"u0041", b"\\uzz\\u0041", b"\\ud800\\u0041", b"\\101"),
        *(
            b"=41",
            b"= " * 30 + b"=41=41",
            b"A\x00",
            b"\x00" * 99 + b"A\x00" * 12,
            b"+AEE-",
            b"++++AEE-",
        ),
        *("аa".encode(), "a\u200b".encode(), "\u200b".encode() * 40 + b"a", "Ａ".encode()),
        *("\U000e0041".encode(), "\ufe01".encode(), "中a\u200b".encode(), b"a-", b"ag:" * 9 + b" "),
        *(b"-abcG" * 4 + b" ", b'"a",', b"a\x01bcdefghij", b"\x1b[31mabcd", b"a+b%3D+"),
    ],
)
def test_floods_are_linear(flood: bytes) -> None:
    fired = [decoder for decoder in TEXTS if fires(decoder, flood * 100)]
    assert fired
    for decoder in fired:
        seconds = []
        for size in (20_000, 200_000):
            data = flood * (size // len(flood))
            start = time.perf_counter()
            out = sum(len(out) for _, out in yielded(decoder, data))
            seconds.append(time.perf_counter() - start)
            assert out <= 3 * len(data) + 64
        assert seconds[1] < 40 * seconds[0] + 0.1, decoder.name


# --- near the evidence


@given(st.lists(st.tuples(st.integers(-100, 9000), st.integers(0, 5000)), max_size=20))
def test_merged(spans: list[tuple[int, int]]) -> None:
    given_spans = [(start, start + length) for start, length in spans]
    out = merged(given_spans)
    covered = {at for start, end in given_spans for at in range(max(0, start), end, 50)}
    assert all(any(start <= at <= end for start, end in out) for at in covered)
    assert all(first[1] < second[0] for first, second in pairwise(out))


def test_cut_keeps_what_is_around() -> None:
    for gap in (*range(2000, 2100, 7), 10_000, 50_000):
        text = b"." * gap + b"<%41>" + b"." * 50_000
        (piece,) = cut(text, (percent.PERCENT,))
        assert b"<%41>" in piece
        before, _, after = piece.partition(b"%41")
        assert len(before) >= min(gap, REACH)
        assert REACH <= len(after) < 3 * REACH


@pytest.mark.parametrize("shift", range(0, 14, 3))
def test_no_token_is_cut_by_a_block(shift: int) -> None:
    table = Replacements(lambda token: token[1:-1].upper())
    for template in (b"<abcdefgh>", b"<abcdefgh>..................", b"<a><b><c><d><e><f><g><h>x"):
        text = b"." * shift + template * 20_000
        out = replaced(text, re.compile(rb"(<[a-z]+>)"), b"<", table)
        assert b"<" not in out
        assert out == text.replace(b"<", b"").replace(b">", b"").upper().replace(b"X", b"x")


def test_replacements_remember_a_bounded_number() -> None:
    calls: list[bytes] = []
    parse: Callable[[bytes], bytes] = lambda token: calls.append(token) or token  # type: ignore[func-returns-value]  # noqa: E731
    table = Replacements(parse)
    for number in range(20_000):
        assert table[b"%d" % number] == b"%d" % number
    assert table[b"19999"] == b"19999"
    assert len(table) <= 4096
    assert len(calls) == 20_000


def test_the_table_of_decoders() -> None:
    assert texts.TEXTS[0] is UNESCAPE, "what undoes most comes first"
    names = [decoder.name for decoder in TEXTS]
    assert set(names) >= {"unescape", "form", "css", "quoted-printable", "utf-16", "utf-7"}
    assert set(names) >= {"controls", "unicode", "separated"}
