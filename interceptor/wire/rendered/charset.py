"""Charsets: what is no UTF-8 is turned into it before it is read.

A declared charset that ASCII does not look like itself in is not believed alone: recipients
differ, so the bytes are read as they stand, too.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from interceptor.model import Passage
from interceptor.wire.body.charsets import Transcoder, codec_of
from interceptor.wire.rendered.reader import Reader

_SINGLE: Final = {
    **{
        f"iso-8859-{part}".encode(): f"iso8859-{part}"
        for part in (*range(2, 9), 10, 11, *range(13, 17))
    },
    **{f"windows-{page}".encode(): f"cp{page}" for page in (874, *range(1250, 1259))},
    **{f"cp{page}".encode(): f"cp{page}" for page in range(1250, 1259)},
    b"iso-8859-9": "cp1254",
    b"latin2": "iso8859-2",
    b"latin5": "cp1254",
    b"koi8-r": "koi8-r",
    b"koi8-u": "koi8-u",
    b"ibm866": "cp866",
    b"cp866": "cp866",
    b"macintosh": "mac-roman",
    b"x-mac-cyrillic": "mac-cyrillic",
    b"tis-620": "cp874",
    b"iso-8859-8-i": "iso8859-8",
    b"euc-jp": "euc_jp",
    b"x-euc-jp": "euc_jp",
    b"euc-tw": "big5hkscs",
}
del _SINGLE[b"windows-1252"], _SINGLE[b"cp1252"]
_META: Final = re.compile(
    rb"<meta[^>]{1,256}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE
)
_XML: Final = re.compile(
    rb"<\?xml[^>]{1,128}?encoding\s*=\s*[\"']([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE
)
_WIDE: Final = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-7")
_MOST_PLACES: Final = 256


def preload() -> None:
    """Import the codecs of this module, which the standard library does at first use."""
    for codec in _SINGLE.values():
        codecs.lookup(codec)


def codec_for(charset: bytes, first: bytes) -> str:
    """Codec that content needs before it can be read; "" for UTF-8 and what is close to it.

    Args:
        charset: that the Content-Type names, in lower case.
        first: the content's first bytes.
    """
    codec = codec_of(charset, first)
    if not codec and len(first) >= 4 and b"\0" in first[:4]:
        codec = _by_zeros(first)
    if not codec and not charset:
        found = _META.search(first[:1024]) or _XML.match(first)
        if found is not None:
            charset = found[1].lower()
            codec = codec_of(charset, b"")
            if codec in _WIDE:  # it was read as ASCII: it is none (WHATWG HTML, 13.2.3.2)
                return ""
    return codec or _SINGLE.get(charset, "")


def _by_zeros(first: bytes) -> str:
    """By where the zeros of the first character are (RFC 4627, section 3)."""
    zeros = [byte == 0 for byte in first[:4]]
    if zeros == [True, True, True, False]:
        return "utf-32-be"
    if zeros == [False, True, True, True]:
        return "utf-32-le"
    if zeros[0] and not zeros[1]:
        return "utf-16-be"
    return "utf-16-le" if zeros[1] and not zeros[0] else ""


def is_doubtful(codec: str, first: bytes) -> bool:
    """Tell whether content may be ASCII although it is declared to be something else."""
    return (
        codec in _WIDE
        and b"\0" not in first[:64]
        and not first.startswith((b"\xff\xfe", b"\xfe\xff"))
    )


class Transcoded:
    """Reads content in another charset; see `Reader`. Passages have no place in it."""

    def __init__(self, codec: str, inner: Reader) -> None:
        """Read with `inner` what `codec` gives."""
        self._transcoder = Transcoder(codec)
        self._inner = inner
        self._fed = 0
        self._written = 0
        self._places: list[tuple[int, int]] = []
        self._damaged = False
        self.settled = 0
        self.cuts: list[tuple[int, int]] = []

    @property
    def incomplete(self) -> bool:
        """See `Reader`."""
        return self._damaged or self._inner.incomplete

    def feed(self, data: bytes) -> list[Passage]:
        """See `Reader`."""
        self._fed += len(data)
        out: list[Passage] = []
        for piece in self._transcoder.feed(data):
            self._written += len(piece)
            out += self._inner.feed(piece)
        if self._transcoder.damaged:
            self._damaged = True
        return self._placeless(out)

    def finish(self) -> list[Passage]:
        """See `Reader`."""
        out: list[Passage] = []
        for piece in self._transcoder.flush():
            out += self._inner.feed(piece.removesuffix(b"\xef\xbf\xbd"))
        out += self._inner.finish()
        out = self._placeless(out)
        self.settled = self._fed
        return out

    def _placeless(self, passages: list[Passage]) -> list[Passage]:
        self._inner.cuts.clear()
        self._places.append((self._written, self._fed))
        settled = self._inner.settled
        while self._places and self._places[0][0] <= settled:
            self.settled = self._places.pop(0)[1]
        if len(self._places) > _MOST_PLACES:
            del self._places[: _MOST_PLACES // 2]
        return [Passage(passage.text, passage.setting) for passage in passages]


class Both:
    """Reads content in two ways; see `Reader`. What is cut is what the first one says."""

    def __init__(self, first: Reader, second: Reader) -> None:
        """Read with both."""
        self._first = first
        self._second = second

    @property
    def incomplete(self) -> bool:
        """See `Reader`."""
        return self._first.incomplete

    @property
    def settled(self) -> int:
        """See `Reader`."""
        return min(self._first.settled, self._second.settled)

    @property
    def cuts(self) -> list[tuple[int, int]]:
        """See `Reader`."""
        return self._first.cuts

    def feed(self, data: bytes) -> list[Passage]:
        """See `Reader`."""
        return self._first.feed(data) + self._second.feed(data)

    def finish(self) -> list[Passage]:
        """See `Reader`."""
        return self._first.finish() + self._second.finish()
