"""tar archives (POSIX pax and ustar, GNU, v7).

Members stand in them as they are, so there is nothing to undo; a walk shows where one begins that
is compressed itself.
"""

from __future__ import annotations

import re
from typing import Final

from interceptor.wire.body.media import NO_MEDIA
from interceptor.wire.body.parts import Part, Walk, Walker

BLOCK: Final = 512
_FILES: Final = b"0\x007S"
_PAX: Final = b"xg"
_WITHOUT_DATA: Final = b"123456"
_PAX_BYTES: Final = 65_536
_PAX_SIZE: Final = re.compile(rb"(?:\A|\n)[0-9]{1,6}+ size=([0-9]{1,18}+)\n")


def is_tar(first: bytes) -> bool:
    """Tell whether data begins with a tar header: its checksum must be right."""
    if len(first) < BLOCK or not first[148:154].strip(b" \0").isdigit():
        return False
    header = first[:BLOCK]
    try:
        told = int(header[148:156].strip(b" \0"), 8)
    except ValueError:
        return False
    # The checksum's own field counts as spaces.
    return told == sum(header) - sum(header[148:156]) + 8 * 32


class TarArchive(Walker):
    """A reader whose parts are the files."""

    def _walk(self) -> Walk:
        count = 0
        told = -1  # a size from a pax header, for the next member
        while (yield from self._need(BLOCK)):
            header = self._take(BLOCK)
            if not header.strip(b"\0"):
                continue
            if not is_tar(header):
                return False
            kind = header[156:157]
            size = _size(header[124:136])
            if kind in _PAX and size <= _PAX_BYTES:
                if not (yield from self._need(size)):
                    return False
                found = _PAX_SIZE.search(self._take(size))
                told = int(found[1]) if found and kind == b"x" else told
            elif kind in _FILES:
                sparse = kind == b"S" and header[482] == 1
                while sparse:
                    if not (yield from self._need(BLOCK)):
                        return False
                    sparse = self._take(BLOCK)[504] == 1
                size = told if told >= 0 else size
                told = -1
                yield Part(f"tar[{count}]", plain=True, media=NO_MEDIA)
                count += 1
                whole = yield from self._pass(size)
                yield None
                if not whole:
                    return False
            elif kind in _WITHOUT_DATA:
                size = 0
                told = -1
            elif not (yield from self._skip(size)):
                return False
            if not (yield from self._skip(-size % BLOCK)):
                return False
        return True


def _size(field: bytes) -> int:
    """A number field: octal, or base 256 where its first bit is set (GNU)."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big") & (1 << 62) - 1
    text = field.strip(b" \0")
    try:
        return int(text, 8) if text else 0
    except ValueError:
        return 0
