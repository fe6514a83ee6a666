"""Address text to bytes and back, and the disguises in which an address may stand for a host.

Written for the hot path: no `ipaddress` objects. Numbers are (version, integer).
"""

from __future__ import annotations

import unicodedata

Number = tuple[int, int]
"""IP version (4 or 6) and the address as an integer."""

_HEX = frozenset("0123456789abcdefABCDEF")
_DOTS = str.maketrans("。．｡", "...")
_LONGEST = 1024  # characters; whoever writes more zeros than that before a digit means no address
_JOINERS = frozenset("\u034f\u180b\u180c\u180d\u180f")


def parse(text: str) -> Number | None:
    """Parse canonical-style address text: dotted quad without leading zeros, or RFC 4291 text.

    Returns None for anything else, a zone id or brackets included.
    """
    if ":" in text:
        value = _parse_v6(text)
        return None if value is None else (6, value)
    value = _parse_v4(text)
    return None if value is None else (4, value)


def text_of(number: Number) -> str:
    """Return the canonical text (RFC 5952 for IPv6)."""
    version, value = number
    if version == 4:
        return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"
    if value >> 32 == 0xFFFF:
        return f"::ffff:{text_of((4, value & 0xFFFFFFFF))}"
    groups = [value >> shift & 0xFFFF for shift in range(112, -1, -16)]
    start, length = _longest_zeros(groups)
    words = [f"{group:x}" for group in groups]
    if length < 2:
        return ":".join(words)
    return ":".join(words[:start]) + "::" + ":".join(words[start + length :])


def host_literal(text: str) -> str | None:
    """Return the canonical text of the address that `text` stands for as a host, else None.

    Reads what URL parsers and inet_aton(3) read: brackets, zone ids, trailing dot, one to four
    parts in decimal, octal (0 prefix) or hexadecimal (0x prefix); digits and dots of any script,
    in circles, with what nobody sees between them (UTS 46, "ignored" and "mapped").
    """
    host = text.strip()
    if len(host) > _LONGEST:
        return None
    if not host.isascii():
        host = _plain(host)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if ":" in host:
        value = _parse_v6(host.partition("%")[0])
        return None if value is None else text_of((6, value))
    value = _parse_aton(host.removesuffix("."))
    return None if value is None else text_of((4, value))


def looks_numeric(name: str) -> bool:
    """Say whether the last label is a number, so that a URL parser takes the name for an address.

    Source: WHATWG URL, "ends in a number".
    """
    last = name.removesuffix(".").rpartition(".")[2].lower()
    if last.startswith("0x"):
        return all(c in _HEX for c in last[2:])
    return last.isascii() and last.isdigit()


def _plain(text: str) -> str:
    """Return text as IDNA's mapping and careless parsers of numbers read it."""
    mapped = unicodedata.normalize("NFKC", text).translate(_DOTS)
    if mapped.isascii():
        return mapped
    kept = []
    for letter in mapped:
        digit = unicodedata.decimal(letter, None)
        if digit is not None:
            kept.append(str(digit))
        elif letter.isascii() or not _unseen(letter):
            kept.append(letter)
    return "".join(kept)


def _unseen(letter: str) -> bool:
    """Say whether a letter is left out: soft hyphens, joiners, variation selectors, tags."""
    code = ord(letter)
    return (
        unicodedata.category(letter) == "Cf"
        or letter in _JOINERS
        or 0xFE00 <= code <= 0xFE0F
        or 0xE0100 <= code <= 0xE01EF
    )


def _parse_v4(text: str) -> int | None:
    parts = text.split(".")
    if len(parts) != 4:
        return None
    value = 0
    for part in parts:
        if not (part.isascii() and part.isdigit()) or len(part) > 3:
            return None
        if len(part) > 1 and part[0] == "0":
            return None
        number = int(part)
        if number > 255:
            return None
        value = value << 8 | number
    return value


def _parse_v6(text: str) -> int | None:
    if len(text) > 45:
        return None
    head, double, tail = text.partition("::")
    left = _groups(head, last=not double)
    right = _groups(tail, last=True) if double else []
    if left is None or right is None:
        return None
    missing = 8 - len(left) - len(right)
    if (missing < 1) if double else (missing != 0):
        return None
    value = 0
    for group in (*left, *[0] * missing, *right):
        value = value << 16 | group
    return value


def _groups(text: str, *, last: bool) -> list[int] | None:
    """Read colon-separated groups; a dotted quad may stand at the very end of the address."""
    if not text:
        return []
    words = text.split(":")
    groups: list[int] = []
    for i, word in enumerate(words):
        if last and i == len(words) - 1 and "." in word:
            quad = _parse_v4(word)
            if quad is None:
                return None
            groups += [quad >> 16, quad & 0xFFFF]
        elif not 1 <= len(word) <= 4 or not _HEX.issuperset(word):
            return None
        else:
            groups.append(int(word, 16))
    return groups


def _parse_aton(text: str) -> int | None:
    parts = text.split(".")
    if not 1 <= len(parts) <= 4:
        return None
    numbers = []
    for part in parts:
        number = _aton_number(part)
        if number is None:
            return None
        numbers.append(number)
    *head, tail = numbers
    if any(number > 255 for number in head) or tail >= 1 << 8 * (4 - len(head)):
        return None
    value = tail
    for i, number in enumerate(head):
        value |= number << 8 * (3 - i)
    return value


def _aton_number(part: str) -> int | None:
    if not part.isascii():
        return None
    low = part.lower()
    if low.startswith("0x"):
        return int(low[2:] or "0", 16) if _HEX.issuperset(low[2:]) else None
    if not part.isdigit():
        return None
    if len(part) > 1 and part[0] == "0":
        return int(part, 8) if not {"8", "9"} & set(part) else None
    return int(part) if len(part) <= 10 else None


def _longest_zeros(groups: list[int]) -> tuple[int, int]:
    best = (0, 0)
    start = 0
    for i in range(9):
        if i == 8 or groups[i]:
            if i - start > best[1]:
                best = (start, i - start)
            start = i + 1
    return best
