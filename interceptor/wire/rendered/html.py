"""HTML as an agent reads it: its text, and everything else that could be read in it.

Text is whole over inline elements and comments. Most tags are mere boundaries and are handled by
the interpreter's own loops; Python looks at those that say something or change the setting.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Final

from interceptor.wire.rendered.css import COMMENT as CSS_COMMENT
from interceptor.wire.rendered.css import STRING, HidingRules, css_unescaped
from interceptor.wire.rendered.html_regions import Region
from interceptor.wire.rendered.html_tags import (
    ACTIVE,
    CODE,
    COMMENT,
    DESCRIBES,
    ELEMENTS,
    HEADING,
    HIDDEN,
    LINK,
    WITHIN_TEXT,
    Said,
    Tag,
    read_tag,
)
from interceptor.wire.rendered.html_tokens import (
    HTML_TOKEN,
    HTML_WHOLE,
    NAME,
    OPEN_TAG,
    OPEN_VALUE,
    RAW,
)
from interceptor.wire.rendered.letters import collapsed, lettered, unescaped, utf8
from interceptor.wire.rendered.reader import BREAK, LIMITS, Reader, ReaderLimits
from interceptor.wire.rendered.windowed import Windowed

_RAW: Final = frozenset(name.encode() for name in RAW)
_SHORT: Final = 24
"""Bytes of code or quotation that stay within the sentence: longer ones are passages."""
_RUN: Final = 65_536
"""Bytes of text that wait for the end of their block."""
_SENTENCE: Final = 8192
_REMEMBERED: Final = 256
_MOST_KNOWN: Final = 2048
_TYPE: Final = re.compile(rb"[\s/]type\s*=\s*[\"']?\s*([^\"'\s>;]++)", re.IGNORECASE)
_MARKUP: Final = re.compile(rb"<[^<>]{1,2048}+>")
_TELLING: Final = re.compile(rb"[A-Za-z\x80-\xff]")
_REMARK: Final = Tag(b"!", closes=False, separator=b"")
_RAW_TEXT: Final = Tag(b"#", closes=False, separator=b"")
_JSON: Final = re.compile(rb"json|importmap|speculationrules")
_SCRIPT: Final = re.compile(rb"javascript|ecmascript|module|jscript|vbscript|babel|typescript|jsx")


class Known(dict[bytes, Tag | bytes]):
    """Tags as they are written, to what they mean under the styles of one document."""

    def __init__(self, rules: HidingRules) -> None:
        super().__init__()
        self._rules = rules

    def __missing__(self, token: bytes) -> Tag | bytes:
        first = token[1:2]
        if not first.isalpha() and not token[2:3].isalpha():
            return _REMARK if len(token) > 2 else token
        if first in b"!?":
            return _REMARK
        if self.is_raw(token):
            return _RAW_TEXT
        meaning = self.meaning(token)
        if len(token) <= _REMEMBERED:
            if len(self) >= _MOST_KNOWN:
                self.clear()
            self[token] = meaning
        return meaning

    def is_raw(self, token: bytes) -> bool:
        """Tell whether a tag is one of an element whose content holds no tags."""
        return token[1:2] in b"sStTxXiInN" and NAME.match(token)[1].lower() in _RAW  # type: ignore[index]

    def meaning(self, token: bytes) -> Tag | bytes:
        """Read a tag."""
        return read_tag(token, self._rules)


_ORDINARY: Final = Known(HidingRules())
"""Tags of all documents that have no styles of their own. Bounded."""


def _end_of(parts: list[bytes]) -> bytes:
    """The last bytes of a text, no more than are looked at."""
    found: list[bytes] = []
    size = 0
    for part in reversed(parts):
        found.append(part)
        size += len(part)
        if size > _SENTENCE:
            break
    return b"".join(reversed(found))


class HtmlReader(Windowed):
    """Reads HTML; see `Reader`."""

    token = HTML_TOKEN
    whole = HTML_WHOLE
    ordinary = _ORDINARY

    def __init__(self, limits: ReaderLimits = LIMITS, *, depth: int = 0) -> None:
        """Begin.

        Args:
            limits: how far to go.
            depth: documents around this one.
        """
        super().__init__(limits)
        self._depth = depth
        self._rules = HidingRules()
        self._known = self.ordinary
        self.setting = 0
        self._regions: list[Region] = []
        self._concealed: Region | None = None
        self._cutting: Region | None = None
        self._mark = -1  # where code or quotation within a sentence begins in the parts
        self._mark_setting = 0
        self._mark_name = b""
        self._seen: bytes | None = None  # a sentence as those read it who see what is hidden in it
        self._seen_at = 0
        self._long: tuple[bytes, int, Reader | None] | None = None
        self._long_start = 0
        self._long_tag = b""

    # -- windows

    def window(self, data: bytes, base: int, *, last: bool) -> int:
        """See `Windowed`."""
        if self._long is not None:
            return self._go_on(data, base, last=last)
        if self._long_tag:  # the rest of a tag with a long value
            tag, self._long_tag = self._long_tag, b""
            used = self.window(tag + data, base - len(tag), last=last)
            if not used:
                self._long_tag = tag
            return max(0, used - len(tag))
        tokens: list[bytes | Tag] = list(self.token.split(data))
        tags: list[bytes] = tokens[1::2]  # type: ignore[assignment]
        kept = b""
        if tags and not tokens[-1] and self.whole.fullmatch(tags[-1]) is None:
            kept = tags.pop()
            del tokens[-2:]
        if not tags:
            if tokens[0]:
                self.text(tokens[0])  # type: ignore[arg-type]
        else:
            offsets = list(accumulate(map(len, tokens), initial=base))  # type: ignore[arg-type]
            self._walk(tokens, tags, offsets)
        used = len(data) - len(kept)
        if last and kept:
            self._unfinished(kept, base + used)
            return len(data)
        return used

    def _walk(self, tokens: list[bytes | Tag], tags: list[bytes], offsets: list[int]) -> None:
        known = self._known
        kinds = list(map(known.__getitem__, tags))
        tokens[1::2] = kinds
        beside = self.collector.beside
        at = 0
        for index, kind in enumerate(kinds):
            if kind.__class__ is bytes:
                continue
            if isinstance(kind, Said):
                if self._concealed is not None:
                    self._step_through(tokens, tags, offsets, at, index)
                    at, tokens[2 * index] = index, b""
                if kind.links:
                    beside(LINK, kind.links)
                if kind.says:
                    beside(DESCRIBES | self.setting & HIDDEN, kind.says)
                continue
            if self._concealed is not None:
                self._step_through(tokens, tags, offsets, at, index)
            elif at == index:
                if tokens[2 * at]:
                    self.text(tokens[2 * at])  # type: ignore[arg-type]
            else:
                self.text(b"".join(tokens[2 * at : 2 * index + 1]))  # type: ignore[arg-type]
            at = index + 1
            start, end = offsets[2 * index + 1], offsets[2 * index + 2]
            if kind is _REMARK:
                self.remark(tags[index], start, end)
            elif kind is _RAW_TEXT:
                self._raw(tags[index], start, end)
                if self._known is not known:  # new styles: what follows is read by them
                    known = self._known
                    kinds[at:] = map(known.__getitem__, tags[at:])
                    tokens[2 * at + 1 :: 2] = kinds[at:]
            else:
                self._tag(kind, start, end)  # type: ignore[arg-type]
        if self._concealed is not None:
            self._step_through(tokens, tags, offsets, at, len(tags))
        else:
            self.text(b"".join(tokens[2 * at :]))  # type: ignore[arg-type]

    def _step_through(
        self, tokens: list[bytes | Tag], tags: list[bytes], offsets: list[int], at: int, end: int
    ) -> None:
        """Walk over mere boundaries one by one: one of them ends what is hidden."""
        for index in range(at, end):
            self.text(tokens[2 * index])  # type: ignore[arg-type]
            place = 2 * index + 1
            if self._concealed is None:
                self.text(b"".join(tokens[place : 2 * end + 1]))  # type: ignore[arg-type]
                return
            found = NAME.match(tags[index])
            name = found[1].lower().rstrip(b">") if found is not None else b""
            separator: bytes = tokens[place]  # type: ignore[assignment]
            closes = tags[index].startswith(b"</")
            self._meets(name, offsets[place], closes=closes, block=separator == BREAK)
            self.text(separator)
            self._passes(name, offsets[place + 1], closes=closes)
        self.text(tokens[2 * end])  # type: ignore[arg-type]

    def text(self, text: bytes) -> None:
        """Add to the text that runs on."""
        if text:
            self.collector.parts.append(text)
            self.collector.size += len(text)

    # -- settings

    def _meets(self, name: bytes, start: int, *, closes: bool, block: bool) -> None:
        """Before a tag: it may end what is hidden."""
        region = self._concealed
        if region is not None and region.ends_before(name, closes=closes, block=block):
            self._close(region, start)

    def _passes(self, name: bytes, end: int, *, closes: bool) -> None:
        """After a tag, likewise."""
        region = self._concealed
        if region is not None and region.ends_after(name, closes=closes):
            self._close(region, end)

    def _tag(self, tag: Tag, start: int, end: int) -> None:
        name = tag.name
        if self._concealed is not None:
            self._meets(name, start, closes=tag.closes, block=tag.separator == BREAK)
        if tag.says:
            self.collector.beside(DESCRIBES | self.setting & HIDDEN, tag.says)
        if tag.links:
            self.collector.beside(LINK, tag.links)
        if tag.runs:
            self.collector.beside(CODE | ACTIVE, tag.runs)
            if tag.active:
                self.document(tag.runs, ACTIVE)
        if tag.active and not tag.opens:
            self._cut(start, end)
        if tag.closes:
            self._end_tag(tag, end)
        elif tag.opens:
            self._open(tag, start)
        else:
            self.text(tag.separator)
        if self._concealed is not None and not (tag.opens and not tag.closes):
            self._passes(name, end, closes=tag.closes)

    def _open(self, tag: Tag, start: int) -> None:
        region = self._concealed
        if region is not None and not tag.closes:
            region.ends_after(tag.name, closes=False)
        outer = self.setting
        setting = outer | tag.setting
        if tag.name == b"summary":
            around = self._regions[-1] if self._regions else None
            if around is None or around.name != b"details":
                self.text(tag.separator)
                return
            setting = around.outer
        cut = tag.cut and self._cutting is None
        within = tag.name in WITHIN_TEXT and not tag.concealed and not tag.setting & HIDDEN
        if (tag.concealed and setting == outer and not cut) or (
            len(self._regions) >= self.limits.depth
        ):
            self.text(tag.separator)
            return
        region = Region(
            tag.name,
            outer,
            start,
            block=tag.separator == BREAK,
            cut=cut or tag.active,
            concealed=tag.concealed,
        )
        if within:
            if setting != outer and self._mark < 0:
                self._mark = len(self.collector.parts)
                self._mark_setting = setting
                self._mark_name = tag.name
            self._regions.append(region)
            return
        if setting != outer:
            if setting & HIDDEN and not outer & HIDDEN and self._mark < 0:
                region.parts, region.size = self.collector.parts, self.collector.size
                region.seen, self._seen = (self._seen, self._seen_at), None
                self.collector.parts = []
                self.collector.size = 0
            else:
                self.text(tag.separator)
                self._flush(start)
        self._regions.append(region)
        self.setting = setting
        if region.cut and self._cutting is None:
            self._cutting = region
        if tag.concealed:
            self._concealed = region

    def _end_tag(self, tag: Tag, end: int) -> None:
        for region in reversed(self._regions):
            if region.name == tag.name:
                if region.concealed:
                    break  # its ends are counted
                self._close(region, end)
                break
        self.text(tag.separator)

    def _close(self, region: Region, end: int) -> None:
        """End an element and those that are open within it."""
        while self._regions:
            inner = self._regions.pop()
            self._leave(inner, end)
            if inner is region:
                break

    def _leave(self, region: Region, end: int) -> None:
        if self._mark >= 0 and region.name == self._mark_name and region.outer == self.setting:
            if not any(other.name == region.name for other in self._regions):
                self._close_mark(end)
            return
        if region.outer != self.setting:
            if region.parts is None:
                self._flush(end)
            else:
                self._resume(region, end)
            self.setting = region.outer
        if region is self._cutting:
            self._cutting = None
            self.cuts.append((region.start, end))
        if region is self._concealed:
            self._concealed = next((r for r in reversed(self._regions) if r.concealed), None)

    def _close_mark(self, end: int) -> None:
        parts = self.collector.parts
        text = b"".join(parts[self._mark :])
        if len(text) > _SHORT:
            del parts[self._mark :]
            self.give(text, self._mark_setting, self.collector.start, end)
            parts.append(b" ")
        self._mark = -1

    def _resume(self, region: Region, end: int) -> None:
        """What was hidden has ended: the sentence around it goes on."""
        self._drop_mark(end)
        self._mark = -1
        hidden = b"".join(self.collector.parts)
        self.give(hidden, self.setting, region.start, end)
        parts = region.parts or []
        region.parts = None
        self._seen, self._seen_at = region.seen
        self.collector.parts = parts
        self.collector.size = region.size
        if ELEMENTS[region.name].separator:
            parts.append(BREAK)
        elif len(hidden) <= 4096 and BREAK not in hidden and _TELLING.search(hidden):
            if self._seen is None:
                before = _end_of(parts).rpartition(BREAK)[2]
            else:
                before = self._seen + b"".join(parts[self._seen_at :])
                if BREAK in before:
                    self._give_seen(region.outer)
                    before = before.rpartition(BREAK)[2]
            if len(before) <= _SENTENCE:
                self._seen, self._seen_at = before + hidden, len(parts)

    def _give_seen(self, setting: int) -> None:
        if self._seen is None:
            return
        rest = b"".join(self.collector.parts[self._seen_at :]).partition(BREAK)[0]
        text, self._seen = self._seen + rest, None
        self.give(text, setting, -1, -1)

    # -- giving out

    def give(self, text: bytes, setting: int, start: int, end: int) -> None:
        """Give text of markup as a passage."""
        text = utf8(unescaped(text)) if setting & CODE else lettered(text)
        if text and not text.isspace():
            self.collector.give(text, setting, start, end)

    def _drop_mark(self, end: int) -> None:
        """Code within a sentence that goes on beyond it is a passage, however short."""
        if self._mark < 0:
            return
        parts = self.collector.parts
        text = b"".join(parts[self._mark :])
        del parts[self._mark :]
        self.give(text, self._mark_setting, self.collector.start, end)
        self._mark = 0

    def _flush(self, end: int) -> None:
        """The text that runs on ends here."""
        self._drop_mark(end)
        collector = self.collector
        self._give_seen(self.setting)
        if collector.parts:
            self.give(b"".join(collector.parts), self.setting, collector.start, end)
            collector.parts.clear()
        collector.size = 0
        collector.start = end

    def rest(self, end: int, *, last: bool) -> int:
        """See `Windowed`."""
        collector = self.collector
        if last:
            while self._regions:
                self._leave(self._regions.pop(), end)
            self._mark_over(end)
            self._flush(end)
        else:
            self._give_blocks(end)
        collector.give_beside(collector.start, end)
        if self._cutting is not None and not last:
            if end - self._cutting.start <= _RUN:
                return self._cutting.start
            self.cuts.append((self._cutting.start, end))
            self._cutting.start = end
        return end if not collector.parts else min(end, collector.start)

    def _mark_over(self, end: int) -> None:
        if self._mark >= 0:
            self._close_mark(end)

    def _give_blocks(self, end: int) -> None:
        """Give the text up to the last end of a block."""
        collector = self.collector
        if not collector.parts:
            return
        if collector.size > _RUN:
            outer = next((r for r in self._regions if r.parts is not None), None)
            if outer is not None:
                hidden, setting = collector.parts, self.setting
                collector.parts, self.setting = outer.parts or [], outer.outer
                self._seen, self._seen_at = outer.seen
                outer.seen = (None, 0)
                outer.parts = None
                self._flush(end)
                collector.parts, self.setting = hidden, setting
            self._flush(end)
            return
        if self._mark >= 0 or any(region.parts is not None for region in self._regions):
            return
        text = b"".join(collector.parts)
        if self._seen is not None:
            if BREAK not in b"".join(collector.parts[self._seen_at :]):
                return
            self._give_seen(self.setting)
        done, found, left = text.rpartition(BREAK)
        if not found:
            collector.parts[:] = [text]
            return
        self.give(done + found, self.setting, collector.start, end - len(left))
        collector.parts[:] = [left] if left else []
        collector.size = len(left)
        collector.start = end - len(left)

    def _cut(self, start: int, end: int) -> None:
        if self._cutting is None:
            self.cuts.append((start, end))

    # -- comments and raw text

    def remark(self, token: bytes, start: int, end: int) -> None:
        """A comment, a declaration, or what is read as one."""
        if token.startswith(b"<!--"):
            self._cut(start, end)
            text = token[4:]
            text = (
                text[:-4] if text.endswith(b"--!>") else text.removesuffix(b">").removesuffix(b"--")
            )
        elif token.startswith(b"<![CDATA["):
            text = token[9:].removesuffix(b"]]>")
        else:
            text = token[2:].removesuffix(b">")
            if len(text) < 64 and b"[" not in text and text[:7].lower() == b"doctype":
                return
        self._note(text)

    def _note(self, text: bytes) -> None:
        if not _TELLING.search(text):
            return
        text = collapsed(text)
        if b"<" in text:
            plain = _MARKUP.sub(b"", text)
            if plain != text and _TELLING.search(plain):
                text = text + b"\n" + plain
        self.collector.beside(COMMENT, unescaped(text))

    def _raw(self, token: bytes, start: int, end: int) -> None:
        """An element whose content holds no tags."""
        opening = OPEN_TAG.match(token)
        if opening is None:
            self._unfinished(token, start)
            return
        tag = read_tag(opening[0], self._rules)
        name = NAME.match(token)[1].lower()  # type: ignore[index]
        content = token[opening.end() :]
        stop = content.rfind(b"</")
        if stop >= 0 and content[stop + 2 :].lower().startswith(name):
            content = content[:stop]
        hidden = self._open_raw(tag)
        self._raw_text(name, opening[0], content, start, end)
        if hidden:
            self.setting &= ~HIDDEN

    def _open_raw(self, tag: Tag | bytes) -> bool:
        if not isinstance(tag, Tag | Said):
            return False
        runs = tag.runs if isinstance(tag, Tag) else b""
        for setting, text in ((DESCRIBES, tag.says), (LINK, tag.links), (CODE | ACTIVE, runs)):
            if text:
                self.collector.beside(setting, text)
        if isinstance(tag, Tag) and tag.name == b"iframe" and runs:
            self.document(runs, ACTIVE)
        return False

    def _raw_text(self, name: bytes, opening: bytes, content: bytes, start: int, end: int) -> None:
        if name == b"script":
            self._script(opening, content, start, end)
        elif name == b"style":
            self._style(content)
        elif name == b"title":
            self._flush(start)
            self.give(content, self.setting | HEADING, start, end)
            self.text(BREAK)
        elif name in (b"textarea", b"xmp"):
            self.text(BREAK + content + BREAK)
        else:  # iframe, noembed, noframes
            if name == b"iframe":
                self._cut(start, end)
            if content and not content.isspace():
                self.document(content, HIDDEN)

    def _script(self, opening: bytes, content: bytes, start: int, end: int) -> None:
        reader, setting = self._reader_of(opening)
        if reader is not None:
            for passage in (*reader.feed(content), *reader.finish()):
                self.collector.beside(passage.setting | setting, passage.text.rstrip(b"\n"))
            return
        self._cut(start, end)
        if content and not content.isspace():
            self.collector.give(utf8(content), setting | self.setting & HIDDEN, start, end)

    def _reader_of(self, opening: bytes) -> tuple[Reader | None, int]:
        """Reader and setting of a script by its type."""
        found = _TYPE.search(opening)
        kind = found[1].lower() if found is not None else b""
        if _JSON.search(kind):
            from interceptor.wire.rendered.json import JsonReader

            return JsonReader(self.limits), DESCRIBES
        if not kind or _SCRIPT.search(kind) or self._depth >= 2:
            return None, CODE | ACTIVE
        return HtmlReader(self.limits, depth=self._depth + 1), HIDDEN

    def document(self, text: bytes, setting: int) -> None:
        """A document within this one, such as a frame's."""
        if self._depth >= 2:
            self.collector.beside(setting, text)
            return
        reader = HtmlReader(self.limits, depth=self._depth + 1)
        for passage in (*reader.feed(text), *reader.finish()):
            self.collector.give(passage.text, passage.setting | setting, -1, -1)

    def _style(self, sheet: bytes) -> None:
        if self._rules.read(sheet):
            self._known = Known(self._rules)
        for match in CSS_COMMENT.finditer(sheet):
            if _TELLING.search(match[1]):
                self.collector.beside(COMMENT, match[1])
        if b"/*" in sheet:
            sheet = CSS_COMMENT.sub(b"", sheet)
        for match in STRING.finditer(sheet):
            text = css_unescaped(match[1] or match[2] or b"")
            if len(text) >= 4 and _TELLING.search(text):
                self.collector.beside(DESCRIBES, text)

    # -- what is longer than a window

    def _unfinished(self, token: bytes, start: int) -> None:
        """A token that the content ends in: browsers drop a tag, others show it."""
        end = start + len(token)
        opening = OPEN_TAG.match(token)
        if token.startswith((b"<!", b"<?")):
            self.remark(token, start, end)
        elif opening is not None:
            self._raw(token, start, end)
        else:
            self.text(token)

    def overrun(self, data: bytes, base: int) -> int:
        """See `Windowed`: a script, comment or attribute that is longer than a window."""
        end = base + len(data)
        self.collector.give_beside(self.collector.start, base)
        self._long_tag = b""
        if data.startswith(b"<!--"):
            self._long = (b"-->", COMMENT, None)
            self._long_start = base
            return 4
        if data.startswith(b"<![CDATA["):
            self._long = (b"]]>", self.setting, None)
            self._long_start = -1
            return 9
        opening = OPEN_TAG.match(data)
        if opening is not None:
            name = NAME.match(data)[1].lower()  # type: ignore[index]
            self._open_raw(read_tag(opening[0], self._rules))
            if name == b"script":
                reader, setting = self._reader_of(opening[0])
                self._long_start = base if reader is None else -1
            else:
                reader, setting = None, CODE if name == b"style" else 0
                self._long_start = -1
            self._long = (b"</" + name, setting, reader)
            return opening.end()
        quoted = OPEN_VALUE.fullmatch(data)
        if quoted is not None:
            self._long = (quoted[1][:1], DESCRIBES, None)
            self._long_start = -1
            self._long_tag = NAME.match(data)[0] + b" "  # type: ignore[index]
            said = quoted[0][: quoted.start(1)]
            self.collector.beside(DESCRIBES, said)
            self.collector.give_beside(base, base)
            return quoted.start(1) + 1
        self.incomplete = True
        self._flush(base)
        self.collector.give(utf8(data), self.setting, base, end)
        return len(data)

    def _go_on(self, data: bytes, base: int, *, last: bool) -> int:
        """The next piece of something long."""
        assert self._long is not None  # noqa: S101
        mark, setting, reader = self._long
        stop = data.lower().find(mark) if len(mark) > 1 else data.find(mark)
        ended = stop >= 0
        if not ended:
            stop = len(data) if last else max(0, len(data) - len(mark) + 1)
        text = data[:stop]
        end = base + stop
        if text:
            if reader is not None:
                for passage in reader.feed(text):
                    self.collector.give(passage.text, passage.setting | setting, base, end)
            else:
                self.collector.give(utf8(text), setting, base, end)
        if not ended and not last:
            return stop
        if reader is not None:
            for passage in reader.finish():
                self.collector.give(passage.text, passage.setting | setting, base, end)
        if self._long_start >= 0:
            self._cut(self._long_start, end + (len(mark) if ended else 0))
        self._long = None
        return stop + (len(mark) if ended and mark[:2] != b"</" else 0)
