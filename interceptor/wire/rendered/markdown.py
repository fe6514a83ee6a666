"""Markdown, turned into the HTML that it stands for while it arrives, and read as that.

What is HTML already stays as it is, so hidden elements and comments are found where they lie.
Written for what may be hidden in it, not for beauty: titles, definitions, alternative texts.

Source: CommonMark 0.31.2; GitHub Flavored Markdown for `~~`.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from typing import Final

from interceptor.model import Passage
from interceptor.wire.rendered.html import HtmlReader
from interceptor.wire.rendered.lines import LineReader
from interceptor.wire.rendered.reader import LIMITS, ReaderLimits
from interceptor.wire.rendered.terminal import Terminal

_ORDINARY: Final = re.compile(rb"[^\n<`\[\\*~]*+\n?")
_FENCE: Final = re.compile(rb"(`{3,}+|~{3,}+)(.*)", re.DOTALL)
_HEADING: Final = re.compile(rb"#{1,6}[ \t]++(.*)", re.DOTALL)
_DEFINITION: Final = re.compile(rb"\[([^\]\n]{1,1000}+)\]:[ \t]*+(.*)", re.DOTALL)
_INLINE: Final = re.compile(
    rb"``([^`\n]{1,1024}+(?:`[^`\n]{1,256}+){0,16})``"
    rb"|`([^`\n]{1,2048}+)`"
    rb"|(!?)\[((?:[^\]\[\n]|\[[^\]\[\n]{0,100}+\]){0,2048})\]"
    rb"\([ \t]*+(?:<([^>\n\[]{0,4096}+)>|((?:[^()\s\[<>]|\([^()\s\[]{0,512}+\)){0,4096}))"
    rb"(?:[ \t]++(?:\"([^\"\n]{0,4096}+)\"|'([^'\n]{0,4096}+)'|\(([^()\n]{0,4096}+)\)))?[ \t]*+\)"
    rb"|<([a-zA-Z][a-zA-Z0-9+.-]{1,31}+:[^\s<>]{0,4096}+)>"
    rb"|\\([!-/:-@\[-`{-~])"
    rb"|(?<=\S)\*{1,3}+|\*{1,3}+(?=\S)|~~"
)
_ITEM: Final = re.compile(rb"[ \t]*+(?:[-+*]|[0-9]{1,9}+[.)])[ \t]++(?:\[[ xX]\][ \t])?")
_OPEN_BLOCK: Final = re.compile(rb"[ ]{0,3}<(script|style|pre|textarea)(?=[\s>])", re.IGNORECASE)
_REMEMBERED: Final = 4096


def _escaped(text: bytes) -> bytes:
    return text.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")


def _value(text: bytes) -> bytes:
    return text.replace(b'"', b"&quot;")


class MarkdownReader(LineReader):
    """Reads Markdown; see `Reader`."""

    terminal = False  # offsets are kept

    def __init__(self, limits: ReaderLimits = LIMITS) -> None:
        """Begin."""
        super().__init__(limits)
        self._html = HtmlReader(limits)
        self._written = 0
        self._from: list[int] = []  # where stretches begin in what is written ...
        self._to: list[int] = []  # ... and in the content
        self._fence = b""
        self._quoted = False
        self._until = b""  # what ends HTML that goes on over lines
        self._blank = True
        self._item = False

    def lines(self, text: bytes, base: int, setting: int) -> None:  # noqa: ARG002
        """See `LineReader`."""
        out: list[bytes] = []
        at = base
        for line in text.splitlines(keepends=True):
            self._line(line, at, out)
            at += len(line)
        self._take(self._html.feed(b"".join(out)))

    def _write(self, text: bytes, source: int, out: list[bytes]) -> None:
        if not text:
            return
        if not self._to or source - self._to[-1] != self._written - self._from[-1]:
            self._from.append(self._written)
            self._to.append(source)
        out.append(text)
        self._written += len(text)

    def _own(self, text: bytes, start: int, end: int, out: list[bytes]) -> None:
        """Write something of our own, which stands for what lies between two offsets."""
        self._from += (self._written, self._written + len(text))
        self._to += (start, end)
        out.append(text)
        self._written += len(text)

    def _line(self, line: bytes, at: int, out: list[bytes]) -> None:
        if self._until:
            self._write(line, at, out)
            if self._until in line.lower():
                self._until = b""
            return
        start = line.lstrip(b" \t")
        if start.startswith(b">"):
            if not self._quoted:
                self._own(b"<blockquote>", at, at, out)
                self._quoted = True
            at += len(line) - len(start) + 1
            line = start[1:]
            start = line.lstrip(b" \t")
        elif self._quoted:
            self._own(b"</blockquote>", at, at, out)
            self._quoted = False
            if self._fence:
                self._own(b"</pre>", at, at, out)
                self._fence = b""
        if self._fence:
            if start.startswith(self._fence) and not start.strip(self._fence[:1] + b" \t\r\n"):
                self._own(b"</pre>", at, at + len(line), out)
                self._fence = b""
            else:
                self._own(_escaped(line), at, at + len(line), out)
            return
        self._block(line, start, at, out)
        self._blank = not start.strip()

    def _block(self, line: bytes, start: bytes, at: int, out: list[bytes]) -> None:
        first = start[:1]
        inner = len(line) - len(start)
        if first in (b"`", b"~"):
            fence = _FENCE.match(start)
            if fence is not None and not (first == b"`" and b"`" in fence[2]):
                self._fence = fence[1]
                info = fence[2].strip()
                title = b' title="' + _value(info) + b'"' if len(info) > 24 else b""
                self._own(b"<pre" + title + b">", at, at + len(line), out)
                return
        elif first == b"#":
            heading = _HEADING.match(start)
            if heading is not None:
                self._own(b"<h2>", at, at, out)
                self._inline(heading[1], at + inner + heading.start(1), out)
                self._own(b"</h2>", at + len(line), at + len(line), out)
                return
        elif first == b"[":
            definition = _DEFINITION.match(start)
            if definition is not None:
                self._define(definition, at + inner, out)
                return
        elif first == b"<":
            opens = _OPEN_BLOCK.match(line)
            if opens is not None:
                end = b"</" + opens[1].lower()
                self._write(line, at, out)
                self._until = b"" if end in line.lower() else end
                return
        item = _ITEM.match(line)
        if item is not None:
            self._item = True
            self._own(b"\n", at, at, out)
            self._write(line[: item.end()], at, out)
            self._inline(line[item.end() :], at + item.end(), out)
            return
        if line.startswith((b"    ", b"\t")) and not self._item and start.strip():
            if self._blank:
                said = b"<pre>" + _escaped(line) + b"</pre>"
                self._own(said, at, at + len(line), out)
                self._blank = True
                return
        elif start.strip():
            self._item = False
        self._inline(line, at, out)

    def _define(self, definition: re.Match[bytes], at: int, out: list[bytes]) -> None:
        """A link definition, which nobody sees: with no real target it is a comment."""
        label, rest = definition[1], definition[2].strip()
        target, _, title = rest.partition(b" ")
        title = title.strip(b" \t\"'()")
        if len(target.strip(b"<>#/")) < 2:
            said = b" ".join((label.strip(b"/"), title)).replace(b"--", b"- -")
            self._own(b"<!-- " + said + b" -->", at, at + len(definition.string), out)
        else:
            said = b"\n".join((label, title)) if len(label) > 24 else title
            tag = b'<link href="' + _value(target.strip(b"<>")) + b'" title="' + _value(said)
            self._own(tag + b'">\n', at, at + len(definition.string), out)

    def _inline(self, text: bytes, at: int, out: list[bytes]) -> None:
        if _ORDINARY.fullmatch(text) is not None:
            self._write(text, at, out)
            return
        done = 0
        comment = text.find(b"<!--")
        if comment >= 0 and b"-->" not in text[comment + 4 :]:
            self._until = b"-->"
        for match in _INLINE.finditer(text):
            start = match.start()
            if start < done:
                continue
            if 0 <= comment < start:  # within a comment nothing means anything
                stop = text.find(b"-->", comment + 4)
                if stop < 0:
                    break
                if start < stop:
                    continue
                comment = text.find(b"<!--", stop)
            self._write(text[done:start], at + done, out)
            self._own(_rendered(match), at + start, at + match.end(), out)
            done = match.end()
        self._write(text[done:], at + done, out)

    # -- giving out

    def _take(self, passages: list[Passage]) -> None:
        for passage in passages:
            end = self._place(passage.end, end=True)
            text = passage.text
            if b"\x1b" in text:
                text = b"".join(stretch.text for stretch in Terminal().read(text))
            self.collector.give(text, passage.setting, self._place(passage.start), end)
        self.incomplete = self.incomplete or self._html.incomplete
        for start, end in self._html.cuts:
            self.cuts.append((self._place(start), self._place(end, end=True)))
        self._html.cuts.clear()

    def _place(self, written: int, *, end: bool = False) -> int:
        """Offset in the content of an offset in what is written; `end` where something ends."""
        if written < 0 or not self._from:
            return written
        find = bisect_left if end else bisect_right
        index = max(find(self._from, written) - 1, 0)
        place = self._to[index] + written - self._from[index]
        # A stretch of our own ends where the next one begins.
        return min(place, self._to[index + 1]) if index + 1 < len(self._to) else place

    def rest(self, end: int, *, last: bool) -> int:
        """See `Windowed`."""
        if last:
            tail = b"</pre>" * bool(self._fence) + b"</blockquote>" * self._quoted
            if tail:
                out: list[bytes] = []
                self._own(tail, end, end, out)
                self._take(self._html.feed(tail))
            self._take(self._html.finish())
            return end
        settled = self._place(self._html.settled)
        gone = bisect_right(self._from, self._html.settled) - 1
        if gone > _REMEMBERED:
            del self._from[:gone], self._to[:gone]
        return min(settled, end)


def _rendered(match: re.Match[bytes]) -> bytes:
    """HTML of an inline construct."""
    code = match[1] or match[2]
    if code is not None:
        return b"<code>" + _escaped(code) + b"</code>"
    if match[4] is not None:
        url = _value(match[5] if match[5] is not None else match[6])
        title = match[7] or match[8] or match[9] or b""
        title = b' title="' + _value(title) + b'"' if title else b""
        if match[3]:
            return b'<img alt="' + _value(match[4]) + b'" src="' + url + b'"' + title + b">"
        return b'<a href="' + url + b'"' + title + b">" + match[4] + b"</a>"
    if match[10] is not None:
        return b'<a href="' + _value(match[10]) + b'">' + _escaped(match[10]) + b"</a>"
    if match[11] is not None:
        return _escaped(match[11])
    return b""
