"""What the scanner says of a text."""

from __future__ import annotations

import msgspec


class InjectionFinding(msgspec.Struct, frozen=True, gc=False):
    """One intent that a text shows, where it shows it most."""

    rule: str
    """Id of the intent, as in the rule files: `override-instructions`."""
    title: str
    intent: str
    """The family: `override`, `concealment`, `exfiltration`, ..."""
    score: float
    """What this alone counts, 0..100."""
    passage: int
    """Index of the passage in what was scanned; -1: it began in a piece that came before."""
    start: int
    """Offset in the passage's text near which it begins; of disguised text that of its passage."""
    end: int
    """Offset behind its end."""
    hidden: bool = False
    """It stands where a person would not see it, or was disguised."""
    disguise: str = ""
    """How it was written: `base64`, `unicode`, `reversed`, ...; empty: as it is."""


class Assessment(msgspec.Struct, frozen=True):
    """What was found in passages, all together."""

    score: float = 0.0
    """0..100: see `NOTABLE` and `STRONG`."""
    findings: tuple[InjectionFinding, ...] = ()
    """At most one for each rule, the strongest first."""
    hidden: bool = False
    """Some of it stands where a person would not see it, or was disguised."""

    @property
    def rule(self) -> str:
        """Id of the rule that counts most; empty where nothing was found."""
        return self.findings[0].rule if self.findings else ""


NOTABLE = 40.0
"""From this score on text is worth a warning or an annotation."""
STRONG = 70.0
"""From this score on text commands its reader; by default it does not reach an agent."""

NOTHING = Assessment()
"""Nothing was found."""
