"""Finding prompt injection in what an agent is about to read.

Two passes of Vectorscan. The first looks for cues, which are next to literals, and for disguises.
Only where cues meet the second looks for all parts, and the classifier reads; only disguised text
is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from interceptor.model import Passage
from interceptor.scan.database import Hit, Pattern, collect_hit, open_database
from interceptor.scan.injection.classifier import Classifier
from interceptor.scan.injection.combine import Combiner, Firing
from interceptor.scan.injection.context import Joined, enclosure, talked
from interceptor.scan.injection.cues import CELL, Gathering, Meeting
from interceptor.scan.injection.disguises import DISGUISES, PLAIN, Disguise, bare_patterns, views
from interceptor.scan.injection.evidence import Evidence, Weighed, weigh
from interceptor.scan.injection.model import NOTHING, Assessment, InjectionFinding
from interceptor.scan.injection.opinion import LEAST, LEAST_SHORT, Opinion
from interceptor.scan.injection.rules import Intent, RuleBook, load_rule_book

_GATE: Final = 1024
"""Gates of disguises are numbered from here on, kinds of cues below."""
_AROUND: Final = 320
"""Bytes before and behind a place where cues meet that the rules look at."""
_SHORT: Final = 640
"""A text of so many bytes is looked at whole if it has any cue."""
_PLACE_AROUND: Final = 40
"""Bytes before and behind a place that are compared with what came."""
_DEPTH: Final = 2
"""Disguises within a disguise."""
_TALK_PART: Final = "discuss"
_SAMPLE_PART: Final = "sample"
_ANY: Final = Meeting(9.0, {}, {})
"""Of rules without cues: each of their parts calls for a closer look."""


Together = Callable[[Sequence[Callable[[], Any]]], list[Any]]
"""Calls all, in whatever order, and gives what each returns."""


def in_turn(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Call one after the other."""
    return [call() for call in calls]


class _Seen(NamedTuple):
    """A firing, weighed."""

    firing: Firing
    weighed: Weighed
    place: int
    disguise: str


class InjectionScanner:
    """Finds and weighs prompt injection; one for each thread."""

    def __init__(
        self, book: RuleBook, first: Any, second: Any, bare: Any, classifier: Classifier,
        opinion: Opinion | None,
    ) -> None:  # fmt: skip
        """Use `InjectionScanner.build`."""
        self.book = book
        self._first = first
        self._second = second
        self._bare = bare
        self._opinion = opinion
        self._gathering = Gathering(book.cues, classifier.meeting if book.cues.kinds else _ANY)
        self._combiner = Combiner(book)
        numbers = {name: number for number, name in enumerate(book.parts)}
        self._talk = numbers.get(_TALK_PART, -1)
        self._sample = numbers.get(_SAMPLE_PART, -1)
        self._markup = [intent.code for intent in book.intents]

    @classmethod
    def build(
        cls,
        cache_dir: Path | None,
        book: RuleBook | None = None,
        *,
        second: bool = True,
        together: Together = in_turn,
    ) -> InjectionScanner:
        """Build a scanner, from the cache if it holds these rules.

        Args:
            cache_dir: directory of the cache; None compiles each time, in some seconds.
            book: the rules; None: those that ship.
            second: ask the classifier about what the rules that ship find, and where cues meet.
            together: opens the databases; in threads it takes half the time where the cache has
                none of them, as Vectorscan compiles outside the interpreter's lock.

        Raises:
            InjectionRuleError: a broken rule file.
            RulePatternError: a pattern that Vectorscan refuses.
        """
        classifier = Classifier.load()
        ask = second and book is None
        book = load_rule_book(cache_dir) if book is None else book
        rules = [
            Pattern(
                one.pattern.encode("ascii"), book.parts[one.part], caseless=True, number=one.part
            )
            for one in book.patterns
        ]
        cues = [
            Pattern(one.encode("ascii"), book.cues.kinds[kind], caseless=True, number=kind)
            for kind, one in book.cues.patterns
        ] or [one._replace(number=0) for one in rules]
        gates = [
            Pattern(
                gate.encode("ascii"),
                disguise.name,
                disguise.caseless,
                once=True,
                number=_GATE + number,
            )
            for number, disguise in enumerate(DISGUISES)
            for gate in disguise.gates
        ]
        wanted = ([*cues, *gates], rules, bare_patterns(book.bare))
        first, parts, bare = together([partial(open_database, one, cache_dir) for one in wanted])
        return cls(
            book,
            first,
            parts,
            bare,
            classifier,
            Opinion(classifier, book) if ask else None,
        )

    def glance(self, data: bytes, *, closely: bool = False) -> bool:
        """Say whether content, as it came, may hold anything; False: it needs no closer look.

        Args:
            data: content as received, decoded from its Content-Encoding.
            closely: one cue is enough.
        """
        hits = _hits(self._first, data)
        if not hits:
            return False
        gates, cues = _sorted_out(hits)
        if gates or closely:
            return True
        least = LEAST_SHORT if len(data) <= _SHORT else LEAST
        return bool(self._gathering.places(cues, least))

    def scan(self, passages: Sequence[Passage], weight: float = 1.0) -> Assessment:
        """Find and weigh what passages of one document hold.

        Args:
            passages: in their order.
            weight: times that each finding counts, by how far its source is trusted: 1.0 for the
                open web, 0.0 for what may say anything.
        """
        return self.scan_on(passages, Evidence(), weight)

    def scan_on(
        self, passages: Sequence[Passage], evidence: Evidence, weight: float, base: int = 0
    ) -> Assessment:
        """Do as `scan` does, with evidence from before.

        Args:
            passages: in their order.
            evidence: grows.
            weight: as of `scan`.
            base: place of the first byte in the whole text, as `evidence` counts.
        """
        joined = Joined(passages)
        seen = self._look(joined)
        if not seen:
            return NOTHING if not evidence.score else Assessment(round(evidence.score, 1))
        best: dict[int, tuple[float, _Seen]] = {}
        intents = self.book.intents
        for one in sorted(seen, key=_place):
            firing, weighed, place, _ = one
            strength = min(weighed.strength * weight, 0.9999)
            counted = weighed._replace(strength=strength)
            evidence.add(intents[firing.intent].intent, counted, base + place)
            known = best.get(firing.intent)
            if known is None or known[0] < strength:
                best[firing.intent] = strength, one
        findings = [
            _finding(intents[number], strength, one, joined)
            for number, (strength, one) in best.items()
        ]
        findings.sort(key=_score, reverse=True)
        hidden = any(finding.hidden for finding in findings)
        return Assessment(round(evidence.score, 1), tuple(findings), hidden)

    def _look(self, joined: Joined) -> list[_Seen]:
        text = joined.text
        hits = _hits(self._first, text)
        if not hits:
            return []
        gates, cues = _sorted_out(hits)
        seen: list[_Seen] = []
        if cues:
            parts, firings = self._firings(text, cues, joined)
            seen += self._weighed(joined, firings, parts)
        if gates:
            seen += self._disguised(joined, text, gates, 0)
        return seen

    def _firings(
        self, text: bytes, cues: list[Hit], joined: Joined | None
    ) -> tuple[list[Hit], list[Firing]]:
        """Parts and firings where cues meet, those of the classifier among them."""
        if len(text) <= _SHORT:
            parts = _hits(self._second, text)
            places = [(0, LEAST)]
        else:
            places = self._gathering.places(cues, LEAST)
            if not places:
                return [], []
            parts = self._around(text, places)
        firings = self._combiner.firings(parts) if parts else []
        if self._opinion is not None:
            firings = self._opinion.swayed(text, firings, places, joined)
        return parts, firings

    def _around(self, text: bytes, places: list[tuple[int, float]]) -> list[Hit]:
        """Look for parts around places, which are in order."""
        hits: list[Hit] = []
        start = end = -1
        for cell, _ in places:
            begin = (cell << CELL) - _AROUND
            if begin > end:
                if end >= 0:
                    hits += self._within(text, start, end)
                start = begin
            end = (cell + 2 << CELL) + _AROUND
        return hits + self._within(text, start, end)

    def _within(self, text: bytes, start: int, end: int) -> list[Hit]:
        if start <= 0:
            return _hits(self._second, text[:end])
        # A letter before it, so that the text does not seem to begin there.
        shift = start - 1
        return [(part, at + shift) for part, at in _hits(self._second, b"x" + text[start:end])]

    def _weighed(self, joined: Joined, firings: list[Firing], hits: list[Hit]) -> list[_Seen]:
        if not firings:
            return []
        about = sorted([end for part, end in hits if part == self._talk])
        samples = sorted([end for part, end in hits if part == self._sample])
        text = joined.text
        seen = []
        for firing in firings:
            first, last = firing.first, firing.last
            within = enclosure(text, first, last)
            weighed = weigh(
                firing.strength,
                joined.setting(first, last),
                quoted=within is not None and within.quoted,
                talked=bool(about) and talked(about, first, last, within),
                sample=bool(samples) and talked(samples, first, last, within),
                value=within is not None and not within.quoted,
                markup=self._markup[firing.intent],
                disguise=PLAIN,
            )
            seen.append(_Seen(firing, weighed, last, ""))
        return seen

    def _disguised(
        self, joined: Joined, text: bytes, gates: Mapping[int, int], depth: int
    ) -> list[_Seen]:
        """Look at what disguised text says.

        Args:
            joined: what came, which tells where it stands.
            text: that, or what was made plain of it before.
            gates: disguise to the place in `joined` where it was seen.
            depth: disguises that were taken off before.
        """
        seen: list[_Seen] = []
        for view in views(text, gates):
            disguise = view.disguise
            place = gates[DISGUISES.index(disguise)]
            gates_within, cues = _sorted_out(_hits(self._first, view.text))
            firings: list[Firing] = []
            if cues:
                _, firings = self._firings(view.text, cues, None)
                firings = [one for one in firings if not _stands_in(text, view.text, one)]
            if disguise.bare and not firings:
                firings = self._combiner.firings(_hits(self._bare, view.text))
            if firings:
                seen += self._told(joined, firings, place, disguise)
            elif depth < _DEPTH and gates_within:
                inner = dict.fromkeys(gates_within, place)
                seen += self._disguised(joined, view.text, inner, depth + 1)
        return seen

    def _told(
        self, joined: Joined, firings: list[Firing], place: int, disguise: Disguise
    ) -> list[_Seen]:
        """Weigh what was disguised, by what stands around it."""
        text = joined.text
        around = _hits(self._second, text[max(0, place - _AROUND) : place + _AROUND])
        beside = {part for part, _ in around}
        setting = joined.setting(place, place)
        within = enclosure(text, place, place)
        return [
            _Seen(
                firing,
                weigh(
                    firing.strength,
                    setting,
                    quoted=within is not None and within.quoted,
                    talked=self._talk in beside,
                    sample=self._sample in beside,
                    value=within is not None and not within.quoted,
                    markup=self._markup[firing.intent],
                    disguise=disguise.weight,
                ),
                place,
                disguise.name,
            )
            for firing in firings
        ]


def _sorted_out(hits: list[Hit]) -> tuple[dict[int, int], list[Hit]]:
    """Tell gates, as disguise and the first place of it, from cues."""
    cues = [hit for hit in hits if hit[0] < _GATE]
    gates: dict[int, int] = {}
    if len(cues) < len(hits):
        for number, end in hits:
            if number >= _GATE:
                gates.setdefault(number - _GATE, end)
    return gates, cues


def _stands_in(text: bytes, view: bytes, firing: Firing) -> bool:
    """Say whether it was no disguise: the words stand in the text as they are."""
    # What the classifier found has a place and no extent: then what stands around it is compared.
    around = _PLACE_AROUND if firing.first == firing.last else 6
    return view[max(0, firing.first - around) : firing.last + around - 6] in text


def _hits(database: Any, text: bytes) -> list[Hit]:
    hits: list[Hit] = []
    database.scan(text, collect_hit, context=hits, scratch=database.scratch)
    return hits


def _place(one: _Seen) -> int:
    return one.place


def _score(finding: InjectionFinding) -> float:
    return finding.score


def _finding(intent: Intent, strength: float, one: _Seen, joined: Joined) -> InjectionFinding:
    firing, weighed, place, disguise = one
    index = joined.at(place)
    begin = joined.starts[index]
    if disguise:
        start, end = place - begin, place - begin
    else:
        start, end = max(0, firing.first - 24 - begin), place - begin
    return InjectionFinding(
        rule=intent.id,
        title=intent.title,
        intent=intent.intent,
        score=round(100 * strength, 1),
        passage=index,
        start=start,
        end=end,
        hidden=weighed.hidden,
        disguise=disguise,
    )
