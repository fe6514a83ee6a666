"""What a terminal does not show: escape sequences (ECMA-48), and text that they hide."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_SEQUENCE: Final = re.compile(
    rb"\x1b\[([0-?]{0,128}+)[ -/]{0,8}+([@-~])"  # CSI
    rb"|\x1b\]([^\x07\x1b\n]{0,8192}+)(?:\x07|\x1b\\|(?=[\x1b\n])|\Z)"  # OSC
    rb"|\x1b[PX^_]([^\x07\x1b\n]{0,8192}+)(?:\x07|\x1b\\|(?=[\x1b\n])|\Z)"  # DCS, SOS, PM, APC
    rb"|\x1b(?:[ -/]{1,4}+[0-~]|[0-~])"
)


class Shown(NamedTuple):
    """A stretch of text between escape sequences."""

    text: bytes
    hidden: bool


class Terminal:
    """Follows what hides text: SGR 8, and ink of the colour behind it.

    Attributes:
        links: what hyperlinks (OSC 8) lead to.
        notes: texts of other strings: titles, notifications, device control.
    """

    __slots__ = ("_behind", "_concealed", "_ink", "links", "notes")

    def __init__(self) -> None:
        self._concealed = False
        self._ink = b""
        self._behind = b""
        self.links: list[bytes] = []
        self.notes: list[bytes] = []

    def read(self, text: bytes) -> list[Shown]:
        """Give the text without escape sequences."""
        out: list[Shown] = []
        at = 0
        for match in _SEQUENCE.finditer(text):
            if match.start() > at:
                out.append(Shown(text[at : match.start()], self.hides))
            at = match.end()
            if match[2] == b"m":
                self._style(match[1])
            elif match[3] is not None:
                self._string(match[3])
            elif match[4]:
                self.notes.append(match[4])
        if at < len(text):
            out.append(Shown(text[at:], self.hides))
        return out

    @property
    def hides(self) -> bool:
        """True while text is written so that it cannot be seen."""
        return self._concealed or (self._ink != b"" and self._ink == self._behind)

    def _string(self, text: bytes) -> None:
        kind, _, value = text.partition(b";")
        if kind == b"8":
            value = value.partition(b";")[2]
            if value:
                self.links.append(value)
        elif value:
            self.notes.append(value)

    def _style(self, parameters: bytes) -> None:
        numbers = [
            int(one or 0)
            for one in re.split(rb"[;:]", parameters)[:64]
            if (len(one) < 6 and one.isdigit()) or not one
        ]
        at = 0
        while at < len(numbers):
            number = numbers[at]
            at += 1
            if number == 0:
                self._concealed, self._ink, self._behind = False, b"", b""
            elif number in (8, 28):
                self._concealed = number == 8
            elif number in (38, 48):
                size = 2 if numbers[at : at + 1] == [5] else 4
                colour = repr(numbers[at : at + size]).encode()
                at += size
                self._colour(number - 38, colour)
            elif 30 <= number <= 39 or 90 <= number <= 97:
                self._ink = b"" if number == 39 else b"%d" % (number % 30)
            elif 40 <= number <= 49 or 100 <= number <= 107:
                self._behind = b"" if number == 49 else b"%d" % ((number - 10) % 30)

    def _colour(self, which: int, colour: bytes) -> None:
        if which:
            self._behind = colour
        else:
            self._ink = colour
