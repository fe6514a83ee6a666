"""Percent encoding (RFC 3986 section 2.1), `%uXXXX` of JavaScript's `escape`, and forms.

Every `%41` is undone in C: `binascii.a2b_qp` reads `=41`, so percent signs pass for equals signs
meanwhile.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.near import Replacements, cut, replaced

PERCENT = re.compile(
    rb"%(?:0[09AaDd]|1[Bb]|[2-7][0-9A-Fa-f]|[C-Fc-f][0-9A-Fa-f]%[89ABab]|u[0-9A-Fa-f]{4})"
)
"""An escape of ASCII, or of the beginning of a character in UTF-8."""

PERCENT_GATES = (
    "%[0-7]",  # a literal: for a text full of them a sixth of the time that two digits take
    r"%u[0-9A-Fa-f]{4}",
    # Characters that may be taken for ASCII or for nothing, among ASCII: `interceptor.scan.decoders
    # .folding`. A name in Cyrillic letters is escaped from end to end.
    r"%[89ABab][0-9A-Fa-f][A-Za-z0-9]",
    r"[A-Za-z0-9_-]{3}%[C-Fc-f][0-9A-Fa-f]%[89ABab]",
    r"%[Ee][Ff]%[Bb][CDcd]%[89ABab][0-9A-Fa-f]%[Ee][Ff]%[Bb][CDcd]",
    r"%[Ff]0%9[DdFf]%[89ABab][0-9A-Fa-f]%[89ABab][0-9A-Fa-f]%[Ff]0%9[DdFf]",
    r"%[Ff]3%[Aa]0%8[0-7]%[89ABab][0-9A-Fa-f]%[Ff]3%[Aa]0",
    r"%(?:[Cc][01]%[89ABab]|[Ee]0%[89])",  # UTF-8 that is longer than need be
)
"""Where there is something to undo."""

_EQUALS = 0x1A  # stands for `=` meanwhile; one of its own becomes `=`, which hides nothing
_UNICODE = re.compile(rb"(%u[0-9A-Fa-f]{4})")
_OVERLONG = re.compile(
    rb"([\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x81][\x80-\xbf]|\xf0\x80[\x80-\x81][\x80-\xbf])"
)


def hex_pairs(text: bytes, mark: bytes) -> bytes:
    """Undo `mark` and two hexadecimal digits everywhere; other marks stay."""
    there, back = _TABLES[mark]
    equals = bytes((_EQUALS,))
    work = text.replace(mark + b"3D", equals).replace(mark + b"3d", equals).translate(there)
    # Marks that `a2b_qp` would take for something else: before a mark, a line end, or nothing.
    if b"==" in work:
        work = work.replace(b"==", b"=3D=").replace(b"==", b"=3D=")
    if b"=\r" in work:
        work = work.replace(b"=\r", b"=3D\r")
    if b"=\n" in work:
        work = work.replace(b"=\n", b"=3D\n")
    if work.endswith(b"="):
        work += b"3D"
    return binascii.a2b_qp(work).translate(back)


def _tables(mark: bytes) -> tuple[bytes, bytes]:
    equals = bytes((_EQUALS,))
    return bytes.maketrans(b"=" + mark, equals + b"="), bytes.maketrans(b"=" + equals, mark + b"=")


BACKSLASH_X = b"\x19"
"""Stands for backslash and x, for `hex_pairs`."""
_TABLES = {mark: _tables(mark) for mark in (b"%", BACKSLASH_X)}


def unquote(text: bytes) -> bytes:
    """Undo one layer of percent encoding; the text is shorter if there was one."""
    if b"%u" in text:
        text = replaced(text, _UNICODE, b"%", _UNICODES)
    text = hex_pairs(text, b"%")
    if b"\xc0" in text or b"\xc1" in text or b"\xe0\x81" in text or b"\xf0\x80\x81" in text:
        text = _OVERLONG.sub(lambda found: _SHORTEST[found[1]], text)
    return text


def character(number: int) -> bytes:
    """UTF-8 of a code point; nothing for what is none."""
    if number > 0x10FFFF or 0xD800 <= number < 0xE000:
        return b""
    return chr(number).encode()


def _unicode(token: bytes) -> bytes:
    return character(int(token.strip(b"%u"), 16)) or token


_UNICODES = Replacements(_unicode)


def _shortest(token: bytes) -> bytes:
    number = 0
    for byte in token:
        number = number << 6 | byte & 0x3F
    return bytes((number & 0x7F,))


_SHORTEST = Replacements(_shortest)


_FORM = re.compile(
    rb"\+(?:%3[DdAa]|[=:]\+|PRIVATE\+|[a-z]{3,8}\+[a-z]{3,8}\+[a-z]{3,8}\+)|%3[DdAa]\+"
    rb"|:\+[A-Za-z0-9]|(?:BEGIN|[Bb]earer|[Bb]asic|[Tt]oken)\+"
)
"""A plus sign that must be a blank for a rule to match."""


def _form(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    """Read as a form: plus signs are blanks (WHATWG URL, urlencoded parsing)."""
    found = cut(text, (_FORM,), ascii_only=True)
    pieces = [unquote(piece.replace(b"+", b" ")) for piece in found]
    yield "form", b"\n".join(pieces)


FORM = Decoder(
    "form",
    (
        r"\+%3[DdAa]",
        r"%3[DdAa]\+",
        r"\+[=:]\+",
        r"[a-z]:\+[A-Za-z0-9]",
        r"BEGIN\+",
        r"(?:[Bb]earer|[Bb]asic|[Tt]oken)\+",
        r"\+[a-z]{3,8}\+[a-z]{3,8}\+[a-z]{3,8}\+[a-z]{3,8}\+[a-z]{3,8}\+[a-z]{3,8}\+",
    ),
    _form,
)
"""Forms whose blanks matter: around an assignment, in a PEM label, between words of a phrase."""
