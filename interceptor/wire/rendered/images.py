"""What pictures say beside what they show: comments, descriptions, EXIF and XMP.

Sources: PNG third edition, section 11.3.3; ITU-T T.81, annex B; GIF89a, section 24; WebP
container (RFC 9649); EXIF 2.32; XMP part 3.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Generator
from typing import Final

from interceptor.model import Passage, Setting
from interceptor.wire.rendered.letters import utf8
from interceptor.wire.rendered.reader import LIMITS, Collector, Reader, ReaderLimits

PNG: Final = b"\x89PNG\r\n\x1a\n"
JPEG: Final = b"\xff\xd8\xff"
GIFS: Final = (b"GIF87a", b"GIF89a")
RIFF: Final = b"RIFF"
_COMMENT: Final = int(Setting.COMMENT)
_TEXT: Final = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]{6,}+")
_WIDE: Final = re.compile(rb"(?:[\t\n\r\x20-\x7e]\0){6,}|(?:\0[\t\n\r\x20-\x7e]){6,}")
_LETTERS: Final = re.compile(rb"[A-Za-z]{3}")
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_SEGMENT: Final = 65_536

Walk = Generator[int, bytes, None]
"""Yields how many bytes it needs next, negative for bytes that are passed over; 0: the end."""


class ImageReader:
    """Reads PNG, JPEG, GIF and WebP; see `Reader`. All it gives are comments."""

    def __init__(self, limits: ReaderLimits = LIMITS) -> None:
        """Begin."""
        self._limits = limits
        self.incomplete = False
        self.cuts: list[tuple[int, int]] = []
        self._collector = Collector(limits.passages)
        self._walk: Walk | None = self._begin()
        self._need = next(self._walk)
        self._kept = bytearray()
        self._fed = 0

    @property
    def settled(self) -> int:
        """See `Reader`."""
        return self._fed - len(self._kept)

    def feed(self, data: bytes) -> list[Passage]:
        """See `Reader`."""
        self._fed += len(data)
        if self._walk is None:
            return []
        kept = self._kept
        kept += data
        try:
            while self._need:
                if self._need < 0:
                    step = min(-self._need, len(kept))
                    del kept[:step]
                    self._need += step
                    if self._need:
                        break
                    self._need = self._walk.send(b"")
                elif len(kept) < self._need:
                    break
                else:
                    piece = bytes(kept[: self._need])
                    del kept[: self._need]
                    self._need = self._walk.send(piece)
        except StopIteration:
            self._need = 0
        if not self._need or self._collector.full:
            self.incomplete = self.incomplete or self._collector.full
            self._walk = None
            kept.clear()
        self._collector.give_beside(-1, -1)
        return self._collector.taken()

    def finish(self) -> list[Passage]:
        """See `Reader`. A text that the content ends in is given as far as it goes."""
        if self._walk is not None and self._kept:
            self._strings(bytes(self._kept))
        self._walk = None
        self._kept.clear()
        self._collector.give_beside(-1, -1)
        return self._collector.taken()

    def _begin(self) -> Walk:
        first = yield 8
        if first == PNG:
            yield from self._png()
        elif first.startswith(JPEG):
            yield from self._jpeg(first)
        elif first.startswith(GIFS):
            yield from self._gif(first)
        elif first.startswith(RIFF):
            yield from self._webp()

    def _png(self) -> Walk:
        while True:
            head = yield 8
            size, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
                kept = min(size, self._limits.kept)
                data = yield from _some(kept)
                if kept < size:
                    self.incomplete = True
                    yield from _skip(size - kept)
                self._png_text(kind, data)
            else:
                yield from _skip(size)
            yield from _skip(4)
            if kind == b"IEND":
                return

    def _png_text(self, kind: bytes, data: bytes) -> None:
        if kind == b"eXIf":
            self._strings(data)
            return
        key, _, text = data.partition(b"\0")
        if kind == b"zTXt":
            text = self._inflated(text[1:])
        elif kind == b"iTXt":
            packed, rest = text[:1] == b"\1", text[2:]
            language, _, rest = rest.partition(b"\0")
            translated, _, text = rest.partition(b"\0")
            text = self._inflated(text) if packed else text
            key = b" ".join((key, language, translated)).strip()
        elif not text:
            text, key = key, b""
        self._say(key + b": " + text if key else text)

    def _inflated(self, data: bytes) -> bytes:
        inflate = zlib.decompressobj()
        try:
            text = inflate.decompress(data, self._limits.kept)
        except zlib.error:
            self.incomplete = True
            return data
        if inflate.unconsumed_tail:
            self.incomplete = True
        return text

    def _jpeg(self, first: bytes) -> Walk:
        head = first[2:]
        while True:
            while len(head) < 4:
                head += yield 4 - len(head)
            if head[0] != 0xFF:
                return
            marker, size = head[1], int.from_bytes(head[2:4], "big") - 2
            rest, head = head[4:], b""
            if marker == 0xDA or size < 0:  # the picture itself; little is hidden behind it
                return
            if size < len(rest):
                head, rest = rest[size:], rest[:size]
            if marker == 0xFE or 0xE0 <= marker <= 0xEF:
                data = rest + (yield from _some(size - len(rest)))
                self._jpeg_text(marker, data)
            else:
                yield from _skip(size - len(rest))

    def _jpeg_text(self, marker: int, data: bytes) -> None:
        if marker == 0xFE:
            self._say(data)
        elif data.startswith(_XMP):
            self._xmp(data[len(_XMP) :])
        elif marker in (0xE1, 0xED):
            self._strings(data)

    def _gif(self, first: bytes) -> Walk:
        screen = first[6:] + (yield 5)
        if screen[4] & 0x80:
            yield from _skip(3 << (screen[4] & 7) + 1)
        while True:
            kind = yield 1
            if kind == b"\x2c":
                descriptor = yield 9
                if descriptor[8] & 0x80:
                    yield from _skip(3 << (descriptor[8] & 7) + 1)
                yield from _skip(1)
                yield from self._gif_blocks(keep=False)
            elif kind == b"\x21":
                label = yield 1
                text = yield from self._gif_blocks(keep=label in (b"\xfe", b"\x01", b"\xff"))
                if label == b"\xfe":
                    self._say(text)
                else:
                    self._strings(text)
            else:
                return

    def _gif_blocks(self, *, keep: bool) -> Generator[int, bytes, bytes]:
        kept: list[bytes] = []
        size = 0
        while True:
            length = yield 1
            if not length[0]:
                return b"".join(kept)
            if keep and size < self._limits.kept:
                kept.append((yield length[0]))
                size += length[0]
            else:
                self.incomplete = self.incomplete or keep
                yield from _skip(length[0])

    def _webp(self) -> Walk:
        kind = yield 4
        if kind != b"WEBP":
            return
        while True:
            head = yield 8
            size = int.from_bytes(head[4:], "little")
            if head[:4] in (b"EXIF", b"XMP "):
                kept = min(size, self._limits.kept)
                data = yield from _some(kept)
                yield from _skip(size - kept)
                if head[:4] == b"XMP ":
                    self._xmp(data)
                else:
                    self._strings(data)
            else:
                yield from _skip(size)
            yield from _skip(size & 1)

    # -- texts

    def _say(self, text: bytes) -> None:
        if _LETTERS.search(text) is None and text.isascii():
            return
        if text.lstrip()[:1] == b"<" or b"<x:xmpmeta" in text:
            self._xmp(text)
        self._collector.beside(_COMMENT, utf8(text.replace(b"\0", b" ")))

    def _strings(self, data: bytes) -> None:
        """Runs of text in binary data: of EXIF all fields are that are read by anybody."""
        for match in _WIDE.finditer(data):
            self._collector.beside(_COMMENT, match[0].replace(b"\0", b""))
        for match in _TEXT.finditer(data):
            if _LETTERS.search(match[0]) is not None:
                self._collector.beside(_COMMENT, utf8(match[0]))

    def _xmp(self, data: bytes) -> None:
        from interceptor.wire.rendered.xml import XmlReader

        reader: Reader = XmlReader(self._limits)
        for passage in (*reader.feed(data), *reader.finish()):
            self._collector.beside(passage.setting | _COMMENT, passage.text.strip(b"\n"))


def _some(size: int) -> Generator[int, bytes, bytes]:
    return (yield size) if size > 0 else b""


def _skip(size: int) -> Walk:
    if size > 0:
        yield -size
