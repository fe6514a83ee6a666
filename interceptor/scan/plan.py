"""What the databases of a scanner are made of: worked out from the rules once, then cached.

To read, turn and cut hundreds of patterns takes hundreds of milliseconds; a start has fifty.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from interceptor.scan import cache
from interceptor.scan.database import (
    Pattern,
    cached_database,
    cached_databases,
    compile_database,
    key_of,
    store_database,
    store_databases,
)
from interceptor.scan.decoders import GATES, HINTS, gate_name
from interceptor.scan.decoders.model import Hints
from interceptor.scan.fragments import fragment_gates
from interceptor.scan.marks import Mark, mark_pattern, mark_table
from interceptor.scan.mirror import (
    MirrorError,
    core,
    loosened,
    reversed_pattern,
    rot13_pattern,
    shortened,
)
from interceptor.scan.ruleset import Rule
from interceptor.scan.spans import Way
from interceptor.scan.stages import Hinted, Stages, stages_of

_MAKERS: Final = (
    *("mirror.py", "fragments.py", "marks.py", "patterns.py", "plan.py", "database.py"),
    "stages.py",
)
"""A plan that other code has made is made again: it must fit the close look."""


class Plan(msgspec.Struct, frozen=True):
    """What hits mean, and where the databases lie."""

    ways: tuple[Way, ...]
    """Of the turned rules."""
    fragments: int
    """Number of patterns of values that may be pieces, which come after the turned rules."""
    named: tuple[int, ...]
    """Indexes of the rules in the database of host names."""
    marks: tuple[Mark, ...]
    """Kinds of marks, see `interceptor.scan.marks`."""
    literals: bytes
    """For each literal of marks the index of its kind."""
    joins: tuple[Way, ...]
    """Of the patterns for joined text: (index of the rule, way or "")."""
    always: int
    """So many of the further databases are looked at for every text."""
    calls: dict[int, tuple[int, ...]]
    """Index of a hit -> which further databases it calls for, see `interceptor.scan.stages`."""
    keys: tuple[str, str, str, str, str]
    """Of the databases of what is looked for everywhere, of host names, of marks, of joined text
    and of the further ones, in the cache."""


class Opened(NamedTuple):
    """The databases of some rules."""

    plain: Any
    folded: Any
    """None: no rule looks at host names."""
    marks: Any
    """None: no rule may be found in pieces."""
    joined: Any
    """The rules that may be found in pieces, turned or not; None: there are none."""
    further: tuple[Any, ...]
    """The first holds what all others do, hints aside: for short texts."""
    plan: Plan


class _Made(NamedTuple):
    plan: Plan
    patterns: tuple[list[Pattern], list[Pattern], list[Pattern], list[Pattern]]
    further: list[list[Pattern]]


def may_be_split(rule: Rule) -> bool:
    """Say whether a rule is looked for in joined pieces, reversed and in ROT13."""
    return rule.kind == "prefixed" if rule.split is None else rule.split


def open_plan(rules: Sequence[Rule], folder: Path | None) -> Opened:
    """Return the databases of some rules, from the cache as far as they are there.

    Args:
        rules: in the order that findings count them by.
        folder: see `interceptor.scan.cache`; None: no cache.

    Raises:
        RulePatternError: a pattern that Vectorscan refuses.
    """
    if folder is None:
        made = _make(rules)
        databases = [compile_database(p) if p else None for p in made.patterns]
        return _opened(databases, [compile_database(p) for p in made.further], made.plan)
    again: _Made | None = None
    key = _key(rules)
    plan = _stored(folder, key)
    if plan is None:
        again = _make(rules)
        plan = again.plan
        cache.store(folder, key, msgspec.msgpack.encode(plan))
    databases = []
    *names, rest = plan.keys
    for number, name in enumerate(names):
        database = cached_database(name, folder) if name else None
        if name and database is None:
            again = again or _make(rules)
            database = store_database(again.patterns[number], name, folder)
        databases.append(database)
    further = cached_databases(rest, folder)
    if further is None:
        further = store_databases((again or _make(rules)).further, rest, folder)
    return _opened(databases, further, plan)


def _opened(databases: Iterable[Any], further: Sequence[Any], plan: Plan) -> Opened:
    plain, folded, marks, joined = databases
    return Opened(plain, folded, marks, joined, tuple(further), plan)


def _key(rules: Sequence[Rule]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in _MAKERS:
        digest.update((resources.files("interceptor.scan") / name).read_bytes())
    told = [(r.id, r.pattern, r.caseless, r.surfaces, r.hints, may_be_split(r)) for r in rules]
    digest.update(repr((key_of(()), GATES, HINTS, told)).encode())
    return digest.hexdigest()


def _stored(folder: Path, key: str) -> Plan | None:
    stored = cache.load(folder, key)
    if stored is None:
        return None
    try:
        return msgspec.msgpack.decode(stored, type=Plan)
    except (msgspec.DecodeError, msgspec.ValidationError):  # pragma: no cover - sealed
        return None


def _make(rules: Sequence[Rule]) -> _Made:
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
    table = mark_table(split)
    marks = tuple(dict.fromkeys(mark for _, _, mark in table))
    kinds = {mark: number for number, mark in enumerate(marks)}
    stages = _stages(rules, own, [*gates, *turned, *fragments])
    indexed = [pattern._replace(number=at) for at, pattern in enumerate(stages.patterns)]
    further = [[indexed[index] for index in group] for group in stages.further]
    count = len(rules) + len(gates) + len(turned) + len(fragments)
    further.insert(0, [each for group in further for each in group if each.number < count])
    patterns = (
        [indexed[index] for index in stages.main],
        [own[number]._replace(caseless=True) for number in named],
        [mark_pattern(literal, caseless=caseless) for literal, caseless, _ in table],
        [*(own[number] for number, rule in enumerate(rules) if may_be_split(rule)), *turned],
    )
    straight = [(number, "") for number, rule in enumerate(rules) if may_be_split(rule)]
    first, second, third, fourth = (key_of(p) if p else "" for p in patterns)
    fifth = key_of([pattern for group in further for pattern in group])
    plan = Plan(
        ways=tuple(ways),
        fragments=len(fragments),
        named=named,
        marks=marks,
        literals=bytes(kinds[mark] for _, _, mark in table),
        joins=(*straight, *ways),
        always=stages.always,
        calls=stages.calls,
        keys=(first, second, third, fourth, fifth),
    )
    return _Made(plan, patterns, further)


def _stages(rules: Sequence[Rule], own: Sequence[Pattern], others: Sequence[Pattern]) -> Stages:
    """Sort the patterns of rules, and the others behind them, into databases."""
    patterns = [
        pattern._replace(text=loosened(core(rule.pattern)).encode("ascii"))
        if rule.hints
        else pattern
        for rule, pattern in zip(rules, own, strict=True)
    ]
    groups: dict[tuple[tuple[Pattern, ...], ...], list[int]] = {}
    hints: list[tuple[Hints, str, bool]] = [
        ((rule.hints,), f"rule {rule.id}", rule.caseless) for rule in rules
    ]
    hints += [(levels, others[at].name, False) for at, levels in enumerate(HINTS)]
    for index, (levels, name, caseless) in enumerate(hints):
        if levels and levels[0]:
            each = tuple(
                tuple(Pattern(text.encode("ascii"), f"hint of {name}", caseless) for text in level)
                for level in levels
            )
            groups.setdefault(each, []).append(index)
    hinted = [Hinted(each, tuple(indexes)) for each, indexes in groups.items()]
    return stages_of([*patterns, *others], hinted)


def _turned(rules: Sequence[Rule], own: Sequence[Pattern]) -> tuple[list[Pattern], list[Way]]:
    """Make the patterns of secrets that are turned round or in ROT13."""
    patterns: list[Pattern] = []
    ways: list[Way] = []
    for number, rule in enumerate(rules):
        if not may_be_split(rule):
            continue
        for way, turned in (
            ("reversed", reversed_pattern),
            ("rot13", rot13_pattern),
            ("reversed>rot13", lambda pattern: rot13_pattern(reversed_pattern(pattern))),
        ):
            try:
                text = turned(own[number].text.decode("ascii")).encode("ascii")
            except MirrorError:
                continue
            patterns.append(Pattern(text, f"rule {rule.id}, {way}", rule.caseless))
            ways.append((number, way))
    return patterns, ways
