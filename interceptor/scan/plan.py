"""What the databases of a scanner are made of: worked out from the rules once, then cached.

To read, turn and cut hundreds of patterns takes hundreds of milliseconds; a start has fifty.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from interceptor.scan import cache
from interceptor.scan.database import Pattern
from interceptor.scan.decoders import GATES, gate_name
from interceptor.scan.fragments import fragment_gates
from interceptor.scan.marks import Mark, mark_table
from interceptor.scan.mirror import (
    MirrorError,
    core,
    reversed_pattern,
    rot13_pattern,
    shortened,
)
from interceptor.scan.ruleset import Rule
from interceptor.scan.spans import Way

_MAKERS: Final = ("mirror.py", "fragments.py", "marks.py", "patterns.py", "plan.py", "database.py")
"""A plan that other code has made is made again: it must fit the close look."""


class Plan(msgspec.Struct, frozen=True):
    """Patterns of all databases but that of known secrets."""

    plain: tuple[Pattern, ...]
    """Rules, gates, rules turned round and in ROT13, evidence of fields, in this order."""
    ways: tuple[Way, ...]
    """Of the turned rules."""
    folded: tuple[Pattern, ...]
    """For host names."""
    named: tuple[int, ...]
    """Indexes of the rules in it."""
    marks: tuple[tuple[bytes, bool, Mark], ...]
    """See `interceptor.scan.marks`."""


def may_be_split(rule: Rule) -> bool:
    """Say whether a rule is looked for in joined pieces, reversed and in ROT13."""
    return rule.kind == "prefixed" if rule.split is None else rule.split


def plan_of(rules: Sequence[Rule], folder: Path | None) -> Plan:
    """Return the plan for some rules, from the cache if it is there.

    Args:
        rules: in the order that findings count them by.
        folder: see `interceptor.scan.cache`; None: no cache.
    """
    if folder is None:
        return _make(rules)
    digest = hashlib.blake2b(digest_size=16)
    for name in _MAKERS:
        digest.update((resources.files("interceptor.scan") / name).read_bytes())
    told = [(r.id, r.pattern, r.caseless, r.surfaces, may_be_split(r)) for r in rules]
    digest.update(repr((GATES, told)).encode())
    stored = cache.load(folder, digest.hexdigest())
    if stored is not None:
        try:
            return msgspec.msgpack.decode(stored, type=Plan)
        except (msgspec.DecodeError, msgspec.ValidationError):  # pragma: no cover - sealed
            pass
    plan = _make(rules)
    cache.store(folder, digest.hexdigest(), msgspec.msgpack.encode(plan))
    return plan


def _make(rules: Sequence[Rule]) -> Plan:
    own = [
        Pattern(shortened(core(rule.pattern)).encode("ascii"), f"rule {rule.id}", rule.caseless)
        for rule in rules
    ]
    gates = [
        Pattern(pattern.encode("ascii"), f"gate {gate_name(number)}", once=True)
        for number, pattern in GATES
    ]
    turned, ways = _turned(rules, own)
    split = [rule for rule in rules if may_be_split(rule)]
    fragments = [
        Pattern(gate.encode("ascii"), "gate fields")
        for gate in fragment_gates(core(rule.pattern) for rule in split)
    ]
    named = tuple(number for number, rule in enumerate(rules) if "name" in rule.surfaces)
    return Plan(
        plain=(*own, *gates, *turned, *fragments),
        ways=tuple(ways),
        folded=tuple(own[number]._replace(caseless=True) for number in named),
        named=named,
        marks=mark_table(split),
    )


def _turned(rules: Sequence[Rule], own: Sequence[Pattern]) -> tuple[list[Pattern], list[Way]]:
    """Make the patterns of secrets that are turned round or in ROT13."""
    patterns: list[Pattern] = []
    ways: list[Way] = []
    for number, rule in enumerate(rules):
        if not may_be_split(rule):
            continue
        for way, turned in (("reversed", reversed_pattern), ("rot13", rot13_pattern)):
            try:
                text = turned(own[number].text.decode("ascii")).encode("ascii")
            except MirrorError:
                continue
            patterns.append(Pattern(text, f"rule {rule.id}, {way}", rule.caseless))
            ways.append((number, way))
    return patterns, ways
