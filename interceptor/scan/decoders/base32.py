"""Base32: RFC 4648 section 6 and 7, and Crockford's.

A run is read as one number of base 32, which C does in linear time, and shifted to each of the
eight alignments.
"""

from __future__ import annotations

from typing import Final

from interceptor.scan.decoders.alphabet import Alphabet, fresh
from interceptor.scan.decoders.compressed import at_start
from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.strand import Reading, kept, strand
from interceptor.scan.decoders.streams import Found
from interceptor.scan.mirror import ROT13

MIN_BASE32 = 24
"""Characters of the shortest run that is decoded: 15 bytes."""

_DIGITS = b"0123456789abcdefghijklmnopqrstuv"
_UPPER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_CROCKFORD = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without I, L, O, U (https://www.crockford.com/base32.html)."""


def _table(alphabet: bytes) -> bytes:
    """Translate either case of an alphabet to the digits that `int` takes."""
    return bytes.maketrans(alphabet + alphabet.lower(), _DIGITS + _DIGITS)


_STANDARD: Final = _table(_UPPER)
_ALPHABETS: Final = (Alphabet(_UPPER, MIN_BASE32), Alphabet(_UPPER.lower(), MIN_BASE32))
# Letters of hexadecimal digests alone do not make a run of these.
_REST: Final = (
    ("base32hex", _table(_DIGITS.upper()), _DIGITS + _DIGITS.upper()),
    ("crockford", _table(_CROCKFORD), _CROCKFORD + _CROCKFORD.lower()),
)


def _readings(digits: bytes) -> list[Reading]:
    """Decode digits of base 32, as `int` takes them, at each alignment."""
    number = int(digits, 32)
    bits = 5 * len(digits)
    size = (bits + 7) // 8
    return [((number >> by).to_bytes(size, "big"), 8 * size - bits + by) for by in range(8)]


def decode_base32(text: bytes, seen: Seen) -> Found:
    """Decode every run of a text, plain, reversed and in ROT13."""
    found = [run for alphabet in _ALPHABETS for run in alphabet.runs(text)]
    new = fresh(found, "base32", seen)
    if not new:
        return
    plain = strand([run.translate(_STANDARD) for run in new], b"0" * 8)
    turned = strand([run.translate(ROT13).translate(_STANDARD) for run in new], b"0" * 8)
    for name, way in (
        ("base32", plain),
        ("reversed>base32", plain.turned_round()),
        ("rot13>base32", turned),
    ):
        yield name, kept(way, 5, _readings(way.text))
    for run in new:
        for name, out in at_start(_exact(run.translate(_STANDARD))):
            yield f"base32>{name}", out


def decode_token(token: bytes) -> Found:
    """Decode a run of letters of one case and digits in the rarer alphabets."""
    for name, table, members in _REST:
        if not token.translate(None, members):
            way = strand([token.translate(table)], b"")
            yield name, kept(way, 5, _readings(way.text))


def _exact(digits: bytes) -> bytes:
    bits = 5 * len(digits)
    return (int(digits, 32) >> bits % 8).to_bytes(bits // 8, "big")


BASE32: tuple[Decoder, ...] = (Decoder("base32", ("[A-Z2-7]{24}", "[a-z2-7]{24}"), decode_base32),)
"""Decoders of base32."""
