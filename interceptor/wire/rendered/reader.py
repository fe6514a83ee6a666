"""The interface of readers, their limits, and what they collect passages with."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from interceptor.model import Passage, Setting
from interceptor.wire.rendered.letters import utf8

BREAK: Final = b"\n\n"
"""Stands for a boundary of blocks. Text is given out up to one when a piece of content ends."""


class ReaderLimits(msgspec.Struct, frozen=True, gc=False):
    """How far a reader goes. What lies beyond is given as plain text, and is `incomplete`."""

    kept: int = 65_536
    """Bytes of one tag, comment, string or line that are kept until its end is there."""
    passages: int = 20_000
    """Passages of one content; the rest of it is one plain text."""
    depth: int = 64
    """Elements with a setting of their own within one another."""
    inflated: int = 4 << 20
    """Bytes that may come out of what is compressed within a document."""
    document: int = 8 << 20
    """Bytes of a document that can only be read as a whole, such as a PDF."""


LIMITS: Final = ReaderLimits()


class Reader(Protocol):
    """Takes a content apart while it arrives. One for each content."""

    @property
    def incomplete(self) -> bool:
        """Something could not be read as its format says.

        It was given as plain text or, where it is binary, not at all.
        """

    @property
    def settled(self) -> int:
        """What lies before this offset has been given, with its cuts."""

    @property
    def cuts(self) -> list[tuple[int, int]]:
        """What "strip" takes out: hidden elements, comments and active content, each as a whole.

        (start, end), rising within one call and apart. Whoever uses it may empty it.
        """

    def feed(self, data: bytes) -> list[Passage]:
        """Give the passages that `data` completes."""

    def finish(self) -> list[Passage]:
        """Give the rest: the content has ended."""


class Collector:
    """Puts texts of one setting together until they are given out.

    `parts` is the text that runs on in the current setting. Texts beside it, such as attributes,
    are lines of one passage for each setting.
    """

    __slots__ = ("_beside", "_given", "_most", "full", "out", "parts", "size", "start")

    def __init__(self, most: int) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.start = 0
        self.out: list[Passage] = []
        self.full = False
        self._beside: dict[int, list[bytes]] = {}
        self._given = 0
        self._most = most

    def beside(self, setting: int, text: bytes) -> None:
        """Note a text that stands beside the one that runs on."""
        lines = self._beside.get(setting)
        if lines is None:
            self._beside[setting] = [text]
        else:
            lines.append(text)

    def give(self, text: bytes, setting: int, start: int, end: int) -> None:
        """Give a passage."""
        self._given += 1
        if self._given >= self._most:
            self.full = True
        self.out.append(Passage(text, _SETTINGS[setting & _ALL], start, end))

    def give_beside(self, start: int, end: int) -> None:
        """Give what stood beside."""
        if not self._beside:
            return
        for setting, lines in self._beside.items():
            lines.append(b"")
            self.give(utf8(b"\n".join(lines)), setting, start, end)
        self._beside.clear()

    def taken(self) -> list[Passage]:
        """Passages given since the last time."""
        out, self.out = self.out, []
        return out


_ALL: Final = sum(Setting)
_SETTINGS: Final = [Setting(value) for value in range(_ALL + 1)]
