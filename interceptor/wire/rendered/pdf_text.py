"""Text within the streams of a PDF: operators that show it, and maps from codes to letters.

Source: ISO 32000-2, sections 7.3.4 (strings), 9.4 (text objects), 9.10.3 (ToUnicode CMaps).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from interceptor.wire.rendered.letters import utf8

STRING: Final = re.compile(
    rb"\((?>(?:[^()\\]++|\\.|\((?>(?:[^()\\]++|\\.)*)\))*)\)|<(?!<)[0-9A-Fa-f\s]*+>", re.DOTALL
)
"""A string, with one pair of brackets in it at most."""
_TOKEN: Final = re.compile(
    STRING.pattern
    + rb"|(?<=[)>])\s{0,4}(-?[0-9.]{1,12})"  # how far a part of a TJ array is moved
    + rb"|/([^\s/<>\[\]()%]{1,127})\s{1,8}[-+.0-9]{1,16}\s{1,8}Tf"
    + rb"|\b(?:T[dDm*]|ET)(?![A-Za-z*])|(?<=[)>])\s{0,4}(['\"])",
    re.DOTALL,
)
_ESCAPE: Final = re.compile(rb"\\(?:([0-7]{1,3})|(\r\n?|\n)|(.))", re.DOTALL)
_LETTERS: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
_BLOCK: Final = re.compile(rb"beginbf(char|range)(.{0,65536}?)endbf", re.DOTALL)
_PAIR: Final = re.compile(rb"<([0-9A-Fa-f\s]{1,16})>\s*<([0-9A-Fa-f\s]{0,64})>")
_RANGE: Final = re.compile(
    rb"<([0-9A-Fa-f\s]{1,16})>\s*<([0-9A-Fa-f\s]{1,16})>\s*(?:<([0-9A-Fa-f\s]{0,64})>|\[([^\]]{0,8192})\])"
)
_HEX: Final = re.compile(rb"<([0-9A-Fa-f\s]{0,64})>")
_WORD: Final = -200.0
"""Thousandths of the font's size: a move to the right that reads as a blank."""
_MOST_CODES: Final = 65_536
_LIGATURES: Final = str.maketrans(
    {"\x0b": "ff", "\x0c": "fi", "\x0d": "fl", "\x0e": "ffi", "\x0f": "ffl"}
)


class Shown(NamedTuple):
    """What a content stream shows next."""

    font: bytes
    """Name of the resource, without its slash; empty: what stands between two texts."""
    codes: bytes


_BLANK: Final = Shown(b"", b" ")
_LINE: Final = Shown(b"", b"\n")


class CodeMap(NamedTuple):
    """A ToUnicode CMap."""

    width: int
    """Bytes of a code."""
    letters: dict[int, str]


def value_of(string: bytes) -> bytes:
    """Bytes that a string stands for.

    Args:
        string: with its brackets.
    """
    if string[:1] == b"<":
        digits = b"".join(string[1:-1].split())
        return bytes.fromhex((digits + b"0" * (len(digits) & 1)).decode())
    inner = string[1:-1]
    return _ESCAPE.sub(_undone, inner) if b"\\" in inner else inner


def _undone(match: re.Match[bytes]) -> bytes:
    octal, line, letter = match.groups()
    if octal:
        return bytes((int(octal, 8) & 0xFF,))
    return b"" if line else _LETTERS.get(letter, letter)


def text_of(value: bytes) -> bytes:
    """Text of a string that is no code of a font, as UTF-8 (section 7.9.2.2)."""
    if value.startswith(b"\xfe\xff"):
        return value[2:].decode("utf-16-be", "replace").encode("utf-8", "replace")
    if value.startswith(b"\xff\xfe"):
        return value[2:].decode("utf-16-le", "replace").encode("utf-8", "replace")
    return utf8(value.removeprefix(b"\xef\xbb\xbf"))


def shown(content: bytes, most: int) -> list[Shown]:
    """Read what a content stream shows, in its order, `most` parts of it."""
    start = content.find(b"BT")
    out: list[Shown] = []
    if start < 0:
        return out
    font = b"?"
    for match in _TOKEN.finditer(content, start):
        moved, named, next_line = match.groups()
        token = match[0]
        if token[:1] in (b"(", b"<"):
            out.append(Shown(font, value_of(token)))
            if len(out) >= most:
                break
        elif named is not None:
            font = named
        elif moved is not None:
            if _number(moved) < _WORD:
                out.append(_BLANK)
        elif next_line is not None:
            out.insert(max(0, len(out) - 1), _LINE)  # its operand goes to a new line
        elif not out or out[-1] is not _LINE:
            out.append(_BLANK if _stays(content, match.start(), token) else _LINE)
    return out


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _stays(content: bytes, at: int, token: bytes) -> bool:
    """Tell whether a move by Td or TD stays on its line."""
    if token not in (b"Td", b"TD"):
        return False
    last = content[max(0, at - 32) : at].split()
    return bool(last) and not _number(last[-1])


def read_map(content: bytes) -> CodeMap:
    """Read a ToUnicode CMap; of a very long one its first part."""
    letters: dict[int, str] = {}
    width = 0
    for block in _BLOCK.finditer(content):
        if block[1] == b"char":
            for code, to in _PAIR.findall(block[2]):
                width = width or (len(code) + 1) // 2
                letters[int(code, 16)] = _unicode(to)
        else:
            for low, high, to, several in _RANGE.findall(block[2]):
                width = width or (len(low) + 1) // 2
                _read_range(letters, int(low, 16), int(high, 16), to, several)
        if len(letters) > _MOST_CODES:
            break
    return CodeMap(width or 1, letters)


def _read_range(letters: dict[int, str], low: int, high: int, to: bytes, several: bytes) -> None:
    count = min(high - low + 1, 256 if several else _MOST_CODES - len(letters))
    if several:
        for number, digits in enumerate(_HEX.findall(several)[: max(0, count)]):
            letters[low + number] = _unicode(digits)
        return
    first = _unicode(to)
    if not first:
        return
    head, last = first[:-1], ord(first[-1])
    for number in range(max(0, min(count, 0x110000 - last))):
        letters[low + number] = head + chr(last + number)


def _unicode(digits: bytes) -> str:
    joined = b"".join(digits.split())
    return bytes.fromhex(joined[: len(joined) & ~3].decode()).decode("utf-16-be", "replace")


def written(parts: list[Shown], maps: dict[bytes, CodeMap]) -> bytes:
    """Put together what is shown, as UTF-8.

    Args:
        parts: of one content stream.
        maps: of fonts, by name; a font that has none shows the letters of its codes.
    """
    out: list[str] = []
    for font, codes in parts:
        found = maps.get(font) if font else None
        if not font:
            out.append(codes.decode())
        elif found is None:
            out.append(text_of(codes).decode("utf-8", "replace").translate(_LIGATURES))
        else:
            width, letters = found
            out += [
                letters.get(int.from_bytes(codes[at : at + width]), "")
                for at in range(0, len(codes), width)
            ]
    return "".join(out).encode("utf-8", "replace")
