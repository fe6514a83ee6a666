"""Words that stand for letters or bytes: spelling alphabets, the PGP word list, proquints, BIP-39.

Lists of somebody's own cannot be undone; `interceptor.decide.tunnels` counts what they may say.
"""

from __future__ import annotations

import functools
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from types import MappingProxyType
from typing import Final
from zlib import crc32

from interceptor.scan.validators.bip39 import _word_list

LEAST: Final = 8
"""Words that make a text worth the look."""

_SPELT: Final = (
    # ICAO Annex 10 volume II 5.2.1.3, with the usual misspellings; digits as they are called.
    "alfa alpha bravo charlie delta echo foxtrot golf hotel india juliett juliet kilo lima mike "
    "november oscar papa quebec romeo sierra tango uniform victor whiskey whisky xray yankee zulu "
    # LAPD's, where it differs: Adam, Boy, David ...
    "adam boy david edward frank george henry ida john king lincoln mary nora ocean paul queen "
    "robert sam tom union william young zebra"
)
_NAMED: Final = (
    "zero:0 nadazero:0 one:1 unaone:1 two:2 bissotwo:2 three:3 tree:3 terrathree:3 four:4 "
    "fower:4 kartefour:4 five:5 fife:5 pantafive:5 six:6 soxisix:6 seven:7 setteseven:7 eight:8 "
    "oktoeight:8 nine:9 niner:9 novenine:9 dash:- hyphen:- minus:- underscore:_ under:_ dot:. "
    "period:. point:. slash:/ stroke:/ plus:+ equals:= equal:= colon:: at:@"
)
_LETTERS: Final[Mapping[str, str]] = MappingProxyType(
    {word: word[0] for word in _SPELT.split()}
    | {pair.partition(":")[0]: pair.partition(":")[2] for pair in _NAMED.split()}
    | {char: char for char in "abcdefghijklmnopqrstuvwxyz0123456789"}
    | {"x-ray": "x"}
)
_RUN: Final = re.compile("|".join(sorted((w for w in _LETTERS if len(w) > 1), key=len)[::-1]))
_CONSONANTS: Final = "bdfghjklmnprstvz"
_VOWELS: Final = "aiou"
_QUINT: Final = re.compile(
    f"[{_CONSONANTS}][{_VOWELS}][{_CONSONANTS}][{_VOWELS}][{_CONSONANTS}]\\Z"
)
_SPLIT: Final = re.compile("[._-]")
_FIRST: Final = re.compile(r"[a-z]{2,14}\Z")


def spells(payload: str) -> bool:
    """Say whether half of the words in lower-case labels are words that stand for something."""
    words = [word for word in _SPLIT.split(payload) if word]
    if len(words) < LEAST:
        return False
    telling = sum(map(_tells, words))
    return telling >= LEAST and 2 * telling >= len(words)


@functools.lru_cache(2048)
def _tells(word: str) -> bool:
    if len(word) < 2:
        return False
    return word in _LETTERS or word in _pgp() or _number(word) >= 0


def spoken(words: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (encoding, bytes) of words, all of which stand for letters or bytes.

    Args:
        words: lower-case, in order; from labels and what is between hyphens in them.
    """
    if len(words) < LEAST:
        if words and len(words[0]) >= 4 * LEAST:
            yield from _glued("".join(words))
        return
    spelt = [_LETTERS.get(word, "") for word in words]
    if spelt.count("") <= len(spelt) // 8:
        yield "spelt", "".join(spelt).encode("ascii")
    if all(map(_FIRST.match, words)):
        yield from _bytes(words)
    yield from _glued("".join(words))


def _glued(text: str) -> Iterator[tuple[str, bytes]]:
    found = _RUN.findall(text)
    if len(found) >= LEAST and sum(map(len, found)) >= len(text) * 7 // 8:
        yield "spelt", "".join(_LETTERS[word] for word in found).encode("ascii")


def _bytes(words: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    if all(map(_QUINT.match, words)):
        yield "proquint", b"".join(map(_of_quint, words))
    values = [_pgp().get(word) for word in words]
    known = [value for value in values if value is not None]
    if len(known) >= LEAST and len(known) * 8 >= len(words) * 7:
        yield "words", bytes(known)
    bits = 0
    for word in words:
        number = _number(word)
        if number < 0:
            return
        bits = bits << 11 | number
    size = 11 * len(words)
    yield "words", (bits << -size % 8).to_bytes((size + 7) // 8, "big")


def _of_quint(word: str) -> bytes:
    number = 0
    for char in word:
        sort, size = (_VOWELS, 2) if char in _VOWELS else (_CONSONANTS, 4)
        number = number << size | sort.index(char)
    return number.to_bytes(2, "big")


@functools.cache
def _pgp() -> dict[str, int]:
    text = resources.files("interceptor.rules").joinpath("pgp_words.dat").read_text("ascii")
    rows = [line.split() for line in text.splitlines()[1:]]
    return {word: number for number, row in enumerate(rows) for word in row}


def _number(word: str) -> int:
    """Return the number of a word in the English list of BIP-39, -1: it is not there."""
    sums, numbers = _bip39()
    key = crc32(word.encode("ascii"))
    at = bisect_left(sums, key)
    return numbers[at] if at < len(sums) and sums[at] == key else -1


@functools.cache
def _bip39() -> tuple[array[int], array[int]]:
    sums = [crc32(word) for word in _word_list("english").split()]
    numbers = sorted(range(len(sums)), key=sums.__getitem__)
    return array("I", [sums[number] for number in numbers]), array("H", numbers)


def preload() -> None:
    """Read the lists of words, where files may not be read later."""
    _pgp()
    _bip39()
