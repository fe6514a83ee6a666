"""Tokens written with a separator after every character, or after every few.

`A-K-I-A`, `A, K, I, A`, `"A","K","I","A"`, `AKIA-IOSF-ODNN`. Places are looked for in a copy of the
text in which only the kinds of characters are left; from there every second byte is taken, or every
third and so on, and that needs no loop.
"""

from __future__ import annotations

from collections.abc import Iterator

from interceptor.scan.decoders.model import Decoder, Seen

_ONE = (
    "-",
    r"\.",
    ",",
    r"\|",
    "_",
    "/",
    ":",
    ";",
    r"\t",
    r"\n",
    r"\*",
    "~",
    r"\+",
    r"\\",
    "#",
    "=",
)
_MORE = (
    *(", ", "; ", " - ", r" \| ", " / ", r"\r\n", r"\\n", "--", "::", "__"),
    *('","', '", "', "','", "', '", '" "', "' '"),
)
_GROUPED = ("-", r"\.", ",", ":", r"\|", "/", "_", ", ")
_WIDTHS = ((2, 8), (3, 5), (4, 4))
"""Characters in a group, and whole groups in a row that are evidence."""
_FEWEST = 10  # separators in a row that are evidence, where each character has one
_GAP = 4  # the longest separator
_AROUND = 64  # what stands before the first and behind the last separator may belong to the token

_HEX = b"0123456789abcdefABCDEF"


def _kinds(digit: bytes) -> bytes:
    kinds = bytearray(b" " * 256)
    for first, last, kind in ((65, 91, b"a"), (97, 123, b"a"), (48, 58, digit)):
        kinds[first:last] = kind * (last - first)
    return bytes(kinds)


_LETTERS = _kinds(b"0")
_ALNUM = _kinds(b"a")


def _separated(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    pieces: list[bytes] = []
    padded = b"\n" * _GAP + text + b"\n" * _GAP
    _characters(padded, pieces)
    _groups(padded, pieces)
    if pieces:
        yield "separated", b"\n".join(pieces)


def _characters(text: bytes, pieces: list[bytes]) -> None:
    """Find single characters between separators of equal length."""
    kinds = text.translate(_LETTERS)
    for gap in range(1, _GAP + 1):
        step = gap + 1
        # Three letters: rows of digits are no token, and there are many.
        needle = (b" " * gap + b"a") * 3 + b" " * gap
        after = 0
        while (place := kinds.find(needle, after)) >= 0:
            blanks = b" " * gap
            behind = _row(kinds, place, step, blanks)
            before = _row_before(kinds, place, step, blanks, after)
            end = place + behind * step
            if before + behind >= _FEWEST:
                first = place - before * step - 1
                pieces.append(text[max(first, first % step) : end : step])
            after = max(place + step, end - gap)


def _groups(text: bytes, pieces: list[bytes]) -> None:
    """Find groups of equal length between equal separators."""
    kinds = text.translate(_ALNUM)
    for width, fewest in _WIDTHS:
        for gap in range(1, _GAP):
            step = width + gap
            needle = (b" " * gap + b"a" * width) * fewest + b" "
            after = 0
            while (place := kinds.find(needle, after)) >= 0:
                separator = text[place : place + gap]
                behind = _row(text, place, step, separator)
                after = place + max(step, behind * step - gap)
                if behind < fewest:
                    continue
                whole = text[place : place + behind * step].replace(separator, b"")
                # Hexadecimal in groups is undone as such, and rows of numbers are no token.
                if whole.translate(None, _HEX) and not (separator == b" " and whole.islower()):
                    end = place + behind * step
                    pieces.append(
                        text[max(0, place - _AROUND) : place] + whole + text[end : end + _AROUND]
                    )


def _row(text: bytes, place: int, step: int, separator: bytes) -> int:
    """Count how often `separator` stands at `place` and every `step` bytes from there on."""
    limit = 64
    while True:
        count = limit
        for at, byte in enumerate(separator, place):
            row = text[at : at + limit * step : step]
            count = min(count, len(row) - len(row.lstrip(bytes((byte,)))))
        if count < limit:
            return count
        limit *= 8


def _row_before(text: bytes, place: int, step: int, separator: bytes, least: int) -> int:
    """Count how often it stands every `step` bytes before `place`, not below `least`."""
    limit = min(256, max(0, (place - least) // step))
    count = limit
    for at, byte in enumerate(separator, place):
        row = text[at - limit * step : at : step]
        count = min(count, len(row) - len(row.rstrip(bytes((byte,)))))
    return count


SEPARATED = Decoder(
    "separated",
    (
        *(rf"{one}[A-Za-z](?:{one}[A-Za-z0-9_+/=-]){{9}}" for one in (*_ONE, *_MORE)),
        " [a-zA-Z]" + " [A-Za-z0-9_-]" * 9,
        *(
            rf"(?:{one}[A-Za-z0-9]{{{width}}}){{{fewest}}}(?:[^A-Za-z0-9]|$)"
            for one in _GROUPED
            for width, fewest in _WIDTHS
        ),
    ),
    _separated,
)
"""Separators at equal distances."""
