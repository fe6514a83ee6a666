"""Base85: Ascii85 (with and without its frame), Python's and git's b85, ZeroMQ's Z85.

Most printable characters are digits of these, so that half of all program text is a run. What
program text is not: dense with punctuation and text when it is decoded. The first digit of a group
says the most about its first byte, so columns of first digits are looked at before any decoding.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from interceptor.scan.decoders.alphabet import Alphabet, fresh
from interceptor.scan.decoders.compressed import at_start
from interceptor.scan.decoders.lanes import from_base85
from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.noise import is_noise
from interceptor.scan.decoders.streams import Found

MIN_BASE85 = 25
"""Characters of the shortest run that is decoded: 20 bytes."""
_FEW = 8  # runs, up to which each is tried by itself
_GROUPS = 4  # first digits in a row that fit readable bytes

_CAPITALS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SMALL_LETTERS = _CAPITALS.lower()
_ASCII85 = bytes(range(33, 118))
_B85 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


class _Variant(NamedTuple):
    name: str
    digits: bytes
    """The alphabet in the order of its values."""
    rare: bytes
    """Those that words, paths and JSON have seldom; every sixth digit is one."""
    runs: Alphabet
    values: bytes
    """Table from characters to values."""
    first: bytes
    """Table that marks first digits of groups whose first byte is readable."""


def _variant(name: str, digits: bytes, rare: bytes) -> _Variant:
    values = bytes(max(0, digits.find(byte)) for byte in range(256))
    low, high = 0x20 << 24, (0x7F << 24) - 1
    fitting = digits[low // 85**4 : high // 85**4 + 1]
    first = bytes(49 if byte in fitting else 32 for byte in range(256))
    return _Variant(name, digits, rare, Alphabet(digits, MIN_BASE85), values, first)


_VARIANTS: Final = (
    _variant("ascii85", _ASCII85, b"!#$%&'()*;<>?@^`\\"),
    _variant("base85", _B85, b"!#$%&*;<>?@^`|~"),
    _variant("z85", _Z85, b"!*?&<>^@%$#"),
)
_FRAMED = re.compile(rb"<~([!-uyz\s]{5,}+)")
_ESCAPED = re.compile(rb"\\([\"\\/])")


def _decoding(variant: _Variant) -> Callable[[bytes, Seen], Found]:
    def decode(text: bytes, seen: Seen) -> Found:
        return _decode(variant, text, seen)

    return decode


def _decode(variant: _Variant, text: bytes, seen: Seen) -> Found:
    rare = variant.rare
    found: list[bytes] = []
    done = 0
    for start, end in variant.runs.spans(text):
        if start >= done and _varied(text[start:end], rare):
            done = variant.runs.collect(text, start, end, found)
    if b"\\" in rare:  # a string of JSON holds two characters for some digits
        found += [_ESCAPED.sub(rb"\1", run) for run in found if b"\\" in run]
    new = fresh(found, variant.name, seen)
    if not new:
        return
    joined = _Joined(variant, new)
    outputs = joined.outputs(plain=len(new) <= _FEW)
    yield variant.name, b"\n".join([out for out in outputs if not is_noise(out)])
    if len(new) <= _FEW:
        for run in new:
            yield from _compressed(variant, run)


def _compressed(variant: _Variant, run: bytes) -> Found:
    """Undo what is compressed without a magic number and stands by itself."""
    filled = run + variant.digits[-1:] * (-len(run) % 5)
    out = from_base85(filled.translate(variant.values))
    for name, inner in at_start(out[: len(run) - len(filled) or None]):
        yield f"{variant.name}>{name}", inner


def _varied(run: bytes, rare: bytes) -> bool:
    """Say whether characters are mixed as in base85, where a third each are capitals and not."""
    size = len(run)
    return (
        (size - len(run.translate(None, _CAPITALS))) * 12 >= size
        and (size - len(run.translate(None, rare))) * 64 >= size
        and len(run.translate(None, _SMALL_LETTERS)) * 3 >= size
    )


class _Joined:
    """Runs put together, each beginning with a group."""

    def __init__(self, variant: _Variant, runs: list[bytes]) -> None:
        filling = variant.digits[-1:] * 9  # a short last group is filled with the highest digit
        parts = []
        self._spans = []
        at = 0
        for run in runs:
            gap = 5 + -len(run) % 5
            parts += [run, filling[:gap]]
            self._spans.append((at, at + len(run)))
            at += len(run) + gap
        text = b"".join(parts)
        self._values = text.translate(variant.values)
        self._first = text.translate(variant.first)

    def outputs(self, *, plain: bool) -> list[bytes]:
        """Decode at each alignment where text may come out; at the first in any case if `plain`."""
        first = self._first
        return [
            self.output(offset)
            for offset in range(5)
            if (plain and not offset) or b"1" * _GROUPS in first[offset::5]
        ]

    def output(self, offset: int) -> bytes:
        values = self._values
        out = bytearray(from_base85(values[offset : len(values) - (len(values) - offset) % 5]))
        starts = [start for start, _ in self._spans[1:]]
        for (_, end), following in zip(self._spans, [*starts, len(values)], strict=True):
            # Digits short of a group of five make one byte less; what fills it up is no text.
            group, digits = divmod(end - offset, 5)
            stop = 4 * group + max(0, digits - 1)
            upto = min(len(out), 4 * -((offset - following) // 5))
            if upto > stop:
                out[stop:upto] = b"\n" + bytes(upto - stop - 1)
        return bytes(out)


def _decode_framed(text: bytes, seen: Seen) -> Found:
    """Decode Ascii85 in its frame: blanks do not count, `z` and `y` stand for whole groups."""
    variant = _VARIANTS[0]
    found = []
    for run in _FRAMED.findall(text):
        for form in (run, _ESCAPED.sub(rb"\1", run)) if b"\\" in run else (run,):
            digits = form.translate(None, b" \t\r\n\v\f")
            found.append(digits.replace(b"z", b"!!!!!").replace(b"y", b"+<VdL"))
    new = fresh(found, "ascii85", seen)
    if new:
        out = _Joined(variant, new).output(0)
        yield variant.name, out
        for run in new[:_FEW]:
            yield from _compressed(variant, run)


def _class(members: bytes) -> str:
    return "[" + "".join(f"\\x{byte:02x}" for byte in members) + "]"


def _mixed(variant: _Variant) -> str:
    """Pattern of a run that `_varied` may let pass: three capitals and a rare one, in any order."""
    rare, between = _class(variant.rare), _class(variant.digits) + "*"
    orders = (["[A-Z]"] * at + [rare] + ["[A-Z]"] * (3 - at) for at in range(4))
    return "|".join(between.join(order) for order in orders)


BASE85: tuple[Decoder, ...] = (
    Decoder("ascii85", ("<~[!-uyz]{5}",), _decode_framed),
    *(
        Decoder(
            variant.name,
            (_mixed(variant),),
            _decoding(variant),
            hints=(
                (f"{_class(variant.digits)}{{{MIN_BASE85}}}",),
                (_class(variant.rare) + _class(variant.digits) + "{10}",),
            ),
        )
        for variant in _VARIANTS
    ),
)
"""Decoders of base85."""
