"""Undoing the encodings in which a secret may travel, cheaply and within bounds.

Gates are patterns of the same database as the rules: where no gate fires, nothing is decoded, so
clean text costs nothing here. One encoding is one entry of `DECODERS`.
"""

from __future__ import annotations

from collections.abc import Iterator

from interceptor.scan.decoders.continued import CONTINUED
from interceptor.scan.decoders.joined import JOINED
from interceptor.scan.decoders.model import Decoder, Hints, Seen
from interceptor.scan.decoders.noise import readable
from interceptor.scan.decoders.runs import RUNS
from interceptor.scan.decoders.texts import TEXTS
from interceptor.scan.decoders.turned import TURNED

MAX_DEPTH = 6
"""Encodings inside one another that are undone."""

DECODERS: tuple[Decoder, ...] = (*TEXTS, *RUNS, *TURNED, CONTINUED, *JOINED)
"""Every decoder; the cheap ones that undo escapes come first."""

GATES: tuple[tuple[int, str], ...] = tuple(
    (number, gate) for number, decoder in enumerate(DECODERS) for gate in decoder.gates
)
"""(index in `DECODERS`, pattern) of every gate; that index is its bit in a mask."""

HINTS: tuple[Hints, ...] = tuple(DECODERS[number].hints for number, _ in GATES)
"""Of each gate, see `Decoder.hints`."""

_RUNS = range(len(TEXTS), len(TEXTS) + len(RUNS))
_PACKED = frozenset(("gzip", "zlib", "zip", "zstd", "bzip2", "xz", "deflate"))
PACKED = sum(1 << number for number, decoder in enumerate(DECODERS) if decoder.name in _PACKED)
"""Bits of the decoders of compressed data."""

_TEXTUAL = frozenset(
    ("unescape", "form", "css", "quoted-printable", "utf-7", "unicode", "separated", "concat")
)
_OF_TEXT = sum(1 << number for number, decoder in enumerate(DECODERS) if decoder.name in _TEXTUAL)

__all__ = [
    "DECODERS",
    "GATES",
    "HINTS",
    "MAX_DEPTH",
    "PACKED",
    "Decoder",
    "Seen",
    "decode",
    "gate_name",
]


def decode(text: bytes, mask: int, seen: Seen) -> Iterator[tuple[str, bytes, bool]]:
    """Yield (encoding, decoded bytes, last) for each encoding whose gate fired on `text`.

    Args:
        text: what the gates fired on.
        mask: bits of the decoders whose gates fired.
        seen: what was decoded before within the same item; grows, so that nothing is decoded twice.
    """
    plain = readable(text) if mask & _OF_TEXT else text
    while mask:
        lowest = mask & -mask
        mask ^= lowest
        number = lowest.bit_length() - 1
        decoder = DECODERS[number]
        for name, out in decoder.decode(plain if lowest & _OF_TEXT else text, seen):
            if out and ("", out) not in seen:
                seen.add(("", out))
                # What was encoded ends with its run: some rules ask for what follows a value.
                yield name, out + b"\n" if number in _RUNS else out, decoder.last


def gate_name(number: int) -> str:
    """Name of a decoder, for messages about its gates."""
    return DECODERS[number].name
