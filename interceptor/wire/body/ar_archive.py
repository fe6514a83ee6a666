"""ar archives (ar(5)), which Debian packages are. Members stand in them as they are."""

from __future__ import annotations

from typing import Final

from interceptor.wire.body.media import NO_MEDIA
from interceptor.wire.body.parts import Part, Walk, Walker

MAGIC: Final = b"!<arch>\n"
_HEADER: Final = 60


class ArArchive(Walker):
    """A reader whose parts are the members."""

    def _walk(self) -> Walk:
        if not (yield from self._need(len(MAGIC))):
            return False
        self._take(len(MAGIC))
        count = 0
        while (yield from self._need(_HEADER)):
            header = self._take(_HEADER)
            size = header[48:58].strip(b" ")
            if header[58:] != b"`\n" or not size.isdigit():
                return False
            yield Part(f"ar[{count}]", plain=True, media=NO_MEDIA)
            count += 1
            whole = yield from self._pass(int(size))
            yield None
            if not whole or not (yield from self._skip(int(size) & 1)):
                return False
        return True
