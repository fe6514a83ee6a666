"""A second look before work is done: small Vectorscan databases, compiled when they are needed.

A gate of the egress database must cost nothing on all traffic, so it is coarse. Where it has fired,
a pattern that would be too dear there says in a few microseconds whether there is anything.
"""

from __future__ import annotations

from typing import Any


class Sieve:
    """Patterns of which only matters whether one of them occurs."""

    __slots__ = ("_database", "_patterns")

    def __init__(self, *patterns: str) -> None:
        """Take patterns in what Vectorscan understands; nothing is compiled yet."""
        self._patterns = patterns
        self._database: Any = None

    def holds(self, text: bytes) -> bool:
        """Say whether a pattern occurs in `text`; safe in any thread."""
        database = self._database
        if database is None:
            database = self._compile()
        hits: list[int] = []
        # Cloning takes a tenth of a microsecond; scratch space must not be shared by threads.
        database.scan(text, _note, context=hits, scratch=database.scratch.clone())
        return bool(hits)

    def _compile(self) -> Any:
        import hyperscan

        count = len(self._patterns)
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        database.compile(
            expressions=[pattern.encode("ascii") for pattern in self._patterns],
            ids=list(range(count)),
            elements=count,
            flags=[hyperscan.HS_FLAG_SINGLEMATCH] * count,
        )
        database.scratch = hyperscan.Scratch(database)
        self._database = database
        return database


def _note(index: int, _start: int, _end: int, _flags: int, hits: list[int]) -> None:
    hits.append(index)
