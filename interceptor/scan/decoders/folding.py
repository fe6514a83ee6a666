"""Characters that are read as ASCII or not seen at all, among ASCII.

Zero-width and bidirectional controls, variation selectors, tags, combining marks, full-width forms,
mathematical letters, letters in circles, look-alikes of other alphabets. Text in another language
has such characters everywhere; what counts is where they touch ASCII, and that a word of some
length results which did not stand there before. Bytes that are no UTF-8 change nothing around them.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from functools import cache, partial

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
_DOUBTS = 128  # what looking in vain may cost, and 1 in 32 bytes; then all the rest is folded
_CROWDED, _CROWD = 6, 128  # so many places in so many bytes are no chance, word or not
_LEAST = 10  # characters of a word
_WORD = re.compile(rb"[!-~]{%d,}+" % _LEAST)
_T = "[A-Za-z0-9_]"

# First byte and further ones, in UTF-8, of what `lookalikes` lists. Dashes and quotes of ordinary
# typography and full-width punctuation are left out, since text is full of them next to ASCII.
_LETTERS = {
    r"\xe1": (r"[\x8e-\x99\xaa\xb4-\xb7][\x80-\xbf]",),
    r"\xe2": (
        r"\x80[\x90-\x92\xa4\xbf]",
        r"(?:\x81[\x84\xb0-\xbf]|\x82[\x80-\x9c]|\x83[\x90-\xb0])",
        r"(?:\x84[\x80-\xa1\xa3-\xbf]|\x85[\x80-\xbf]|\x88[\x92\x95\xa3\xb6])",
        r"[\x91-\x93\xb1-\xb4][\x80-\xbf]",
    ),
    r"\xea": (r"[\x93\x99\x9c-\x9f\xac-\xae][\x80-\xbf]",),
    r"\xef": (r"\xb8[\xa0-\xaf]", r"\xbc[\x90-\x99\xa1-\xba]", r"\xbd[\x81-\x9a]"),
    r"\xf0": (r"\x9f[\x84-\x87][\x80-\xbf]",),
}
_UNSEEN = {
    r"\xc2": (r"\xad",),
    r"\xd8": (r"\x9c",),
    r"\xe1": (r"(?:\x85[\x9f\xa0]|\x9e[\xb4\xb5]|\xa0[\x8b-\x8f])",),
    r"\xe2": (r"(?:\x80[\x8b-\x8f\xaa-\xae]|\x81[\xa0-\xaf]|\xa0\x80)",),
    r"\xe3": (r"\x85\xa4",),
    r"\xef": (r"(?:\xb8[\x80-\x8f]|\xbb\xbf|\xbe\xa0|\xbf[\xb9-\xbb])",),
    r"\xf3": (r"\xa0[\x80-\x87][\x80-\xbf]",),
}
_GAP = (
    r"(?:\xe2(?:\x80[\x8b-\x8f\xaa-\xae]|\x81[\xa0-\xaf])|\xef(?:\xb8[\x80-\x8f]|\xbb\xbf)|\xc2\xad"
    r"|\xcc[\x80-\xbf]|\xcd[\x80-\xaf]|\xf3\xa0[\x80-\x87][\x80-\xbf])?"
)
# Without any ASCII next to it: styles in which nobody writes at length.
_STYLED = {
    r"\xef": (
        rf"\xbc[\x90-\x99\xa1-\xba]{_GAP} ?\xef[\xbc\xbd][\x80-\xbf]",
        rf"\xbd[\x81-\x9a]{_GAP} ?\xef[\xbc\xbd][\x80-\xbf]",
    ),
    r"\xf0": (
        r"\x9d[\x90-\x9f][\x80-\xbf]",
        rf"\x9f[\x84-\x87][\x80-\xbf]{_GAP}\xf0\x9f[\x84-\x87][\x80-\xbf]",
    ),
    r"\xe2": (
        r"(?:\x92[\xb6-\xbf]|\x93[\x80-\xa9])",
        rf"[\x91-\x93][\x80-\xbf]{_GAP}\xe2[\x91-\x93][\x80-\xbf]",
    ),
    r"\xea": (r"\x93[\x90-\xbf](?:\xea\x93[\x90-\xbf]){3}",),
}


def _evidence(first: str) -> re.Pattern[bytes]:
    ways = [*_STYLED.get(first, ())]
    if rest := "|".join(_LETTERS.get(first, ())):
        ways += (rf"(?<={_T}{first})(?:{rest})", rf"(?:{rest})(?={_T})")
    if rest := "|".join(_UNSEEN.get(first, ())):
        ways += (rf"(?<=[!-~]{first})(?:{rest})", rf"(?:{rest})(?=[!-~])")
    return re.compile(f"{first}(?:{'|'.join(ways)})".encode())


# By first byte, since `re` has a fast loop for patterns that begin with a fixed one.
_EVIDENCE = {
    int(first.strip("\\x"), 16): _evidence(first) for first in _LETTERS | _UNSEEN | _STYLED
}
# Nothing else than this stands between two characters of ASCII by chance.
_INSERTED = re.compile(
    rb"(?<=[\t\n\r -~])(?:\xe2(?:\x80[\x8b-\x8f\xaa-\xae]|\x81[\xa0-\xaf])|\xef(?:\xb8[\x80-\x8f]"
    rb"|\xbb\xbf)|\xf3\xa0[\x80-\x87][\x80-\xbf])++[\t\n\r -~]"
)

# Which bytes are letters or digits (t), first bytes of alphabets that look like ASCII (f), what
# follows those (c), others that may stand in a word (o): ordinary text in such an alphabet has
# hardly any `tfc` or `fct`.
_KINDS = bytearray(b" " * 256)
for _from, _to, _kind in (
    *((0x21, 0x7F, b"o"), (0x30, 0x3A, b"t"), (0x41, 0x5B, b"t"), (0x5F, 0x60, b"t")),
    *((0x61, 0x7B, b"t"), (0x80, 0xC0, b"c"), (0xC2, 0xE0, b"o"), (0xC9, 0xCB, b"f")),
    *((0xCC, 0xD7, b"f"), (0xE1, 0xE3, b"o"), (0xEA, 0xEB, b"o"), (0xEF, 0xF1, b"o")),
    (0xF3, 0xF4, b"o"),
):
    _KINDS[_from:_to] = _kind * (_to - _from)
_FEW = re.compile(rb"fc(?:(?<=tfc)|t)")  # the quicker way where there are few

# A word that may be mixed, with characters of those first bytes; hardly one of Chinese.
_MIXED = re.compile(
    rb"(?:[!-~]|[\xc2-\xdf][\x80-\xbf]|[\xe1\xe2\xea\xef][\x80-\xbf]{2}|\xe3\x85\xa4"
    rb"|[\xf0\xf3][\x80-\xbf]{3}){0,64}+"
)
_FURTHER = bytes(range(0x80, 0xC0))
_IN_MIXED = bytes(byte for byte in range(256) if _KINDS[byte] != 0x20)

_GONE = 0x80
_UNKNOWN = 0x7F
_PLANE14 = re.compile(rb"(?:\xf3\xa0[\x80-\x87][\x80-\xbf])++")
_TAG_RUN = re.compile(rb"(?:\xf3\xa0(?:\x80[\xa0-\xbf]|\x81[\x80-\xbe]))++")
_SELECTOR = rb"(?:\xef\xb8[\x80-\x8f]|\xf3\xa0[\x84-\x87][\x80-\xbf])"
_SELECTOR_RUN = re.compile(
    rb"\xef\xb8[\x80-\x8f]%b{7,}+|\xf3\xa0[\x84-\x87][\x80-\xbf]%b{7,}+" % (_SELECTOR, _SELECTOR)
)
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
        text = "".join([ascii_of.get(ord(char), char) for char in letters])
        if len(text) > 1:
            text = text.strip("(). ,")
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
    for point in points(VANISHING):
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
    return out.encode("latin-1", "replace").translate(None, b"\x80")


def _fold(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    pieces = [folded(text[start:end]) for start, end in _spans(text)]
    if pieces:
        yield _NAME, b"\n".join(pieces)
    if b"\xf3\xa0" in text:
        tags = b"".join(_TAG_RUN.findall(text))
        yield _NAME, tags.decode("utf-8", "ignore").encode("utf-32-le")[::4]
    if b"\xef\xb8" in text or b"\xf3\xa0" in text:
        selected = [_selected(run) for run in _SELECTOR_RUN.findall(text)]
        yield _NAME, b"\n".join(selected)


def _selected(run: bytes) -> bytes:
    """Bytes written as variation selectors: the first sixteen, then those of plane 14."""
    wide = run.decode("utf-8", "ignore").encode("utf-32-le")
    pairs = zip(wide[::4], wide[1::4], strict=True)
    return bytes([low & 15 if page == 0xFE else low + 16 & 255 for low, page in pairs])


def _spans(text: bytes) -> list[tuple[int, int]]:
    """Where to fold: around places where ASCII and its look-alikes make a word."""
    places = _Places(text)
    for first, pattern in _EVIDENCE.items():
        if first in text:
            places.judge(partial(_start, pattern, text))
    kinds = places.kinds
    if kinds.count(b"f") < len(kinds) >> 5:
        places.judge(partial(_start, _FEW, kinds))
    else:
        places.judge(partial(kinds.find, b"tfc"))
        places.judge(partial(kinds.find, b"fct"))
    return merged(places.spans)


def _start(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    found = pattern.search(text, at)
    return -1 if found is None else found.start()


class _Places:
    """Places in a text where folding may matter; `spans` are those where it does."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.kinds = text.translate(_KINDS)
        self.spans: list[tuple[int, int]] = []

    def judge(self, following: Callable[[int], int]) -> None:
        """Look at all places; `following` gives the first one from an offset on, or -1."""
        patience = _DOUBTS + len(self.text) // 32
        last = deque([-_CROWD], _CROWDED)
        at = following(0)
        while at >= 0:
            cost = 0 if at - last[0] < _CROWD and len(last) == _CROWDED else self._doubt(at)
            last.append(at)
            if not cost:
                self.spans.append((at - _REACH, at + 2 * _REACH))
            patience -= cost
            if patience < 0:
                self.spans.append((at - _REACH, len(self.text)))
                return
            at = following(at + (1 if cost else _REACH))

    def _doubt(self, place: int) -> int:
        """Return 0 if a word results at `place`, else what it cost to see that none does."""
        if _INSERTED.match(self.text, place) is not None:
            return 0
        before = self.kinds.rfind(b" ", max(0, place - _LEAST), place)
        behind = self.kinds.find(b" ", place, place + _LEAST)
        if before >= 0 and behind >= 0 and behind - before <= _LEAST:
            return 1
        text = self.text
        mixed = _MIXED.match(text, place)
        end = mixed.end() if mixed else place
        head = text[max(0, place - 64) : place]
        start = place - len(head) + len(head.rstrip(_IN_MIXED))
        word = text[start:end]
        if len(word.translate(None, _FURTHER)) < _LEAST:
            return 4
        return 0 if _new_word(word) else 16


def _new_word(text: bytes) -> bool:
    """Say whether folding makes a word that does not stand in `text`."""
    return any(word not in text for word in _WORD.findall(folded(text)))


# Gates have hardly any context, which Vectorscan finds dear; the closer look is `_Places`. Only the
# alphabets have, since what is written in them is looked at for nothing otherwise.
_GATES = (
    *(first + rest for first, rests in _UNSEEN.items() for rest in rests),
    *(
        r"\xe1[\x8e-\x99\xaa\xb4-\xb7]",
        r"\xe2\x81[\xb0-\xbf]",
        r"\xe2\x82[\x80-\x9c]",
        r"\xe2\x83[\x90-\xb0]",
        r"\xe2\x84[\x80-\xa1\xa3-\xbf]",
        r"\xe2\x85",
        r"\xe2\x88[\x92\x95\xa3\xb6]",
        r"\xe2[\x91-\x93\xb1-\xb4]",
        r"\xea[\x93\x99\x9c-\x9f\xac-\xae]",
        r"\xef\xb8[\xa0-\xaf]",
        r"\xef\xbc[\x90-\x99]",
        r"\xef\xbc[\xa1-\xba]",
        r"\xef\xbd[\x81-\x9a]",
        r"\xf0\x9d[\x90-\x9f]",
        r"\xf0\x9f[\x84-\x87]",
    ),
    rf"{_T}\xe2\x80[\x90-\x92\xa4\xbf]",
    rf"\xe2\x80[\x90-\x92\xa4\xbf]{_T}",
    rf"[\xc9\xca\xcc-\xd6][\x80-\xbf]{_T}",
    # The last letter of a token, in Cyrillic or Greek.
    rf"{_T}\xd0[\x85\x86\x88\x90\x92\x95\x9a\x9c-\x9e\xa0-\xa3\xa5\xb0\xb5\xbe]",
    rf"{_T}\xd1[\x80\x81\x83\x85\x95\x96\x98]",
    rf"{_T}\xce[\x91\x92\x95-\x97\x99\x9a\x9c\x9d\x9f\xa1\xa4\xa5\xa7\xbf]",
    rf"{_T}\xcf[\x81\x85]",
)

FOLDING = Decoder(_NAME, _GATES, _fold)
"""Unicode written for ASCII."""
