"""PDF: texts of pages, titles, notes, form fields, metadata and scripts.

Objects are taken as they come, whatever the table at the end says of them: what no reader shows is
read too, and nothing is kept but texts, maps of fonts and one stream at a time. Pages that are
pictures say nothing, and of what is encrypted only the structure can be read.

Source: ISO 32000-2, sections 7.3 (objects), 7.4 (filters), 7.5.7 (object streams).
"""

from __future__ import annotations

import re
from typing import Final

from interceptor.model import Passage, Setting
from interceptor.wire.rendered.pdf_streams import BINARY, Stream
from interceptor.wire.rendered.pdf_text import (
    STRING,
    CodeMap,
    Shown,
    read_map,
    shown,
    text_of,
    value_of,
    written,
)
from interceptor.wire.rendered.reader import LIMITS, Collector, ReaderLimits

PDF: Final = b"%PDF-"
_SHOWN: Final = int(Setting.SHOWN)
_BESIDE: Final = int(Setting.COMMENT)
_STREAM: Final = re.compile(rb">>\s{0,8}stream\r?\n?")
_OBJECT: Final = re.compile(rb"(\d{1,10})\s{1,4}\d{1,5}\s{1,4}obj\b")
_REFERENCE: Final = re.compile(rb"/([^\s/<>\[\]()%]{1,127})\s{1,8}(\d{1,10})\s{1,8}\d{1,5}\s{1,8}R")
_PLACES: Final = re.compile(rb"/(N|First)\s{0,8}(\d{1,8})")
_WORDS: Final = re.compile(rb"[A-Za-z\x80-\xff]{3}")
_END: Final = b"endstream"
_PIECE: Final = 65_536
_MOST: Final = 65_536
"""Names, objects and maps that are remembered."""
_SAME_NAME: Final = 4
"""Fonts of one name; each text is read by each of them."""
_PARTS: Final = 100_000
"""Parts of pages that are kept until the maps of their fonts are there."""
_STREAMS: Final = 4
"""Times `ReaderLimits.inflated` that all streams may hold; one of them holds no more than that."""


class PdfReader:
    """Reads PDF; see `Reader`. What its fonts write otherwise than it reads comes at the end."""

    def __init__(self, limits: ReaderLimits = LIMITS) -> None:
        """Begin."""
        self._limits = limits
        self.incomplete = False
        self.settled = 0
        self.cuts: list[tuple[int, int]] = []
        self._collector = Collector(limits.passages)
        self._fed = 0
        self._held = b""
        self._stream: Stream | None = None
        self._left = _STREAMS * limits.inflated
        self._parts = _PARTS
        self._looked = 0
        self._pages: list[list[Shown]] = []
        self._maps: dict[int, CodeMap] = {}
        self._to_unicode: dict[int, int] = {}
        self._named: dict[bytes, list[int]] = {}

    def feed(self, data: bytes) -> list[Passage]:
        """See `Reader`."""
        self._fed += len(data)
        data, self._held = self._held + data, b""
        while data:
            data = self._between(data) if self._stream is None else self._within(data)
        return self._taken()

    def finish(self) -> list[Passage]:
        """See `Reader`."""
        held, self._held = self._held, b""
        if self._stream is not None:
            self._stream.take(held)
            self._end(self._stream)
        else:
            self._objects(held)
        self._resolve()
        self.settled = self._fed
        return self._taken()

    def _taken(self) -> list[Passage]:
        self._collector.give_beside(-1, -1)
        self.incomplete = self.incomplete or self._collector.full
        return self._collector.taken()

    # -- objects ---------------------------------------------------------------------------

    def _between(self, data: bytes) -> bytes:
        """Take what stands between streams; return what is left to be taken."""
        begin = _STREAM.search(data, self._looked)
        self._looked = 0
        if begin is not None:
            if begin.end() == len(data) and data[-1:] != b"\n":
                self._held = data  # the end of the line may come
                self._looked = begin.start()
                return b""
            number, text = self._objects(data[: begin.start() + 2])
            self._stream = Stream(number, text, self._limits, self._left)
            return data[begin.end() :]
        end = data.rfind(b"endobj")
        if end >= 0:
            self._objects(data[:end])
            data = data[end:]
        if len(data) > self._limits.kept:
            self._objects(data)
            self.incomplete = True
            data = data[-64:]
        self._held = data
        self._looked = max(0, len(data) - 32)
        return b""

    def _within(self, data: bytes) -> bytes:
        """Take bytes of a stream; return what is behind it."""
        stream = self._stream
        assert stream is not None  # noqa: S101
        end = data.find(_END)
        if end < 0:
            keep = len(_END) - 1
            if len(data) > keep:
                stream.take(data[:-keep])
            self._held = data[-keep:]
            return b""
        stream.take(data[:end])
        self._end(stream)
        return data[end + len(_END) :]

    def _objects(self, data: bytes) -> tuple[int, bytes]:
        """Read objects that are no streams; return the last one's number and text."""
        number, text = 0, data
        begins = list(_OBJECT.finditer(data))
        for at, begin in enumerate(begins):
            end = begins[at + 1].start() if at + 1 < len(begins) else len(data)
            number, text = int(begin[1]), data[begin.end() : end]
            self._object(number, text)
        if not begins:
            self._object(0, data)
        return number, text

    def _object(self, number: int, text: bytes) -> None:
        """Read the texts of one object, and what it says of fonts."""
        if b"/" in text:
            for name, to in _REFERENCE.findall(text):
                if name == b"ToUnicode":
                    if len(self._to_unicode) < _MOST:
                        self._to_unicode[number] = int(to)
                elif len(self._named) < _MOST or name in self._named:
                    numbers = self._named.setdefault(name, [])
                    if len(numbers) < _MOST // 256 and int(to) not in numbers:
                        numbers.append(int(to))
        if b"(" in text or b"<" in text.replace(b"<<", b""):
            for match in STRING.finditer(text):
                said = text_of(value_of(match[0]))
                if _WORDS.search(said) is not None:
                    self._collector.beside(_BESIDE, said)

    # -- streams ---------------------------------------------------------------------------

    def _end(self, stream: Stream) -> None:
        """A stream has ended: read it as what it is."""
        self._stream = None
        content = stream.content()
        self.incomplete = self.incomplete or stream.incomplete
        if not content:
            return
        self._left -= len(content)
        if b"beginbf" in content:
            if len(self._maps) < _MOST // 64:
                self._maps[stream.number] = read_map(content)
        elif b"/ObjStm" in stream.text:
            self._object_stream(stream.text, content)
        elif b"BT" in content and (b"Tj" in content or b"TJ" in content or b"Tf" in content):
            self._page(shown(content, _PARTS))
        elif content.lstrip()[:1] == b"<":
            self._markup(content)
        elif len(content.translate(None, BINARY)) > 0.9 * len(content):
            for at in range(0, len(content), _PIECE):
                self._collector.give(text_of(content[at : at + _PIECE]), _BESIDE, -1, -1)

    def _object_stream(self, text: bytes, content: bytes) -> None:
        places = {name: int(value) for name, value in _PLACES.findall(text)}
        first = places.get(b"First", 0)
        numbers = [int(word) for word in content[:first].split() if word.isdigit()]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=False))[:_MOST]
        for at, (number, start) in enumerate(pairs):
            end = pairs[at + 1][1] if at + 1 < len(pairs) else len(content)
            self._object(number, content[first + start : first + end])

    def _markup(self, content: bytes) -> None:
        from interceptor.wire.rendered.xml import XmlReader

        reader = XmlReader(self._limits)
        for passage in (*reader.feed(content), *reader.finish()):
            self._collector.beside(passage.setting | _BESIDE, passage.text.strip(b"\n"))

    def _page(self, parts: list[Shown]) -> None:
        """Give a page at once where it reads as it is written; it is read by its fonts at last."""
        if not parts:
            return
        self._parts -= len(parts)
        if self._parts >= 0:
            self._pages.append(parts)
        else:
            self.incomplete = True
        codes = b"".join(part.codes for part in parts)
        if len(codes.translate(None, BINARY)) > 0.9 * len(codes):
            self._say(written(parts, {}))

    def _say(self, text: bytes) -> None:
        if _WORDS.search(text) is not None:
            self._collector.give(text + b"\n\n", _SHOWN, -1, -1)

    def _resolve(self) -> None:
        """Read pages whose fonts have maps."""
        fonts: dict[bytes, list[CodeMap]] = {}
        for name, numbers in self._named.items():
            maps = [self._maps.get(self._to_unicode.get(number, -1)) for number in numbers]
            known = [found for found in maps if found is not None and found.letters]
            if known:
                fonts[name] = known[:_SAME_NAME]
        if not fonts:
            return
        for parts in self._pages:
            used = {part.font for part in parts} & fonts.keys()
            for turn in range(max((len(fonts[name]) for name in used), default=0)):
                maps_of = {name: fonts[name][min(turn, len(fonts[name]) - 1)] for name in used}
                self._say(written(parts, maps_of))
