r"""JSON as an agent reads it: keys and values, escapes undone, a line each.

Also NDJSON and text sequences (RFC 7464), JSON with comments, and JSON that is none: text between
strings is given too. Objects within strings are read one level deep, and markup within them.
"""

from __future__ import annotations

import json
import re
from typing import Final

import msgspec

from interceptor.model import Setting
from interceptor.wire.rendered.letters import utf8
from interceptor.wire.rendered.reader import LIMITS, Reader, ReaderLimits
from interceptor.wire.rendered.windowed import Windowed

_STRING: Final = re.compile(
    rb'("(?>(?:[^"\\]++|\\.)*)(?:"(?:[ \t\r\n]{0,64}+:)?|\\?\Z))', re.DOTALL
)
_WHOLE: Final = re.compile(rb'"(?>(?:[^"\\]++|\\.)*)"(?:\s*+:)?', re.DOTALL)
_PUNCTUATION: Final = b"0123456789.,:[]{}+- \t\r\n\x1e"
_LITERALS: Final = re.compile(rb"true|false|null|NaN|Infinity|[eE]")
_MARKUP: Final = re.compile(rb"<[a-zA-Z!/?]|&[#a-zA-Z]")
_ESCAPE: Final = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_CONTROLS: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}
_DESCRIBES: Final = int(Setting.ATTRIBUTE)
_TELLING: Final = 24
"""Length of a key that is given even where its value is no string."""


def unescaped_string(token: bytes) -> bytes:
    """Content of a JSON string, UTF-8; what is no escape is left as it is written.

    Args:
        token: with its quotation marks.
    """
    text = token[1:-1]
    if b"\\" not in text:
        return utf8(text)
    try:
        return msgspec.json.decode(token, type=str).encode()
    except (msgspec.DecodeError, UnicodeError):
        pass
    try:
        found: str = json.loads(token.decode("utf-8", "replace"), strict=False)
    except ValueError:
        return utf8(_ESCAPE.sub(_letter, text))
    return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _letter(match: re.Match[bytes]) -> bytes:
    number = match[1] or match[2]
    if number is None:
        return _CONTROLS.get(match[3], match[3])
    return chr(int(number, 16)).encode("utf-8", "replace")


class JsonReader(Windowed):
    """Reads JSON; see `Reader`. A string within an object stands behind its key: `key: value`."""

    ends = b'"'

    def __init__(self, limits: ReaderLimits = LIMITS, *, depth: int = 0) -> None:
        """Begin; `depth` counts the strings that this is within."""
        super().__init__(limits)
        self._depth = depth
        self._key = b""
        self._keys: dict[bytes, bytes] = {}
        self._long = False

    def window(self, data: bytes, base: int, *, last: bool) -> int:
        """See `Windowed`."""
        if self._long:
            return self._go_on(data, base, last=last)
        tokens = _STRING.split(data)
        used = len(data)
        if not last:
            # What follows the last string, or the beginning of it, may not be whole.
            gap = tokens.pop()
            used -= len(gap)
            if tokens and len(gap) <= 64 and not gap.strip():
                used -= len(tokens.pop())
        elif len(tokens) > 1 and not tokens[-1] and _WHOLE.fullmatch(tokens[-2]) is None:
            tokens[-2] = tokens[-2].rstrip(b"\\") + b'"'  # the content ends within a string
        gaps = b"".join(tokens[::2]).translate(None, _PUNCTUATION)
        if not gaps or not _LITERALS.sub(b"", gaps):
            self._strings(tokens[1::2])
            return used
        # Text outside of strings: comments, or content that is no JSON.
        for index, token in enumerate(tokens):
            if index & 1:
                self._strings([token])
            elif _LITERALS.sub(b"", token.translate(None, _PUNCTUATION)):
                self.collector.parts.append(utf8(token.strip()))
        return used

    def _strings(self, tokens: list[bytes]) -> None:
        keys = self._keys
        text = self.collector.parts
        key = self._key
        for token in tokens:
            if token[-1] == 58:  # a colon
                known = keys.get(token)
                key = known if known is not None else self._new_key(token)
                continue
            value = token[1:-1]
            if b"\\" in value or not value.isascii():
                value = unescaped_string(token)
            text.append(key + value)
            key = b""
            if b"<" in value or b"&" in value or value[:1] in (b"{", b"["):
                self._within(value)
        self._key = key

    def _new_key(self, token: bytes) -> bytes:
        name = unescaped_string(token[: token.rindex(b'"') + 1])
        if len(name) >= _TELLING:
            self.collector.beside(_DESCRIBES, name)
        known = name + b": "
        if len(token) <= 64 and len(self._keys) < 1024:
            self._keys[token] = known
        return known

    def _within(self, value: bytes) -> None:
        """A document or an object within a string."""
        reader: Reader
        start = value.lstrip()[:1]
        if start in (b"{", b"[") and b'"' in value:
            if self._depth:
                return
            reader = JsonReader(self.limits, depth=1)
        elif _MARKUP.search(value) is not None and self._depth < 2:
            from interceptor.wire.rendered.html import HtmlReader

            reader = HtmlReader(self.limits, depth=1)
        else:
            return
        for passage in (*reader.feed(value), *reader.finish()):
            self.collector.give(passage.text, passage.setting, -1, -1)

    def overrun(self, data: bytes, base: int) -> int:
        """See `Windowed`: a string that is longer than a window goes on in pieces."""
        tokens = _STRING.split(data, 1)
        if len(tokens) > 1 and not tokens[0].strip(b" \t\r\n,:[]{}"):
            self._long = True
            self.collector.parts.append(self._key)
            self._key = b""
            return len(tokens[0]) + 1
        return super().overrun(data, base)

    def _go_on(self, data: bytes, base: int, *, last: bool) -> int:
        """The next piece of a long string: up to its end, or a place where nothing is cut."""
        found = _STRING.match(b'"' + data)
        end = found.end() - 1 if found is not None else len(data)
        text = data[:end]
        ended = text.endswith((b'"', b":")) and _WHOLE.fullmatch(b'"' + text) is not None
        if ended:
            text = text[: text.rindex(b'"')]
            self._long = False
        elif not last:
            cut = max(text.rfind(b" "), text.rfind(b"\n"))
            if cut <= 0 and len(data) <= self.limits.kept:
                return 0
            text = text[: cut + 1] if cut > 0 else text[:-12] or text
            end = len(text)
        self._give(unescaped_string(b'"' + text + b'"'), base, base + end)
        return end

    def _give(self, text: bytes, start: int, end: int) -> None:
        parts = self.collector.parts
        if parts:
            text = b"\n".join((*parts, text))
            parts.clear()
        self.collector.give(text, 0, start, end)

    def rest(self, end: int, *, last: bool) -> int:
        """See `Windowed`."""
        collector = self.collector
        if collector.parts and not (self._long and not last):
            collector.parts.append(b"")
            collector.give(b"\n".join(collector.parts), 0, collector.start, end)
            collector.parts.clear()
        collector.give_beside(collector.start, end)
        collector.start = end
        return end
