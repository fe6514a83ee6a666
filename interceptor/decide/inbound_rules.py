"""What policy makes of an assessment of content: by its score, and by who it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from interceptor.decide.hosts import HostSet
from interceptor.decide.sources import Source, Sources
from interceptor.model import Passage, Target
from interceptor.policy.schema import Policy
from interceptor.scan.injection.model import Assessment, InjectionFinding
from interceptor.verdict import Finding, Received, Severity

_REMEMBERED: Final = 1024
_CHANGING: Final = frozenset(("block", "annotate", "strip"))


class Place(msgspec.Struct, frozen=True, gc=False):
    """What holds for content of one host."""

    source: Source
    bands: tuple[tuple[int, str], ...]
    """(score from which it holds, handling), the highest first."""
    exempt: frozenset[str]
    """Ids of rules that do not count."""
    blocks: bool
    """Content may be refused or cut, so that nothing passes before it was judged."""
    changes: bool
    """It may be refused, marked or stripped."""

    def handling(self, score: float) -> str:
        """Return what a score leads to: `pass` where nothing."""
        for least, handling in self.bands:
            if score >= least:
                return handling
        return "pass"


class Judged(msgspec.Struct, frozen=True, gc=False):
    """An assessment, weighed."""

    received: Received
    findings: tuple[Finding, ...]
    intended: str
    """What the bands say; `received.handling` is what is done where policy only records."""


class InboundRules:
    """The section `inbound` of a policy."""

    def __init__(self, policy: Policy, sources: Sources, digest_key: bytes) -> None:
        """Compile it.

        Args:
            policy: in force.
            sources: of the same policy.
            digest_key: key of the digests in findings.

        Raises:
            ValueError: a host pattern is malformed (the loader checks before).
        """
        inbound = policy.inbound
        self._records = inbound.findings == "record" or policy.findings == "record"
        self._sources = sources
        self._key = digest_key
        self._exempt = [
            (HostSet((entry.host or "*",), "inbound.exempt"), entry.rule)
            for entry in inbound.exempt
        ]
        at = inbound.thresholds
        self._bands = {
            source: tuple(
                (score, str(handling))
                for score, handling in (
                    (at.high, bands.high),
                    (at.middle, bands.middle),
                    (at.low, bands.low),
                )
            )
            for source, bands in (("web", inbound.web), ("own", inbound.own), ("llm", inbound.llm))
        }
        self._known: dict[tuple[str, int], Place | None] = {}

    def place(self, target: Target) -> Place | None:
        """Return what holds for content of `target`; None: it is not looked at."""
        key = (target.host, target.port)
        found = self._known.get(key, ...)
        if found is not ...:
            return found
        place = self._place(target)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[key] = place
        return place

    def _place(self, target: Target) -> Place | None:
        exempt = frozenset(
            rule for hosts, rule in self._exempt if hosts.find(target.host, target.port) is not None
        )
        source = self._sources.of(target)
        bands = self._bands[source]
        handlings = {handling for _, handling in bands}
        if "*" in exempt or handlings == {"pass"}:
            return None
        blocks = not self._records and "block" in handlings
        changes = not self._records and bool(handlings & _CHANGING)
        return Place(source, bands, exempt, blocks, changes)

    def counted(
        self, assessment: Assessment, place: Place, where: str, texts: Sequence[Passage]
    ) -> dict[str, tuple[float, Finding]]:
        """Return the findings that count, by rule, with what each counts alone.

        Args:
            assessment: of `texts`.
            place: of the content's target.
            where: what findings say of their place.
            texts: what was assessed.
        """
        return {
            finding.rule: (finding.score, self._finding(finding, where, texts))
            for finding in assessment.findings
            if finding.rule not in place.exempt
        }

    def judge(
        self, score: float, counted: Mapping[str, tuple[float, Finding]], place: Place
    ) -> Judged | None:
        """Weigh what was found in a content so far; None: it leads to nothing.

        Args:
            score: of all that was found together.
            counted: what of it counts.
            place: of the content's target.
        """
        if place.exempt:
            score = min(score, together([alone for alone, _ in counted.values()]))
        intended = place.handling(score) if counted else "pass"
        if intended == "pass":
            return None
        handling = "warn" if self._records else intended
        findings = tuple(finding for _, finding in counted.values())
        return Judged(Received(round(score), place.source, handling), findings, intended)

    def _finding(self, finding: InjectionFinding, where: str, texts: Sequence[Passage]) -> Finding:
        text = b""
        if 0 <= finding.passage < len(texts):
            text = texts[finding.passage].text[finding.start : finding.end]
        digest = hashlib.blake2b(
            finding.rule.encode() + b"\n" + text, digest_size=8, key=self._key
        ).hexdigest()
        severity = _severity(finding.score)
        return Finding(finding.rule, finding.title, severity, where, finding.disguise, digest)


def together(scores: Iterable[float]) -> float:
    """Score of findings that are left: as of signs that are independent of each other."""
    rest = 1.0
    for score in scores:
        rest *= 1.0 - min(score, 100.0) / 100.0
    return 100.0 * (1.0 - rest)


def _severity(score: float) -> Severity:
    if score >= 70:
        return Severity.HIGH
    return Severity.MEDIUM if score >= 40 else Severity.LOW
