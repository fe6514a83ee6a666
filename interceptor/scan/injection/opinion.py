"""What the classifier makes of what rules found: it raises or lowers, alone it finds nothing."""

from __future__ import annotations

from math import exp, log
from typing import Final

from interceptor.scan.injection.classifier import Classifier
from interceptor.scan.injection.combine import Firing

_AROUND: Final = 280
"""Bytes before and behind a firing that are read."""
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
_MORE: Final = 3.2


class Opinion:
    """Asks the classifier; for one thread."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def swayed(self, text: bytes, firings: list[Firing]) -> list[Firing]:
        """Return firings with other strengths.

        Args:
            text: where they stand, disguises taken off.
            firings: of the rules.
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
                near = text[max(0, firing.first - _AROUND) : firing.last + _AROUND]
                odds = self._classifier.log_odds(near)
                times = asked[cell] = min(_MORE, exp(_STEP * (odds - _MIDDLE)))
            out.append(firing._replace(strength=_times(firing.strength, times)))
        return out


def _times(strength: float, times: float) -> float:
    least = _LEAST_STRONG if strength >= _STRONG else _LEAST
    amount = -log(1 - min(strength, 0.9999))
    return 1 - exp(-amount * max(least, times))
