"""What the classifier makes of what rules found and of places where cues meet.

What rules found it raises or lowers. Where cues meet and it is sure it counts as an intent of its
own. What is quoted or code it only lowers: an article quotes what it would take for an order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import exp, log
from typing import Final

from interceptor.model import Setting
from interceptor.scan.injection.classifier import Classifier
from interceptor.scan.injection.combine import Firing
from interceptor.scan.injection.context import Joined
from interceptor.scan.injection.cues import CELL
from interceptor.scan.injection.rules import RuleBook

LEAST: Final = 2.5
"""Log-odds of cues from which on a place in a long text is looked at closely. At 0.5, 2 to 4 in 100
more injections within 8 KB of prose are found, and a clean page takes 2.5 times as long."""
LEAST_SHORT: Final = 0.5
"""The same, of a text that is short."""
_ASK: Final = 2.5
"""Log-odds of cues from which on the classifier reads what no rule found."""
_AROUND: Final = 280
"""Bytes before and behind a firing that are read."""
_BESIDE: Final = 96
"""Bytes before and behind cells that are read."""
_CELL: Final = 9
"""Bits of an offset: firings in the same 512 bytes share an opinion."""
_MOST: Final = 24
"""Places of one text that are asked about; what stands behind them counts by rules alone."""
_MIDDLE: Final = 1.0
"""Log-odds that change nothing."""
_STEP: Final = 0.34
"""Evidence is multiplied by `exp(_STEP * (odds - _MIDDLE))`, within limits."""
_LEAST: Final = 0.4
_LEAST_STRONG: Final = 0.75
"""The most that is taken from what rules alone call strong."""
_STRONG: Final = 0.6
_MORE: Final = 1.6
_SURE: Final = 2.05
"""Log-odds from which on the classifier finds something by itself."""
_RISE: Final = 0.28
"""Evidence for each unit above."""
_HIGHEST: Final = 0.9
_MILD: Final = Setting.CODE | Setting.QUOTE | Setting.LINK
_QUOTED: Final = re.compile(
    rb'(?<![,;\n])"(?:[^"\n ]{0,40} ){3,60}[^"\n]{0,200}"|\xe2\x80\x9c[^\n]{12,700}?\xe2\x80\x9d'
    rb"|(?<![A-Za-z0-9])'(?=[A-Za-z<\[{#/])[^\n]{12,420}?[^\s]'(?![A-Za-z0-9])"
    rb"|`(?:[^`\n ]{0,40} ){6,60}[^`\n]{0,200}`"
)
"""Quotations of some words."""
_SENTENCE: Final = re.compile(rb"\n|(?<=[.!?])[ \t]")
_SENTENCE_LEAST: Final = 16


class Opinion:
    """Asks the classifier; for one thread."""

    def __init__(self, classifier: Classifier, book: RuleBook) -> None:
        self._classifier = classifier
        self._own = next(n for n, intent in enumerate(book.intents) if intent.opinion)

    def swayed(
        self,
        text: bytes,
        firings: list[Firing],
        places: Sequence[tuple[int, float]],
        joined: Joined | None,
    ) -> list[Firing]:
        """Return firings with other strengths, and more of them.

        Args:
            text: where they stand, disguises taken off.
            firings: of the rules.
            places: (cell, log-odds) where cues meet, in order.
            joined: tells where what was not disguised stands.
        """
        asked: dict[int, float] = {}
        out: list[Firing] = []
        for firing in firings:
            cell = firing.last >> _CELL
            times = asked.get(cell)
            if times is None:
                if len(asked) >= _MOST:
                    out.append(firing)
                    continue
                begin, end = max(0, firing.first - _AROUND), firing.last + _AROUND
                odds = self._classifier.log_odds(_plain(text, begin, end, joined))
                times = asked[cell] = min(_MORE, exp(_STEP * (odds - _MIDDLE)))
            out.append(firing._replace(strength=_times(firing.strength, times)))
        behind = -1
        budget = _MOST
        for cell, cues in places:
            if cues < _ASK or cell <= behind or not budget:
                continue
            budget -= 1
            behind = cell + 1
            begin, end = cell << CELL, min(len(text), cell + 3 << CELL)
            near = _plain(text, max(0, begin - _BESIDE), end + _BESIDE, joined)
            odds = self._classifier.log_odds(near) if near else 0.0
            if odds > _SURE:
                strength = min(_HIGHEST, 1 - exp(-_RISE * (odds - _SURE)))
                place = self._place(text, near, max(0, begin - _BESIDE), end)
                out.append(Firing(self._own, strength, place, place))
        return out

    def _place(self, text: bytes, near: bytes, begin: int, end: int) -> int:
        """The middle of the sentence that tells most."""
        sentences = [part for part in _SENTENCE.split(near) if len(part) >= _SENTENCE_LEAST]
        if sentences:
            best = max(sentences, key=self._classifier.log_odds)
            found = text.find(best, begin, end + _BESIDE)
            if found >= 0:
                return found + (len(best) >> 1)
        return (begin + end) >> 1


def _plain(text: bytes, begin: int, end: int, joined: Joined | None) -> bytes:
    """What of a text is neither quoted nor code."""
    near = text[begin:end] if joined is None else joined.without(begin, end, _MILD)
    return _QUOTED.sub(b" ", near)


def _times(strength: float, times: float) -> float:
    least = _LEAST_STRONG if strength >= _STRONG else _LEAST
    amount = -log(1 - min(strength, 0.9999))
    return 1 - exp(-amount * max(least, times))
