"""HTTP/1.1 bodies: unframing, strictly (RFC 9112 sections 6 and 7)."""

from __future__ import annotations

import re
from typing import Final

from interceptor.verdict import Reason
from interceptor.wire.fields import Field, HttpError, split_fields
from interceptor.wire.http1 import Framing

# Size, then an extension that is read and dropped (RFC 9112 section 7.1.1). No leading sign, no
# 0x, no white space before the size; 15 digits are more than any disk.
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*+)?")
_LINE_LIMIT: Final = 1024
_TRAILER_BYTES: Final = 8192
_TRAILER_COUNT: Final = 32


class BodyReader:
    """Takes framed bytes, gives payload. Holds at most one chunk line or the trailers.

    Attributes:
        done: the body has ended; what follows is in `rest`.
        rest: bytes after the body, untouched.
        trailers: trailer fields of a chunked body.
    """

    __slots__ = ("_framing", "_left", "_line", "_reason", "_state", "done", "rest", "trailers")

    def __init__(self, framing: Framing, length: int, reason: Reason) -> None:
        """Read a body of `framing`; `reason` is the code of errors in it."""
        self._framing = framing
        self._left = length
        self._reason = reason
        self._line = b""
        self._state = "size"
        self.done = framing is Framing.NONE or (framing is Framing.LENGTH and length == 0)
        self.rest = b""
        self.trailers: tuple[Field, ...] = ()

    def feed(self, data: bytes) -> bytes:
        """Take framed bytes, return payload; sets `done` and `rest` at the end.

        Raises:
            HttpError: with the reason given at construction, or LIMIT_EXCEEDED.
        """
        if self.done:
            self.rest += data
            return b""
        if self._framing is Framing.CLOSE:
            return data
        if self._framing is Framing.LENGTH:
            left = self._left
            size = len(data)
            if size < left:
                self._left = left - size
                return data
            self._left = 0
            self.done = True
            if size == left:
                return data
            self.rest = data[left:]
            return data[:left]
        return self._chunked(data)

    def eof(self) -> None:
        """Tell that the peer has ended its side.

        Raises:
            HttpError: when the body was not complete; a cut body is never taken for a whole one.
        """
        if self._framing is Framing.CLOSE:
            self.done = True
        elif not self.done:
            raise HttpError(self._reason, "the connection ended within a body")

    def _chunked(self, data: bytes) -> bytes:
        if self._line:
            data = self._line + data
            self._line = b""
        out: list[bytes] = []
        at = 0
        end = len(data)
        while True:
            if self._state == "data":
                take = min(self._left, end - at)
                if take:
                    out.append(data[at : at + take])
                    at += take
                    self._left -= take
                if self._left:
                    break
                self._state = "crlf"
            if self._state == "crlf":
                if end - at < 2:
                    if end - at == 1 and data[at] != 13:
                        raise HttpError(self._reason, "a chunk does not end in CRLF")
                    self._line = data[at:]
                    break
                if data[at : at + 2] != b"\r\n":
                    raise HttpError(self._reason, "a chunk does not end in CRLF")
                at += 2
                self._state = "size"
            if self._state == "size":
                stop = data.find(b"\r\n", at, at + _LINE_LIMIT)
                if stop < 0:
                    if end - at >= _LINE_LIMIT:
                        raise HttpError(self._reason, "a chunk line is too long")
                    self._line = data[at:]
                    self._check_partial(self._line)
                    break
                line = _CHUNK_LINE.fullmatch(data, at, stop)
                if line is None:
                    raise HttpError(self._reason, "a chunk size is malformed")
                self._left = int(line[1], 16)
                at = stop + 2
                self._state = "data" if self._left else "trailers"
                if self._left:
                    continue
            self._trailers(data, at)
            break
        return out[0] if len(out) == 1 else b"".join(out)

    def _check_partial(self, line: bytes) -> None:
        """Refuse a bare LF at once instead of waiting for a CRLF that never comes."""
        if b"\n" in line:
            raise HttpError(self._reason, "a chunk line ends in a bare LF")

    def _trailers(self, data: bytes, at: int) -> None:
        if data.startswith(b"\r\n", at):
            stop, size = at, 2
        else:
            stop = data.find(b"\r\n\r\n", at, at + _TRAILER_BYTES)
            size = 4
        if stop < 0:
            if len(data) - at >= _TRAILER_BYTES:
                raise HttpError(Reason.LIMIT_EXCEEDED, "trailers are too long")
            self._line = data[at:]
            return
        if size == 4:
            section = split_fields(data[at : stop + 2], _TRAILER_COUNT, self._reason)
            self.trailers = section.all
        self.done = True
        self.rest = data[stop + size :]
