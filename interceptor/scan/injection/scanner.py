"""Finding prompt injection in what an agent is about to read.

Two passes of Vectorscan. The first looks for anchors, the rarest part of each intent, and for
disguises; ordinary text has none of either. Only around anchors the second looks for all parts, and
only disguised text is decoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from interceptor.model import Passage
from interceptor.scan.database import Hit, Pattern, collect_hit, open_database
from interceptor.scan.injection.classifier import Classifier
from interceptor.scan.injection.combine import Combiner, Firing
from interceptor.scan.injection.context import Joined, quoted, talked
from interceptor.scan.injection.disguises import DISGUISES, PLAIN, Disguise, bare_patterns, views
from interceptor.scan.injection.evidence import Evidence, Weighed, weigh
from interceptor.scan.injection.model import NOTHING, Assessment, InjectionFinding
from interceptor.scan.injection.opinion import Opinion
from interceptor.scan.injection.rules import Intent, RuleBook, load_rule_book

_GATE: Final = 1024
"""Gates of disguises are numbered from here on, parts below."""
_BEFORE: Final = 640
_BEHIND: Final = 512
"""Bytes around an anchor where the other parts are looked for."""
_SHORT: Final = 2048
"""A text of so many bytes is looked at whole."""
_DEPTH: Final = 2
"""Disguises within a disguise."""
_TALK_PART: Final = "discuss"


class _Seen(NamedTuple):
    """A firing, weighed."""

    firing: Firing
    weighed: Weighed
    place: int
    disguise: str


class InjectionScanner:
    """Finds and weighs prompt injection; one for each thread."""

    def __init__(
        self, book: RuleBook, anchors: Any, others: Any, bare: Any, opinion: Opinion | None
    ) -> None:
        """Use `InjectionScanner.build`."""
        self.book = book
        self._anchors = anchors
        self._others = others
        self._bare = bare
        self._opinion = opinion
        self._combiner = Combiner(book)
        self._talk = book.parts.index(_TALK_PART)
        self._markup = [intent.code for intent in book.intents]

    @classmethod
    def build(
        cls, cache_dir: Path | None, book: RuleBook | None = None, *, second: bool = True
    ) -> InjectionScanner:
        """Build a scanner, from the cache if it holds these rules.

        Args:
            cache_dir: directory of the cache; None compiles each time, in some seconds.
            book: the rules; None: those that ship.
            second: ask the classifier about what the rules that ship find.

        Raises:
            InjectionRuleError: a broken rule file.
            RulePatternError: a pattern that Vectorscan refuses.
        """
        opinion = Opinion(Classifier.load()) if second and book is None else None
        book = load_rule_book(cache_dir) if book is None else book
        rare = _anchor_parts(book)
        every = [
            Pattern(
                one.pattern.encode("ascii"), book.parts[one.part], caseless=True, number=one.part
            )
            for one in book.patterns
        ]
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
        anchors = [pattern for pattern in every if pattern.number in rare]
        return cls(
            book,
            open_database([*anchors, *gates], cache_dir),
            open_database([one for one in every if one.number not in rare], cache_dir),
            open_database(bare_patterns(book.bare), cache_dir),
            opinion,
        )

    def glance(self, data: bytes) -> bool:
        """Say whether content, as it came, may hold anything; False: it needs no closer look.

        Args:
            data: content as received, decoded from its Content-Encoding.
        """
        hits = _hits(self._anchors, data)
        if not hits:
            return False
        gates, anchors = _sorted_out(hits)
        return bool(gates) or bool(self._combiner.places(anchors))

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
        hits = _hits(self._anchors, text)
        if not hits:
            return []
        gates, anchors = _sorted_out(hits)
        seen: list[_Seen] = []
        places = self._combiner.places(anchors)
        if places:
            found = self._around(text, places, anchors)
            seen += self._weighed(joined, self._combiner.firings(found), found)
        if gates:
            seen += self._disguised(joined, text, gates, 0)
        return seen

    def _around(self, text: bytes, places: list[int], anchors: list[Hit]) -> list[Hit]:
        """Look for the other parts around places, which are in order."""
        if len(text) <= _SHORT:
            return anchors + _hits(self._others, text)
        hits = list(anchors)
        start = end = -1
        for place in places:
            if place - _BEFORE <= end:
                end = place + _BEHIND
                continue
            if end >= 0:
                hits += self._within(text, start, end)
            start, end = place - _BEFORE, place + _BEHIND
        return hits + self._within(text, start, end)

    def _within(self, text: bytes, start: int, end: int) -> list[Hit]:
        if start <= 0:
            return _hits(self._others, text[:end])
        # A letter before it, so that the text does not seem to begin there.
        shift = start - 1
        return [(part, at + shift) for part, at in _hits(self._others, b"x" + text[start:end])]

    def _weighed(self, joined: Joined, firings: list[Firing], hits: list[Hit]) -> list[_Seen]:
        if not firings:
            return []
        if self._opinion is not None:
            firings = self._opinion.swayed(joined.text, firings)
        talk = self._talk
        places = sorted([end for part, end in hits if part == talk])
        text = joined.text
        return [
            _Seen(
                firing,
                weigh(
                    firing.strength,
                    joined.setting(firing.first, firing.last),
                    quoted=quoted(text, firing.first, firing.last),
                    talked=bool(places) and talked(places, firing.first, firing.last),
                    markup=self._markup[firing.intent],
                    disguise=PLAIN,
                ),
                firing.last,
                "",
            )
            for firing in firings
        ]

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
            gates_within, hits = _sorted_out(_hits(self._anchors, view.text))
            hits += _hits(self._others, view.text)
            firings = [
                one for one in self._combiner.firings(hits) if not _stands_in(text, view.text, one)
            ]
            if disguise.bare and not firings:
                firings = self._combiner.firings(_hits(self._bare, view.text))
            if firings:
                if self._opinion is not None:
                    firings = self._opinion.swayed(view.text, firings)
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
        around = _hits(self._others, text[max(0, place - _BEFORE) : place + _BEHIND])
        talk = any(part == self._talk for part, _ in around)
        setting = joined.setting(place, place)
        return [
            _Seen(
                firing,
                weigh(
                    firing.strength,
                    setting,
                    quoted=quoted(text, place, place),
                    talked=talk,
                    markup=self._markup[firing.intent],
                    disguise=disguise.weight,
                ),
                place,
                disguise.name,
            )
            for firing in firings
        ]


def _sorted_out(hits: list[Hit]) -> tuple[dict[int, int], list[Hit]]:
    """Tell gates, as disguise and the first place of it, from anchors."""
    anchors = [hit for hit in hits if hit[0] < _GATE]
    gates: dict[int, int] = {}
    if len(anchors) < len(hits):
        for number, end in hits:
            if number >= _GATE:
                gates.setdefault(number - _GATE, end)
    return gates, anchors


def _stands_in(text: bytes, view: bytes, firing: Firing) -> bool:
    """Say whether it was no disguise: the words stand in the text as they are."""
    return view[max(0, firing.first - 6) : firing.last] in text


def _hits(database: Any, text: bytes) -> list[Hit]:
    hits: list[Hit] = []
    database.scan(text, collect_hit, context=hits, scratch=database.scratch)
    return hits


def _anchor_parts(book: RuleBook) -> frozenset[int]:
    numbers = {name: number for number, name in enumerate(book.parts)}
    names: set[str] = set()
    for intent in book.intents:
        for slot in intent.needs[: intent.anchors] or ((f"intent {intent.id}",),):
            names.update(slot)
    return frozenset(numbers[name] for name in names)


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
