"""What a decoder is: a name, the evidence that calls for it, and a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

Seen = set[tuple[str, bytes]]
"""What was decoded within one item: (encoding, run), or ("", whole output)."""


Hints = tuple[tuple[str, ...], ...]
"""Patterns that are quicker to find than others, see `Decoder.hints`."""


class Decoder(NamedTuple):
    """One encoding."""

    name: str
    """As findings name it: `base64`."""
    gates: tuple[str, ...]
    """Patterns in what Vectorscan takes; where none of them fires, the decoder is not asked."""
    decode: Callable[[bytes, Seen], Iterable[tuple[str, bytes]]]
    """(text, what was decoded before) -> (name or chain, decoded bytes) pairs."""
    last: bool = False
    """True if what it yields is not decoded any further, and only rules that may be found in pieces
    count in it."""
    hints: Hints = ()
    """Patterns that are quicker to find than the gates: of each tuple one occurs wherever a gate
    matches that matters, and what comes after it is looked for only there. None: always."""
