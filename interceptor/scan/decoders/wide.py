"""UTF-16, UTF-32 and UTF-7; control characters and terminal sequences between characters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from interceptor.scan.decoders.alphabet import marks
from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.near import cut
from interceptor.scan.decoders.noise import readable

_TEXT = r"[\t\n\r -~]"
_WORD = "[A-Za-z0-9_]"
# First byte of a character that may be taken for ASCII or for nothing, or of one in plane 1 or 14.
_PAGE = r"[\x03-\x06\x20-\x24\xd8-\xdf\xfe\xff]"
_FULL = r"[\x10-\x5a]"
_GAP = r"(?:[\x0b-\x0f\x60-\x64]\x20)?"  # what is not seen, in between
_BIG_GAP = r"(?:\x20[\x0b-\x0f\x60-\x64])?"

# Text (t) and zeros in turn, in a copy where nothing else is left.
_KINDS = bytes(
    0x30 if not byte else 0x74 if byte in b"\t\n\r" or 32 <= byte < 127 else 0x20
    for byte in range(256)
)
_NARROW = (re.compile(b"t0" * 9 + b"t"), re.compile(b"t000" * 9 + b"t"))
# Between ASCII, or full-width: whoever only drops the zeros does not see these.
_LITTLE = re.compile(
    rf"\x00(?<={_WORD}\x00)(?:[\x00-\xff]{_PAGE}){{1,3}}{_WORD}\x00"
    rf"|\xff(?<={_FULL}\xff)(?:{_GAP}{_FULL}\xff){{5}}".encode()
)
_BIG = re.compile(
    rf"\x00{_WORD}(?:{_PAGE}[\x00-\xff]){{1,3}}\x00{_WORD}"
    rf"|\xff{_FULL}(?:{_BIG_GAP}\xff{_FULL}){{5}}".encode()
)


def _narrowed(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    """Drop the zeros: ASCII is ASCII then, whatever its width, byte order and offset."""
    pieces = cut(text, _NARROW, text.translate(_KINDS), ascii_only=True)
    yield "utf-16", b"\n".join([piece.translate(None, b"\0") for piece in pieces])


def _decoded(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    for pattern, before, codec in ((_LITTLE, 1, "utf-16-le"), (_BIG, 0, "utf-16-be")):
        pieces = []
        for piece in cut(text, (pattern,)):
            found = pattern.search(piece)
            if found is not None:
                whole = piece[(found.start() - before) & 1 :]
                pieces.append(whole.decode(codec, "ignore").encode("utf-8", "ignore"))
        if pieces:
            yield "utf-16", b"\n".join(pieces)


_HINTS = ((r"[\x00\xff]",),)
WIDE = (
    Decoder(
        "utf-16",
        (f"(?:{_TEXT}\\x00){{10}}", f"(?:{_TEXT}\\x00\\x00\\x00){{9}}{_TEXT}\\x00"),
        _narrowed,
        hints=_HINTS,
    ),
    Decoder(
        "utf-16",
        (
            rf"{_WORD}\x00(?:[\x00-\xff]{_PAGE}){{1,3}}{_WORD}\x00",
            rf"\x00{_WORD}(?:{_PAGE}[\x00-\xff]){{1,3}}\x00{_WORD}",
            rf"(?:{_FULL}\xff{_GAP}){{6}}",
            rf"(?:\xff{_FULL}{_BIG_GAP}){{6}}",
        ),
        _decoded,
        hints=_HINTS,
    ),
)
"""UTF-16 and UTF-32 (Unicode chapter 3.10), either byte order; the name does not tell which."""

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
_MARK_CONTROLS = marks(range(128))
_ZEROS = 16  # so many are no chance
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f](?<=[ -~].)[ -~]{8}", re.DOTALL)
_CONTROL_HINT = r"[\x00-\x08\x0e-\x1f\x7f]"
_TERMINAL = r"\x1b\[[0-9;]{0,16}[A-Za-z]"
_SEQUENCE = re.compile(_TERMINAL.encode())


def _controls(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    pieces = []
    text = readable(text, _MARK_CONTROLS)
    for piece in cut(text, (_CONTROL, _SEQUENCE), ascii_only=True):
        plain = _SEQUENCE.sub(b"", piece)
        # Many zeros end the names in a program; without them the names would make tokens.
        names = plain.count(b"\0") > max(_ZEROS, len(plain) // 32)
        plain = plain.translate(None, _CONTROLS[1:] if names else _CONTROLS)
        if len(plain) != len(piece):
            pieces.append(plain)
    yield "controls", b"\n".join(pieces)


CONTROLS = Decoder(
    "controls",
    (
        _CONTROL_HINT + "[ -~]{8}",
        rf"[A-Za-z0-9_-]{_TERMINAL}",
        rf"{_TERMINAL}[A-Za-z0-9_-]",
    ),
    _controls,
    hints=((_CONTROL_HINT,),),
)
"""Control characters within a token, and the colours with which `grep` marks what it found."""
