"""However content is cut, what is read is the same; floods take time in proportion."""

from __future__ import annotations

import html.parser
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.wire.rendered.html import HtmlReader
from interceptor.wire.rendered.json import JsonReader
from interceptor.wire.rendered.lines import TextReader
from interceptor.wire.rendered.markdown import MarkdownReader
from interceptor.wire.rendered.reader import Reader, ReaderLimits
from interceptor.wire.rendered.source import BLOCK, SLASHES, SourceReader, SubtitleReader
from interceptor.wire.rendered.xml import OfficeReader, XmlReader

Maker = Callable[[], Reader]
Joined = dict[tuple[int, bool], bytes]
MARKUP = [
    *(b"<p>", b"</p>", b"<div hidden>", b"</div>", b'<span style="display:none">', b"</span>"),
    *(b"word ", b" <b>", b"</b>", b"<!-- c -->", b"<!--", b"-->", b"<script>", b"</script>"),
    *(b"<style>.x{display:none}</style>", b"<i class=x>", b"</i>", b"<code>", b"</code>"),
    *(b"<h1>", b"</h1>", b'<a href="u" title="some long title">', b"<", b">", b'"', b"&amp;"),
    *(b"&l", b"t;", b"<details>", b"<summary>", b"</summary>", b"</details>", b"<pre>", b"</pre>"),
    *(b"<title>", b"</title>", b"<li aria-hidden=true>", b"<noscript>", b"</noscript>", b"<q>"),
    *(b"longer text that is here\n", b"\xc3\xa9", b"\xff", b"</q>", b"<img alt='alt text'>"),
    b'<script type="application/json">{"a":"b c"}</script>',
]
TOKENS: list[tuple[Maker, list[bytes]]] = [
    (HtmlReader, MARKUP),
    (
        JsonReader,
        [
            *(b"{", b"}", b'"', b'"key": ', b'"some value"', b",", b"\\", b'\\"', b"\\u0069"),
            *(b"12", b"null", b"text", b" ", b"\n", b'"<b>x</b>"', b'"{\\"a\\":\\"b\\"}"', b":"),
        ],
    ),
    (
        MarkdownReader,
        [
            *(b"# h\n", b"text ", b"**b**", b"`c`", b"```\n", b"\n", b"\n\n", b"> q\n", b"<!--"),
            *(b"-->", b"<div hidden>", b"</div>", b'[a](http://u "t")', b"[//]: # (com)\n"),
            *(b"    ind\n", b"- it\n", b"<script>", b"</script>", b"\\*", b"<http://x.y>", b"`"),
        ],
    ),
    (
        XmlReader,
        [
            *(b"<a>", b"</a>", b'<p x="some long attribute">', b"</p>", b"<![CDATA[", b"]]>"),
            *(b"<b>x</b>", b"text ", b"<!--", b"-->", b"<?pi x?>", b"&lt;b&gt;", b"<title>"),
            *(b"</title>", b'<g display="none">', b"</g>", b"<q/>", b'<!ENTITY a "b">', b"<"),
        ],
    ),
    (OfficeReader, [b"<w:p>", b"</w:p>", b"<w:r>", b"</w:r>", b"<w:vanish/>", b"word", b" "]),
    (TextReader, [b"line\n", b"> q\n", b"\x1b[8m", b"\x1b[0m", b"\r\n", b"\x1b]8;;u\x1b\\", b">"]),
    (lambda: SourceReader(), [b"# c\n", b"x = 1 # d\n", b"\n", b"word", b"\xc3"]),
    (
        lambda: SourceReader(marks=(SLASHES,), block=BLOCK),
        [b"// c\n", b"x /* ", b" */ y\n", b"\n", b"/", b"*"],
    ),
    (SubtitleReader, [b"NOTE x\n", b"\n", b"00:00:01.000 --> 00:00:02.000\n", b"<b>wo</b>rd\n"]),
]


def read(maker: Maker, data: bytes, cuts: Iterable[int]) -> tuple[Joined, list[tuple[int, int]]]:
    reader = maker()
    found = []
    at = 0
    for cut in (*sorted(cuts), len(data)):
        found += reader.feed(data[at:cut])
        assert reader.settled <= max(at, min(cut, len(data)))
        at = max(at, min(cut, len(data)))
    found += reader.finish()
    joined: dict[tuple[int, bool], list[bytes]] = {}
    for passage in found:
        passage.text.decode()  # UTF-8, whatever came
        assert -1 <= passage.start <= passage.end <= len(data)
        joined.setdefault((int(passage.setting), passage.start < 0), []).append(passage.text)
    texts = {key: b" ".join(b"".join(texts).split()) for key, texts in joined.items()}
    return texts, list(reader.cuts)


def same(maker: Maker, tokens: list[bytes]) -> None:
    pieces = st.lists(st.sampled_from(tokens) | st.binary(max_size=4), max_size=25)

    @settings(max_examples=60, deadline=None)
    @given(pieces.map(b"".join), st.lists(st.integers(0, 300), max_size=6))
    def holds(data: bytes, cuts: list[int]) -> None:
        whole = read(maker, data, ())
        assert read(maker, data, cuts) == whole
        assert read(maker, data, range(1, len(data))) == whole

    holds()


def test_whole_in_pieces_and_byte_by_byte() -> None:
    for maker, tokens in TOKENS:
        same(maker, tokens)


def test_windows_do_not_show() -> None:
    limits = ReaderLimits(kept=64)
    text = b"<p>some words <b>in</b> it <!-- %d --> and <i hidden>more</i> of them</p>\n"
    data = b"".join(text % number for number in range(40))
    narrow, _ = read(lambda: HtmlReader(limits), data, ())
    assert narrow == read(HtmlReader, data, ())[0]
    assert read(lambda: HtmlReader(limits), data, range(1, len(data)))[0] == narrow
    long = b"<p>a</p><script>" + b"x = '<b>' ; " * 50 + b"</script><!--" + b" c" * 99 + b"-->end"
    long += b'<img src="' + b"d" * 300 + b'" alt="alt text">last'
    found, _ = read(lambda: HtmlReader(limits), long, ())
    assert read(lambda: HtmlReader(limits), long, range(1, len(long)))[0] == found
    assert found[0, False] == b"a endlast"
    assert found[136, False].count(b"<b>") == 50
    assert b"alt text" in found[4, False]


FLOODS: list[tuple[Maker, bytes]] = [
    (maker, unit)
    for maker, units in (
        (
            HtmlReader,
            (
                *(b"<", b"<a ", b"<a b='", b"<!--", b"<![CDATA[", b"<a>", b"</", b"<script>"),
                *(b"<style>a{", b"<p hidden>", b"<code>", b"&#x", b"<b title='xxxxxxxxxxxxx'>"),
                *(b"<h1>a", b"-", b" ", b"\n\n", b"<i hidden>a</i>", b"a=b ", b"<q", b"\xff"),
                *(b"<li hidden><ul>", b"<details>", b"<i hidden>"),
            ),
        ),
        (JsonReader, (b'"', b"{", b'{"a":', b'"\\', b"\\", b'"<b>",', b'"[\\"a",')),
        (
            MarkdownReader,
            (
                *(b"[", b"[a](", b"`", b"`` ", b"![", b"*", b"<", b"> ", b"[a](b ", b"# a\n"),
                *(b"- x\n", b"```\n", b"[a]: b\n", b"\\", b"("),
            ),
        ),
        (XmlReader, (b"<a>", b"<![CDATA[<b>", b"&lt;b", b"<!ENTITY a '&a;&a;'>", b"<?")),
        (TextReader, (b"\x1b[", b"\x1b]8;", b"> ", b">\n", b"\x1b[8m", b"\x1bP")),
    )
    for unit in units
]


def test_floods_are_linear() -> None:
    def seconds(maker: Maker, data: bytes) -> float:
        best = 9e9
        for _ in range(2):
            reader = maker()
            began = time.process_time()
            reader.feed(data)
            reader.finish()
            best = min(best, time.process_time() - began)
        return best

    for maker, unit in FLOODS:
        small = unit * (50_000 // len(unit))
        once, four = seconds(maker, small), seconds(maker, small * 4)
        assert four < 10 * once + 0.03, (unit, once, four)


class _Reference(html.parser.HTMLParser):
    """Text as the standard library's parser finds it, scripts and styles apart."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self._raw = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._raw = tag if tag in ("script", "style", "iframe", "noembed") else ""

    def handle_endtag(self, tag: str) -> None:
        self._raw = ""

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self.texts.append(data)


def test_documentation_reads_as_the_reference_reads_it() -> None:
    roots = (Path("/usr/share/doc"), *map(Path, sys.path))
    files = [
        file
        for root in roots
        if root.is_dir()
        for file in sorted(root.rglob("*.html"))[:40]
        if file.is_file() and file.stat().st_size < 200_000
    ][:60]
    word = re.compile(r"\w+")
    for file in files:
        data = file.read_bytes()
        reference = _Reference()
        reference.feed(data.decode("utf-8", "replace"))
        reference.close()
        reader = HtmlReader()
        found = reader.feed(data) + reader.finish()
        assert not reader.incomplete
        ours = " ".join(passage.text.decode() for passage in found)
        missing = set(word.findall(" ".join(reference.texts))) - set(word.findall(ours))
        # Words that markup splits are whole in one of the two only.
        whole = "".join(word.findall(ours))
        assert not [one for one in missing if one not in whole and one.isascii()], file
