"""Encodings that stand as runs of an alphabet of their own, and what is compressed in them."""

from __future__ import annotations

import re

from interceptor.scan.decoders.base32 import BASE32, decode_base32
from interceptor.scan.decoders.base64 import BASE64, MIN_BASE64, base64_phases, decode_base64
from interceptor.scan.decoders.base85 import BASE85
from interceptor.scan.decoders.codes import CODES
from interceptor.scan.decoders.compressed import COMPRESSED
from interceptor.scan.decoders.hex import HEX, MIN_HEX, decode_hex, hex_phases
from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.streams import Found

__all__ = ["MIN_BASE64", "MIN_HEX", "RUNS", "base64_phases", "hex_phases"]


_LINE = re.compile(rb"\n[ \t>|#*]*+")


def _narrow(text: bytes, seen: Seen) -> Found:
    """Decode runs that are wrapped into lines too short to be noticed one by one."""
    while b"\\\\" in text:
        text = text.replace(b"\\\\", b"\\")
    for escaped, plain in ((b"\\n", b"\n"), (b"\\r", b""), (b"\r", b""), (b"\\\n", b"\n")):
        text = text.replace(escaped, plain)
    joined = _LINE.sub(b"", text)
    for decode in (decode_base64, decode_hex, decode_base32):
        yield from decode(joined, seen)


_ONE = "[A-Za-z0-9+/_-]"
_END = r"(?:[\r\n\x22'\\<;,)\]}&]|$)"
_NARROW = (
    # Two lines that hold nothing else, and one that is padded.
    *(
        begin + _ONE + "{4,19}" + line + _ONE + "{1,19}" + _END
        for begin, line in (
            (r"\n", r"\\?\r?\n"),
            (r"\\n", r"(?:\\{1,4}r)?\\{1,4}n"),
            (r"\n> ?", r"\r?\n> ?"),
        )
    ),
    *(begin + _ONE + "{1,18}={1,2}" + _END for begin in (r"\n", r"\\n", r"\n> ?")),
)
# Lines that hold nothing else make one run, with what ends them; and padding has an end.
_NARROW_HINTS = (
    rf"[A-Za-z0-9+/_\r\n\\-]{{{MIN_BASE64 + 1}}}",
    _ONE + "=" + _END.replace("|$", ""),
    _ONE + "==" + _END.replace("|$", ""),
    _ONE + "={1,2}$",
    r"\n>",
)

RUNS: tuple[Decoder, ...] = (
    *BASE64,
    *HEX,
    *BASE32,
    *BASE85,
    *CODES,
    *COMPRESSED,
    Decoder("lines", _NARROW, _narrow, hints=(_NARROW_HINTS,)),
)
"""Every decoder of this kind; the frequent ones come first."""
