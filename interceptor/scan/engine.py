"""The scanner: one pass of Vectorscan over the bytes, then a close look at the hits only.

The database holds rules and decoding gates. A rule's hit gives only the end of a match; `re`
finds the start in a small window before it, the rule's validator looks, and what remains becomes
a `RawFinding` that holds a keyed digest. The secret itself leaves this module in no form.

Vectorscan is imported when a scanner is built, not before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from interceptor.scan import cache
from interceptor.scan.decoders import DECODERS, GATES, MAX_DEPTH, Seen, decode
from interceptor.scan.ruleset import KnownSecret, Rule, Ruleset
from interceptor.scan.spans import CloseLook

DECODED_BYTES = 16 * 1024 * 1024
"""Bytes that decoders may produce for one item unless the caller says otherwise."""
_PER_RULE = 16  # findings of one rule in one text; all of them share place and fate

Hit = tuple[int, int]
"""Rule or gate id, and the offset where its match ends."""


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


class Scan(msgspec.Struct, frozen=True, gc=False):
    """What a scan found."""

    findings: tuple[RawFinding, ...] = ()
    incomplete: bool = False
    """True if the decoding budget ended before the encodings did."""


CLEAN = Scan()


class RulePatternError(Exception):
    """A pattern that Vectorscan refuses; names the rule."""


class Scanner:
    """Finds credentials in bytes.

    One scanner serves one thread at a time: `clone` gives another for a second thread.

    Attributes:
        rules: all rules; `RawFinding.rule` is an index into it. Known secrets come last.
    """

    def __init__(
        self, rules: Ruleset, plain: Any, folded: Any, known: Any, literals: Sequence[KnownSecret]
    ) -> None:
        """Use `Scanner.build`."""
        self.rules: tuple[Rule, ...] = rules.rules + tuple(
            Rule(id=secret.id, title=secret.title, pattern=".", severity=secret.severity)
            for secret in literals
        )
        self._first_gate = len(rules.rules)
        self._plain = plain
        self._folded = folded
        self._known = known
        self._literals = [secret.value for secret in literals]
        self._close = CloseLook(rules.rules)
        self._scratches = [
            None if db is None else db.scratch for db in (self._plain, self._folded, self._known)
        ]

    @classmethod
    def build(
        cls, rules: Ruleset, cache_dir: Path | None, literals: Sequence[KnownSecret] = ()
    ) -> Scanner:
        """Build a scanner, from the cache if it holds these rules.

        Args:
            rules: the rules, see `interceptor.scan.ruleset.load_rules`.
            cache_dir: directory for compiled databases; None compiles each time. It is safe to
                point at a directory that others can write: what is there is then ignored.
            literals: secrets to be found as they are. They are never written to disk.

        Raises:
            RulePatternError: a pattern that Vectorscan refuses.
        """
        patterns = [rule.pattern.encode("ascii") for rule in rules.rules]
        caseless = [rule.caseless for rule in rules.rules]
        gates = [pattern.encode("ascii") for _, pattern in GATES]
        plain = open_database(rules, patterns + gates, caseless, cache_dir)
        folded = open_database(rules, patterns, [True] * len(patterns), cache_dir)
        known = None
        if literals:
            known = _compile(
                [b"".join(b"\\x%02x" % byte for byte in s.value) for s in literals],
                [0] * len(literals),
                [secret.id for secret in literals],
            )
        return cls(rules, plain, folded, known, literals)

    def clone(self) -> Scanner:
        """Return a scanner for another thread: same databases, scratch space of its own."""
        other: Scanner = object.__new__(Scanner)
        other.__dict__.update(self.__dict__)
        other._scratches = [None if s is None else s.clone() for s in self._scratches]
        return other

    def scan(
        self, data: bytes, where: str, key: bytes = b"", decoded_bytes: int = DECODED_BYTES
    ) -> Scan:
        """Scan one view, plain and under every known encoding.

        Args:
            data: the bytes; any content.
            where: the view (`url`, `header:x`, `body`, `name`); rules for other surfaces are
                passed over. `head` stands for all surfaces.
            key: key of the digests, at most 64 bytes.
            decoded_bytes: budget of decoders.
        """
        hits: list[Hit] = []
        self._search(data, hits)
        if not hits:
            return CLEAN
        surface = where.partition(":")[0]
        surface = "header" if surface == "trailer" else surface
        found: list[RawFinding] = []
        seen: Seen = set()
        spent = 0
        level = [(data, "", hits)]
        for depth in range(MAX_DEPTH + 1):
            following: list[tuple[bytes, str, list[Hit]]] = []
            for text, chain, hits in level:
                mask = self._examine(text, chain, hits, surface, key, found)
                if not mask or depth == MAX_DEPTH:
                    continue
                for name, decoded in decode(text, mask, seen):
                    spent += len(decoded)
                    below: list[Hit] = []
                    self._search(decoded, below)
                    if below:
                        following.append((decoded, f"{chain}>{name}" if chain else name, below))
                    if spent > decoded_bytes:
                        return Scan(tuple(found), incomplete=True)
            if not following:
                break
            level = following
        return Scan(tuple(found)) if found else CLEAN

    def scan_folded(self, data: bytes, encoding: str, key: bytes = b"") -> list[RawFinding]:
        """Scan a piece of a host name, in which case means nothing; no decoding."""
        hits: list[Hit] = []
        self._folded.scan(data, collect_hit, context=hits, scratch=self._scratches[1])
        if self._known is not None:
            self._search_known(data, hits)
        found: list[RawFinding] = []
        if hits:
            self._examine(data, encoding, hits, "name", key, found, folded=True)
        return found

    def _search(self, data: bytes, hits: list[Hit]) -> None:
        self._plain.scan(data, collect_hit, context=hits, scratch=self._scratches[0])
        if self._known is not None:
            self._search_known(data, hits)

    def _search_known(self, data: bytes, hits: list[Hit]) -> None:
        known: list[Hit] = []
        self._known.scan(data, collect_hit, context=known, scratch=self._scratches[2])
        # Ids of known secrets lie behind those of rules and gates.
        hits += [(index + self._first_gate + len(GATES), end) for index, end in known]

    def _examine(
        self,
        text: bytes,
        chain: str,
        hits: list[Hit],
        surface: str,
        key: bytes,
        found: list[RawFinding],
        *,
        folded: bool = False,
    ) -> int:
        """Append findings of the hits; return the mask of gates that fired."""
        mask = 0
        first_gate = self._first_gate
        first_known = first_gate + len(GATES)
        spans: dict[tuple[int, int], int] = {}
        counts: dict[int, int] = {}
        rejected: set[tuple[int, bytes]] = set()
        for index, end in hits:
            if first_gate <= index < first_known:
                mask |= 1 << (index - first_gate)
                continue
            if counts.get(index, 0) >= _PER_RULE:
                continue
            if index >= first_known:
                number = first_gate + index - first_known
                span: tuple[int, int] | None = (
                    end - len(self._literals[index - first_known]),
                    end,
                )
            else:
                number = index
                span = self._close.span(index, text, end, surface, rejected, folded=folded)
            if span is None:
                continue
            # A pattern with a variable tail hits once for each length: the longest stays.
            if (number, span[0]) not in spans:
                counts[index] = counts.get(index, 0) + 1
            spans[number, span[0]] = max(span[1], spans.get((number, span[0]), 0))
        for (number, start), end in spans.items():
            digest = hashlib.blake2b(text[start:end], digest_size=8, key=key).hexdigest()
            found.append(RawFinding(number, start, end, chain, digest))
        return mask


def collect_hit(index: int, _start: int, end: int, _flags: int, hits: list[Hit]) -> None:
    """Callback of a scan: notes each hit in the list that was given as its context."""
    hits.append((index, end))


def open_database(
    rules: Ruleset, patterns: list[bytes], caseless: list[bool], folder: Path | None
) -> Any:
    """Compile patterns, or load them from the cache in `folder`.

    Args:
        rules: for the names in messages.
        patterns: those of the rules, then those of gates.
        caseless: for each rule, whether its pattern disregards case.
        folder: directory of the cache, or None.

    Raises:
        RulePatternError: a pattern that Vectorscan refuses.
    """
    import hyperscan

    flags = [hyperscan.HS_FLAG_CASELESS if fold else 0 for fold in caseless]
    # Only gates may stop at their first match: for a rule that would let a decoy hide the rest.
    flags += [hyperscan.HS_FLAG_SINGLEMATCH] * (len(patterns) - len(caseless))
    ids = [rule.id for rule in rules.rules]
    ids += [f"gate {DECODERS[number].name}" for number, _ in GATES]
    if folder is None:
        return _compile(patterns, flags, ids)
    stamp = repr((hyperscan.__version__, patterns, flags)).encode()  # type: ignore[attr-defined]
    key = hashlib.blake2b(stamp, digest_size=16).hexdigest()
    body = cache.load(folder, key)
    if body is not None:
        try:
            database = hyperscan.loadb(body, hyperscan.HS_MODE_BLOCK)
            database.scratch = hyperscan.Scratch(database)
        except hyperscan.HyperscanError:  # another machine's features
            pass
        else:
            return database
    database = _compile(patterns, flags, ids)
    cache.store(folder, key, hyperscan.dumpb(database))
    return database


def _compile(patterns: list[bytes], flags: list[int], ids: list[str]) -> Any:
    import hyperscan

    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(
            expressions=patterns,
            ids=list(range(len(patterns))),
            elements=len(patterns),
            flags=flags,
        )
    except hyperscan.HyperscanError:
        # The error does not say which pattern; compile singly to find it, for the message alone.
        for pattern, flag, name in zip(patterns, flags, ids, strict=False):
            try:
                hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK).compile(
                    expressions=[pattern], ids=[0], elements=1, flags=[flag]
                )
            except hyperscan.HyperscanError:
                raise RulePatternError(f"Vectorscan refuses the pattern of {name}") from None
        raise RulePatternError("Vectorscan refuses the patterns together") from None
    database.scratch = hyperscan.Scratch(database)
    return database
