"""aws-chunked: the framing in which S3 clients send objects whose checksum or signature follows.

`<hex size>[;chunk-signature=...]CRLF <data> CRLF`, again and again; a chunk of size 0 and
trailers end it (Amazon S3 API, "Signature calculations", chunked uploads).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from interceptor.wire.body.decoders import DecoderBase

_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,12}+)(?:;[\x20-\x7e]{0,512}+)?\r\n")
_LONGEST: Final = 540


class AwsChunked(DecoderBase):
    """Undoes the framing. Trailers come out as text."""

    __slots__ = ("_buffer", "_left", "_trailers")

    def __init__(self) -> None:
        super().__init__()
        self._buffer = b""
        self._left = -2  # bytes of the chunk and its CRLF; -2: a size line comes
        self._trailers = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `Decoder`."""
        data = self._buffer + data
        self._buffer = b""
        at = 0
        while at < len(data):
            if self._trailers:
                yield data[at:]
                return
            if self._left == -2:
                line = _LINE.match(data, at)
                if line is None:
                    self.damaged = len(data) - at > _LONGEST or data.find(b"\n", at) >= 0
                    break
                at = line.end()
                self._left = int(line[1], 16)
                if not self._left:
                    self._trailers = self.complete = True
                    yield b"\n"  # keeps data and trailers apart
            elif self._left > 0:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                yield piece
            elif data[at : at + 2] == b"\r\n":
                at += 2
                self._left = -2
            else:
                self.damaged = len(data) - at > 1 or data[at : at + 1] != b"\r"
                break
        self._buffer = data[at:]
