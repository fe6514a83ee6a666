"""Characters that are read as ASCII, or that nobody sees.

Compatibility decompositions (full-width forms, mathematical letters, letters in circles, letters
with marks) come from `unicodedata`; what only looks alike is listed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

VANISHING = (
    (0x00AD, 0x00AD),  # soft hyphen
    (0x0300, 0x036F),  # combining marks
    (0x0483, 0x0489),
    (0x061C, 0x061C),  # Arabic letter mark
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x200B, 0x200F),  # zero-width, marks of direction
    (0x202A, 0x202E),  # embeddings and overrides
    (0x2060, 0x206F),  # word joiner, invisible operators, isolates
    (0x20D0, 0x20FF),
    (0x2800, 0x2800),  # empty braille cell
    (0x3164, 0x3164),
    (0xDCAD, 0xDCAD),  # a soft hyphen in Latin-1
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFE20, 0xFE2F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF9, 0xFFFB),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
)
"""Code points, first and last, that show nothing or only a mark on the letter before. Tags and
variation selectors of plane 14 besides."""

BLANKS = (
    (0x0085, 0x0085),
    (0x00A0, 0x00A0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
    (0xDCA0, 0xDCA0),  # a no-break space in Latin-1
)
"""Blanks."""

DECOMPOSED = (
    (0x00AA, 0x024F),
    (0x02B0, 0x02E3),
    (0x0370, 0x04FF),
    (0x1D2C, 0x1DBF),
    (0x1E00, 0x1FFF),
    (0x2024, 0x209C),
    (0x2100, 0x218F),
    (0x2460, 0x24FF),
    (0x2C7C, 0x2C7D),
    (0xA7F2, 0xA7F9),
    (0xFE33, 0xFE6F),
    (0xFF01, 0xFF5E),
    (0x1D400, 0x1D7FF),
    (0x1F100, 0x1F14A),
    (0x1FBF0, 0x1FBF9),
)
"""Where `unicodedata` knows of ASCII within other characters."""

ALPHABETS = (
    (0x1F110, "A"),
    (0x1F130, "A"),
    (0x1F150, "A"),
    (0x1F170, "A"),
    (0x1F1E6, "A"),  # the letters that make flags
    (0x249C, "a"),
)
"""First letter of 26 in a row, and what it stands for."""

DIGITS = (
    *(0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6),
    *(0x0D66, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90),
    *(0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xAA50, 0xABF0),
    *(0x104A0, 0x11066, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6),
)
"""Zeros of other scripts; nine more digits follow each."""

COUNTED = (0x2460, 0x2474, 0x2488, 0x24F5, 0x2776, 0x2780, 0x278A)
"""Ones in circles and such; the digits to nine follow each."""

ALIKE = {
    "A": "0391 0410 13AA 1D00 2C80 A4EE AB7A 102A0",
    "B": "0299 0392 0412 13F4 15F7 2C82 A4D0",
    "C": "03F9 0421 13DF 1455 216D 2CA4 A4DA",
    "D": "0110 0189 13A0 15DE 15EA 1D05 A4D3",
    "E": "0395 0415 13AC 1D07 2C88 2D39 A4F0 AB7C",
    "F": "0191 03DC 15B4 A4DD A730",
    "G": "0262 050C 13C0 13F3 A4D6",
    "H": "029C 0397 041D 13BB 157C 2C8E A4E7 AB8B",
    "I": "026A 0399 0406 04C0 13C6 2C92 A4F2",
    "J": "037F 0408 13AB 148D 1D0A A4D9",
    "K": "039A 041A 049A 13E6 1D0B 2C94 A4D7 ABB6",
    "L": "029F 053C 13DE 14AA 2CD0 A4E1",
    "M": "039C 03FA 041C 13B7 15F0 1D0D 2C98 A4DF AB87",
    "N": "0274 039D 2115 2C9A A4E0",
    "O": "00D8 039F 041E 0555 2C9E A4F3",
    "P": "03A1 0420 13E2 146D 1D18 2CA2 A4D1",
    "Q": "051A 10AD 2D55 A7AF",
    "R": "0280 13A1 13D2 1587 A4E3 AB71",
    "S": "0405 054F 13D5 13DA A4E2",
    "T": "03A4 0422 13A2 1D1B 2CA6 A4D4 AB72",
    "U": "054D 144C A4F4",
    "V": "0474 13D9 142F 2D38 A4E6",
    "W": "051C 13B3 13D4 A4EA",
    "X": "03A7 0425 166D 2169 2CAC A4EB",
    "Y": "028F 03A5 03D2 0423 04AE 13A9 2CA8 A4EC",
    "Z": "0396 13C3 A4DC AB93",
    "a": "0251 03B1 0430 237A",
    "b": "0180 0184 0253 042C 044C 13CF",
    "c": "03F2 0441 1D04 2CA5 ABAF",
    "d": "0111 0256 0257 0501 13E7 A4D2",
    "e": "025B 03B5 0435 0454 04BD 212E",
    "f": "0192 0584 1E9D A799 AB35",
    "g": "018D 0260 0261 0581 1D83",
    "h": "0127 0266 04BB 0570 13C2",
    "i": "0131 0268 0269 03B9 0456 04CF 13A5 2373",
    "j": "0249 03F3 0458 0575",
    "k": "0138 0199 03BA 043A 2C95",
    "l": "0142 0196 01C0 05C0 217C 2223",
    "m": "0271 043C",
    "n": "014B 0272 03B7 043F 0578 057C",
    "o": "00F8 03BF 043E 0585 1D0F 2C9F",
    "p": "01A5 03C1 03F1 0440 2374 2CA3",
    "q": "024B 02A0 051B 0563 0566",
    "r": "027C 027E 0433 1D26 2C85 AB47",
    "s": "01BD 0282 0455 A731 ABAA",
    "t": "0167 01AD 03C4 0442",
    "u": "028A 028B 03C5 057D 1D1C AB4E",
    "v": "03BD 0475 1D20 ABA9",
    "w": "026F 03C9 0461 051D 0561 1D21 AB83",
    "x": "00D7 03C7 0445 166E 2CAD",
    "y": "01B4 03B3 0443 04AF 10E7 1EFF",
    "z": "01B6 0290 1D22",
    "2": "01A7 03E8 14BF A644",
    "3": "01B7 021C 025C 0292 0417 0437 04E0",
    "4": "0427 13CE",
    "5": "01BC",
    "6": "0431 13EE 2CD2",
    "8": "0222 0223",
    "9": "2CCA",
    "0": "24EA 24FF",
    "-": "02D7 06D4 2010 2011 2012 2013 2014 2015 2043 2212 2796 2CBA FE63",
    "_": "02CD 07FA 203F FE4D FF3F",
    ".": "0701 2024 A4F8 10A50",
    "/": "2044 2215 27CB 29F8 2CC6",
    ":": "02D0 02F8 0589 05C3 2236 A4FD A789 FE30",
    "=": "2E40 30A0 A4FF",
    "+": "16ED 2795 1029B",
    '"': "02BA 201C 201D 201E 201F 2033",
    "'": "02B9 02BC 2018 2019 201A 201B 2032",
    "|": "23D0",
}
"""Code points, in hexadecimal, of what looks like the character: Cyrillic, Greek, Armenian,
Cherokee, Lisu, Coptic, Canadian syllabics, small capitals, letters with hooks and strokes."""


def points(spans: tuple[tuple[int, int], ...]) -> Iterator[int]:
    """Code points of spans that name the first and the last."""
    return chain.from_iterable(range(first, last + 1) for first, last in spans)
