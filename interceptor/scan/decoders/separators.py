"""Tokens written with a separator after every character, or after every few.

`A-K-I-A`, `A, K, I, A`, `"A","K","I","A"`, `AKIA-IOSF-ODNN`. Each separator has a decoder, since a
pattern that begins with a fixed byte is looked for ten times as fast as one that does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from interceptor.scan.decoders.model import Decoder, Seen

_SINGLES = "-.,|_/:;*~+#=\\\t\n"
_LONGER = (
    *(", ", "; ", " - ", " | ", " / ", "\r\n", "\\n", "--", "::", "__"),
    *('","', '", "', "','", "', '", '" "', "' '"),
)
_GROUPING = ("-", ".", ",", ":", "|", "/", "_", ", ")
"""Separators of groups. Blanks and line ends are undone in `joined`."""
_WIDTHS = ((2, 8), (3, 5), (4, 4))
"""Characters in a group, and whole groups in a row that are evidence."""
_FEWEST = 10  # characters with a separator each that are evidence
_AROUND = 32  # what stands before the first and behind the last separator may belong to the token

_ANY, _INK = "[ -~]", "[!-~]"
_FIRST = r"[A-Za-z&%\\]"  # of a token or an escape: rows of digits are neither, and there are many
_ALNUM = "[A-Za-z0-9]"
_DULL = bytes(byte for byte in range(256) if not re.match(_FIRST.encode(), bytes((byte,))))
_HEX = b"0123456789abcdefABCDEF"


class _Separator:
    """What shows that a token was taken apart with one separator, and how it is made whole."""

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        fixed = re.escape(text)
        widths = _WIDTHS if text in _GROUPING else ()
        # The first few one by one: a repeat is costly to begin.
        one = fixed + (_ANY if text.strip(" ") else _INK)
        self._characters = re.compile(f"{one * 3}(?:{one}){{{_FEWEST - 3},}}+".encode())
        self._groups = [
            re.compile(
                f"{fixed}{_ALNUM * width}(?:{fixed}{_ALNUM}{{{width}}}(?!{_ALNUM}))"
                f"{{{fewest - 1},}}+".encode()
            )
            for width, fewest in widths
        ]
        each = fixed + _FIRST + one * (_FEWEST - 1)
        # What has one length is found at once, what ends in one of several ways is not.
        rows = ((fixed + _ALNUM * width) * (fewest - 1) + fixed for width, fewest in widths)
        self.hints = ((each, *rows),) if widths else ()
        self.gates = (
            each,
            *(
                f"(?:{fixed}{_ALNUM}{{{width}}}){{{fewest}}}(?:[^A-Za-z0-9]|$)"
                for width, fewest in widths
            ),
        )

    def joined(self, text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
        """Yield the tokens without the separator, with what stands next to them."""
        pieces = []
        step = len(self.text) + 1
        for found in self._characters.finditer(text):
            start, end = found.span()
            whole = text[max(0, start - 1) : start] + text[start + step - 1 : end : step]
            if whole.translate(None, _DULL):
                pieces.append(whole)
        for pattern in self._groups:
            last = 0
            for found in pattern.finditer(text):
                start, end = found.span()
                whole = found.group().replace(self.text, b"")
                # Hexadecimal in groups is undone as such, and rows of numbers are no token.
                if whole.translate(None, _HEX):
                    before = text[max(last, start - _AROUND) : start]
                    after = text[end : end + _AROUND].removeprefix(self.text)
                    pieces.append(before + whole + after)
                last = end
        if pieces:
            yield "separated", b"\n".join(pieces)


def _decoder(text: str) -> Decoder:
    separator = _Separator(text)
    return Decoder("separated", separator.gates, separator.joined, hints=separator.hints)


SEPARATED: tuple[Decoder, ...] = tuple(_decoder(text) for text in (*_SINGLES, *_LONGER, " "))
"""A decoder for each separator."""
