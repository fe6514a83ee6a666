"""Known secrets as literals: every usual encoding of a value, to be found as it stands.

A rule describes a format; what is made here describes one value, so that even a password without
any format is found in whatever form it is sent. The matcher takes the literals; nothing else of
the value is needed after that.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

SHORTEST: Final = 8
"""Fewest bytes of a literal: shorter ones would be met by chance."""
LONGEST: Final = 128
"""Most bytes of a literal: the end of an encoding stands for all of it."""

_CASELESS: Final = 12  # from so many bytes on a value is looked for in any case
_WHOLE: Final = 96  # longer values are looked for by their end
_WINDOW: Final = 64
_LINE: Final = 16  # shortest line that can stand for a text of several
_LINES: Final = 3  # lines that stand for such a text

_LOWER = b"abcdefghijklmnopqrstuvwxyz"
_ROT13 = bytes.maketrans(
    _LOWER + _LOWER.upper(),
    _LOWER[13:] + _LOWER[:13] + (_LOWER[13:] + _LOWER[:13]).upper(),
)
_UNRESERVED = frozenset(_LOWER + _LOWER.upper() + b"0123456789-._~")  # RFC 3986 section 2.3
_BASE58 = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class Literal(NamedTuple):
    """Bytes that stand for a known secret."""

    encoding: str
    """How it is encoded, outermost first, in the words of the decoders; empty for plain."""
    data: bytes
    caseless: bool = False
    """Its letters may be of either case."""


def literals(value: bytes) -> tuple[Literal, ...]:
    """Return everything that stands for `value`, each once, none shorter than `SHORTEST`.

    Of encodings that depend on the place in what surrounds the value, such as base64, there is one
    literal for each place, cut to the characters that depend on the value alone. A long value is
    represented by its end, one of several lines by some of them.

    Args:
        value: any bytes; it should have passed `interceptor.scan.worth.worth`.
    """
    found: dict[tuple[bytes, bool], str] = {}
    for window in _windows(value):
        for encoding, encode in _ENCODINGS:
            for text, caseless in encode(window):
                literal = text[-LONGEST:]
                lower = literal.lower()
                if len(literal) >= SHORTEST and (lower, True) not in found:
                    found.setdefault((lower if caseless else literal, caseless), encoding)
    return tuple(Literal(encoding, data, fold) for (data, fold), encoding in found.items())


def _windows(value: bytes) -> tuple[bytes, ...]:
    """Return the parts that stand for `value`."""
    value = value.strip() or value
    if b"-----BEGIN " in value:
        value = value.replace(b"\\n", b"\n")  # as environment variables have keys
    if b"\n" in value:
        lines = [line.strip() for line in value.splitlines()]
        usable = [line for line in lines if len(line) >= _LINE and _varied(line)]
        # What all files of a kind begin with says nothing.
        usable = usable[1:-1] or usable
        if usable:
            chosen = (usable[len(usable) * (2 * i + 1) // (2 * _LINES)] for i in range(_LINES))
            return tuple(dict.fromkeys(map(_end, chosen)))
    return (_end(value),)


def _end(value: bytes) -> bytes:
    return value[-_WINDOW:] if len(value) > _WHOLE else value


def _varied(line: bytes) -> bool:
    return len(set(line)) >= 10 and b"-----" not in line and len(zlib.compress(line)) > 16


_Texts = Iterator[tuple[bytes, bool]]


def _plain(value: bytes) -> _Texts:
    yield value, len(value) >= _CASELESS and value.lower() != value.upper()


def _percent(value: bytes) -> _Texts:
    yield b"".join(b"%%%02x" % byte for byte in value), True
    least = _least_percent(value)
    if least != value:
        yield least, True
        yield least.replace(b"%2f", b"/"), True
        yield least.replace(b"%20", b"+"), True


def _percent_twice(value: bytes) -> _Texts:
    yield b"".join(b"%%25%02x" % byte for byte in value), True
    least = _least_percent(value)
    if least != value:
        yield least.replace(b"%", b"%25"), True


def _least_percent(value: bytes) -> bytes:
    return b"".join(bytes((byte,)) if byte in _UNRESERVED else b"%%%02x" % byte for byte in value)


def _base64(value: bytes) -> _Texts:
    for offset in range(3):
        # Characters that take bits of the value alone (RFC 4648 section 4).
        first, last = -(-8 * offset // 6), 8 * (offset + len(value)) // 6
        text = base64.b64encode(bytes(offset) + value + bytes(2))[first:last]
        yield text, False
        yield text.replace(b"+", b"-").replace(b"/", b"_"), False


def _base64_twice(value: bytes) -> _Texts:
    inner = base64.b64encode(value)[: 8 * len(value) // 6]
    return _base64(inner)


def _base64_utf16(value: bytes) -> _Texts:
    return _base64(_utf16(value))


def _hex(value: bytes) -> _Texts:
    for before, between in ((b"", b""), (b"", b":"), (b"", b" "), (b"\\x", b"\\x")):
        yield before + between.join(b"%02x" % byte for byte in value), True


def _base32(value: bytes) -> _Texts:
    for offset in range(5):
        first, last = -(-8 * offset // 5), 8 * (offset + len(value)) // 5
        yield base64.b32encode(bytes(offset) + value + bytes(4))[first:last], True


def _base85(value: bytes) -> _Texts:
    whole = value[: len(value) // 4 * 4]  # the last group depends on what follows
    yield base64.b85encode(whole), False
    yield base64.a85encode(whole), False


def _base58(value: bytes) -> _Texts:
    number, digits = int.from_bytes(value, "big"), bytearray()
    while number:
        number, digit = divmod(number, 58)
        digits.append(_BASE58[digit])
    yield bytes(reversed(digits)), False


def _json(value: bytes) -> _Texts:
    # RFC 8259 section 7; slashes as PHP writes them.
    text = value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    if not value.isascii():
        text = _escaped(text)
    yield text, False
    yield text.replace(b"/", b"\\/"), False


def _escaped(value: bytes) -> bytes:
    units = value.decode("utf-8", "replace")
    return b"".join(
        char.encode() if char.isascii() else _u_escapes(char.encode("utf-16-be")) for char in units
    )


def _u_escapes(utf16: bytes) -> bytes:
    return b"".join(b"\\u%02x%02x" % (utf16[i], utf16[i + 1]) for i in range(0, len(utf16) - 1, 2))


def _unicode(value: bytes) -> _Texts:
    yield _u_escapes(value.decode("utf-8", "replace").encode("utf-16-be")), True


def _octal(value: bytes) -> _Texts:
    yield b"".join(b"\\%03o" % byte for byte in value), False


def _html(value: bytes) -> _Texts:
    yield b"".join(b"&#%d;" % byte for byte in value), False
    yield b"".join(b"&#x%x;" % byte for byte in value), True
    text = value.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")
    yield text, False
    text = text.replace(b'"', b"&quot;")
    yield text.replace(b"'", b"&#39;"), False
    yield text.replace(b"'", b"&#x27;"), False


def _utf16(value: bytes) -> bytes:
    return b"".join(bytes((byte, 0)) for byte in value)


def _utf_16(value: bytes) -> _Texts:
    wide = _utf16(value)
    yield wide[:-1], False  # big endian is the same, one byte on


def _reversed(value: bytes) -> _Texts:
    yield value[::-1], False


def _rot13(value: bytes) -> _Texts:
    yield value.translate(_ROT13), False


def _quoted(value: bytes) -> _Texts:
    # RFC 2045 section 6.7
    yield (
        b"".join(
            bytes((byte,)) if 32 <= byte < 127 and byte != 0x3D else b"=%02X" % byte
            for byte in value
        ),
        False,
    )


_ENCODINGS: Final[tuple[tuple[str, Callable[[bytes], _Texts]], ...]] = (
    ("", _plain),
    ("percent", _percent),
    ("percent>percent", _percent_twice),
    ("base64", _base64),
    ("base64>base64", _base64_twice),
    ("base64>utf-16", _base64_utf16),
    ("hex", _hex),
    ("base32", _base32),
    ("base85", _base85),
    ("base58", _base58),
    ("json", _json),
    ("unicode", _unicode),
    ("octal", _octal),
    ("html", _html),
    ("utf-16", _utf_16),
    ("reversed", _reversed),
    ("rot13", _rot13),
    ("quoted-printable", _quoted),
)
"""Encodings by name; of two that write a value alike, the first counts."""
