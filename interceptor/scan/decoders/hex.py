"""Hexadecimal: runs, digits in groups with something between them, and dumps."""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Callable
from typing import Final

from interceptor.scan.decoders.alphabet import Alphabet, fresh
from interceptor.scan.decoders.compressed import SIZES, at_start, first_bytes
from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.sieve import Sieve
from interceptor.scan.decoders.strand import Reading, kept, strand
from interceptor.scan.decoders.streams import SHORTEST, Found
from interceptor.scan.mirror import ROT13

MIN_HEX = 30
"""Digits of the shortest run that is decoded: 15 bytes."""

_DIGITS = b"0123456789abcdefABCDEF"
_RUNS: Final = Alphabet(_DIGITS, MIN_HEX)


def _heads(size: int) -> frozenset[bytes]:
    heads = first_bytes(size)
    return frozenset((form % byte).encode() for byte in heads for form in ("%02x", "%02X"))


_LONG_HEADS, _HEADS, _SHORT_HEADS = map(_heads, SIZES)


def hex_phases(run: bytes) -> list[bytes]:
    """Decode a run of hexadecimal digits at both alignments."""
    return [out for out, _ in _readings(run)]


def _readings(run: bytes) -> list[Reading]:
    size = len(run)
    return [(unhexlify(run[: size & ~1]), 0), (unhexlify(run[1 : 1 + (size - 1 & ~1)]), -4)]


def decode_hex(text: bytes, seen: Seen) -> Found:
    """Decode every run of a text, plain and reversed."""
    new = fresh(_RUNS.runs(text), "hex", seen)
    if new:
        yield from _decoded(new)
        way = strand(new, b"0000").turned_round()
        yield "reversed>hex", kept(way, 4, _readings(way.text))


def _decoded(found: list[bytes]) -> Found:
    way = strand(found, b"0000")
    yield "hex", kept(way, 4, _readings(way.text))
    for run in found:
        size = len(run)
        heads = _SHORT_HEADS if size < 80 else _HEADS if size < 512 else _LONG_HEADS
        if run[:2] in heads:
            for name, inner in at_start(unhexlify(run[: size & ~1])):
                yield f"hex>{name}", inner


_GAP = rb"(?:[%b \t\r\n\"'+]|\\{1,4}[rnt]){1,80}"
_SHAPE = bytes(
    104 if byte in _DIGITS else 120 if byte in b"xX" else byte if byte in b":,._ -" else 126
    for byte in range(256)
)


def _grouped(group: bytes, between: bytes, count: int) -> tuple[bytes, re.Pattern[bytes]]:
    """How groups stand in a text, with `h` for a digit, and what goes on from there."""
    digits = re.sub(rb"h+", lambda found: rb"[0-9A-Fa-f]{%d}" % len(found[0]), group)
    digits = digits.replace(b"[0-9A-Fa-f]{1}x", b"0[xX]")
    gap = _GAP % re.escape(between.strip() or b" ")
    return (group + between) * count, re.compile(b"(?:%b%b)+(?:%b)?" % (digits, gap, digits))


_GROUPED: Final = (
    *(_grouped(b"hh", between, 6) for between in (b":", b",", b", ", b".", b"_", b" ", b"-")),
    *(_grouped(b"hxhh", between, 3) for between in (b",", b", ", b" ")),
    _grouped(b"hhhh", b" ", 3),
    _grouped(b"hhhhhhhh", b" ", 2),
)
_NOT_DIGITS = bytes(byte for byte in range(256) if byte not in _DIGITS)
# A line of a dump: the offset, the bytes; a column of characters may follow.
_DUMPED = re.compile(
    rb"(?<![0-9A-Fa-f])(?:0[xX])?[0-9A-Fa-f]{4,16}+:?+[ \t]{1,4}+"
    rb"((?:(?:[0-9A-Fa-f]{2}){1,4}[ \t-]{1,3}+){0,32}(?:(?:[0-9A-Fa-f]{2}){1,4}(?!\w))?)"
)
_DUMP: Final = Sieve(
    r"[0-9A-Fa-f]{4}:?[ \t]{1,4}(?:[0-9A-Fa-f]{2}){1,4}[ \t](?:[0-9A-Fa-f]{2}){1,4}[ \t]"
)


def decode_grouped(text: bytes, seen: Seen) -> Found:
    """Decode digits in groups of 2, 4 or 8 with something between them, and dumps of bytes."""
    shape = text.translate(_SHAPE)
    found = []
    for needle, stretch in _GROUPED:
        at = shape.find(needle)
        while at >= 0:
            groups = stretch.match(text, at)
            end = groups.end() if groups else at + 1
            digits = text[at:end].replace(b"0x", b"").replace(b"0X", b"")
            found.append(digits.translate(None, _NOT_DIGITS))
            at = shape.find(needle, end)
    if _DUMP.holds(text):
        dumped = b"".join(_DUMPED.findall(text)).translate(None, _NOT_DIGITS)
        found += [dumped, _swapped(dumped)]
    new = fresh([run for run in found if len(run) >= 2 * SHORTEST], "hex", seen)
    if new:
        yield from _decoded(new)


def _swapped(digits: bytes) -> bytes:
    """Exchange the bytes of 16-bit words, as `od -x` and `hexdump` print them."""
    whole = len(digits) & ~3
    out = bytearray(whole)
    for to, come in enumerate((2, 3, 0, 1)):
        out[to::4] = digits[come:whole:4]
    return bytes(out)


def _turned(
    way: str, turn: Callable[[bytes], bytes], decode: Callable[[bytes, Seen], Found]
) -> Callable[[bytes, Seen], Found]:
    def turned(text: bytes, seen: Seen) -> Found:
        for name, out in decode(turn(text), seen):
            yield f"{way}>{name}", out

    return turned


def _gates(pair: str, betweens: tuple[str, ...], count: int) -> tuple[str, ...]:
    return tuple((pair + between) * count for between in betweens)


_PAIR = "[2-7][0-9A-Fa-f]"
_BETWEENS = (":", ",", ", ", r"\.", "_", " ", "-")
HEX: tuple[Decoder, ...] = (
    Decoder("hex", ("[0-9A-Fa-f]{30}",), decode_hex),
    Decoder(
        "hex",
        (
            *_gates(_PAIR, _BETWEENS, 6),
            *_gates("[0-9A-Fa-f][0-9A-Fa-f]", (":",), 12),
            *_gates("0[xX][0-9A-Fa-f][0-9A-Fa-f]", ("[, ]{1,2}",), 3),
            *_gates(_PAIR * 2, (" ",), 3),
            *_gates(_PAIR * 4, (" ",), 2),
        ),
        decode_grouped,
    ),
    Decoder(
        "hex",
        (
            *_gates("[0-9A-Fa-f][2-7]", (":", " ", "-"), 6),
            *_gates("[0-9A-Fa-f][2-7][xX]0", ("[, ]{1,2}",), 3),
        ),
        _turned("reversed", lambda text: text[::-1], decode_grouped),
    ),
    Decoder(
        "hex",
        ("[0-9N-Sn-s]{30}",),
        _turned("rot13", lambda text: text.translate(ROT13), decode_hex),
    ),
    Decoder(
        "hex",
        (
            *_gates("[2-7][0-9N-Sn-s]", (":", " ", "-"), 6),
            *_gates("0[kK][2-7][0-9N-Sn-s]", ("[, ]{1,2}",), 3),
        ),
        _turned("rot13", lambda text: text.translate(ROT13), decode_grouped),
    ),
)
"""Decoders of hexadecimal."""
