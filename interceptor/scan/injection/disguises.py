"""Text that is written so that only a machine reads it, made plain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from interceptor.scan.database import Pattern


class Disguise(NamedTuple):
    """One way to write text."""

    name: str
    gates: tuple[str, ...]
    caseless: bool = False


class View(NamedTuple):
    """Text made plain."""

    name: str
    text: bytes
    place: int
    """Where it stood in what was scanned."""
    bare: bool = False
    """Its blanks are gone."""


DISGUISES: tuple[Disguise, ...] = ()


def bare_patterns(words: Sequence[tuple[int, str]]) -> list[Pattern]:
    """Patterns of words in text without blanks."""
    return [Pattern(word.encode("ascii"), word, caseless=True, number=part) for part, word in words]


def views(text: bytes, mask: int) -> Iterator[View]:
    """Yield what a text says, made plain."""
    del text, mask
    yield from ()
