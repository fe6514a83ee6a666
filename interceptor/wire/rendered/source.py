"""Code and configuration: as it is, and its comments by themselves."""

from __future__ import annotations

import re
from typing import Final

from interceptor.model import Setting
from interceptor.wire.rendered.letters import utf8
from interceptor.wire.rendered.lines import LineReader
from interceptor.wire.rendered.reader import LIMITS, ReaderLimits

_CODE: Final = int(Setting.CODE)
_COMMENT: Final = int(Setting.COMMENT)

HASH: Final = re.compile(rb"(?:^|[ \t])#[#!: ]*+([^\n]*+)")
SLASHES: Final = re.compile(rb"(?:^|[ \t;{}()])//[/! ]*+([^\n]*+)")
DASHES: Final = re.compile(rb"(?:^|[ \t;])--[-| ]*+([^\n]*+)")
SEMICOLON: Final = re.compile(rb"^[ \t]*+[;%][;% ]*+([^\n]*+)")
BLOCK: Final = (b"/*", b"*/")
MARKUP: Final = (b"<!--", b"-->")


class SourceReader(LineReader):
    """Reads lines of code; see `Reader`. Comments are given beside the code, and not cut out."""

    def __init__(
        self,
        limits: ReaderLimits = LIMITS,
        *,
        marks: tuple[re.Pattern[bytes], ...] = (HASH,),
        block: tuple[bytes, bytes] | None = None,
        code: bool = True,
    ) -> None:
        """Begin.

        Args:
            limits: how far to go.
            marks: what begins a comment that ends with the line.
            block: what begins and ends a comment that does not.
            code: it is a program; False for configuration and data, which are text.
        """
        super().__init__(limits)
        self._marks = marks
        self._block = block
        self._within = False
        self._kind = _CODE if code else 0

    def lines(self, text: bytes, base: int, setting: int) -> None:
        """See `LineReader`."""
        self.say(text, setting | self._kind, base, base + len(text))
        block = self._block
        for line in text.splitlines():
            if block is not None and (self._within or block[0] in line):
                self._of_block(line, block)
                continue
            for mark in self._marks:
                found = mark.search(line)
                if found is not None:
                    self._note(found[1])
                    break

    def _of_block(self, line: bytes, block: tuple[bytes, bytes]) -> None:
        at = 0
        while True:
            if not self._within:
                start = line.find(block[0], at)
                if start < 0:
                    return
                at = start + len(block[0])
                self._within = True
            end = line.find(block[1], at)
            if end < 0:
                self._note(line[at:])
                return
            self._note(line[at:end])
            at = end + len(block[1])
            self._within = False

    def _note(self, text: bytes) -> None:
        text = text.strip(b" \t*")
        if text:
            self.collector.beside(_COMMENT, utf8(text))


class SubtitleReader(LineReader):
    """Reads WebVTT and SubRip; see `Reader`. Notes and styles are comments."""

    def __init__(self, limits: ReaderLimits = LIMITS) -> None:
        """Begin."""
        super().__init__(limits)
        self._note = False

    def lines(self, text: bytes, base: int, setting: int) -> None:
        """See `LineReader`."""
        at = base
        for line in text.splitlines(keepends=True):
            end = at + len(line)
            start = line.strip()
            if start.startswith((b"NOTE", b"STYLE", b"REGION")):
                self._note = True
            if not start:
                self._note = False
            if self._note:
                self.collector.beside(_COMMENT, utf8(start))
            elif b"-->" in line:
                # Settings of a cue follow its times, and nobody reads them.
                rest = line.partition(b"-->")[2].strip()[12:].strip()
                if len(rest) > 24:
                    self.collector.beside(int(Setting.ATTRIBUTE), utf8(rest))
            elif not start.isdigit():
                self.say(_TAG.sub(b"", line), setting, at, end)
            at = end


_TAG: Final = re.compile(rb"</?[a-zA-Z0-9.:]{1,16}(?:[ .][^<>]{0,64}+)?>|\{\\[^{}]{1,64}+\}")
