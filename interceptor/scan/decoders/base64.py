"""Base64 (RFC 4648 section 4 and 5), in every alphabet, alignment and direction.

All runs of a text are decoded at once: put together with zero bits between them, at each of the
four alignments, so that each run meets its own in one of them. A run may be the tail of a path or
of another word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pybase64 import b64decode

from interceptor.scan.decoders.alphabet import Alphabet, fresh
from interceptor.scan.decoders.base32 import decode_token
from interceptor.scan.decoders.compressed import SIZES, at_start, first_bytes
from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.noise import is_noise
from interceptor.scan.decoders.radix import from_token
from interceptor.scan.decoders.strand import Reading, kept, strand
from interceptor.scan.mirror import ROT13

MIN_BASE64 = 20
"""Characters of the shortest run that is decoded: 15 bytes."""

_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_HEX = b"0123456789ABCDEFabcdef"
_UUID = re.compile(rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")
_RUNS: Final = Alphabet(_CHARACTERS, MIN_BASE64, literals=True)
_LEAST_WHOLE: Final = 24
_LONGEST_TOKEN: Final = 2048
_FEW: Final = 400  # characters that are read in all ways before any reading is looked at
_DIGESTS: Final = frozenset((32, 40, 48, 56, 64, 96, 128))

# Pieces that were encoded one by one, each with its padding.
_PADDED = re.compile(rb"(?:[A-Za-z0-9+/_-]{2,}+={1,2}+)+(?:[A-Za-z0-9+/_-]{2,}+={0,2}+)?")
_BETWEEN_PADDING = re.compile(rb"=[A-Za-z0-9+/_-]{2,}+=")
_PIECE = re.compile(rb"([A-Za-z0-9+/_-]++)(={0,2})")


_VALUES = bytes(max(0, _CHARACTERS.find(byte)) & 63 for byte in range(256))
_LONG_HEADS, _HEADS, _SHORT_HEADS = map(first_bytes, SIZES)
_TURNED_HEADS = first_bytes(-1)


def base64_phases(run: bytes) -> list[bytes]:
    """Decode a run of base64 characters (either alphabet, no padding) at each of its alignments."""
    return [out for out, _ in _readings(_standard(run))]


def _readings(text: bytes) -> list[Reading]:
    return [(_exact(text[offset:]), -6 * offset) for offset in range(4)]


def _standard(run: bytes) -> bytes:
    # Two passes that mostly find nothing are faster than a table.
    return run.replace(b"-", b"+").replace(b"_", b"/")


def _exact(run: bytes) -> bytes:
    """Decode characters of the standard alphabet from the first one on."""
    rest = len(run) & 3
    if rest == 1:
        run = run[:-1]
    elif rest:
        run += b"=" * (4 - rest)
    return b64decode(run, validate=True)


def decode_base64(text: bytes, seen: Seen) -> Iterator[tuple[str, bytes]]:
    """Decode every run of a text, plain, reversed and in ROT13."""
    found: list[bytes] = []
    pieces: list[bytes] = []
    done = decoded = 0
    for start, end in _RUNS.spans(text):
        if start < done:
            continue
        # UUIDs and hexadecimal digests are everywhere, and no text encodes to them.
        size = end - start
        if size == 36 and text[start + 8] == 45 and _UUID.match(text, start, end):
            continue
        if size in _DIGESTS and not text[start:end].translate(None, _HEX):
            continue
        padded = start >= decoded and text[end : end + 1] == b"="
        if padded and text[end + 1 : end + 3].lstrip(b"=").isalnum():
            more, decoded = _padded(text, start)
            pieces += more
        done = _RUNS.collect(text, start, end, found)
    new = fresh(found, "base64", seen)
    if pieces:
        yield "base64", b"\n".join(pieces)
    if new:
        yield from _decoded(new)


def _decoded(found: list[bytes]) -> Iterator[tuple[str, bytes]]:
    found = [_standard(run) for run in found]
    plain = strand(found, b"AAAA")
    turned = strand([run.translate(ROT13) for run in found], b"AAAA")
    ways = (("base64", plain), ("reversed>base64", plain.turned_round()), ("rot13>base64", turned))
    # Most often there is nothing: one look for all of them, if they are short.
    if len(plain.text) > _FEW or not is_noise(
        b"\n".join(base64_phases(b"AAAA".join([way.text for _, way in ways]))), thorough=True
    ):
        for name, way in ways:
            yield name, kept(way, 6, _readings(way.text), turned=name != "base64")
    for run in found:
        yield from _tried(run)


def _tried(run: bytes) -> Iterator[tuple[str, bytes]]:
    """Undo what a run is only as a whole: compressed data, or one number."""
    size = len(run)
    if size < _LEAST_WHOLE:
        return
    heads = _SHORT_HEADS if size < 54 else _HEADS if size < 342 else _LONG_HEADS
    if _head(run[0], run[1]) in heads:
        yield from _compressed("base64", run, usual=False)
    if _head(run[-1], run[-2]) in _TURNED_HEADS:
        yield from _compressed("reversed>base64", run[::-1], usual=True)
    if _head(ROT13[run[0]], ROT13[run[1]]) in _TURNED_HEADS:
        yield from _compressed("rot13>base64", run.translate(ROT13), usual=True)
    if size <= _LONGEST_TOKEN and run.isalnum():
        yield from from_token(run)
        if run.islower() or run.isupper():
            yield from decode_token(run)


def _head(first: int, second: int) -> int:
    """Return the first byte that two characters stand for."""
    return _VALUES[first] << 2 | _VALUES[second] >> 4


def _compressed(way: str, run: bytes, *, usual: bool) -> Iterator[tuple[str, bytes]]:
    for name, out in at_start(_exact(run), usual=usual):
        yield f"{way}>{name}", out


def _padded(text: bytes, start: int) -> tuple[list[bytes], int]:
    """Decode pieces that follow each other without a gap, each with padding of its own.

    Returns what they make together, if they are several, and where they end.
    """
    found = _PADDED.match(text, start)
    if found is None:
        return [], start + 1
    pieces = [
        # Padding says how many characters the last group has; the piece may begin before its own.
        _exact(run[(len(run) - 4 + len(padding)) & 3 :] if padding else run)
        for run, padding in _PIECE.findall(_standard(found[0]))
    ]
    return [b"".join(pieces)] if len(pieces) > 1 else [], found.end()


def _decode_padded(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    """Decode pieces of a few characters, as where each letter is encoded by itself."""
    pieces = []
    done = 0
    for found in _BETWEEN_PADDING.finditer(text):
        start = found.start()
        if start < done:
            continue
        start -= text[start - 1 : start] == b"="
        while start > max(done, found.start() - MIN_BASE64) and text[start - 1] in _CHARACTERS:
            start -= 1
        more, done = _padded(text, start)
        pieces += more
    yield "base64", b"\n".join(pieces)


BASE64: tuple[Decoder, ...] = (
    Decoder("base64", (r"[A-Za-z0-9+/_-]{20}",), decode_base64),
    Decoder(
        "base64",
        (
            r"==[A-Za-z0-9+/_-]{2}==[A-Za-z0-9+/_-]{2}==",
            r"=[A-Za-z0-9+/_-]{2,19}={1,2}[A-Za-z0-9+/_-]{2,19}={1,2}[A-Za-z0-9+/_-]",
            r"=[A-Za-z0-9+/_-]{8,19}=",
        ),
        _decode_padded,
    ),
)
"""Decoders of base64."""
