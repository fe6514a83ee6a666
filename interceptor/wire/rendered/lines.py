"""Formats made of lines: what they have in common, and plain text."""

from __future__ import annotations

import re
from typing import Final

from interceptor.model import Setting
from interceptor.wire.rendered.letters import utf8
from interceptor.wire.rendered.reader import LIMITS, ReaderLimits
from interceptor.wire.rendered.terminal import Terminal
from interceptor.wire.rendered.windowed import Windowed

_HIDDEN: Final = int(Setting.HIDDEN)
_COMMENT: Final = int(Setting.COMMENT)
_LINK: Final = int(Setting.LINK)
_QUOTE: Final = int(Setting.QUOTE)


_QUOTED: Final = re.compile(rb"(?:^|[\r\n])>")


class LineReader(Windowed):
    """Reads whole lines. A line that is longer than a window goes on in pieces."""

    ends = b"\n"
    terminal = True
    """Escape sequences are undone before lines are read."""

    def __init__(self, limits: ReaderLimits = LIMITS) -> None:
        """Begin."""
        super().__init__(limits)
        self._terminal: Terminal | None = None

    def window(self, data: bytes, base: int, *, last: bool) -> int:
        """See `Windowed`."""
        used = len(data) if last else data.rfind(b"\n") + 1
        if used:
            text = data if used == len(data) else data[:used]
            if self.terminal and (b"\x1b" in text or self._terminal is not None):
                self._from_terminal(text, base)
            else:
                self.lines(text, base, 0)
        return used

    def overrun(self, data: bytes, base: int) -> int:
        """See `Windowed`."""
        cut = max(data.rfind(b" "), data.rfind(b"\t")) + 1 or len(data)
        self.lines(data[:cut], base, 0)
        return cut

    def lines(self, text: bytes, base: int, setting: int) -> None:
        """Read lines.

        Args:
            text: ends with a line's end, unless the content ends there or the line is a long one.
            base: offset of it.
            setting: that all of it has already.
        """
        raise NotImplementedError

    def _from_terminal(self, text: bytes, base: int) -> None:
        terminal = self._terminal = self._terminal or Terminal()
        shown: list[bytes] = []
        hidden: list[bytes] = []
        for stretch in terminal.read(text):
            (hidden if stretch.hidden else shown).append(stretch.text)
            if stretch.hidden and b"\n" in stretch.text:
                shown.append(b"\n")
        end = base + len(text)
        if hidden:
            self.collector.give(utf8(b"".join(hidden)), _HIDDEN, base, end)
        for setting, texts in ((_LINK, terminal.links), (_COMMENT, terminal.notes)):
            if texts:
                self.collector.give(utf8(b"\n".join((*texts, b""))), setting, base, end)
                texts.clear()
        self.lines(b"".join(shown), base, 0)

    def say(self, text: bytes, setting: int, start: int, end: int) -> None:
        """Add to the text that runs on, in a setting."""
        collector = self.collector
        if setting != self.setting:
            self.flush(start)
            self.setting = setting
        if not collector.parts:
            collector.start = start
        collector.parts.append(text)
        self.end = end

    setting = 0
    end = 0

    def flush(self, end: int) -> None:  # noqa: ARG002
        """The text that runs on ends here."""
        collector = self.collector
        text = b"".join(collector.parts)
        collector.parts.clear()
        if text and not text.isspace():
            collector.give(utf8(text), self.setting, collector.start, self.end)

    def rest(self, end: int, *, last: bool) -> int:  # noqa: ARG002
        """See `Windowed`."""
        self.flush(end)
        self.collector.give_beside(self.collector.start, end)
        return end


class TextReader(LineReader):
    """Reads plain text; see `Reader`. Lines that begin with `>` are quotations."""

    def lines(self, text: bytes, base: int, setting: int) -> None:
        """See `LineReader`."""
        if b">" not in text or _QUOTED.search(text) is None:
            self.say(text, setting, base, base + len(text))
            return
        at = base
        for line in text.splitlines(keepends=True):
            end = at + len(line)
            if line.startswith(b">"):
                self.say(line.lstrip(b"> "), setting | _QUOTE, at, end)
            else:
                self.say(line, setting, at, end)
            at = end
