"""Bytes written as numbers: decimal, octal, binary, and calls such as `chr(65)`."""

from __future__ import annotations

import re
from binascii import Error, a2b_uu
from typing import Final

from interceptor.scan.decoders.alphabet import fresh, marks, runs
from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.noise import is_noise
from interceptor.scan.decoders.sieve import Sieve
from interceptor.scan.decoders.streams import SHORTEST, Found

_BLANKS: Final = b", \t\r\n;"

# Two or three digits, and what is between: of measured values, few are codes twelve times in a row.
_DECIMAL_RUN = marks(b"0123456789" + _BLANKS)
_CODE = rb"(?:3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6])"
_GAP = rb"[, \t\r\n;]{1,64}+"
_DECIMALS = re.compile(
    rb"(?<![0-9])(?:%b%b){%d,}(?:(?:%b|9|1[03])%b)*(?:%b(?![0-9]))?"
    % (_CODE, _GAP, SHORTEST - 1, _CODE, _GAP, _CODE)
)
_CODES: Final = Sieve(
    rf"(?:(?:3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6])[, \t\r\n;]{{1,40}}){{{SHORTEST - 1}}}"
)
_SPACES = bytes(32 if byte in _BLANKS else byte for byte in range(256))


def _decimal(text: bytes, seen: Seen) -> Found:
    """Decode lists of numbers that are codes of readable characters."""
    if not _CODES.holds(text):
        return
    found: list[bytes] = []
    for start, end in runs(text, _DECIMAL_RUN, 3 * SHORTEST - 1):
        found += _DECIMALS.findall(text, start, end)
    new = fresh(found, "decimal", seen)
    if new:
        lists = [run.translate(_SPACES).split() for run in new]
        yield "decimal", b"\n".join([bytes(map(int, codes)) for codes in lists])


_OCTALS = re.compile(
    rb"(?:(?:0o[01]?[0-7]{2}|0?[01][0-7]{2})[ ,\\]{1,3}+){%d,}(?:0o[01]?[0-7]{2}|0?[01][0-7]{2})?"
    % (SHORTEST - 1)
)
_OCTAL_SPACES = bytes(byte if byte in b"01234567" else 32 for byte in range(256))


def _octal(text: bytes, seen: Seen) -> Found:
    """Decode lists of octal digits."""
    new = fresh(_OCTALS.findall(text), "octal", seen)
    if new:
        lists = [run.replace(b"0o", b"").translate(_OCTAL_SPACES).split() for run in new]
        yield "octal", b"\n".join([bytes([int(code, 8) for code in codes]) for codes in lists])


_BINARY_BLANKS = b" ,_-\r\n\t\"'"
_BINARY_RUN = marks(b"01b" + _BINARY_BLANKS)
_BITS = marks(b"01")
_BINARY_SPACES = bytes(32 if byte in _BINARY_BLANKS else byte for byte in range(256))
_LEAST_BITS: Final = 7 * SHORTEST


def _binary(text: bytes, seen: Seen) -> Found:
    """Decode digits 0 and 1, in groups of a byte each or without any gap."""
    found = [text[start:end] for start, end in runs(text, _BINARY_RUN, _LEAST_BITS)]
    pieces: list[bytes] = []
    for run in fresh(found, "binary", seen):
        groups = run.replace(b"0b", b"").replace(b"b", b" ").translate(_BINARY_SPACES).split()
        if max(map(len, groups), default=0) <= 8:
            pieces.append(bytes([int(group, 2) for group in groups]))
        digits = b"".join(groups)
        if len(digits) >= _LEAST_BITS:
            number = int(digits, 2)
            size = (len(digits) + 7) // 8
            pieces += [(number >> shift).to_bytes(size, "big") for shift in range(8)]
    out = b"\n".join(pieces)
    if not is_noise(out):
        yield "binary", out


_CALLS = re.compile(
    rb"(?:\bcha?r[bw]?\$?[\]\s]{0,2}\(?\s{0,2}(?:0x([0-9a-f]{2})|([0-9]{2,3}))(?![0-9a-f])"
    rb"|\bu\+00([2-7][0-9a-f])(?![0-9a-f]))",
    re.IGNORECASE,
)


def _calls(text: bytes, _seen: Seen) -> Found:
    """Decode `chr(65)+chr(75)`, `CHAR(65,75)`, `[char]65+[char]75`, `U+0041 U+004B`."""
    codes = [
        int(hexadecimal or point, 16) if hexadecimal or point else int(decimal)
        for hexadecimal, decimal, point in _CALLS.findall(text)
    ]
    yield "chr", bytes([code for code in codes if code < 256])


_XX = b"+-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FROM_XX = bytes.maketrans(_XX, b"`" + bytes(range(33, 96)))
"""The same bits in the other alphabet; a blank as uuencode writes it, too."""


def _uuencoded(text: bytes, _seen: Seen) -> Found:
    """Decode uuencode (POSIX.1 `uuencode`) and xxencode, which differ in their alphabet."""
    for name, table in (("uuencode", None), ("xxencode", _FROM_XX)):
        pieces = []
        at = text.find(b"begin ")
        while at >= 0:
            out, at = _body(text, at, table)
            pieces.append(out)
            at = text.find(b"begin ", at)
        yield name, b"\n".join(pieces)


def _body(text: bytes, at: int, table: bytes | None) -> tuple[bytes, int]:
    """Decode the lines behind `begin`; return what they hold and where they end."""
    escaped = text.find(b"\\n", at, at + 512)
    line_end = b"\\n" if escaped >= 0 and b"\n" not in text[at:escaped] else b"\n"
    out = []
    at = text.find(line_end, at) + len(line_end)
    if at < len(line_end):
        return b"", len(text)
    while at < len(text):
        end = text.find(line_end, at)
        end = len(text) if end < 0 else end
        line = text[at:end].rstrip(b"\r").translate(table)
        try:
            data = a2b_uu(line[:85]) if len(line) > 1 else b""
        except Error:
            break
        if not data:
            break
        out.append(data)
        at = end + len(line_end)
    return b"".join(out), at


_CALL_GATE: Final = (
    r"[cC][hH][aA]?[rR][wWbB]?[\])$]?\(?(?:0[xX])?[0-9a-fA-F]{2,3}\)?[ .,+&|]{1,4}\[?[cC][hH]"
)

CODES: tuple[Decoder, ...] = (
    Decoder("decimal", (r"[0-9, \t\r\n;]{40}",), _decimal),
    Decoder("octal", (r"(?:[01][0-7]{2}[ ,\\]){12}", r"(?:0o[01]?[0-7]{2}[, ]{1,2}){12}"), _octal),
    Decoder("binary", (r"[01b ,_\r\n\t\x22'-]{107}", r"[01]{88}"), _binary),
    Decoder(
        "chr",
        (
            _CALL_GATE,
            r"[uU]\+00[2-7][0-9a-fA-F][ ,]{1,2}[uU]\+00[2-7][0-9a-fA-F]",
        ),
        _calls,
    ),
    Decoder("uuencode", ("begin [0-7]{3,4} ",), _uuencoded),
)
"""Decoders of numbers."""
