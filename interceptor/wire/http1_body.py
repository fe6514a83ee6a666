"""HTTP/1.1 bodies: unframing, strictly (RFC 9112 sections 6 and 7)."""

from __future__ import annotations

import re
from typing import Final

from interceptor.verdict import Reason
from interceptor.wire.fields import Field, HttpError, has_bare_end, over_limit, split_fields
from interceptor.wire.http1 import Framing

# Size, then an extension that is read and dropped (RFC 9112 section 7.1.1). No leading sign, no
# 0x, no white space before the size; 15 digits are more than any disk.
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15}+)(?:[ \t]*+;[\t\x20-\x7e\x80-\xff]*+)?\r\n")
# Some servers pad the size with white space; what they mean is beyond doubt. No client does.
_PADDED_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15}+)[ \t]*+(?:;[\t\x20-\x7e\x80-\xff]*+)?\r\n")
_BEGUN_LINE: Final = re.compile(
    rb"[0-9A-Fa-f]{0,15}+(?:(?<=[0-9A-Fa-f])[ \t]*+(?:;[\t\x20-\x7e\x80-\xff]*+)?\r?)?"
)
_LINE_LIMIT: Final = 1024
_PLAIN_LINE: Final = 18
"""Bytes of a chunk line that is no more than a size."""
_EXTENSION_LIMIT: Final = 16_384
"""Bytes of extensions beyond twice the content that come with it: more is not there to be read."""
_TRAILER_BYTES: Final = 8192
_TRAILER_COUNT: Final = 32


class BodyReader:
    """Takes framed bytes, gives payload. Holds at most one chunk line or the trailers.

    Attributes:
        done: the body has ended; what follows is in `rest`.
        rest: bytes after the body, untouched.
        trailers: trailer fields of a chunked body.
    """

    __slots__ = (
        *("_begun", "_ending", "_excess", "_framing", "_left", "_line", "_reason", "done"),
        *("rest", "trailers"),
    )

    def __init__(self, framing: Framing, length: int, reason: Reason) -> None:
        """Read a body of `framing`; `reason` is the code of errors in it."""
        self._framing = framing
        self._left = length
        self._reason = reason
        self._line = _CHUNK_LINE if reason is Reason.HTTP_MALFORMED else _PADDED_LINE
        self._begun = b""  # of a chunk line, of the CRLF after a chunk, or of the trailers
        self._ending = ""  # what follows when no bytes of a chunk are left: "", "crlf", "trailers"
        self._excess = 0
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
        if self._begun:
            data = self._begun + data
            self._begun = b""
        out: list[bytes] = []
        at = 0
        while True:
            if self._ending == "trailers":
                self._trailers(data, at)
                break
            if self._left:
                piece = data[at : at + self._left]
                out.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
            if self._ending:
                if not data.startswith(b"\r\n", at):
                    if data[at:] in (b"", b"\r"):
                        self._begun = data[at:]
                        break
                    raise HttpError(self._reason, "a chunk does not end in CRLF")
                at += 2
                self._ending = ""
            line = self._line.match(data, at, at + _LINE_LIMIT)
            if line is None:
                self._begin_line(data[at:])
                break
            if line.end() - at > _PLAIN_LINE:
                self._spend(line.end() - at, int(line[1], 16))
            at = line.end()
            self._left = int(line[1], 16)
            self._ending = "crlf" if self._left else "trailers"
        return out[0] if len(out) == 1 else b"".join(out)

    def _begin_line(self, begun: bytes) -> None:
        """Keep the beginning of a chunk line; what cannot become one is not waited for."""
        if _BEGUN_LINE.fullmatch(begun, 0, _LINE_LIMIT) is None:
            raise HttpError(self._reason, "a chunk line is malformed")
        if len(begun) >= _LINE_LIMIT:
            raise HttpError(over_limit(self._reason), "a chunk line is too long")
        self._begun = begun

    def _spend(self, line: int, content: int) -> None:
        """Count an extension of a chunk of `content` bytes, whose line has `line` bytes."""
        self._excess = max(0, self._excess + line - _PLAIN_LINE - 2 * content)
        if self._excess > _EXTENSION_LIMIT:
            raise HttpError(over_limit(self._reason), "more chunk extensions than content")

    def _trailers(self, data: bytes, at: int) -> None:
        if data.startswith(b"\r\n", at):
            stop, size = at, 2
        else:
            stop = data.find(b"\r\n\r\n", at, at + _TRAILER_BYTES)
            size = 4
        if stop < 0:
            begun = data[at:]
            if has_bare_end(begun[:_TRAILER_BYTES]):
                raise HttpError(self._reason, "a CR or LF that stands alone in the trailers")
            if len(begun) >= _TRAILER_BYTES:
                raise HttpError(over_limit(self._reason), "trailers are too long")
            self._begun = begun
            return
        if size == 4:
            self.trailers = split_fields(data[at : stop + 2], _TRAILER_COUNT, self._reason)
        self.done = True
        self.rest = data[stop + size :]
