"""How a secret is written otherwise: encoders, with the standard library where it has one."""

from __future__ import annotations

import base64
import codecs
import gzip
import html.entities
import json
import quopri
import zlib
from collections.abc import Callable
from typing import NamedTuple

import brotli  # type: ignore[import-untyped]
import zstandard

Encode = Callable[[bytes], bytes]

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_LOOKALIKES = str.maketrans("aceopxyABCEHIKMOPTX", "асеорхуАВСЕНІКМОРТХ")
_NAMES = {code: name for name, code in html.entities.name2codepoint.items()} | {
    ord(char): name.removesuffix(";")
    for name, char in html.entities.html5.items()
    if name.endswith(";") and len(char) == 1 and char.isascii() and not char.isalnum()
}


class Encoding(NamedTuple):
    """One way to write bytes otherwise."""

    name: str
    encode: Encode
    folds: bool = False
    """The text stays readable to a person, so that only a rule that knows its secret by its own
    form is looked for in it (`Rule.split`): words and values run together otherwise."""
    chains: bool = True
    """May stand inside and outside of others."""
    url: bool = False
    """Its output is what stands in a URL, not to be escaped once more."""
    layers: int = 1
    """How many encodings it is."""


def _each(template: str) -> Encode:
    """Every byte escaped."""
    return lambda data: "".join(template.format(byte) for byte in data).encode()


def _each_character(template: str) -> Encode:
    """Every character escaped by its code point."""
    return lambda data: "".join(template.format(ord(char)) for char in data.decode()).encode()


def _wrapped(data: bytes) -> bytes:
    """As mail and openssl wrap it, with a text around that makes the secret cross line ends."""
    return base64.encodebytes(b"-- notes follow, please keep --\n" + data + b"\nend of notes; " * 4)


def _hexdump(data: bytes) -> bytes:
    """Lines of 16 bytes with offsets, as `xxd` prints them, without the column of characters."""
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16].hex(" ", 2)
        lines.append(f"{at:08x}: {row}")
    return "\n".join(lines).encode()


def _named(data: bytes) -> bytes:
    """Character references: names where HTML has one, numbers in turn otherwise."""
    out = []
    for number, char in enumerate(data.decode()):
        code = ord(char)
        name = _NAMES.get(code)
        if name:
            out.append(f"&{name};")
        else:
            out.append(f"&#{code};" if number % 2 else f"&#x{code:04X};")
    return "".join(out).encode()


def _quoted_printable(data: bytes) -> bytes:
    """Every byte escaped, soft line breaks at 76 (RFC 2045 section 6.7)."""
    escaped = "".join(f"={byte:02X}" for byte in data)
    return "=\r\n".join(escaped[at : at + 75] for at in range(0, len(escaped), 75)).encode()


def _quopri(data: bytes) -> bytes:
    """As a mail program does: what must be, and soft breaks within long lines."""
    return quopri.encodestring(b"Re=E9 notes: ".replace(b"=E9", b"\xe9") + b"x" * 50 + b" " + data)


def _base58(data: bytes) -> bytes:
    number = int.from_bytes(data)
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return (_BASE58[0] * (len(data) - len(data.lstrip(b"\0"))) + digits).encode()


def _utf7(data: bytes) -> bytes:
    """All of it in shifted sequences, as UTF-7 permits for any character (RFC 2152)."""
    inner = base64.b64encode(data.decode("latin-1").encode("utf-16-be")).rstrip(b"=")
    return b"+" + inner + b"-"


def _concatenated(data: bytes) -> bytes:
    """A string literal of Python, JavaScript or Java in pieces of seven characters."""
    text = data.decode("latin-1")
    pieces = [json.dumps(text[at : at + 7], ensure_ascii=False) for at in range(0, len(text), 7)]
    return ("key = " + " + ".join(pieces)).encode()


def _joined_lines(data: bytes) -> bytes:
    """Lines joined with a backslash, as in shell and C."""
    return b"\\\n".join(data[at : at + 9] for at in range(0, len(data), 9))


def _full_width(data: bytes) -> bytes:
    shifted = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
    return data.decode().translate(shifted).encode()


def _data_uri(data: bytes) -> bytes:
    return b'<img src="data:text/plain;base64,' + base64.b64encode(data) + b'">'


ENCODINGS: tuple[Encoding, ...] = (
    Encoding("plain", bytes),
    Encoding("percent", _each("%{:02X}"), url=True),
    Encoding("percent-twice", _each("%25{:02x}"), url=True, layers=2),
    Encoding("base64", base64.b64encode),
    Encoding("base64url", lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")),
    Encoding("base64-wrapped", _wrapped),
    Encoding("base64-data-uri", _data_uri),
    Encoding("hex", lambda data: data.hex().encode()),
    Encoding("hex-colons", lambda data: data.hex(":").upper().encode()),
    Encoding("hex-0x", lambda data: ", ".join(f"0x{byte:02x}" for byte in data).encode()),
    Encoding("hexdump", _hexdump, chains=False),
    Encoding("base32", base64.b32encode),
    Encoding("base58", _base58, chains=False),
    Encoding("ascii85", lambda data: base64.a85encode(data, adobe=True), chains=False),
    Encoding("base85", base64.b85encode, chains=False),
    Encoding("entities", _each_character("&#{};")),
    Encoding("entities-named", _named),
    Encoding("escapes-u", _each_character("\\u{:04x}")),
    Encoding("escapes-x", _each("\\x{:02x}")),
    Encoding("escapes-octal", _each("\\{:03o}")),
    Encoding("quoted-printable", _quoted_printable),
    Encoding("quoted-printable-mail", _quopri, chains=False),
    Encoding("gzip+base64", lambda data: base64.b64encode(gzip.compress(data, mtime=0)), layers=2),
    Encoding("zlib+base64", lambda data: base64.b64encode(zlib.compress(data)), layers=2),
    Encoding("brotli+base64", lambda data: base64.b64encode(brotli.compress(data)), layers=2),
    Encoding("zstd+base64", lambda data: base64.b64encode(zstandard.compress(data)), layers=2),
    Encoding(
        "utf-16+base64", lambda data: base64.b64encode(data.decode().encode("utf-16-le")), layers=2
    ),
    Encoding("utf-7", _utf7, chains=False),
    Encoding("json-in-json", lambda data: json.dumps(json.dumps(data.decode())).encode(), layers=2),
    Encoding("rot13", lambda data: codecs.encode(data.decode(), "rot13").encode(), folds=True),
    Encoding("reversed", lambda data: data[::-1], folds=True),
    Encoding("zero-width", lambda data: "\u200b".join(data.decode()).encode()),
    Encoding("full-width", _full_width),
    Encoding(
        "lookalikes", lambda data: data.decode().translate(_LOOKALIKES).encode(), chains=False
    ),
    Encoding("dotted", lambda data: ".".join(data.decode()).encode(), folds=True, chains=False),
    Encoding("spaced", lambda data: " ".join(data.decode()).encode(), folds=True, chains=False),
    Encoding("concatenated", _concatenated, chains=False),
    Encoding("joined-lines", _joined_lines, chains=False),
)
"""All of them, in the order of the report."""

BY_NAME = {encoding.name: encoding for encoding in ENCODINGS}

STATED = (
    *("plain", "percent", "percent-twice", "base64", "base64url", "base64-wrapped", "hex"),
    *("hex-colons", "base32", "entities", "escapes-u", "gzip+base64", "reversed", "rot13"),
    *("zero-width", "full-width", "utf-16+base64", "quoted-printable", "concatenated"),
)
"""Those that the stated goal of recall is held to."""
