"""What firings of intents weigh where they stand, and what they come to together.

Families of intents add up like independent reasons: `1 - (1 - a)(1 - b)`. What stands further apart
counts less together, by half every `HALF` bytes. What is quoted, shown as code or talked about
weighs less, and all of it together never more than a remark.
"""

from __future__ import annotations

from math import exp, log
from typing import Final, NamedTuple

from interceptor.model import Setting

HALF: Final = 1500
"""Bytes after which evidence counts half."""
_MILD_LIMIT: Final = 0.38
"""What is quoted or code, next to words that speak about it, comes to at most."""
_QUOTE_LIMIT: Final = 0.66
"""What is quoted where nothing speaks about it comes to at most."""
_TALKED: Final = 0.75
"""Of a firing next to words that speak about attacks."""
_QUOTED: Final = 0.7
_CITED: Final = 0.45
"""Of one that is quoted next to such words."""
_CODE: Final = 0.55
_HEADING: Final = 0.75
_LINK: Final = 0.4
_HIDDEN: Final = 1.9
"""Evidence where nobody sees it counts as if it were there so many times."""
_COMMENT: Final = 1.35
_ATTRIBUTE: Final = 1.25


class Weighed(NamedTuple):
    """One firing with its surroundings."""

    strength: float
    mild: bool
    """It is code, or quoted and talked about."""
    hidden: bool


def weigh(
    strength: float, setting: Setting, *, quoted: bool, talked: bool, sample: bool, value: bool,
    markup: bool, disguise: float,
) -> Weighed:  # fmt: skip
    """Weigh a firing.

    Args:
        strength: 0..1 by itself.
        setting: of the passage it stands in; what all of its passages have in common.
        quoted: it stands within quotation marks.
        talked: words next to it speak about attacks.
        sample: words next to it say that an example or somebody's words follow.
        value: it is a value of structured text.
        markup: it is made of markup, so code is no excuse.
        disguise: how much it counts that it had to be decoded or folded; 1.0 if not.
    """
    concealed = disguise > 1
    if concealed:
        strength = _raised(strength, disguise)
    if setting & Setting.HIDDEN:
        return Weighed(_raised(strength, _HIDDEN), mild=False, hidden=True)
    mild = False
    if quoted or setting & Setting.QUOTE:
        if talked or sample:
            strength *= _CITED
            mild = True
        else:
            strength = min(_QUOTE_LIMIT, strength * _QUOTED)
    elif value and talked:
        strength *= _CITED
        mild = True
    elif setting & Setting.CODE:
        strength *= 0.8 if markup else _CODE
        mild = True
    if setting & Setting.LINK and not markup:
        strength *= _LINK
        mild = True
    if setting & Setting.HEADING:
        strength *= _HEADING
    if talked and not mild:
        strength *= _TALKED
    if mild:
        return Weighed(strength, mild=True, hidden=concealed)
    if setting & Setting.COMMENT:
        return Weighed(_raised(strength, _COMMENT), mild=False, hidden=True)
    if setting & Setting.ATTRIBUTE:
        return Weighed(_raised(strength, _ATTRIBUTE), mild=False, hidden=True)
    return Weighed(strength, mild=False, hidden=concealed)


class Evidence:
    """Adds up what is found along a text; constant in size."""

    __slots__ = ("_mild", "_plain", "score")

    def __init__(self) -> None:
        self._plain: dict[str, tuple[float, int]] = {}
        self._mild: dict[str, tuple[float, int]] = {}
        self.score = 0.0
        """0..100: the most that stood together anywhere so far."""

    def add(self, family: str, weighed: Weighed, place: int) -> None:
        """Take one more firing.

        Args:
            family: of its intent; the strongest of a family counts.
            weighed: what it weighs.
            place: offset in the whole text; never much smaller than before.
        """
        kept = self._mild if weighed.mild else self._plain
        amount = -log(1 - min(weighed.strength, 0.9999))
        before = kept.get(family)
        if before is None or before[0] * _decay(place - before[1]) < amount:
            kept[family] = (amount, place)
        plain = _sum(self._plain, place)
        mild = min(1 - exp(-_sum(self._mild, place)), _MILD_LIMIT)
        self.score = max(self.score, 100 * (1 - exp(-plain) * (1 - mild)))


def _sum(kept: dict[str, tuple[float, int]], place: int) -> float:
    return sum([amount * _decay(place - at) for amount, at in kept.values()])


def _decay(distance: int) -> float:
    return 1.0 if distance <= 0 else float(0.5 ** (distance / HALF))


def _raised(strength: float, times: float) -> float:
    return float(1 - (1 - strength) ** times)
