r"""Lines that a backslash joins, in shells, C, Python and Makefiles: `secr\` and `et` are one word.

In JSON the two are escaped, once or twice; an escaped line end alone has one, two or four
backslashes, never three or six.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.near import cut

_ENDS: Final = (r"\\\n", r"\\\r\n", r"\\{3}n", r"\\{3}r\\n", r"\\{6}n", r"\\{6}r\\\\n")
# A word that goes on touches both; commands end with a blank before. One such place alone is found
# by chance in every half megabyte of noise, so it takes some of the word, or three in a row.
_WORD: Final = r"[!-[\]-~]"
_GATES: Final = tuple(
    gate
    for end in _ENDS
    for gate in (f"{_WORD}{{3}}{end}[!-~]{{3}}", f"(?:{_WORD}{{1,2}}{end}){{3}}")
)
_SEEN: Final = tuple(
    re.compile(seen.encode())
    for end in _ENDS
    for seen in (
        f"{end}(?<={_WORD}{{3}}{end})(?=[!-~]{{3}})",
        f"{end}(?<={_WORD}{end})(?=(?:{_WORD}{{1,2}}{end}){{2}})",
    )
)
_JOINED: Final = re.compile(rf"(?<!\\)(?:{'|'.join(_ENDS)})".encode())


_PLACE: Final = re.compile(rf"[!-~]{{1,12}}(?:{'|'.join(_ENDS)})[!-~]{{1,12}}".encode())


def _decode(text: bytes, seen: Seen) -> Iterator[tuple[str, bytes]]:
    pieces = []
    for piece in cut(text, _SEEN, ascii_only=True):
        # In noise each other decoder hands the same place on once more.
        places = {("continued", place) for place in _PLACE.findall(piece)}
        if not places <= seen:
            seen |= places
            pieces.append(_JOINED.sub(b"", piece))
    yield "continued", b"\n".join(pieces)


CONTINUED = Decoder("continued", _GATES, _decode)
"""Lines joined with a backslash."""
