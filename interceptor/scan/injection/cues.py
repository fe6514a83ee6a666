"""What the first pass looks for: words that injections are made of, by kind, and where enough meet.

`interceptor/rules/inbound/cues.toml` holds the words. Other languages' come from the parts of
their rules: what each of a part's words begins with. A cue is next to a literal, so that one pass
over all of a text costs little; only where cues of certain kinds meet the rules are asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final, Literal

import msgspec

from interceptor.scan.database import Hit
from interceptor.scan.injection.words import literal

CELL: Final = 7
"""Bits of an offset: cues in two cells of 128 bytes that follow each other stand together."""
_KEPT: Final = 8192
_THERE: Final = "there"
"""How parts of other languages end; what they begin with are cues."""
_STEM: Final = 12
_SHORTEST: Final = 4


class CueFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cues.toml`."""

    version: Literal[1]
    cues: dict[str, tuple[str, ...]]


class Cues(msgspec.Struct, frozen=True):
    """Words of the first pass."""

    kinds: tuple[str, ...] = ()
    patterns: tuple[tuple[int, str], ...] = ()
    """(index of the kind, pattern)."""


def cues_of(file: CueFile, parts: Iterable[tuple[str, str, str]]) -> Cues:
    """Write cues out as patterns.

    Args:
        file: of English.
        parts: (name, word, pattern) of the rules of all languages.
    """
    kinds: dict[str, int] = {}
    patterns: dict[tuple[int, str], None] = {}
    for kind, words in file.cues.items():
        number = kinds.setdefault(kind, len(kinds))
        for word in words:
            patterns[number, _pattern(word)] = None
    for name, word, pattern in parts:
        if name.endswith(_THERE):
            number = kinds.setdefault(name, len(kinds))
            heads = _begins(word)
            short = any(len(head.encode()) < _SHORTEST for head in heads)
            for begin in [pattern] if short else map(_begin, heads):
                patterns[number, begin] = None
    return Cues(tuple(kinds), tuple(patterns))


def _pattern(word: str) -> str:
    """A cue as a pattern: it begins and ends where words do, behind `*` it may go on."""
    open_end = word.endswith("*")
    word = word.removesuffix("*")
    out: list[str] = []
    at = 0
    while at < len(word):
        close = word.find("]", at) if word[at] == "[" else -1
        if close > at and word[at + 1 : close] in {"sz", "a-z_", "a-z0-9", "a-z0-9_.-"}:
            out.append(word[at : close + 1])
            at = close + 1
            continue
        out.append(r"[^a-z0-9]{1,3}" if word[at] == " " else literal(word[at]))
        at += 1
    before = r"\b" if word[0].isalnum() and word[0].isascii() else ""
    behind = r"\b" if not open_end and word[-1].isalnum() and word[-1].isascii() else ""
    return f"{before}{''.join(out)}{behind}"


def _begins(word: str) -> list[str]:
    """What the texts that a word of `words.pattern` matches begin with."""
    heads = [word]
    if word.startswith("("):
        depths = accumulate((char == "(") - (char == ")") for char in word)
        end = next((at for at, depth in enumerate(depths) if not depth), len(word))
        heads = _split(word[1:end])
        if word[end + 1 : end + 2] == "?":
            heads.append("")
    return [_head(head) for head in heads]


def _split(text: str) -> list[str]:
    out, depth, begin = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "|" and not depth:
            out.append(text[begin:at])
            begin = at + 1
    return [*out, text[begin:]]


def _head(word: str) -> str:
    """The plain characters that a word begins with."""
    found = re.match(r"[^\[\](){}?*|.\\]*", word)
    head = found[0] if found else ""
    return head[:-1] if word[len(head) : len(head) + 1] == "?" else head.rstrip()[:_STEM]


def _begin(head: str) -> str:
    text = "".join([r"[^a-z0-9]{1,4}" if char == " " else literal(char) for char in head])
    return rf"\b{text}" if head[0].isascii() and head[0].isalnum() else text


class Meeting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it counts that kinds of cues stand together; the classifier's training works it out."""

    bias: float
    kinds: dict[str, float]
    pairs: dict[str, float]
    """Two kinds with a blank between them."""


class Gathering:
    """Finds where cues meet; for one thread."""

    def __init__(self, cues: Cues, meeting: Meeting) -> None:
        self._cues = cues
        self._meeting = meeting
        self._known: dict[int, float] = {0: meeting.bias}

    def places(self, hits: Sequence[Hit], least: float) -> list[tuple[int, float]]:
        """Give (cell, log-odds that the text from there on is looked for) in order.

        Args:
            hits: (index of the kind, offset where it ends).
            least: log-odds that count.
        """
        masks: dict[int, int] = {}
        get = masks.get
        for kind, end in hits:
            cell = end >> CELL
            masks[cell] = get(cell, 0) | 1 << kind
        known = self._known
        found: list[tuple[int, float]] = []
        for cell, own in masks.items():
            mask = own | get(cell + 1, 0)
            odds = known.get(mask)
            if odds is None:
                odds = self._odds(mask)
            if odds >= least:
                found.append((cell, odds))
        found.sort()
        return found

    def _odds(self, mask: int) -> float:
        if len(self._known) >= _KEPT:
            self._known.clear()
        meeting = self._meeting
        names = [name for bit, name in enumerate(self._cues.kinds) if mask >> bit & 1]
        odds = meeting.bias + sum([meeting.kinds.get(name, 0.0) for name in names])
        for at, name in enumerate(names):
            odds += sum([meeting.pairs.get(f"{name} {other}", 0.0) for other in names[at + 1 :]])
        self._known[mask] = odds
        return odds
