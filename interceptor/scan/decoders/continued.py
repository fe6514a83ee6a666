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

_ENDS: Final = (r"\\\r?\n", r"\\{3}(?:r\\)?n", r"\\{6}(?:r\\\\)?n")
_BEFORE: Final = r"[!-[\]-~]"  # a word that goes on touches both: commands end with a blank there
_SEEN: Final = tuple(re.compile(rf"{end}(?=[!-~])".encode()) for end in _ENDS)
_JOINED: Final = re.compile(rf"(?<!\\)(?:{'|'.join(_ENDS)})".encode())


def _decode(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    yield "continued", b"\n".join([_JOINED.sub(b"", piece) for piece in cut(text, _SEEN)])


CONTINUED = Decoder("continued", tuple(f"{_BEFORE}{end}[!-~]" for end in _ENDS), _decode)
"""Lines joined with a backslash."""
