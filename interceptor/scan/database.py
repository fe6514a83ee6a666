"""Vectorscan databases: compiled together, kept on disk by the hash of what is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from interceptor.scan import cache

Hit = tuple[int, int]
"""Index of the pattern, and the offset where its match ends."""


class RulePatternError(Exception):
    """A pattern that Vectorscan refuses; names the rule."""


class Pattern(NamedTuple):
    """One pattern of a database."""

    text: bytes
    name: str
    """For messages."""
    caseless: bool = False
    once: bool = False
    """Report its first match only. For gates: with a rule, a decoy would hide the rest."""
    number: int = -1
    """What its hits are told by; -1: its place among the patterns that are compiled together."""


def collect_hit(index: int, _start: int, end: int, _flags: int, hits: list[Hit]) -> None:
    """Callback of a scan: notes each hit in the list that was given as its context."""
    hits.append((index, end))


def open_database(patterns: Sequence[Pattern], folder: Path | None) -> Any:
    """Compile patterns, or load them from the cache in `folder`.

    Args:
        patterns: indexes of hits are places in it.
        folder: directory of the cache; None compiles each time.

    Raises:
        RulePatternError: a pattern that Vectorscan refuses.
    """
    if folder is None:
        return compile_database(patterns)
    key = key_of(patterns)
    database = cached_database(key, folder)
    return store_database(patterns, key, folder) if database is None else database


def key_of(patterns: Sequence[Pattern]) -> str:
    """Return the name of compiled patterns in the cache: a digest of all they depend on."""
    import hyperscan

    version = hyperscan.__version__  # type: ignore[attr-defined]
    stamp = repr((version, [(p.text, p.caseless, p.once, p.number) for p in patterns])).encode()
    return hashlib.blake2b(stamp, digest_size=16).hexdigest()


def cached_database(key: str, folder: Path) -> Any:
    """Load compiled patterns from the cache; None if they are not there, or of no use here."""
    import hyperscan

    body = cache.load(folder, key)
    if body is None:
        return None
    try:
        database: Any = hyperscan.loadb(body, hyperscan.HS_MODE_BLOCK)
    except hyperscan.HyperscanError:  # another machine's features
        return None
    database.scratch = hyperscan.Scratch(database)
    return database


def cached_databases(key: str, folder: Path) -> list[Any] | None:
    """Load several databases that are kept together; None if they are not there, or of no use.

    Each has scratch space of its own.
    """
    import hyperscan
    import msgspec

    body = cache.load(folder, key)
    if body is None:
        return None
    try:
        parts = msgspec.msgpack.decode(body, type=list[bytes])
        databases: list[Any] = [hyperscan.loadb(part, hyperscan.HS_MODE_BLOCK) for part in parts]
    except (hyperscan.HyperscanError, msgspec.MsgspecError):
        return None
    for database in databases:
        database.scratch = hyperscan.Scratch(database)
    return databases


def store_databases(groups: Sequence[Sequence[Pattern]], key: str, folder: Path) -> list[Any]:
    """Compile several databases and put them into the cache together.

    Raises:
        RulePatternError: a pattern that Vectorscan refuses.
    """
    import hyperscan
    import msgspec

    databases = [compile_database(patterns) for patterns in groups]
    parts = [hyperscan.dumpb(database) for database in databases]
    cache.store(folder, key, msgspec.msgpack.encode(parts))
    return databases


def store_database(patterns: Sequence[Pattern], key: str, folder: Path) -> Any:
    """Compile patterns and put them into the cache.

    Raises:
        RulePatternError: a pattern that Vectorscan refuses.
    """
    import hyperscan

    database = compile_database(patterns)
    cache.store(folder, key, hyperscan.dumpb(database))
    return database


def compile_database(patterns: Sequence[Pattern]) -> Any:
    """Compile patterns, with scratch space for one thread; nothing is written anywhere.

    Raises:
        RulePatternError: a pattern that Vectorscan refuses.
    """
    import hyperscan

    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(
            expressions=[pattern.text for pattern in patterns],
            ids=[at if p.number < 0 else p.number for at, p in enumerate(patterns)],
            elements=len(patterns),
            flags=[_flags(pattern) for pattern in patterns],
        )
    except hyperscan.HyperscanError:
        # The error does not say which pattern; compile singly to find it, for the message alone.
        for pattern in patterns:
            try:
                hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK).compile(
                    expressions=[pattern.text], ids=[0], elements=1, flags=[_flags(pattern)]
                )
            except hyperscan.HyperscanError:
                raise RulePatternError(
                    f"Vectorscan refuses the pattern of {pattern.name}"
                ) from None
        raise RulePatternError("Vectorscan refuses the patterns together") from None
    database.scratch = hyperscan.Scratch(database)
    return database


def _flags(pattern: Pattern) -> int:
    import hyperscan

    fold = hyperscan.HS_FLAG_CASELESS if pattern.caseless else 0
    return fold | (hyperscan.HS_FLAG_SINGLEMATCH if pattern.once else 0)
