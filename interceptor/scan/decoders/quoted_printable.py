"""Quoted-printable (RFC 2045 section 6.7)."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.near import cut

# One `=41` alone also stands in queries, `a=41&b=42` in all of them: two must be near each other
# in one token, unless it is the equals sign itself or a line that goes on.
_ONE = "=(?:[2-7][0-9A-Fa-f]|0[09ADad])"
_TWO = f"{_ONE}[A-Za-z0-9_-]{{0,16}}{_ONE}"
# As many patterns as it has lengths: what has one length is found at once.
_TWO_GATES = tuple(_ONE + "[A-Za-z0-9_-]" * between + _ONE for between in range(17))
_UTF8 = "=[C-F][0-9A-F]=[89AB][0-9A-F]"
_BREAK = r"=[ \t]{0,4}(?:\r?\n|(?:\\{1,4}r)?\\{1,4}n) ?[!-~]"  # also within a JSON string
_SEEN = tuple(re.compile(one.encode()) for one in (_TWO, "=3D", _UTF8, _BREAK))
_WRITTEN = re.compile(rb"=\\{1,4}(?:r\\{1,4})?n")
_PADDED = re.compile(rb"=[ \t]{1,64}+(?=[\r\n])")


def _decode(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    pieces = cut(text, _SEEN, ascii_only=True)
    yield "quoted-printable", b"\n".join([unquoted(piece) for piece in pieces])


def unquoted(text: bytes) -> bytes:
    """Undo quoted-printable; soft line breaks vanish, also where transport left blanks in them."""
    if b"= " in text or b"=\t" in text:
        text = _PADDED.sub(b"=", text)
    if b"=\\" in text:  # in a JSON string, or in code
        text = _WRITTEN.sub(b"", text)
    if b"=\r" in text:  # or all up to the next line feed would vanish
        text = text.replace(b"=\r\n", b"=\n").replace(b"=\r", b"=\n")
    # A value's equals sign before the first escape: binascii takes two as one.
    return binascii.a2b_qp(text.replace(b"==", b"=3D="))


QUOTED_PRINTABLE = Decoder(
    "quoted-printable", (*_TWO_GATES, "=3D", _UTF8, rf"[ -<>-~]{_BREAK}"), _decode
)
"""Quoted-printable, as mail programs write it."""
