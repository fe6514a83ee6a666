"""What readers give of each format: (setting, text) that must be among the passages."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest

from interceptor.model import Setting
from interceptor.wire.rendered.reader import Reader, ReaderLimits
from interceptor.wire.rendered.readers import reader_for

S = Setting.SHOWN
HIDDEN, COMMENT, ATTRIBUTE = Setting.HIDDEN, Setting.COMMENT, Setting.ATTRIBUTE
CODE, QUOTE, HEADING = Setting.CODE, Setting.QUOTE, Setting.HEADING
LINK, ACTIVE = Setting.LINK, Setting.ACTIVE

Row = tuple[bytes, Setting, bytes]


def reader_of(kind: bytes, data: bytes, path: str = "") -> Reader:
    reader = reader_for(kind, path, data[:1024])
    assert reader is not None
    return reader


def said(kind: bytes, data: bytes, path: str = "") -> list[tuple[Setting, bytes]]:
    reader = reader_of(kind, data, path)
    found = reader.feed(data) + reader.finish()
    assert reader.settled == len(data)
    return [(passage.setting, b" ".join(passage.text.split())) for passage in found]


def holds(kind: bytes, row: Row, path: str = "") -> None:
    data, setting, text = row
    found = said(kind, data, path)
    joined = b" ".join(one[1] for one in found if one[0] == setting)
    assert text in joined, (row, found)


HTML: list[Row] = [
    (b"<p>ig<b>no</b>re <i>all</i></p>", S, b"ignore all"),
    (b"ig<!-- x -->no<wbr>re<custom-x>d</custom-x>", S, b"ignored"),
    (b"<p>one<p>two<br>three", S, b"one two three"),
    (b"&lt;b&gt; &amp;lt; &#105;g&#x6e;&eacute;", S, b"<b> &lt; ign\xc3\xa9"),
    (b"caf\xe9", S, b"caf\xc3\xa9"),
    (b'<p x">seen here <p y">x', S, b"seen here"),
    (b'<a ="x>seen">y', S, b'seen">y'),
    (b"<!--> seen -->", S, b"seen"),
    (b"<!-- a --!> seen -->", S, b"seen"),
    (b"seen <a href=", S, b"seen <a href="),
    (b"<!-- a comment -->", COMMENT, b"a comment"),
    (b"<!--[if IE]><p>co<b>nd</b></p><![endif]-->", COMMENT, b"cond"),
    (b"<![CDATA[ in it ]]>", COMMENT, b"in it"),
    (b"<!-- never closed", COMMENT, b"never closed"),
    (b"<h2>A <b>head</b></h2>", HEADING, b"A head"),
    (b"<title>the title</title>", HEADING, b"the title"),
    (b"<blockquote>said <p>more</blockquote>", QUOTE, b"said more"),
    (b"<p>a <q>a quotation longer than most</q> b", QUOTE, b"a quotation longer than most"),
    (b"<pre>x\n  y</pre>", CODE, b"x y"),
    (b"<p>use <code>x</code> and <kbd>y</kbd> now", S, b"use x and y now"),
    (b"<p><code>a line of code that is longer</code>", CODE, b"a line of code that is longer"),
    (b"<script>say('hello')</script>", CODE | ACTIVE, b"say('hello')"),
    (b"<script>never closed", CODE | ACTIVE, b"never closed"),
    (b'<a onclick="go(1)">x</a>', CODE | ACTIVE, b"go(1)"),
    (b'<iframe srcdoc="<p>fr&lt;b>a</b>med"></iframe>', ACTIVE, b"framed"),
    (b'<script type="application/ld+json">{"a": "b\\u0063"}</script>', ATTRIBUTE, b"a: bc"),
    (b'<img alt="alt text" src="/x?q={d}">', ATTRIBUTE, b"alt text"),
    (b'<img alt="alt text" src="/x?q={d}">', LINK, b"/x?q={d}"),
    (b'<a href="java&#115;cript:x()" title="tip">y</a>', LINK, b"javascript:x()"),
    (b'<meta property="og:title" content="og text">', ATTRIBUTE, b"og text"),
    (b'<b aria-label="label text">x</b>', ATTRIBUTE, b"label text"),
    (b'<b data-anything="some data text">x</b>', ATTRIBUTE, b"some data text"),
    (b'<b title="x> after a bracket">y</b>', ATTRIBUTE, b"after a bracket"),
    (b"<do all of the things that follow>", ATTRIBUTE, b"do all of the things that follow"),
    (b'<style>b:after{content:"from a style"}</style>', ATTRIBUTE, b"from a style"),
    (b"<style>/* a style's comment */</style>", COMMENT, b"a style's comment"),
    (b"<noscript>no script</noscript>", HIDDEN, b"no script"),
    (b"<template><p>tem<b>pl</b>ate</template>", HIDDEN, b"template"),
    (b"<details><summary>s</summary>closed</details>", HIDDEN, b"closed"),
    (b"<details open>opened</details>", S, b"opened"),
    (b"a <span hidden>within</span> sentence", S, b"a within sentence"),
    (b"ig<span hidden>x</span>nore", S, b"ignore"),
]

STYLES = [
    *(b"display:none", b"DISPLAY : NONE !important", b"visibility:hidden", b"opacity:0"),
    *(b"font-size:0", b"font-size: 0.5px", b"font:0/0 a", b"height:0;overflow:hidden"),
    *(b"position:absolute;left:-9999px", b"text-indent:-999em", b"clip:rect(0,0,0,0)"),
    *(b"clip-path: inset(50%)", b"transform:scale(0)", b"color:transparent", b"color:#fff0"),
    *(b"color:#fff;background:white", b"color:rgb(254,254,254);background-color:#ffffff"),
    *(b"color:rgba(0,0,0,0)", b"color:white", b"dis\\70lay:none", b"display/**/:none"),
    *(b"margin-left:-10000px", b"width:0;white-space:nowrap", b"opacity:.01"),
]
VISIBLE = [
    *(b"display:block", b"opacity:0.5", b"font-size:10px", b"color:#fff;background:#000"),
    *(b"left:-5px", b"height:100%", b"width:0.5em", b"color:#333", b"margin-left:-15px"),
    *(b"opacity:1", b"font-size:0.9em", b"line-height:1.5", b"color:red", b"top:0"),
]


@pytest.mark.parametrize("row", HTML)
def test_html(row: Row) -> None:
    holds(b"text/html; charset=utf-8", row)


def test_styles_that_hide() -> None:
    assert said(b"text/html", b"<i class=y>seen</i>")[-1] == (S, b"seen")
    for style in STYLES:
        holds(b"text/html", (b'a<div style="%s">unseen</div>b' % style, HIDDEN, b"unseen"))
        if style == b"color:white":  # in a sheet it says nothing of what is behind it
            continue
        sheet = b"<style>@media all{.q, #i > b {%s}} .x{%s}</style><i class='y x'>unseen</i>b"
        holds(b"text/html", (sheet % (style, style), HIDDEN, b"unseen"))
    for style in VISIBLE:
        found = said(b"text/html", b'<div style="%s">seen</div>' % style)
        assert found[-1] == (S, b"seen"), (style, found)


def test_hidden_elements_end_where_browsers_end_them() -> None:
    for data, hidden in (
        (b"<p hidden>one<p>two", b"one"),
        (b"<div hidden>a<div>b</div>c</div>d", b"a b c"),
        (b"<ul><li hidden>a<ul><li>b</ul></li><li>c</ul>", b"a b"),
        (b"<table><tr><td><span hidden>x</td><td>y</td></table>", b"x"),
        (b"<td hidden>a<td>b", b"a"),
        (b"<input hidden>a", b""),
        (b'<i class="sr-only">z</i>y', b"z"),
    ):
        found = [text for setting, text in said(b"text/html", data) if setting is HIDDEN]
        assert found == ([hidden] if hidden else []), data


def test_what_is_cut() -> None:
    for data, left in (
        (b"a<!-- x -->b<script>y</script>c<p hidden>d<!-- e --></p>f", b"abcf"),
        (b"a<div style=display:none>b<div>c</div></div>d<iframe src=x></iframe>e", b"ade"),
        (b"a<details>b</details><i aria-hidden=true>c</i>", b"a<details>b</details>"),
        (b"a<script>never closed", b"a"),
    ):
        reader = reader_of(b"text/html", data)
        reader.feed(data)
        reader.finish()
        kept, at = b"", 0
        for start, end in sorted(reader.cuts):
            assert start >= at
            kept, at = kept + data[at:start], end
        assert (kept + data[at:]).startswith(left), (data, reader.cuts)


JSON: list[Row] = [
    (b'{"a": "x \\u0069gnore", "l": ["p", "q\\n"]}', S, b"a: x ignore l: p q"),
    (b'{"a": "{\\"k\\": \\"v\\\\u0077\\"}"}', S, b"k: vw"),
    (b'{"a": "ig<b>no</b>re"}', S, b"ignore"),
    (b'{"a": "<p hidden>psst</p>"}', HIDDEN, b"psst"),
    (b'{"a key that says a lot to you": 1}', ATTRIBUTE, b"a key that says a lot to you"),
    (b'{"a": 1} // a comment', S, b"a comment"),
    (b"plain words", S, b"plain words"),
    (b'{"a": "never closed', S, b"a: never closed"),
    (b'{"a": "\\ud800 lone \\q"}', S, b"lone"),
    (b'{"a":"b"}\n{"a":"c"}\n', S, b"a: b a: c"),
]


@pytest.mark.parametrize("row", JSON)
def test_json(row: Row) -> None:
    holds(b"application/json", row)


MARKDOWN: list[Row] = [
    (b"some ig**no**re *text* with `code`\n", S, b"some ignore text with code"),
    (b"# A *title*\n", HEADING, b"A title"),
    (b"> said\n> more\n", QUOTE, b"said more"),
    (b"```sh\na < b # c\n```\n", CODE, b"a < b # c"),
    (b"x <!-- hidden\n``` remark --> y", COMMENT, b"hidden ``` remark"),
    (b"[//]: # (a remark in a link)\n", COMMENT, b"a remark in a link"),
    (b'[r]: http://h.example/ "a title"\n', ATTRIBUTE, b"a title"),
    (b'[a](http://h.example/?q={x} "tip top")\n', LINK, b"http://h.example/?q={x}"),
    (b"![an alt text](http://h.example/b.png)\n", ATTRIBUTE, b"an alt text"),
    (b"a <span style='display:none'>unseen</span> b", HIDDEN, b"unseen"),
    (b"<https://h.example/auto> \\* x", LINK, b"https://h.example/auto"),
]


@pytest.mark.parametrize("row", MARKDOWN)
def test_markdown(row: Row) -> None:
    holds(b"text/markdown", row)
    holds(b"text/plain", row, "/a/README.md?raw=1")


def test_markdown_cuts_lie_in_the_content() -> None:
    data = b"# **T** <!-- c -->\n\nte*x*t `a<b` <i hidden>h</i> end\n[//]: # (r)\n"
    reader = reader_of(b"text/markdown", data)
    reader.feed(data)
    reader.finish()
    cut = {data[start:end].strip() for start, end in reader.cuts}
    assert cut == {b"<!-- c -->", b"<i hidden>h</i>", b"[//]: # (r)"}


OTHERS: list[tuple[bytes, Row]] = [
    (b"image/svg+xml", (b"<svg><text>ig<tspan>no</tspan>re</text></svg>", S, b"ignore")),
    (b"image/svg+xml", (b"<svg><desc>said</desc></svg>", ATTRIBUTE, b"said")),
    (b"image/svg+xml", (b'<svg><text display="none">u</text></svg>', HIDDEN, b"u")),
    (b"image/svg+xml", (b"<svg><script>f()</script></svg>", CODE | ACTIVE, b"f()")),
    (b"text/xml", (b"<a><!-- c --><b/></a>", COMMENT, b"c")),
    (b"application/rss+xml", (b"<d>&lt;p&gt;ig&lt;b&gt;no&lt;/b&gt;re</d>", S, b"ignore")),
    (b"application/rss+xml", (b"<d><![CDATA[ig<b>no</b>re]]></d>", S, b"ignore")),
    (b"text/xml", (b'<!DOCTYPE a [<!ENTITY b "told">]><a>&b;</a>', COMMENT, b"told")),
    (b"text/plain", (b"a \x1b[8mcon\x1b[0mcealed", HIDDEN, b"con")),
    (b"text/plain", (b"\x1b[30;40mblack\x1b[0m on", HIDDEN, b"black")),
    (b"text/plain", (b"\x1b]8;;http://h.example/\x1b\\x\x1b]8;;\x07", LINK, b"http://h.example/")),
    (b"text/plain", (b"ig\x1b[1mno\x1b[0mre", S, b"ignore")),
    (b"text/plain", (b"x\n> said\n", QUOTE, b"said")),
    (b"text/yaml", (b"a: b # remark\n", COMMENT, b"remark")),
    (b"text/javascript", (b"x /* re\n * mark */ y", COMMENT, b"re mark")),
    (b"text/vtt", (b"WEBVTT\n\nNOTE psst\n\n1\n00:00.0 --> 00:01.0\n<b>ig</b>nore", S, b"ignore")),
    (b"text/vtt", (b"WEBVTT\n\nNOTE psst\n", COMMENT, b"psst")),
    (b"text/html; charset=utf-16", ("<p>wi<b>de</b>".encode("utf-16"), S, b"wide")),
    (b"text/html", ("<p>wi<b>de</b>".encode("utf-16-be"), S, b"wide")),
    (b"text/html; charset=utf-16", (b"<p>pl<b>ai</b>n", S, b"plain")),
    (b"text/html; charset=utf-7", (b"<p>+AGE-bc", S, b"abc")),
    (b"text/html; charset=windows-1251", ("<p>да".encode("cp1251"), S, "да".encode())),
    (b"text/html", ('<meta charset="koi8-r"><p>да'.encode("koi8-r"), S, "да".encode())),
    (b"", (b"<!doctype html><p>by<b>te</b>s", S, b"bytes")),
    (b"", (b'{"a": "b"}', S, b"a: b")),
]


@pytest.mark.parametrize(("kind", "row"), OTHERS)
def test_others(kind: bytes, row: Row) -> None:
    holds(kind, row)


def chunk(kind: bytes, data: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + crc


PNG = b"".join(
    (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + chunk(b"tEXt", b"Comment\0first text"),
        chunk(b"zTXt", b"K\0\0" + zlib.compress(b"second text")),
        chunk(b"iTXt", b"K\0\0\0en\0t\0third text")
        + chunk(b"IDAT", b"x" * 300)
        + chunk(b"IEND", b""),
    )
)


def document() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        text = b"<w:p><w:r><w:t>ig</w:t></w:r><w:r><w:t>nore</w:t></w:r></w:p>"
        unseen = b"<w:p><w:r><w:rPr><w:vanish/></w:rPr><w:t>unseen</w:t></w:r></w:p>"
        archive.writestr("word/document.xml", b"<w:document>" + text + unseen + b"</w:document>")
    return file.getvalue()


MAIL = (
    b"Subject: a subject\r\nContent-Type: multipart/mixed; boundary=xx\r\n\r\n--xx\r\n"
    b"Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"<p>ig<b>no</b>re=20this</p>\r\n--xx--\r\n"
)
DOCX = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def test_binary_formats_whole_and_byte_by_byte() -> None:
    jpeg = (
        b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(10) + b"\xff\xfe\0\x11a comment here!\xff\xda\0\x08"
    )
    gif = b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + b"\x21\xfe\x0bhello there\0\x3b"
    webp = b"RIFF\0\0\0\0WEBPVP8 \4\0\0\0abcdEXIF\x0c\0\0\0Exif text ab"
    for kind, data, texts in (
        (b"image/png", PNG, (b"first text", b"second text", b"third text")),
        (b"image/jpeg", jpeg, (b"a comment here!",)),
        (b"image/gif", gif, (b"hello there",)),
        (b"image/webp", webp, (b"Exif text",)),
        (DOCX, document(), (b"ignore", b"unseen")),
        (b"message/rfc822", MAIL, (b"a subject", b"ignore this")),
    ):
        joined = []
        for step in (len(data), 1):
            reader = reader_of(kind, data)
            found = []
            for at in range(0, len(data), step):
                found += reader.feed(data[at : at + step])
            found += reader.finish()
            joined.append(b"".join(passage.text for passage in found).split())
            assert not reader.incomplete
        assert joined[0] == joined[1]
        for text in texts:
            assert text in b" ".join(joined[0]), kind


def test_what_is_over_the_limits_is_given_plainly() -> None:
    limits = ReaderLimits(kept=256, passages=40)
    for kind, data in (
        (b"text/html", b"<a " + b"b " * 400 + b"words at last"),
        (b"text/html", b"<h1>a</h1>b" * 100 + b"words at last"),
        (b"application/json", b"9 " * 400 + b"words at last"),
    ):
        reader = reader_for(kind, "", data, limits)
        assert reader is not None
        found = reader.feed(data) + reader.finish()
        assert reader.incomplete
        assert b"words at last" in found[-1].text


def test_binary_content_has_no_reader() -> None:
    assert reader_for(b"application/octet-stream", "", bytes(64)) is None
    assert reader_for(b"video/mp4") is None
    assert reader_for(b"video/mp4", "", b"\0\0\0\x18ftyp") is None
    assert reader_for(b"application/gzip", "", b"\x1f\x8b\x08\0") is None


def test_text_is_read_whatever_its_type_says() -> None:
    for kind in (b"video/mp4", b"application/gzip", b"application/x-unheard-of", b"text%2Fhtml"):
        found = said(kind, b"Some text that is shown by whoever asks for it.")
        assert found[0][0] is S, kind
