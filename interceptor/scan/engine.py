"""The scanner: one pass of Vectorscan over the bytes, then a close look at the hits only.

The egress database holds the rules, each also turned round and in ROT13, and the gates of the
decoders. A hit gives only the end of a match; `re` finds the start in a small window before it, the
rule's validator looks, and what remains becomes a `RawFinding` that holds a keyed digest. The
secret itself leaves this module in no form. Where gates fired, decoders run, and what they yield
is scanned in turn.

Known secrets have a database of their own, because nothing of them may reach the disk, where the
other one is cached. Vectorscan is imported when a scanner is built, not before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from interceptor.scan.database import Hit, RulePatternError, collect_hit
from interceptor.scan.decoders import GATES, MAX_DEPTH, PACKED, Seen, decode
from interceptor.scan.decoders.joined import FIELDS, join_fields, wordy
from interceptor.scan.known_matcher import KnownMatcher, Meaning, compile_matcher, load_matcher
from interceptor.scan.marks import Marks
from interceptor.scan.plan import Opened, may_be_split, open_plan
from interceptor.scan.ruleset import KnownSecret, Rule, Ruleset
from interceptor.scan.spans import CloseLook, Rejected
from interceptor.scan.validators.jwt import own_hosts

__all__ = ["CLEAN", "DECODED_BYTES", "RawFinding", "RulePatternError", "Scan", "Scanner", "Witness"]

DECODED_BYTES = 16 * 1024 * 1024
"""Bytes that decoders may produce for one item unless the caller says otherwise."""
_BITS = tuple(1 << number for number, _ in GATES)
_SHORT = 512  # bytes of a text of which it takes less to look for everything than to call twice
_PER_RULE = 16  # findings of one rule in one text; all of them share place and fate


class RawFinding(msgspec.Struct, frozen=True, gc=False):
    """A rule that matched and whose validator agreed."""

    rule: int
    """Index in `Scanner.rules`."""
    start: int
    """Span of the secret in the text it was found in: decoded text if `encoding` is not empty."""
    end: int
    encoding: str
    """Chain of decoders, outermost first, such as `base64>hex`; empty for plain."""
    digest: str
    """16 hex digits of BLAKE2b of the secret under the caller's key."""
    own: tuple[str, ...] = ()
    """Hosts that the credential itself says it is from or for, see `validators.jwt.own_hosts`."""


class Scan(msgspec.Struct, frozen=True, gc=False):
    """What a scan found."""

    findings: tuple[RawFinding, ...] = ()
    incomplete: bool = False
    """True if the decoding budget ended before the encodings did."""


CLEAN = Scan()

Witness = list[tuple[RawFinding, bytes]]
"""For explanations: each finding with the text it was found in. Holds secrets: never keep it."""


class _Known(msgspec.Struct, frozen=True):
    """Known secrets: a matcher, and for each of its literals what it stands for."""

    database: Any
    meanings: tuple[Meaning, ...]


class Scanner:
    """Finds credentials in bytes.

    One scanner serves one thread at a time: `clone` gives another for a second thread. It never
    changes, so that a running judge swaps it by one assignment.

    Attributes:
        rules: all rules; `RawFinding.rule` is an index into it. Known secrets come last.
        marks: by which a part of a secret is told, for those that may be found in pieces.
    """

    def __init__(self, rules: Ruleset, opened: Opened) -> None:
        """Use `Scanner.build`."""
        self.rules: tuple[Rule, ...] = rules.rules
        self.marks = Marks(())
        self.uncounted: frozenset[str] = frozenset()
        self._shipped = rules
        self._count = len(rules.rules)
        self._first_mirror = self._count + len(GATES)
        self._ways = opened.plan.ways
        self._first_fragment = self._first_mirror + len(self._ways)
        self._first_hint = self._first_fragment + opened.plan.fragments
        self._plain = opened.plain
        # Bound methods, since there are so many of them; the first is for short texts.
        self._further = tuple((each.scan, each.scratch) for each in opened.further)
        self._always = opened.plan.always
        self._calls = opened.plan.calls
        self._folded = opened.folded
        self._named = opened.plan.named  # indexes of the rules in that database
        self._pieces = opened.joined
        self._joins = opened.plan.joins
        self._split = tuple(may_be_split(rule) for rule in rules.rules)
        self._known: _Known | None = None
        self._close = CloseLook(rules.rules)
        self._scratches = [
            opened.plain.scratch,
            opened.folded and opened.folded.scratch,
            None,
            opened.joined and opened.joined.scratch,
        ]

    @classmethod
    def build(
        cls,
        rules: Ruleset,
        cache_dir: Path | None,
        secrets: Sequence[KnownSecret] = (),
        key: bytes = b"",
    ) -> Scanner:
        """Build a scanner, from the cache if it holds these rules.

        Args:
            rules: the rules, see `interceptor.scan.ruleset.load_rules`.
            cache_dir: directory for compiled databases; None compiles each time. It is safe to
                point at a directory that others can write: what is there is then ignored.
            secrets: secrets known beforehand. They are never written to disk.
            key: key of the digests of `secrets`.

        Raises:
            RulePatternError: a pattern that Vectorscan refuses.
        """
        opened = open_plan(rules.rules, cache_dir)
        plan = opened.plan
        scanner = cls(rules, opened)
        scanner.marks = Marks.of(opened.marks, plan.marks, plan.literals)
        return scanner.with_secrets(secrets, key) if secrets else scanner

    def with_secrets(self, secrets: Sequence[KnownSecret], key: bytes) -> Scanner:
        """Return a scanner that finds these known secrets besides, in place of earlier ones.

        It keeps digests, and the matcher that was compiled from them.
        """
        return self.with_matcher(compile_matcher(secrets, key), self._shipped)

    def with_matcher(self, matcher: KnownMatcher | None, rules: Ruleset) -> Scanner:
        """Return a scanner that finds known secrets besides, in place of earlier ones.

        Args:
            matcher: compiled from the secrets, perhaps by another process; None: there are none.
            rules: those of this scanner; their homes may be others.
        """
        known = matcher and _Known(load_matcher(matcher), matcher.meanings)
        other = self.clone()
        other.__dict__.update(
            _known=known,
            _scratches=[
                *other.__dict__["_scratches"][:2],
                known.database.scratch if known else None,
                other.__dict__["_scratches"][3],
            ],
            _shipped=rules,
            marks=self.marks.with_known(*(matcher.marks if matcher else (b"", ()))),
            rules=rules.rules + (matcher.rules if matcher else ()),
        )
        return other

    def clone(self) -> Scanner:
        """Return a scanner for another thread: same databases, scratch space of its own."""
        other: Scanner = object.__new__(Scanner)
        other.__dict__.update(self.__dict__)
        other._scratches = [None if s is None else s.clone() for s in self._scratches]
        other._further = tuple((scan, scratch.clone()) for scan, scratch in self._further)
        other.marks = self.marks.clone()
        return other

    def scan(
        self,
        data: bytes,
        where: str,
        key: bytes = b"",
        decoded_bytes: int = DECODED_BYTES,
        *,
        joined: bool = False,
        unpacked: bool = False,
        witness: Witness | None = None,
    ) -> Scan:
        """Scan one view, plain and under every known encoding.

        Args:
            data: the bytes; any content.
            where: the view (`url`, `header:x`, `body`, `name`); rules for other surfaces are
                passed over. `head` stands for all surfaces.
            key: key of the digests, at most 64 bytes.
            decoded_bytes: budget of decoders.
            joined: `data` was put together from pieces: only rules that may be found so count.
            unpacked: compressed data in `data` itself is none of this scan's business: who calls
                takes it apart, within bounds of its own.
            witness: takes each finding with its text.
        """
        hits = self._search(data)
        if not hits and self._known is None:
            return CLEAN
        surface = where.partition(":")[0]
        look = _Look(
            "header" if surface == "trailer" else surface, key, joined=joined, witness=witness
        )
        budget = decoded_bytes
        seen: Seen = {("", data)}
        level = [(data, "", hits)]
        for depth in range(MAX_DEPTH + 1):
            following: list[tuple[bytes, str, list[Hit]]] = []
            for text, chain, hits in level:
                mask = self._examine(text, chain, hits, look)
                if unpacked and not depth:
                    mask &= ~PACKED
                if look.ends:
                    budget -= self._join_fields(text, chain, look)
                if not mask or depth == MAX_DEPTH:
                    continue
                for name, decoded, last in decode(text, mask, seen):
                    budget -= len(decoded)
                    longer = f"{chain}>{name}" if chain else name
                    if last:
                        self._examine_joined(decoded, longer, look)
                    else:
                        below = self._search(decoded)
                        if below or self._known is not None:
                            following.append((decoded, longer, below))
                    if budget < 0:
                        return Scan(tuple(look.found), incomplete=True)
            if not following:
                break
            level = following
        return Scan(tuple(look.found)) if look.found else CLEAN

    def scan_joined(self, data: bytes, key: bytes = b"") -> list[RawFinding]:
        """Scan values that were put together: no decoding, only rules that may be found so."""
        look = _Look("head", key, joined=True, witness=None)
        self._examine_joined(data, "", look)
        return look.found

    def scan_folded(self, data: bytes, encoding: str, key: bytes = b"") -> list[RawFinding]:
        """Scan a piece of a host name, in which case means nothing; no decoding."""
        hits: list[Hit] = []
        if self._folded is not None:
            self._folded.scan(data, collect_hit, context=hits, scratch=self._scratches[1])
        look = _Look("name", key, joined=False, witness=None, folded=True)
        self._note([(self._named[index], "", end) for index, end in hits], data, encoding, look)
        return look.found

    def _search(self, text: bytes) -> list[Hit]:
        """Return hits of all that is looked for in every text."""
        hits: list[Hit] = []
        self._plain.scan(text, collect_hit, context=hits, scratch=self._scratches[0])
        further = self._further
        for scan, own in further[:1] if len(text) < _SHORT else further[1 : self._always + 1]:
            scan(text, collect_hit, context=hits, scratch=own)
        return hits

    def _join_fields(self, text: bytes, chain: str, look: _Look) -> int:
        """Look at values of neighbouring fields together; return the bytes looked at."""
        joined = join_fields(text, look.ends)
        look.ends.clear()
        self._examine_joined(joined, f"{chain}>{FIELDS}" if chain else FIELDS, look)
        return len(joined)

    def _examine_joined(self, text: bytes, chain: str, look: _Look) -> None:
        """Note what stands in joined text, where only rules that may be found in pieces count."""
        hits: list[Hit] = []
        if self._pieces is not None:
            self._pieces.scan(text, collect_hit, context=hits, scratch=self._scratches[3])
        look.joined, before = True, look.joined
        self._note([(*self._joins[index], end) for index, end in hits], text, chain, look)
        look.joined = before

    def _examine(self, text: bytes, chain: str, hits: list[Hit], look: _Look) -> int:
        """Note findings of the hits, and known secrets; return the decoders called for."""
        mask = called = 0
        count = self._count
        calls = self._calls if len(text) >= _SHORT else {}
        close: list[tuple[int, str, int]] = []
        for index, end in hits:  # they become more as they call for more
            for number in calls.get(index, ()):
                if not called >> number & 1:
                    called |= 1 << number
                    scan, scratch = self._further[number + 1]
                    scan(text, collect_hit, context=hits, scratch=scratch)
            if index < count:
                close.append((index, "", end))
            elif index < self._first_mirror:
                mask |= _BITS[index - count]
            elif index < self._first_fragment:
                close.append((*self._ways[index - self._first_mirror], end))
            elif index < self._first_hint:
                look.ends.append(end)
        self._note(close, text, chain, look)
        return mask

    def _note(self, hits: list[tuple[int, str, int]], text: bytes, chain: str, look: _Look) -> None:
        """Look closely at (rule, way, offset) hits and note what is a secret."""
        spans: dict[tuple[int, str, int], int] = {}
        counts: dict[int, int] = {}
        rejected: Rejected = set()
        for number, way, end in hits:
            if counts.get(number, 0) >= _PER_RULE or (look.joined and not self._split[number]):
                continue
            span = self._close.span(
                number,
                way,
                text,
                end,
                look.surface,
                rejected,
                bare=look.joined or look.folded,
                folded=look.folded,
            )
            if span is None or (look.joined and wordy(text[slice(*span)])):
                continue
            # A pattern with a variable tail hits once for each length: the longest stays.
            start, stop = span
            if (number, way, start) not in spans and self._counts(text[start:stop], way, look.key):
                counts[number] = counts.get(number, 0) + 1
            spans[number, way, start] = max(stop, spans.get((number, way, start), 0))
        for (number, way, start), end in spans.items():
            digest = _digest(self._close.secret(text[start:end], way), look.key)
            name = f"{chain}>{way}" if chain and way else chain or way
            token = not name and self.rules[number].validator == "jwt"
            own = own_hosts(text, start) if token else ()
            look.note(RawFinding(number, start, end, name, digest, own), text)
        if self._known is not None:
            self._examine_known(self._known, text, chain, look)

    def _counts(self, secret: bytes, way: str, key: bytes) -> bool:
        """Say whether a secret counts towards the most that are reported of one rule."""
        if not self.uncounted:
            return True
        return _digest(self._close.secret(secret, way), key) not in self.uncounted

    def _examine_known(self, known: _Known, text: bytes, chain: str, look: _Look) -> None:
        hits: list[Hit] = []
        known.database.scan(text, collect_hit, context=hits, scratch=self._scratches[2])
        told: set[int] = set()
        for index, end in hits:
            number, encoding, length, digest = known.meanings[index]
            if number in told:
                continue
            told.add(number)
            name = f"{chain}>{encoding}" if chain and encoding else chain or encoding
            span = max(0, end - length), end
            look.note(RawFinding(self._count + number, *span, name, digest), text)


class _Look:
    """What one scan looks for, and what it has found."""

    __slots__ = ("_have", "ends", "folded", "found", "joined", "key", "surface", "witness")

    def __init__(
        self,
        surface: str,
        key: bytes,
        *,
        joined: bool,
        witness: Witness | None,
        folded: bool = False,
    ) -> None:
        self.surface = surface
        self.key = key
        self.joined = joined
        self.folded = folded
        self.witness = witness
        self.found: list[RawFinding] = []
        self.ends: list[int] = []
        self._have: set[tuple[int, str]] = set()

    def note(self, finding: RawFinding, text: bytes) -> None:
        """Keep a finding, unless the same secret was found in a text less encoded."""
        if finding.encoding and (finding.rule, finding.digest) in self._have:
            return
        self._have.add((finding.rule, finding.digest))
        self.found.append(finding)
        if self.witness is not None:
            self.witness.append((finding, text))


def _digest(secret: bytes, key: bytes) -> str:
    return hashlib.blake2b(secret, digest_size=8, key=key).hexdigest()
