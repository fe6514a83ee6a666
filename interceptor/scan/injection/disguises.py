"""Text that is written so that a machine reads it and a person or a filter does not, made plain.

Each disguise has gates, patterns of the first pass; where none fires, nothing is done. What comes
out is looked at as text of its own, and may be disguised again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from interceptor.scan.database import Pattern
from interceptor.scan.decoders.alphabet import Alphabet
from interceptor.scan.decoders.base32 import decode_base32
from interceptor.scan.decoders.base64 import base64_phases
from interceptor.scan.decoders.codes import CODES
from interceptor.scan.decoders.entities import unreferenced
from interceptor.scan.decoders.escapes import unescaped
from interceptor.scan.decoders.folding import FOLDING
from interceptor.scan.decoders.hex import decode_grouped, decode_hex
from interceptor.scan.decoders.percent import unquote
from interceptor.scan.injection import keywords
from interceptor.scan.mirror import ROT13

PLAIN: Final = 1.0
"""How much an encoding that is ordinary counts: not at all."""
_BUDGET: Final = 4
"""Times the size of a text, and 64 KB, that what it is decoded to may take."""
_FLOOR: Final = 65_536
_APART: Final = 48
"""Places where words stand apart that are looked at, each with `_REACH` bytes around it."""
_REACH: Final = 768


class Disguise(NamedTuple):
    """One way to write text."""

    name: str
    gates: tuple[str, ...]
    undo: Callable[[bytes], Iterable[bytes]]
    """Gives readings of a text."""
    caseless: bool = False
    weight: float = 2.2
    """Evidence written so counts as if it were there so many times; see `PLAIN`."""
    bare: bool = False
    """What comes out may have no blanks."""


class View(NamedTuple):
    """Text made plain."""

    disguise: Disguise
    text: bytes


def views(text: bytes, numbers: Iterable[int]) -> Iterator[View]:
    """Yield what a text says, made plain, within a budget of bytes.

    Args:
        text: any bytes.
        numbers: of the disguises whose gates fired.
    """
    budget = _BUDGET * len(text) + _FLOOR
    for number in numbers:
        disguise = DISGUISES[number]
        for out in disguise.undo(text):
            if out and budget > 0:
                budget -= len(out)
                yield View(disguise, out)


def bare_patterns(words: Sequence[tuple[int, str]]) -> list[Pattern]:
    """Patterns of words in text without blanks."""
    return [Pattern(word.encode("ascii"), word, caseless=True, number=part) for part, word in words]


def _folded(text: bytes) -> Iterator[bytes]:
    for _, out in FOLDING.decode(text, set()):
        yield out


_BASE64: Final = Alphabet(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_", 16, literals=True
)


def _base64(text: bytes) -> Iterator[bytes]:
    runs = b"AAAA".join(dict.fromkeys(_BASE64.runs(text)))
    if runs:
        yield b"\n".join(base64_phases(runs))
        yield b"\n".join(base64_phases(runs[::-1]))


def _base32(text: bytes) -> Iterator[bytes]:
    for _, out in decode_base32(text, set()):
        yield out


def _hex(text: bytes) -> Iterator[bytes]:
    for decode in (decode_hex, decode_grouped):
        for _, out in decode(text, set()):
            yield out
    if b"\\x" in text:
        yield unescaped(text)


def _codes(text: bytes) -> Iterator[bytes]:
    for decoder in CODES:
        for _, out in decoder.decode(text, set()):
            yield out


def _turned(text: bytes) -> Iterator[bytes]:
    # What was a sentence of its own stands in the midst of others then: each word may begin one.
    backwards = text[::-1]
    yield backwards
    turned = backwards.replace(b" ", b";")
    yield turned
    # Where each word was turned by itself, their order is right again from the end.
    yield b"\n".join([b";".join(line.split(b";")[::-1]) for line in turned.split(b"\n")[::-1]])


def _rot13(text: bytes) -> Iterator[bytes]:
    yield text.translate(ROT13)


def _leet_table(letter_of_one: bytes) -> bytes:
    signs = "".join(keywords.LEET.values()).encode()
    letters = "".join(letter * len(signs) for letter, signs in keywords.LEET.items()).encode()
    table = bytearray(bytes.maketrans(signs, letters))
    table[ord("1")] = table[ord("|")] = letter_of_one[0]
    return bytes(table)


_LEET: Final = (_leet_table(b"i"), _leet_table(b"l"))


def _leet(text: bytes) -> Iterator[bytes]:
    for table in _LEET:
        yield text.translate(table)


_GAP: Final = rb"[^A-Za-z0-9]{1,4}"
_LETTERS: Final = re.compile(
    rb"(?<![A-Za-z0-9])[A-Za-z](?:[^A-Za-z0-9]{1,3}[A-Za-z](?![A-Za-z0-9])){4,}"
)
_SIGNS: Final = re.compile(rb"[A-Za-z][-._*|/+,~][A-Za-z]")
_WIDE: Final = re.compile(rb"[^A-Za-z0-9]{2,4}")
_NO_LETTERS: Final = bytes(
    byte for byte in range(256) if not chr(byte).isascii() or not chr(byte).isalpha()
)
_PIECES: Final = re.compile(
    b"|".join(
        b"[^A-Za-z0-9]{0,3}".join([bytes((letter,)) for letter in word.encode()])
        for word in keywords.WORD_PIECES
    ),
    re.IGNORECASE,
)
_APART_SEEN: Final = re.compile(
    rb"(?<![A-Za-z0-9])[A-Za-z](?:[^A-Za-z0-9]{1,3}[A-Za-z](?![A-Za-z0-9])){3}"
)


def _spaced(text: bytes) -> Iterator[bytes]:
    """Letters that stand apart, put together: by wider gaps into words, and without any."""
    runs = [found[0] for found in _LETTERS.finditer(text)]
    yield b"\n".join([_words(run) for run in runs])
    yield _LETTERS.sub(lambda found: _words(found[0]), text)
    yield b"\n".join([run.translate(None, _NO_LETTERS) for run in runs])


def _words(run: bytes) -> bytes:
    if _SIGNS.search(run):
        return b" ".join([word.translate(None, _NO_LETTERS) for word in run.split()])
    if not _WIDE.search(run):
        return run.translate(None, _NO_LETTERS)
    return b" ".join([word.translate(None, _NO_LETTERS) for word in _WIDE.split(run)])


def _split(text: bytes) -> Iterator[bytes]:
    """Words with gaps in them, made whole."""
    yield _PIECES.sub(lambda found: found[0].translate(None, _NO_LETTERS), text[: 1 << 17])


_ANSI: Final = re.compile(
    rb"\x1b(?:\[[0-9;:?]{0,24}[ -/]?[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\))"
)
_SKELETON: Final = re.compile(rb"[A-Za-z]{2,12}")


def _ansi(text: bytes) -> bytes:
    return _ANSI.sub(b"", text)


def _vowelless(text: bytes) -> bytes:
    words = keywords.SKELETONS
    return _SKELETON.sub(lambda found: words.get(found[0].lower(), found[0]), text[: 1 << 17])


_GLUED: Final = re.compile(rb"[A-Za-z_]{16,400}")


def _glued(text: bytes) -> Iterator[bytes]:
    yield b"\n".join([run.translate(None, b"_") for run in _GLUED.findall(text)])


def _one(undo: Callable[[bytes], bytes]) -> Callable[[bytes], Iterator[bytes]]:
    def undone(text: bytes) -> Iterator[bytes]:
        out = undo(text)
        if out != text:
            yield out

    return undone


_HEX_GAP: Final = r"[^0-9a-zA-Z]{0,3}(?:0?x)?"

DISGUISES: Final[tuple[Disguise, ...]] = (
    Disguise("unicode", FOLDING.gates, _folded),
    Disguise(
        "percent",
        (r"%20[a-z]{1,12}%20[a-z]{1,12}%20", r"%[46][0-9a-f]%[67][0-9a-f]%[67][0-9a-f]"),
        _one(unquote),
        caseless=True,
        weight=PLAIN,
    ),
    Disguise(
        "escapes",
        (r"\\u00[4-7][0-9a-f]\\u00[4-7]", r"\\u0020[a-z]", r"\\[nt\x22][a-z]{2,12}\\[nt]"),
        _one(unescaped),
        caseless=True,
        weight=PLAIN,
    ),
    Disguise(
        "entities",
        (r"&#x?[0-9a-f]{2,3};?&#", r"&(?:nbsp|#32|#x20);[a-z]{1,12}&(?:nbsp|#32|#x20);"),
        _one(unreferenced),
        caseless=True,
        weight=1.3,
    ),
    Disguise("base64", keywords.base64_gates(), _base64),
    Disguise("base32", keywords.base32_gates(), _base32, caseless=True),
    Disguise("hex", keywords.code_gates("02x", _HEX_GAP), _hex, caseless=True),
    Disguise(
        "codes",
        (
            *keywords.code_gates("d", "[^0-9]{1,3}"),
            *keywords.code_gates("03o", r"[^0-9]{1,3}"),
            *keywords.code_gates("08b", "[^01]{0,2}"),
        ),
        _codes,
    ),
    Disguise("reversed", keywords.turned_gates(), _turned, caseless=True),
    Disguise("rot13", keywords.rot13_gates(), _rot13, caseless=True),
    Disguise("leet", keywords.leet_gates(), _leet, caseless=True, weight=1.8),
    Disguise("ansi", (r"\x1b\[", r"\x1b\]"), _one(_ansi), weight=1.3),
    Disguise("vowelless", keywords.vowelless_gates(), _one(_vowelless), caseless=True, weight=1.4),
    Disguise("spaced", keywords.spaced_gates(), _spaced, caseless=True, bare=True),
    Disguise("split", keywords.split_gates(), _split, caseless=True, weight=1.2),
    Disguise("glued", keywords.glued_gates(), _glued, caseless=True, weight=1.2, bare=True),
)
"""Every disguise."""
