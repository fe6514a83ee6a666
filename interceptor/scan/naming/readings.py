"""What labels may stand for: every encoding that letters, digits and hyphens of names can carry.

Names lose their case on the way, so encodings that need it count only where capitals are seen. Of
the readings of a text at most one is right; noise is dropped before anybody scans it.
"""

from __future__ import annotations

import contextlib
import re
import zlib
from binascii import unhexlify
from collections.abc import Iterator, Sequence
from typing import Final

from interceptor.scan.decoders.base64 import MIN_BASE64, base64_phases
from interceptor.scan.decoders.noise import is_noise
from interceptor.scan.decoders.radix import from_token
from interceptor.scan.naming.words import spoken

Reading = tuple[str, bytes]
"""Encoding, and what it gives."""

MIN_SIGNS: Final = 12
"""Signs of the shortest text that is decoded: eight bytes of the shortest known secret."""

_WORDS: Final = re.compile(r"[a-z]+|[0-9]+")
_JOINTS: Final = str.maketrans("", "", "-_")
_DIGITS: Final = b"0123456789abcdefghijklmnopqrstuv"
_ALPHABETS: Final = tuple(
    (name, bytes.maketrans(alphabet, _DIGITS), alphabet)
    for name, alphabet in (
        ("base32", b"abcdefghijklmnopqrstuvwxyz234567"),  # RFC 4648 section 6
        ("base32hex", _DIGITS),  # section 7
        ("crockford", b"0123456789abcdefghjkmnpqrstvwxyz"),  # crockford.com/base32.html
        ("z-base-32", b"ybndrfg8ejkmcpqxot1uwisza345h769"),  # philzimmermann.com
        ("iodine", b"abcdefghijklmnopqrstuvwxyz012345"),  # iodine, src/base32.c
    )
)
_HEX: Final = b"0123456789abcdef"
_NUMERALS: Final = b"0123456789"
_INFLATED: Final = 4096  # bytes of what is unpacked
_RADIX: Final = 260  # signs of a number; time grows with the square


def readings(pieces: Sequence[str]) -> Iterator[Reading]:
    """Yield what pieces of a name stand for together, one after the other.

    Args:
        pieces: labels, or parts of them, in the case they were seen in.
    """
    raw = "".join(pieces)
    folded = raw.lower()
    bare = folded.translate(_JOINTS).encode("ascii")
    if len(bare) < MIN_SIGNS:
        return
    yield from _by_alphabet(bare)
    if raw != folded:
        text = raw.encode("ascii")
        for out in base64_phases(text) if len(text) >= MIN_BASE64 else ():
            yield from _worth("base64", out)
    token = raw.translate(_JOINTS)
    if len(token) <= _RADIX:
        yield from from_token(token.encode("ascii"))
    if not bare.translate(None, b"0123456789abcdefx"):
        yield from _escaped(bare)
    if sum(map(folded.count, "0123456789")) * 2 >= len(bare):
        for out in _numbers(pieces):
            yield from _worth("decimal", out)
    words = [word for piece in pieces for word in _WORDS.findall(piece.lower())]
    for name, out in spoken(words):
        if name == "spelt" or not is_noise(out):
            yield name, out


def turned(pieces: Sequence[str]) -> Iterator[Reading]:
    """Yield pieces turned round and in ROT13, their case gone."""
    bare = "".join(pieces).lower().encode("ascii")
    yield "reversed", bare[::-1]
    yield "rot13", bare.translate(_ROT13)


def stretches(labels: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield neighbouring labels that one alphabet of digits may have made, not all labels."""
    for alphabet in (_HEX, _ALPHABETS[0][2], _NUMERALS):
        current: list[str] = []
        for label in [*labels, "."]:
            if not label.lower().translate(_JOINTS).encode("ascii").translate(None, alphabet):
                current.append(label)
                continue
            if current and len(current) < len(labels):
                yield tuple(current)
            current = []


def by_length(labels: Sequence[str]) -> Iterator[Reading]:
    """Yield what the lengths of labels spell, whatever stands in them."""
    sizes = [len(label) for label in labels]
    if len(sizes) < MIN_SIGNS:
        return
    for least in (1, 0):
        digits = [size - least for size in sizes]
        for bits in (4, 5, 6):
            if max(digits) < 1 << bits:
                number = 0
                for digit in digits:
                    number = number << bits | digit
                whole = bits * len(digits) // 8 * 8
                number >>= bits * len(digits) - whole
                yield from _worth("lengths", number.to_bytes(whole // 8, "big"))
    spelt = bytes(96 + size if size <= 26 else 21 + size for size in sizes if size <= 36)
    yield from _worth("lengths", spelt)


def _by_alphabet(bare: bytes) -> Iterator[Reading]:
    if not bare.translate(None, _HEX):
        yield from _worth("hex", unhexlify(bare[: len(bare) & ~1]))
        yield from _worth("hex", unhexlify(bare[1 : 1 + (len(bare) - 1 & ~1)]))
    for name, table, alphabet in _ALPHABETS:
        if bare.translate(None, alphabet):
            continue
        number = int(bare.translate(table), 32)
        bits = 5 * len(bare)
        size = (bits + 7) // 8
        yield from _worth(name, (number >> bits % 8).to_bytes(bits // 8, "big"))
        for by in range(8):
            out = (number >> by).to_bytes(size, "big")
            if by != bits % 8 and not is_noise(out):
                yield name, out


def _escaped(bare: bytes) -> Iterator[Reading]:
    """Undo `x41x4b`, `0x41`, `u0041`, and bits."""
    for mark in (b"0x", b"x", b"u00"):
        if mark in bare:
            digits = bare.replace(mark, b"")
            if digits and len(digits) % 2 == 0 and not digits.translate(None, _HEX):
                yield from _worth("hex", unhexlify(digits))
    if not bare.translate(None, b"01"):
        for width in (8, 7):
            groups = range(0, len(bare) - width + 1, width)
            out = bytes(int(bare[at : at + width], 2) for at in groups)
            yield from _worth("bits", out)


def _numbers(pieces: Sequence[str]) -> Iterator[bytes]:
    """Give what decimal numbers stand for: codes of characters, one by one or run together."""
    tokens = [token for piece in pieces for token in _WORDS.findall(piece) if token.isdigit()]
    codes = [int(token) for token in tokens]
    if len(codes) >= MIN_SIGNS and max(codes) < 256:
        yield bytes(codes)
    if len(codes) > 1:
        parts = [code.to_bytes((code.bit_length() + 7) // 8, "big") for code in codes]
        yield b"".join(parts)
    text = "".join(tokens)
    if len(text) > 2 * _RADIX:
        return
    for base in (10, 8):
        for offset in range(3):
            groups = [text[at : at + 3] for at in range(offset, len(text) - 2, 3)]
            try:
                values = [int(group, base) for group in groups]
            except ValueError:
                break
            if values and max(values) < 256:
                yield bytes(values)
    yield _run_together(text)
    number = int(text or "0")
    yield number.to_bytes((number.bit_length() + 7) // 8, "big")


def _run_together(text: str) -> bytes:
    """Read codes of readable characters without padding: those of three digits begin with 1."""
    out = bytearray()
    at = 0
    while at < len(text):
        size = 3 if text[at] == "1" else 2
        out.append(int(text[at : at + size]))
        at += size
    return bytes(out)


def _worth(name: str, out: bytes) -> Iterator[Reading]:
    """Yield a reading unless it is noise, and what is in it if it is deflate data without a head.

    Compressed data with a head is no noise: who scans takes it apart.
    """
    if not is_noise(out):
        yield name, out
    elif len(out) >= MIN_SIGNS:
        with contextlib.suppress(zlib.error):
            inner = zlib.decompressobj(-15).decompress(out, _INFLATED)
            if inner and not is_noise(inner):
                yield f"{name}>deflate", inner


_ROT13: Final = bytes.maketrans(b"abcdefghijklmnopqrstuvwxyz", b"nopqrstuvwxyzabcdefghijklm")
