"""Characters that are read as ASCII or not seen at all, among ASCII.

Zero-width and bidirectional controls, variation selectors, tags, combining marks, full-width forms,
mathematical letters, letters in circles, look-alikes of other alphabets. Text in another language
has such characters everywhere; what counts is where they touch ASCII, and that a word of some
length results which did not stand there before. Bytes that are no UTF-8 change nothing around them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from interceptor.scan.decoders.lookalikes import (
    ALIKE,
    ALPHABETS,
    BLANKS,
    COUNTED,
    DECOMPOSED,
    DIGITS,
    VANISHING,
    points,
)
from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.near import merged

_NAME = "unicode"
_REACH = 1024  # bytes on either side; a secret is written in one script or a few
_DOUBTS = 64  # places where no word results, after which all that follows is taken for evidence
_WORD = re.compile(rb"[A-Za-z0-9_./+=:-]{8,}+")
_T = "[A-Za-z0-9_]"

# First byte and further ones, in UTF-8, of what `lookalikes` lists. Dashes and quotes of ordinary
# typography and full-width punctuation are left out, since text is full of them next to ASCII.
_ALPHABETIC = r"[\xc9\xca\xcc-\xd6][\x80-\xbf]"
_OTHERS = (
    (r"\xc2", r"\xad"),
    (r"\xd8", r"\x9c"),
    (r"\xe1", r"(?:[\x8e-\x99\xaa\xb4-\xb7][\x80-\xbf]|\x85[\x9f\xa0]|\x9e[\xb4\xb5])"),
    (r"\xe1", r"\xa0[\x8b-\x8f]"),
    (r"\xe2", r"\x80[\x8b-\x93\xa4\xaa-\xae\xbf]"),
    (r"\xe2", r"(?:\x81[\x84\xa0-\xbf]|\x82[\x80-\x9c]|\x83[\x90-\xb0])"),
    (r"\xe2", r"(?:\x84[\x80-\xa1\xa3-\xbf]|\x85[\x80-\xbf]|\x88[\x92\x95\xa3\xb6]|\xa0\x80)"),
    (r"\xe2", r"[\x91-\x93\xb1-\xb4][\x80-\xbf]"),
    (r"\xe3", r"\x85\xa4"),
    (r"\xea", r"[\x93\x99\x9c-\x9f\xac-\xae][\x80-\xbf]"),
    (r"\xef", r"(?:\xb8[\x80-\x8f\xa0-\xaf]|\xbb\xbf|\xbe\xa0|\xbf[\xb9-\xbb])"),
    (r"\xef", r"\xbc[\x90-\x99\xa1-\xba]"),
    (r"\xef", r"\xbd[\x81-\x9a]"),
    (r"\xf0", r"(?:\x9d[\x90-\x9f]|\x9f[\x84-\x87])[\x80-\xbf]"),
    (r"\xf3", r"\xa0[\x80-\x87][\x80-\xbf]"),
)
# Without any ASCII: styles in which nobody writes at length.
_STYLED = (
    r"(?:\xef[\xbc\xbd][\x80-\xbf]){4}",
    r"(?:\xf0\x9d[\x90-\x9f][\x80-\xbf]){4}",
    r"(?:\xf0\x9f[\x84-\x87][\x80-\xbf]){4}",
    r"(?:\xe2[\x91-\x93][\x80-\xbf]){4}",
    r"(?:\xea\x93[\x90-\xbf]){4}",
)
# Letters with marks near a digit: in no word of French or Vietnamese.
_MARKED = (
    r"[\xc3-\xc8][\x80-\xbf][A-Za-z_-]{0,3}[0-9]",
    r"[0-9][A-Za-z_-]{0,3}[\xc3-\xc8][\x80-\xbf]",
)
_TAGS = r"(?:\xf3\xa0[\x80\x81][\x80-\xbf]){8}"
_SELECTORS = r"(?:\xef\xb8[\x80-\x8f]|\xf3\xa0[\x84-\x87][\x80-\xbf]){8}"

_AMONG = re.compile(
    "|".join(
        rf"{first}(?:(?<={_T}{first}){rest}|{rest}(?={_T}))" for first, rest in _OTHERS
    ).encode()
)
_ALONE = re.compile("|".join((*_STYLED, *_MARKED)).encode())

# Which bytes are letters or digits (t), first bytes of alphabets that look like ASCII (f), and
# what follows those (c): ordinary text in them has hardly any `tf` or `fct`.
_KINDS = bytearray(b" " * 256)
_KINDS[0x80:0xC0] = b"c" * 64
_KINDS[0xC9:0xD7] = b"ff ".ljust(14, b"f")
for _first, _last in (b"09", b"AZ", b"az", b"__"):
    _KINDS[_first : _last + 1] = b"t" * (_last + 1 - _first)

_GONE = 1
_UNKNOWN = 0x7F
_PLANE14 = re.compile(rb"(?:\xf3\xa0[\x80-\x87][\x80-\xbf])++")
_TAG_RUN = re.compile(rb"(?:\xf3\xa0(?:\x80[\xa0-\xbf]|\x81[\x80-\xbe]))++")
_SELECTOR_RUN = re.compile(rb"(?:\xef\xb8[\x80-\x8f]|\xf3\xa0[\x84-\x87][\x80-\xbf]){8,}+")
_LIGATURES = tuple(
    (bytes((0xEF, 0xAC, 0x80 + number)), text)
    for number, text in enumerate((b"ff", b"fi", b"fl", b"ffi", b"ffl", b"st", b"st"))
)


@cache
def table() -> str:
    """ASCII for each code point up to the last that has any; a control character for the rest."""
    from unicodedata import normalize

    ascii_of = {
        int(point, 16): char for char, points_ in ALIKE.items() for point in points_.split()
    }
    out = bytearray([_UNKNOWN]) * (DECOMPOSED[-1][1] + 1)
    out[:128] = bytes(range(128))
    for point in points(DECOMPOSED):
        whole = normalize("NFKD", chr(point))
        letters = [char for char in whole if not 0x300 <= ord(char) < 0x370]
        text = "".join([ascii_of.get(ord(char), char) for char in letters]).strip("(). ,")
        if len(text) == 1 and text.isascii():
            out[point] = ord(text)
    for first, char in ALPHABETS:
        out[first : first + 26] = bytes(range(ord(char), ord(char) + 26))
    for zero in DIGITS:
        out[zero : zero + 10] = b"0123456789"
    for one in COUNTED:
        out[one : one + 9] = b"123456789"
    for point, char in ascii_of.items():
        out[point] = ord(char)
    for point in points(BLANKS):
        out[point] = 32
    for point in (*points(VANISHING), *range(9), *range(14, 32), 127):
        out[point] = _GONE
    return out.decode("latin-1")


def folded(text: bytes) -> bytes:
    """Return `text` in ASCII: what looks like it as such, what is not seen left out."""
    if b"\xf3\xa0" in text:
        text = _PLANE14.sub(b"", text)
    if b"\xef\xac" in text:
        for ligature, letters in _LIGATURES:
            text = text.replace(ligature, letters)
    out = text.decode("utf-8", "surrogateescape").translate(table())
    return out.encode("ascii", "replace").translate(None, b"\x01")


def _fold(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    pieces = [folded(text[start:end]) for start, end in _spans(text)]
    if pieces:
        yield _NAME, b"\n".join(pieces)
    if b"\xf3\xa0" in text:
        tags = b"".join(_TAG_RUN.findall(text))
        yield _NAME, tags.decode("utf-8", "ignore").encode("utf-32-le")[::4]
    selectors = _SELECTOR_RUN.findall(text)
    if selectors:
        yield _NAME, b"\n".join([_selected(run) for run in selectors])


def _selected(run: bytes) -> bytes:
    """Bytes written as variation selectors: the first sixteen, then those of plane 14."""
    wide = run.decode("utf-8", "ignore").encode("utf-32-le")
    pairs = zip(wide[::4], wide[1::4], strict=True)
    return bytes([low & 15 if page == 0xFE else low + 16 & 255 for low, page in pairs])


def _spans(text: bytes) -> list[tuple[int, int]]:
    """Where to fold: around places where ASCII and its look-alikes make a word."""
    if len(text) <= 2 * _REACH:
        return [(0, len(text))] if _new_word(text) else []
    spans: list[tuple[int, int]] = []
    at = 0
    while (found := _ALONE.search(text, at)) is not None:
        at = found.start() + _REACH
        spans.append((at - 2 * _REACH, at + _REACH))
    doubts = 0
    at = 0
    while (found := _AMONG.search(text, at)) is not None:
        at, doubts = _judged(text, found.start(), spans, doubts)
    kinds = text.translate(_KINDS)
    for needle in (b"tf", b"fct"):
        at = doubts = 0
        while (place := kinds.find(needle, at)) >= 0:
            at, doubts = _judged(text, place, spans, doubts)
    return merged(spans)


def _judged(text: bytes, place: int, spans: list[tuple[int, int]], doubts: int) -> tuple[int, int]:
    """Note a place if a word results there; return where to look on, and doubts so far."""
    if doubts >= _DOUBTS:
        spans.append((place - _REACH, len(text)))
        return len(text), doubts
    if not _new_word(text[max(0, place - 64) : place + 64]):
        return place + 1, doubts + 1
    spans.append((place - _REACH, place + 2 * _REACH))
    return place + _REACH, doubts


def _new_word(text: bytes) -> bool:
    """Say whether folding makes a word that does not stand in `text`."""
    return any(word not in text for word in _WORD.findall(folded(text)))


FOLDING = Decoder(
    _NAME,
    (
        _T + _ALPHABETIC,
        _ALPHABETIC + _T,
        *(_T + first + rest for first, rest in _OTHERS),
        *(first + rest + _T for first, rest in _OTHERS),
        *_STYLED,
        *_MARKED,
        _TAGS,
        _SELECTORS,
    ),
    _fold,
)
"""Unicode written for ASCII."""
