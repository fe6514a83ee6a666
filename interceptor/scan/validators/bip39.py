"""Recovery phrases of wallets (BIP-39): words of a list, the last of which carries a checksum.

The word lists are those of the package `mnemonic`, read when a pattern first finds a dozen words in
a row. They stay one piece of text each, searched for the word between line breaks: the ten of them
take 200 KB so, and ten dictionaries would take ten times that. A Bloom filter of one bit per word
turns ordinary prose away before any list is searched.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from functools import cache

_LANGUAGES = (
    "english",
    "spanish",
    "french",
    "italian",
    "portuguese",
    "czech",
    "japanese",
    "korean",
    "chinese_simplified",
    "chinese_traditional",
)
_ESCAPED = re.compile(rb"\\+[nrt]")
_WORDS = re.compile(
    # No possessive repeat of a group: CPython gh-106052, mended in 3.11.5.
    rb"[^a-z\x80-\xff]{0,8}+"
    rb"((?>[a-z\x80-\xff]++(?:[^a-z\x80-\xff]{1,10}+[a-z\x80-\xff]++){11,63}))"
)
_BITS = (1 << 18) - 1  # a multiple of the 20 480 words, less one: one other word in thirteen passes
_BLANKED = bytes(byte if 97 <= byte < 123 else 32 for byte in range(256))
_GAP = b" " * 11  # so many other characters between two words end the phrase
_NEAR = 56  # bytes on either side in which a word on no list is looked for first
_REACH = 216  # bytes that twelve words take, and what may stand between them
_MOST = 36  # words that are looked at: a dozen beginnings, and 24 from the last of them
_SPACE = re.compile(rb"[^a-z\x80-\xff]+")
# Phrases that development nodes (Hardhat, Anvil, Ganache) give to everybody's test accounts.
_PUBLISHED = frozenset(
    (
        b"test test test test test test test test test test test junk",
        b"candy maple cake sugar pudding cream honey rich smooth crumble sweet treat",
        b"myth like bonus scare over problem client lizard pioneer submit female collect",
    )
)


def recovery_phrase(secret: bytes, after: bytes) -> bool:
    """Pass words among which are 12, 15, 18, 21 or 24 of one list whose checksum holds.

    `secret` holds the first dozen, the first of which may have a number before it; `after` may hold
    more. The phrase begins with one of the first dozen.
    """
    text = (secret + after).lower()
    if b"\\" in text:
        text = _ESCAPED.sub(b" ", text)
    if not text.isascii():
        text = _decomposed(text)
        found = _WORDS.match(text)
        if found is None:
            return False
        words = _SPACE.split(found[1])
    else:
        words = text.translate(_BLANKED).partition(_GAP)[0].split(None, _MOST)[:_MOST]
    # Wherever the phrase begins, the last word of the first dozen is one of it.
    if len(words) < 12 or _unknown(words, 11, 1) >= 0:
        return False
    start = 0
    while start < 12 and start + 12 <= len(words):
        unknown = _unknown(words, start, 12)
        if unknown < 0 and _proved(words[start : start + 24]):
            return True
        start = max(start, unknown) + 1
    return False


def may_be_phrase(text: bytes, end: int) -> bool:
    """Say whether a dozen words that may be on a list stand around the word at offset `end`.

    A glance before patterns look for where the words begin: ordinary prose does not pass.
    """
    # A near look first: nearly always it sees a word on no list on either side.
    return _dozen(text, end, _NEAR) and _dozen(text, end, _REACH)


def _dozen(text: bytes, end: int, reach: int) -> bool:
    """Say whether a dozen words around `end` may be listed; what is beyond `reach` may be."""
    left, right = text[max(0, end - reach) : end], text[end : end + reach]
    if not (left.isascii() and right.isascii()):
        return True
    if b"\\" in left or b"\\" in right:
        left, right = _ESCAPED.sub(b" ", left), _ESCAPED.sub(b" ", right)
    left, right = left.lower().translate(_BLANKED), right.lower().translate(_BLANKED)
    head, _, begun = left.rpartition(b" ")
    rest, _, tail = right.partition(b" ")
    if not _count([begun + rest], 1):
        return False
    before, behind = head.split()[::-1], tail.split()
    count = 1
    for words in (before, behind):
        # The last of a look that ends in the midst of the text may be part of a word.
        known = _count(words, 11)
        count += 11 if reach == _NEAR and known >= len(words) - 1 else known
    return count >= 12


def _count(words: list[bytes], most: int) -> int:
    """Return how many of the first words may be on a list, up to one that is on none."""
    known = _filter()
    for index, word in enumerate(words[:most]):
        bit = zlib.crc32(word) & _BITS
        if not known[bit >> 3] >> (bit & 7) & 1:
            return index
    return min(len(words), most)


def _unknown(words: list[bytes], start: int, count: int) -> int:
    """Return the index of the last of some words that is on no list; -1 if all may be."""
    known = _filter()
    for index in range(start + count - 1, start - 1, -1):
        bit = zlib.crc32(words[index]) & _BITS
        if not known[bit >> 3] >> (bit & 7) & 1:
            return index
    return -1


def _proved(words: list[bytes]) -> bool:
    for language in _LANGUAGES:
        numbers = _numbers(words, _word_list(language))
        if numbers[:12] == sorted(numbers[:12]):
            continue  # a list of words in the order of the alphabet
        if any(_checks(numbers[:count]) for count in range(12, len(numbers) + 1, 3)):
            return b" ".join(words[:12]) not in _PUBLISHED
    return False


def _numbers(words: list[bytes], listed: bytes) -> list[int]:
    """Return the numbers of the words, as far as they are on the list."""
    numbers: list[int] = []
    for word in words:
        at = listed.find(b"\n%b\n" % word)
        if at < 0:
            break
        numbers.append(listed.count(b"\n", 0, at))
    return numbers


def _checks(numbers: list[int]) -> bool:
    bits = 0
    for number in numbers:
        bits = bits << 11 | number
    check_size = len(numbers) * 11 // 33
    size = len(numbers) * 11 - check_size
    digest = hashlib.sha256((bits >> check_size).to_bytes(size // 8, "big")).digest()
    return digest[0] >> (8 - check_size) == bits & ((1 << check_size) - 1)


def _decomposed(text: bytes) -> bytes:
    import unicodedata

    # Also turns the ideographic space between Japanese words into a common one.
    return unicodedata.normalize("NFKD", text.decode("utf-8", "ignore")).lower().encode()


@cache
def _filter() -> bytes:
    bits = bytearray(_BITS + 1 >> 3)
    for language in _LANGUAGES:
        for word in _word_list(language).split():
            bit = zlib.crc32(word) & _BITS
            bits[bit >> 3] |= 1 << (bit & 7)
    return bytes(bits)


@cache
def _word_list(language: str) -> bytes:
    return b"\n%b\n" % b"\n".join(_decomposed(_file(f"wordlist/{language}.txt")).split())


def _file(path: str) -> bytes:
    """Read a file of the package, which itself need not be imported: it draws in much else.

    Raises:
        ModuleNotFoundError: the package is not installed. A run must not go on without it.
    """
    from importlib.util import find_spec

    spec = find_spec("mnemonic")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the package mnemonic is missing: it has the word lists")
    data: bytes = spec.loader.get_data(f"{spec.submodule_search_locations[0]}/{path}")  # type: ignore[union-attr]
    return data
