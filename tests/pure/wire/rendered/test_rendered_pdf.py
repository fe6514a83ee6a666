"""What is read of a PDF: pages, notes, titles, metadata; whatever cuts it, and however damaged."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.model import Setting
from interceptor.wire.rendered.pdf import PdfReader
from interceptor.wire.rendered.pdf_text import read_map, text_of, value_of
from interceptor.wire.rendered.reader import ReaderLimits
from tests import pdf_files

TEXT = "The report is kept for ten years, and then it is thrown away."


def said(data: bytes, step: int = 1 << 20, limits: ReaderLimits | None = None) -> bytes:
    reader = PdfReader(limits or ReaderLimits())
    found = []
    for at in range(0, len(data), step):
        found += reader.feed(data[at : at + step])
    found += reader.finish()
    assert reader.settled == len(data)
    return b" ".join(b"\n".join(passage.text for passage in found).split())


def test_pages_are_read_in_any_coding_and_font() -> None:
    for data in (
        pdf_files.plain(TEXT),
        pdf_files.plain(TEXT, coding="a85"),
        pdf_files.plain(TEXT, coding=""),
        pdf_files.mapped(TEXT),
        pdf_files.noted(TEXT),
        pdf_files.packed(TEXT),
    ):
        for step in (1, 7, 1 << 20):
            assert TEXT.encode() in said(data, step), (data, step)


def test_a_page_is_shown_and_a_note_is_beside_it() -> None:
    reader = PdfReader()
    found = reader.feed(pdf_files.noted(TEXT)) + reader.finish()
    settings_of = {p.setting for p in found if TEXT.encode() in p.text}
    assert settings_of == {Setting.COMMENT}
    assert any(p.setting == Setting.SHOWN and b"A page." in p.text for p in found)


def test_a_page_is_given_as_soon_as_its_stream_has_ended() -> None:
    data = pdf_files.plain(TEXT)
    reader = PdfReader()
    found = reader.feed(data[: data.index(b"endstream") + 9])
    assert TEXT.encode() in b" ".join(b"".join(p.text for p in found).split())


def test_where_words_and_lines_end() -> None:
    for content, text in (
        (b"(a) Tj (b) Tj", b"ab"),
        (b"[(wo) -20 (rd) -300 (next)] TJ", b"word next"),
        (b"(word) Tj 0 -14 Td (next) Tj", b"word next"),
        (b"(word) Tj 30 0 Td (next) Tj", b"word next"),
        (b"(word) Tj T* (next) Tj", b"word next"),
        (b"(word) Tj (next) '", b"word next"),
        (b"(wo\\\nrd \\050a\\051 (b) \\\\) Tj", b"word (a) (b) \\"),
        (b"<776f7264> Tj", b"word"),
    ):
        page = b"BT /F1 9 Tf (The) Tj 9 9 Td " + content + b" ET"
        found = said(pdf_files.page(page, pdf_files.PLAIN_FONT))
        assert b"The " + text in found, (content, found)


def test_strings_and_maps() -> None:
    assert value_of(b"(a\\n\\t\\7x\\)\\q)") == b"a\n\t\x07x)q"
    assert value_of(b"<4 1 4>") == b"A@"
    assert text_of(b"\xfe\xff\x00A") == b"A"
    assert text_of(b"\xe9") == b"\xc3\xa9"
    found = read_map(
        b"1 beginbfrange <0003> <0005> <0041> <0010> <0011> [<0066 0069> <0078>] endbfrange "
        b"beginbfchar <0020> <D83DDE00> endbfchar"
    )
    assert found.width == 2
    assert found.letters == {3: "A", 4: "B", 5: "C", 16: "fi", 17: "x", 32: "\U0001f600"}


def test_what_is_no_text_says_nothing() -> None:
    picture = pdf_files.stream(bytes(range(256)) * 300, b"/Subtype /Image")
    font = pdf_files.stream(bytes(range(256)) * 10)
    photo = b"<< /Filter /DCTDecode /Length 3 >>\nstream\n\xff\xd8\xff\nendstream"
    data = pdf_files.document([b"<< /Type /Catalog >>", picture, font, photo])
    assert b"stream" not in said(data)
    reader = PdfReader()
    reader.feed(data)
    reader.finish()
    assert not reader.incomplete


def test_limits_hold() -> None:
    content = b"BT /F1 9 Tf " + b"(word) Tj " * 40_000 + b"ET"
    data = pdf_files.page(content, pdf_files.PLAIN_FONT)
    reader = PdfReader(ReaderLimits(inflated=100_000))
    found = reader.feed(data) + reader.finish()
    assert reader.incomplete
    assert sum(len(passage.text) for passage in found) < 200_000
    many = pdf_files.document([pdf_files.stream(content) for _ in range(6)])
    reader = PdfReader(ReaderLimits(inflated=400_000))
    found = reader.feed(many) + reader.finish()
    assert reader.incomplete  # four times as much of all
    assert found


def test_damage_is_told_and_the_rest_is_read() -> None:
    good = pdf_files.stream(b"BT /F1 9 Tf (The rest is read.) Tj ET")
    bad = b"<< /Filter /FlateDecode >>\nstream\nno such data\nendstream"
    odd = b"<< /Filter /LZWDecode >>\nstream\nxx\nendstream"
    data = pdf_files.document([bad, odd, good])
    assert b"The rest is read." in said(data)
    reader = PdfReader()
    reader.feed(data)
    reader.finish()
    assert reader.incomplete


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            (
                *(
                    b"1 0 obj",
                    b"endobj",
                    b"<<",
                    b">>",
                    b"stream\n",
                    b"endstream",
                    b"BT",
                    b" Tj",
                    b"ET",
                ),
                *(b"(a b", b")", b"\\", b"<", b"41", b">", b"/Filter /FlateDecode", b"/F1 9 Tf"),
                *(b"beginbfchar", b"<0001> <0041>", b"endbfchar", b"/Type /ObjStm /N 2 /First 8"),
                *(b"\x78\x9c", b"/ToUnicode 6 0 R", b"beginbfrange", b"<00> <ffffffff> <0041>"),
            )
        ),
        max_size=30,
    ).map(b" ".join),
    st.integers(1, 9),
)
def test_anything_is_read_to_its_end(data: bytes, step: int) -> None:
    said(b"%PDF-1.7\n" + data, step)


def test_no_text_takes_more_than_its_length() -> None:
    for unit in (b"(", b"((", b"((()", b"(a)", b"<", b"/F1 ", b"11111111", b"\\", b"/a 1 0 R "):
        taken = []
        for size in (30_000, 240_000):
            content = b"BT /F1 9 Tf (x) Tj " + unit * (size // len(unit))
            data = pdf_files.document([pdf_files.stream(content), content])
            tries = []
            for _ in range(2):
                begin = time.process_time()
                said(data)
                tries.append(time.process_time() - begin)
            taken.append(min(tries))
        # Eight times as long; quadratic would be sixty-four.
        assert taken[1] < max(0.1, taken[0] * 30), (unit, taken)
