"""Texts of a body: undeclared encodings, charsets, forms, XML; nesting, budgets, hostile input."""

from __future__ import annotations

import base64
import bz2
import contextlib
import gzip
import lzma
import random
import time
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire.body import charsets, stream
from interceptor.wire.body.charsets import WideText, codec_of, has_wide_text
from interceptor.wire.body.contents import MAX_DEPTH
from interceptor.wire.body.stream import BodyStream, Piece, body_views, is_plain
from interceptor.wire.fields import HttpError
from tests.body_texts import SECRET, texts_of

NOISE = random.Random(7).randbytes(3000)
WORDS = SECRET.decode()


def utf7(text: str) -> bytes:
    """Every character in base64, which RFC 2152 allows."""
    return b"+" + base64.b64encode(text.encode("utf-16-be")).rstrip(b"=") + b"-"


def xml(*texts: bytes, prolog: bytes = b'<?xml version="1.0"?>') -> bytes:
    return prolog + b"<a>" + b"".join(texts) + b"</a>"


# What it is, Content-Type, body, place of the text in which the secret can be read.
SHAPES: list[tuple[str, bytes, bytes, str]] = [
    ("gzip", b"", gzip.compress(SECRET), "body:gzip"),
    ("gzip as json", b"application/json", gzip.compress(SECRET), "body:gzip"),
    ("zlib", b"", zlib.compress(SECRET), "body:zlib"),
    ("zlib, no compression", b"", zlib.compress(NOISE + SECRET, 1), "body:zlib"),
    ("zstd", b"", zstandard.compress(SECRET), "body:zstd"),
    ("bzip2", b"", bz2.compress(SECRET), "body:bzip2"),
    ("xz", b"", lzma.compress(SECRET), "body:xz"),
    ("lzma", b"", lzma.compress(SECRET, format=lzma.FORMAT_ALONE), "body:xz"),
    ("gzip, junk after it", b"", gzip.compress(SECRET) + b"\0" * 9 + b"junk", "body:gzip"),
    ("gzip in zstd", b"", zstandard.compress(gzip.compress(SECRET)), "body:zstd.gzip"),
    ("UTF-16 LE", b"text/plain", WORDS.encode("utf-16-le"), "body:wide"),
    ("UTF-16 BE", b"text/plain", WORDS.encode("utf-16-be"), "body:wide"),
    ("UTF-32 LE", b"", WORDS.encode("utf-32-le"), "body:wide"),
    ("UTF-32 BE", b"", WORDS.encode("utf-32-be"), "body:wide"),
    ("UTF-16 in a program", b"", NOISE + b"\0" + WORDS.encode("utf-16-le") + NOISE, "body:wide"),
    ("UTF-16 by its mark", b"", ("\ufeff" + WORDS).encode("utf-16-le"), "body:utf-16-le"),
    ("UTF-16 BE by its mark", b"", ("\ufeff" + WORDS).encode("utf-16-be"), "body:utf-16-be"),
    ("UTF-32 by its mark", b"", ("\ufeff" + WORDS).encode("utf-32-le"), "body:utf-32-le"),
    ("UTF-16 declared", b"text/plain; charset=UTF-16", WORDS.encode("utf-16"), "body:utf-16-le"),
    (
        "UTF-16LE declared",
        b'application/json;charset="utf-16le"',
        WORDS.encode("utf-16-le"),
        "body:utf-16-le",
    ),
    ("UTF-7 declared", b"text/plain; charset=utf-7", utf7(WORDS), "body:utf-7"),
    ("UTF-7 by its mark", b"", b"+/v8-" + utf7(WORDS), "body:utf-7"),
    ("EBCDIC", b"text/plain; charset=IBM037", WORDS.encode("cp037"), "body:cp037"),
    ("EBCDIC 500", b"text/plain; charset=ibm500", WORDS.encode("cp500"), "body:cp500"),
    ("EBCDIC 1047", b"text/plain; charset=ibm-1047", WORDS.encode("cp037"), "body:cp037"),
    (
        "EBCDIC by XML",
        b"",
        f'<?xml version="1.0" encoding="cp500"?><a>{WORDS}</a>'.encode("cp500"),
        "body:cp500",
    ),
    (
        "UTF-7 by XML",
        b"text/xml",
        b"<?xml version='1.0' encoding='utf-7'?><a>" + utf7(WORDS) + b"</a>",
        "body:utf-7",
    ),
    ("shift_jis", b"text/plain; charset=shift_jis", ("ア" + WORDS).encode("cp932"), "body:cp932"),
    ("gb18030", b"text/plain; charset=GBK", ("丂" + WORDS).encode("gb18030"), "body:gb18030"),
    (
        "iso-2022-jp",
        b"text/plain; charset=iso-2022-jp",
        ("鍵" + WORDS).encode("iso2022_jp"),
        "body:iso2022_jp_2",
    ),
    (
        "CDATA",
        b"text/xml",
        xml(b"<![CDATA[", SECRET[:9], b"]]><![CDATA[", SECRET[9:], b"]]>"),
        "body:xml",
    ),
    (
        "comments",
        b"application/soap+xml",
        xml(SECRET[:9], b"<!-- > -- a -->", SECRET[9:]),
        "body:xml",
    ),
    ("instructions", b"image/svg+xml", xml(SECRET[:9], b"<?php ?>", SECRET[9:]), "body:xml"),
    (
        "entities",
        b"",
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY one "%b"><!ENTITY two \'&one;%b\'>]>'
        b"<a>&two;%b</a>" % (SECRET[:9], SECRET[9:20], SECRET[20:]),
        "body:xml",
    ),
]


@pytest.mark.parametrize(("_name", "content_type", "body", "where"), SHAPES)
@pytest.mark.parametrize("step", [0, 1, 7, 700])
def test_a_secret_in_every_shape(
    _name: str, content_type: bytes, body: bytes, where: str, step: int
) -> None:
    texts = texts_of(body, content_type, step=step)
    assert any(SECRET in text for place, text in texts if place == where), texts
    assert not is_plain(content_type, body)


@pytest.mark.parametrize(("_name", "content_type", "body", "where"), SHAPES)
def test_texts_do_not_depend_on_cuts(
    _name: str, content_type: bytes, body: bytes, where: str
) -> None:
    whole = [text for place, text in texts_of(body, content_type) if place == where]
    # Of stretches of wide text, what lies around them depends on the cuts.
    if where != "body:wide":
        for step in (1, 5, 511, 512, 513):
            texts = texts_of(body, content_type, step=step)
            assert [text for place, text in texts if place == where] == whole


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (b"", b""),
        (b"application/json", b'{"a": [1, 2, "three"]}'),
        (b"application/json; charset=utf-8", '{"ü": "é"}'.encode()),
        (b"application/x-ndjson", b'{"a": 1}\n{"b": 2}\n'),
        (b"text/plain", b"plain text, nothing else"),
        (b"text/plain; charset=iso-8859-1", b"caf\xe9"),
        (b"text/plain; charset=windows-1252", b"caf\xe9"),
        (b"application/x-www-form-urlencoded", b"a=1&b=%2B&text=hello%20world"),
        (b"application/octet-stream", b"\x89PNG\r\n\x1a\n".replace(b"\x1a", b"\x1b")),
        (b"text/csv", b"a,b\n1,2\n"),
        (b"no media type at all;;;", b"x"),
    ],
)
def test_ordinary_bodies_are_plain(content_type: bytes, body: bytes) -> None:
    assert is_plain(content_type, body)
    assert texts_of(body, content_type) == []
    assert body_views(content_type, body, 1 << 20, 100) == []


@pytest.mark.parametrize(
    "body",
    [
        NOISE,
        b"\x89PNG\r\n\x1a\n" + NOISE,
        b"\xff\xd8\xff\xe0\x00\x10JFIF\0" + NOISE,
        b"GIF89a" + NOISE,
        b"RIFF\0\0\0\0WEBPVP8 " + NOISE,
        b"\0\0\0\x20ftypisom" + NOISE,
        b"\x1aE\xdf\xa3" + NOISE,  # webm
        b"OggS\0" + NOISE,
        b"ID3\x04" + NOISE,
        b"%PDF-1.7\n" + NOISE,
        b"\x7fELF\x02\x01\x01" + b"\0" * 200 + NOISE,
        b"PAR1" + NOISE,
        b"x^2 + y^2 = 1",  # zlib's first bytes
        b"HH, hello. PK is not an archive, BZh neither",
        b"BZh91AY&SY" + NOISE,
        b"\x1f\x8b\x08\x00" + NOISE,
        b"\x28\xb5\x2f\xfd" + NOISE,
        b"\xfd7zXZ\x00" + NOISE,
        b"\x1f\x8b",
        gzip.compress(NOISE)[:-700],
        zlib.compress(NOISE)[:500],
    ],
)
@pytest.mark.parametrize("step", [0, 1, 600])
def test_binary_data_is_no_error(body: bytes, step: int) -> None:
    for content_type in (b"", b"application/octet-stream", b"image/png"):
        assert all(SECRET not in text for _, text in texts_of(body, content_type, step=step))


def test_two_content_types_are_two_readings() -> None:
    body = b"--b\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(SECRET) + b"\r\n--b--"
    types = [b"text/plain", b"multipart/mixed; boundary=b"]
    for order in (types, types[::-1]):
        assert any(SECRET in text for _, text in texts_of(body, types=order))
    assert texts_of(body, types=types[:1]) in ([], [("body:wide", b"")])


def test_codings_give_the_body_as_a_text() -> None:
    data = gzip.compress(gzip.compress(SECRET))
    assert texts_of(data, codings=(b"gzip",)) == [
        ("body", gzip.compress(SECRET)),
        ("body:gzip", SECRET),
    ]
    # What is declared must be readable, to its end.
    for damaged in (data[:-3], data + b"x", b"no gzip"):
        with pytest.raises(HttpError):
            texts_of(damaged, codings=(b"gzip",))


def test_a_form_reads_plus_as_a_space() -> None:
    body = b"key=-----BEGIN+PRIVATE+KEY-----"
    form = b"application/x-www-form-urlencoded"
    assert texts_of(body, form) == [("body:form", body.replace(b"+", b" "))]
    assert texts_of(body, form, step=1)[0][1] == body.replace(b"+", b" ")
    assert texts_of(body, b"text/plain") == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (b"text/plain; charset=bocu-1", b"x"),
        (b"text/plain; charset=UTF-EBCDIC", b"x"),
        (b"", b"7z\xbc\xaf\x27\x1c" + NOISE),
        (b"", b"Rar!\x1a\x07\x01\x00" + NOISE),
        (b"", b"MSCF\0\0\0\0" + NOISE),
        (b"image/png", b"\x04\x22\x4d\x18" + NOISE),
        (b"", b"LZIP\x01" + NOISE),
        (b"", b"age-encryption.org/v1\n" + NOISE),
        (b"", b"Salted__" + NOISE),
        (b"", gzip.compress(b"Rar!\x1a\x07\x00" + NOISE)),
        (b"", lzma.compress(NOISE, preset=9)),
    ],
)
def test_what_cannot_be_read_is_incomplete(content_type: bytes, body: bytes) -> None:
    for step in (0, 1):
        with pytest.raises(HttpError) as caught:
            texts_of(body, content_type, step=step)
        assert caught.value.reason is Reason.INCOMPLETE


def test_depth_has_an_end() -> None:
    body = SECRET
    for _ in range(MAX_DEPTH):
        body = gzip.compress(body)
    assert texts_of(body)[-1] == ("body:" + ".".join(["gzip"] * MAX_DEPTH), SECRET)
    with pytest.raises(HttpError) as caught:
        texts_of(gzip.compress(body))
    assert caught.value.reason is Reason.INCOMPLETE


# -- XML ------------------------------------------------------------------------------------


def test_entities_that_grow_without_end_are_incomplete() -> None:
    laughs = b"".join(
        b"<!ENTITY l%d '%s'>" % (n, b"&l%d;" % (n - 1) * 10 if n else b"ha") for n in range(10)
    )
    body = b"<?xml version='1.0'?><!DOCTYPE a [%b]><a>&l9;</a>" % laughs
    with pytest.raises(HttpError, match="entities"):
        texts_of(body, b"text/xml")
    one = b"<!ENTITY l '%b'>" % (b"ha" * 4000)
    body = b"<?xml version='1.0'?><!DOCTYPE a [%b]><a>%b</a>" % (one, b"&l;" * 3000)
    with pytest.raises(HttpError, match=r"decoded_bytes"):
        texts_of(body, b"text/xml", budget=1 << 20)
    loop = b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY a '&b;'><!ENTITY b '&a;'>]><a>&a;</a>"
    texts_of(loop, b"text/xml")


@pytest.mark.parametrize(
    "body",
    [
        xml(b"text &amp; more &#65;"),
        b'<?xml version="1.0" encoding="UTF-8"?>\n<plist><dict/></plist>',
        b'<!DOCTYPE plist PUBLIC "-//A//DTD PLIST 1.0//EN" "http://example.com/x.dtd"><plist/>',
        xml(b"< ! [ ]] > &unknown; ]"),
    ],
)
def test_xml_without_marks_has_no_text_of_its_own(body: bytes) -> None:
    assert texts_of(body, b"text/xml") == []


# -- charsets -------------------------------------------------------------------------------


def test_every_charset_name_has_a_codec() -> None:
    stream.preload()
    for name in charsets._NAMED:
        codec = codec_of(name, b"")
        text = WORDS.encode(codec)
        kind = b"text/plain; charset=" + name.upper()
        texts = texts_of(text, kind)
        assert any(SECRET in found for _, found in texts), (name, texts)
    for name in (b"utf-8", b"", b"made-up", b"utf-16"):
        assert not codec_of(name, b"text")


@settings(deadline=None)
@given(
    st.binary(max_size=100),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=14, max_size=60),
    st.sampled_from(["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]),
    st.integers(1, 80),
)
def test_wide_text_is_found_at_any_place_and_cut(
    before: bytes, text: str, codec: str, step: int
) -> None:
    data = before + text.encode(codec) + before
    assert has_wide_text(data)
    wide = WideText()
    found = b"".join(wide.feed(data[at : at + step]) for at in range(0, len(data), step))
    assert text.encode() in found
    assert not has_wide_text(before + text.encode() + b"\0")


@given(st.lists(st.sampled_from([b"\0", b"a", b"\0\0", b"ab", b"\xff"]), max_size=200))
def test_the_first_look_at_wide_text_misses_nothing(words: list[bytes]) -> None:
    data = b"".join(words)
    marks = data.translate(charsets._NULS)
    if any(unit * charsets._RUN in marks for unit in (b"10", b"01", b"1000", b"0001")):
        assert has_wide_text(data)


# -- budgets --------------------------------------------------------------------------------


def _all(reader: BodyStream, body: bytes) -> Iterator[Piece]:
    yield from reader.feed(body)
    yield from reader.finish()


def _zeros(size: int) -> bytes:
    z = zlib.compressobj(9, wbits=31)
    return b"".join([z.compress(b"\0" * (1 << 20)) for _ in range(size)]) + z.flush()


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("code", ["gzip", "bzip2", "xz", "zstd", "three times"])
def test_a_bomb_is_incomplete_in_constant_memory(code: str, declared: bool) -> None:
    bomb = {
        "gzip": lambda: _zeros(60),
        "bzip2": lambda: bz2.compress(b"\0" * 60_000_000),
        "xz": lambda: lzma.compress(b"\0" * 60_000_000, preset=1),
        "zstd": lambda: zstandard.compress(b"\0" * 60_000_000),
        "three times": lambda: gzip.compress(zlib.compress(_zeros(60))),
    }[code]()
    part = b"--b\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(bomb) + b"\r\n--b--"
    body, kind = (part, b"multipart/mixed; boundary=b") if declared else (bomb, b"")
    cases = ((8 << 20, 10_000_000, "decoded_bytes"), (None, 20, "expansion"))
    for budget, expansion, match in cases:
        reader = BodyStream([kind], (), budget, expansion)
        tracemalloc.start()
        try:
            with pytest.raises(HttpError, match=match) as caught:
                assert max(len(piece.data) for piece in _all(reader, body)) <= 1 << 17
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert caught.value.reason is Reason.INCOMPLETE
        assert peak < 4 << 20


def test_one_mebibyte_needs_no_ratio() -> None:
    texts = texts_of(gzip.compress(b"\0" * (1 << 20)), budget=None, expansion=1)
    assert len(texts[0][1]) == 1 << 20


def test_long_bodies_take_constant_memory() -> None:
    z = zlib.compressobj(1, wbits=31)
    chunk = random.Random(1).randbytes(1 << 16) + b"text that goes on " * 3000
    reader = BodyStream([b""], (), None, 1000)
    for _ in range(20):  # let all that is allocated once be there
        for piece in reader.feed(z.compress(chunk)):
            del piece
    tracemalloc.start()
    try:
        for _ in range(300):
            for piece in reader.feed(z.compress(chunk)):
                del piece
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20


# -- hostile input --------------------------------------------------------------------------

_FRAGMENTS = [
    *(b"<?xml version='1.0'", b"?>", b"<!DOCTYPE a [", b"<!ENTITY k 'v'>", b"]>", b"&k;", b"<a>"),
    *(b"<![CDATA[", b"]]>", b"<!--", b"-->", b"]", b"-", b"&", b";", b"text", b"\0", b"a\0b\0"),
    *(gzip.compress(b"text"), zlib.compress(b"x"), zstandard.compress(b"y"), b"\x1f\x8b\x08"),
    *(b"+", b"+/v8", b"\xff\xfe", b"%2B", b"=", b"\r\n", b"PK\x03\x04", b"\x28\xb5\x2f\xfd"),
]
_TYPES = [
    *(b"", b"text/xml", b"application/x-www-form-urlencoded", b"text/plain; charset=utf-7"),
    *(b"text/plain; charset=utf-16", b"text/plain; charset=shift_jis", b"message/rfc822"),
    *(b"application/x-git-receive-pack-request", b"text/plain; charset=iso-2022-kr"),
]


@settings(deadline=None, max_examples=500)
@given(
    st.lists(st.sampled_from(_FRAGMENTS) | st.binary(max_size=30), max_size=40),
    st.sampled_from(_TYPES),
    st.integers(1, 600),
)
def test_only_http_errors_come_out(words: list[bytes], content_type: bytes, step: int) -> None:
    body = b"".join(words)
    for size in (0, step):
        with contextlib.suppress(HttpError):
            texts_of(body, content_type, step=size)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(_FRAGMENTS[:17]), max_size=60), st.integers(1, 40))
def test_xml_does_not_depend_on_cuts(words: list[bytes], step: int) -> None:
    body = b"<?xml version='1.0'?>" + b"".join(words)
    outcomes = []
    for size in (0, step):
        try:
            texts = texts_of(body, b"text/xml", step=size)
            outcomes.append([text for where, text in texts if where == "body:xml"])
        except HttpError as error:
            outcomes.append([error.detail.encode()])
    assert outcomes[0] == outcomes[1]


def test_a_body_of_marks_takes_linear_time() -> None:
    started = time.process_time()
    for word in (b"<!--", b"<![CDATA[", b"]]>", b"&k;", b"<?", b"<!ENTITY k 'v'>", b"=?x?q?", b"+"):
        body = b"<?xml version='1.0'?><a>" + word * (400_000 // len(word))
        texts_of(body, b"text/xml", step=65_536)
        texts_of(body, b"application/x-www-form-urlencoded", step=65_536)
    assert time.process_time() - started < 8
