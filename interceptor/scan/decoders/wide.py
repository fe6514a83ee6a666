"""UTF-16, UTF-32 and UTF-7; control characters and terminal sequences between characters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.near import cut

_SIXTEEN = re.compile(rb"\x00[\x21-\x7e]\x00[\x21-\x7e]\x00[\x21-\x7e]\x00[\x21-\x7e]")
_THIRTYTWO = re.compile(rb"\x00\x00\x00[\x21-\x7e]\x00\x00\x00[\x21-\x7e]\x00\x00\x00")
# A character beyond Latin-1 among ASCII: whoever only drops the zeros does not see it.
_LITTLE = re.compile(rb"[A-Za-z0-9_]\x00(?:[\x00-\xff][\x01-\xff])++[A-Za-z0-9_]\x00")
_BIG = re.compile(rb"\x00[A-Za-z0-9_](?:[\x01-\xff][\x00-\xff])++\x00[A-Za-z0-9_]")


def _wide(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    pieces = cut(text, (_SIXTEEN, _THIRTYTWO))
    # ASCII without its zeros is ASCII, whatever its width, byte order and offset.
    name = "utf-32" if any(_THIRTYTWO.search(piece) for piece in pieces) else "utf-16"
    yield name, b"\n".join([piece.translate(None, b"\0") for piece in pieces])
    if name == "utf-16":
        for pattern, codec in ((_LITTLE, "utf-16-le"), (_BIG, "utf-16-be")):
            decoded = [_decoded(piece, pattern, codec) for piece in pieces]
            if any(decoded):
                yield name, b"\n".join(decoded)


def _decoded(text: bytes, evidence: re.Pattern[bytes], codec: str) -> bytes:
    found = evidence.search(text)
    if found is None:
        return b""
    return text[found.start() & 1 :].decode(codec, "ignore").encode("utf-8", "ignore")


WIDE = Decoder(
    "utf-16",
    (
        r"[\x21-\x7e]\x00[\x21-\x7e]\x00[\x21-\x7e]\x00[\x21-\x7e]\x00[\x21-\x7e]\x00",
        r"[\x21-\x7e]\x00\x00\x00[\x21-\x7e]\x00\x00\x00[\x21-\x7e]\x00\x00\x00[\x21-\x7e]\x00",
    ),
    _wide,
)
"""UTF-16 and UTF-32 (Unicode chapter 3.10), either byte order."""

# Base64 of UTF-16 with high bytes of zero: what it looks like by chance once in a gigabyte.
_SHIFTED = r"\+A[C-H][AEIMQUYcgkosw048](?:-|A[I-Za-f][AQgw])"
_SHIFT = re.compile(_SHIFTED.encode())
_HIGH = bytes(range(128, 256))


def _utf7(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    pieces = [
        piece.translate(None, _HIGH).decode("utf-7", "ignore").encode("utf-8", "ignore")
        for piece in cut(text, (_SHIFT,))
    ]
    yield "utf-7", b"\n".join(pieces)


UTF7 = Decoder("utf-7", (_SHIFTED,), _utf7)
"""UTF-7 (RFC 2152)."""

_CONTROLS = bytes((*range(9), *range(14, 32), 127))
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f](?<=[A-Za-z0-9_-]{4}.)[A-Za-z0-9_-]{4}", re.DOTALL)
_TERMINAL = r"\x1b\[[0-9;]{0,16}[A-Za-z]"
_SEQUENCE = re.compile(_TERMINAL.encode())


def _controls(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    pieces = [
        _SEQUENCE.sub(b"", piece).translate(None, _CONTROLS)
        for piece in cut(text, (_CONTROL, _SEQUENCE))
    ]
    yield "controls", b"\n".join(pieces)


CONTROLS = Decoder(
    "controls",
    (
        r"[A-Za-z0-9_-]{4}[\x00-\x08\x0e-\x1f\x7f][A-Za-z0-9_-]{4}",
        rf"[A-Za-z0-9_-]{_TERMINAL}|{_TERMINAL}[A-Za-z0-9_-]",
    ),
    _controls,
)
"""Control characters within a token, and the colours with which `grep` marks what it found."""
