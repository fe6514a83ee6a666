"""Runs of an alphabet in a text, also where they are wrapped into lines.

Runs are found with translate and find, in two passes over the bytes that run in C; `re` sees only
what follows a run that ends at a line break or a quote.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from interceptor.scan.decoders.model import Seen

# No group is possessive here: `re` keeps what an iteration that fails has taken (3.11 to 3.13).
# A line break, as it is or escaped; `%b` is what a line of a quotation or a comment begins with.
_LINE = rb"(?:[ \t]{0,64}+(?:(?:\\{1,4}r)?\\{1,4}n|\\?+\r?+\n|\r)[%b]{0,64}+)"
_PREFIX = b" \t>|#*;%"
# From one string literal to the next: `"abc" +`, a line break, `"def"`.
_NEXT = rb"(?:(?:\\{1,4}[rn]){0,2}\\{0,4}+[\"'`]\s{0,64}+[,+.&|]?+\s{0,64}+\\{0,4}+[\"'`])"
# The next literal ends with the run, too, and is no key.
_ENDS = rb"(?=(?:\\{1,4}[rn]){0,2}={0,2}+\\{0,4}+[\"'`]\s{0,64}+(?:[^:\s]|\Z))"
_TAIL = 2048  # characters that a credential takes at most, encoded a few times
_WIDTHS = frozenset((60, 64, 70, 72, 76))  # of lines, as programs wrap them
_QUOTE = re.compile(rb"[\"'`]")
_BREAKS = frozenset(b"\r\n\\\"'`")


def marks(alphabet: Iterable[int]) -> bytes:
    """Return the table that makes `1` of every byte of an alphabet and a blank of others."""
    members = frozenset(alphabet)
    return bytes(49 if byte in members else 32 for byte in range(256))


def runs(text: bytes, table: bytes, least: int) -> list[tuple[int, int]]:
    """Find runs of at least `least` bytes that `table` marks with `1`: their spans, in order."""
    marked = text.translate(table)
    find = marked.find
    needle = b"1" * least
    found = []
    start = find(needle)
    while start >= 0:
        end = find(b" ", start + least)
        if end < 0:
            end = len(marked)
        found.append((start, end))
        start = find(needle, end)
    return found


class Alphabet:
    """The characters of an encoding, and how their runs go on in the next line."""

    def __init__(self, characters: bytes, least: int, *, literals: bool = False) -> None:
        """Take the alphabet.

        Args:
            characters: the alphabet, without padding.
            least: characters of the shortest run that is of interest.
            literals: whether a run may go on in the next of several string literals.
        """
        self.least = least
        self._characters = characters
        self._literals = literals
        self._marks = marks(characters)
        self._prefix = bytes(byte for byte in _PREFIX if byte not in characters)

    @functools.cached_property
    def _more(self) -> re.Pattern[bytes]:
        """The lines that follow a run."""
        one = b"[" + re.escape(self._characters) + b"]"
        # A few at most: more line ends in a row are no wrapping, and would be tried in many ways.
        breaks = b"(?:" + _LINE % re.escape(self._prefix) + b"){1,4}" + one + b"++"
        if self._literals:
            breaks = b"(?:" + breaks + b"|" + _NEXT + one + b"{2,}+" + _ENDS + b")"
        return re.compile(b"(?:" + breaks + b")+")

    @functools.cached_property
    def _between(self) -> re.Pattern[bytes]:
        """What stands between two lines."""
        line = _LINE % re.escape(self._prefix)
        return re.compile(line + b"|" + _NEXT if self._literals else line)

    def spans(self, text: bytes) -> list[tuple[int, int]]:
        """Find the runs, each as far as its line goes."""
        return runs(text, self._marks, self.least)

    def collect(self, text: bytes, start: int, end: int, found: list[bytes]) -> int:
        """Append the run of a span, with its further lines; return where they end.

        A word at the start of the next line may belong to it or not: the run without the last line
        is appended, too, as far as it matters.
        """
        run = text[start:end]
        more = None
        if end < len(text) and text[end] in _BREAKS:
            more = self._more.match(text, end)
        if more is None:
            found.append(run)
            return end
        listed = self._literals and _QUOTE.search(more[0]) is not None
        exactly = listed or b"\\" in self._characters
        lines = self._between.split(more[0]) if exactly else self._lines(more[0])
        whole = run + b"".join(lines)
        found += [whole[: -len(lines[-1])][-_TAIL:], whole]
        if listed or len(run) not in _WIDTHS:  # no wrapping, perhaps, but a list
            found += [run, *(line for line in lines if len(line) >= self.least)]
        return more.end()

    def _lines(self, text: bytes) -> list[bytes]:
        """Split what begins with a line break, without a pattern: that would be slow."""
        while b"\\\\" in text:
            text = text.replace(b"\\\\", b"\\")
        for escaped, plain in ((b"\\r", b""), (b"\\n", b"\n"), (b"\r", b"\n")):
            text = text.replace(escaped, plain)
        strip = self._prefix + b"\\"
        return [line.strip(strip) for line in text.split(b"\n")]

    def runs(self, text: bytes) -> list[bytes]:
        """Find the runs, wrapped ones put together."""
        found: list[bytes] = []
        done = 0
        for start, end in runs(text, self._marks, self.least):
            if start >= done:
                done = self.collect(text, start, end, found)
        return found


def fresh(found: Iterable[bytes], name: str, seen: Seen) -> list[bytes]:
    """Return the runs that were not decoded before within this item, and note them."""
    new = [run for run in dict.fromkeys(found) if (name, run) not in seen]
    seen.update([(name, run) for run in new])
    return new
