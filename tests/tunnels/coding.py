"""Encodings that attackers use for labels, written for the tests alone."""

from __future__ import annotations

import base64
import random
import zlib
from collections.abc import Sequence
from typing import Final

from interceptor.scan.naming import words as known_words


def listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_NATO: Final = listed(
    "alfa bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november "
    "oscar papa quebec romeo sierra tango uniform victor whiskey xray yankee zulu"
)
_DIGITS: Final = listed("zero one two three four five six seven eight nine")
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def base32hex(data: bytes) -> str:
    return base64.b32hexencode(data).decode().rstrip("=").lower()


def turned_alphabet(data: bytes, alphabet: str) -> str:
    table = str.maketrans("abcdefghijklmnopqrstuvwxyz234567", alphabet)
    return base32(data).translate(table)


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def radix(data: bytes, alphabet: str) -> str:
    number, out = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, len(alphabet))
        out = alphabet[digit] + out
    return out or alphabet[0]


def base36(data: bytes) -> str:
    return radix(data, _BASE36)


def base58(data: bytes) -> str:
    return radix(data, _BASE58)


def nato(text: bytes) -> list[str]:
    """Spell a text; letters lose their case."""
    out = []
    for char in text.decode().lower():
        if char.isalpha():
            out.append(_NATO[ord(char) - 97])
        elif char.isdigit():
            out.append(_DIGITS[int(char)])
        else:
            out.append({"-": "dash", "_": "underscore", ".": "dot"}.get(char, "stop"))
    return out


def pgp(data: bytes) -> list[str]:
    table = known_words._pgp()
    rows: list[list[str]] = [[] for _ in range(256)]
    for word, number in table.items():
        rows[number].append(word)
    return [rows[byte][at % 2] for at, byte in enumerate(data)]


def proquint(data: bytes) -> list[str]:
    consonants, vowels = "bdfghjklmnprstvz", "aiou"
    out = []
    for at in range(0, len(data) - 1, 2):
        n = int.from_bytes(data[at : at + 2], "big")
        out.append(
            consonants[n >> 12]
            + vowels[n >> 10 & 3]
            + consonants[n >> 6 & 15]
            + vowels[n >> 4 & 3]
            + consonants[n & 15]
        )
    return out


def own_words(rng: random.Random, data: bytes, source: Sequence[str]) -> list[str]:
    """Write bytes as words of a list that only the attacker has."""
    chosen = random.Random(rng.random()).sample(list(source), 256)
    return [chosen[byte] for byte in data]


def uuids(data: bytes) -> list[str]:
    out = []
    for at in range(0, len(data), 16):
        h = data[at : at + 16].ljust(16, b"\0").hex()
        out.append(f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}")
    return out


def deflated(data: bytes) -> bytes:
    return zlib.compress(data, 9)


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def by_case(rng: random.Random, data: bytes, letters: str) -> list[str]:
    """Write bits into the case of `letters`, as often as it takes."""
    bits = "".join(f"{byte:08b}" for byte in data)
    out = []
    while bits:
        name = ""
        for char in letters:
            if char.isalpha() and bits:
                name += char.upper() if bits[0] == "1" else char
                bits = bits[1:]
            else:
                name += char
        out.append(name)
    return out


def by_length(rng: random.Random, data: bytes) -> list[str]:
    """Write nibbles as the lengths of labels of small letters."""
    sizes = [n + 1 for byte in data for n in (byte >> 4, byte & 15)]
    return ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=size)) for size in sizes]
