"""Streams of a PDF while they arrive: filters undone, pictures left alone.

Source: ISO 32000-2, sections 7.3.8 (streams) and 7.4 (filters).
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from typing import Final

from interceptor.wire.rendered.reader import ReaderLimits

_FILTER: Final = re.compile(rb"/Filter\s{0,8}(\[[^\]]{0,128}\]|/[A-Za-z0-9]{1,24})")
_NAMES: Final = re.compile(rb"/([A-Za-z0-9]{1,24})")
BINARY: Final = bytes((*range(9), 0x0B, *range(0x0E, 0x20), *range(0x7F, 0x100)))
"""Bytes that are rare in a text of the stream of a page."""
_PICTURES: Final = frozenset(
    (b"DCTDecode", b"DCT", b"JPXDecode", b"CCITTFaxDecode", b"CCF", b"JBIG2Decode")
)
_PEEKED: Final = 65_536


class Stream:
    """One stream while it arrives.

    Attributes:
        number: of its object; 0: unknown.
        text: its dictionary.
        incomplete: it could not be read, or not as far as it goes.
    """

    def __init__(self, number: int, text: bytes, limits: ReaderLimits, left: int) -> None:
        self.number = number
        self.text = text
        self.incomplete = False
        self._left = left
        found = _FILTER.search(text)
        self._filters = _NAMES.findall(found[1]) if found is not None else []
        flate = self._filters[:1] in ([b"FlateDecode"], [b"Fl"])
        self._inflate = zlib.decompressobj() if flate and len(self._filters) == 1 else None
        self._kept: list[bytes] = []
        self._size = 0
        self._most = min(left, limits.inflated)
        self._over = left <= 0

    def take(self, data: bytes) -> None:
        """Take bytes of it as they stand."""
        if self._over or not data:
            return
        if self._inflate is not None:
            try:
                data = self._inflate.decompress(data, self._most - self._size + 1)
            except zlib.error:
                self.incomplete = self._over = True
                return
        self._kept.append(data)
        self._size += len(data)
        if self._size > self._most:
            self.incomplete = self._over = True
        elif self._size > _PEEKED and len(self._kept) > 1 and self._is_picture():
            self._kept.clear()
            self._over = True

    def _is_picture(self) -> bool:
        """Tell whether what begins like this shows no text."""
        first = self._kept[0]
        if len(first) < 1024 or not (self._inflate is not None or self._filters):
            first = b"".join(self._kept)[:_PEEKED]
        if self._inflate is None and self._filters:
            return self._filters[-1] in _PICTURES
        return b"Tf" not in first and len(first.translate(None, BINARY)) < 0.7 * len(first)

    def content(self) -> bytes:
        """Return it, decoded; empty where it is a picture or cannot be decoded."""
        data = b"".join(self._kept)
        if self._inflate is not None or not data:
            return data
        for name in self._filters:
            try:
                data = _decoded(name, data, self._most)
            except (ValueError, zlib.error):
                self.incomplete = self.incomplete or name not in _PICTURES
                return b""
        return data


def _decoded(name: bytes, data: bytes, most: int) -> bytes:
    """Undo one filter.

    Raises:
        ValueError, zlib.error: it is another one, or the data is damaged.
    """
    if name in (b"FlateDecode", b"Fl"):
        return zlib.decompressobj().decompress(data, most)
    if name in (b"ASCIIHexDecode", b"AHx"):
        digits = b"".join(data.partition(b">")[0].split())
        return binascii.unhexlify(digits + b"0" * (len(digits) & 1))
    if name in (b"ASCII85Decode", b"A85"):
        return base64.a85decode(b"".join(data.partition(b"~>")[0].removeprefix(b"<~").split()))
    raise ValueError(name)
