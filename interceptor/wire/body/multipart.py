"""multipart/* (RFC 2046 section 5.1, RFC 7578) and message/rfc822, while they arrive.

Reading is lenient: bare line feeds, missing headers, a missing end. What cannot be taken apart is
scanned as it stands anyway; refused is only what is declared to be encoded in an unknown way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from interceptor.wire.body.decoders import Decoder
from interceptor.wire.body.media import Media, hidden_text, media_of
from interceptor.wire.body.parts import More, Part, Walk, Walker, incomplete
from interceptor.wire.body.transfer import UNREADABLE, Base64, QuotedPrintable
from interceptor.wire.content import ContentReader, content_codings

_HEAD_BYTES: Final = 65_536
_LINE: Final = 130  # white space after a delimiter
_ENDLESS: Final = 1 << 62


class Parts(Walker):
    """What multiparts and messages have in common: heads, and contents encoded by them."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self._label = label
        self._count = 0
        self._transfer: Decoder | None = None
        self._content: ContentReader | None = None

    def _head(self) -> Walk:
        """Read a head and open the part; false where there is none."""
        while True:
            text, at = self._buffer, self._at
            found = [(at, at + len(line)) for line in _EOL if text.startswith(line, at)]
            if not found:
                ends = [(text.find(end, at), len(end)) for end in _HEAD_ENDS]
                found = [(end, end + size) for end, size in ends if end >= 0]
            if found:
                end, self._at = min(found)
                break
            if len(text) - at > _HEAD_BYTES:
                raise incomplete("a part of the body has an endless head")
            if self._last:
                end = self._at = len(text)
                break
            yield More.MORE
        yield from self._begin(text[at:end])
        return True

    def _begin(self, head: bytes) -> Iterator[Part | bytes | None]:
        label = f"{self._label}[{self._count}]"
        self._count += 1
        media, transfer, codings = Media(b"text/plain"), b"", b""
        hidden: list[bytes] = []
        for line in _unfolded(head):
            name, _, value = line.partition(b":")
            name = name.strip(b" \t\r").lower()
            if name == b"content-type":
                media = media_of(value.strip(b" \t\r"))
            elif name == b"content-transfer-encoding":
                transfer = value.strip(b" \t\r").lower()
            elif name == b"content-encoding":
                codings = value.strip(b" \t\r")
            if b"=?" in value or b"*" in value:
                hidden.append(hidden_text(value))
        text = b"\n".join(hidden)
        if text:
            yield Part(f"{label}.head", plain=False, media=None)
            yield text
            yield None
        self._transfer = _transfer_decoder(transfer)
        found = content_codings(codings)
        # How much may come out in all is held by what scans it.
        self._content = ContentReader(found, _ENDLESS, _ENDLESS) if found else None
        plain = self._transfer is None and self._content is None
        yield Part(label, plain=plain, media=media)

    def _decoded(self, data: bytes) -> Iterator[bytes]:
        """Undo the encodings of the part that is open."""
        if self._transfer is None:
            yield from self._contents(data)
        else:
            for piece in self._transfer.feed(data):
                yield from self._contents(piece)

    def _end(self) -> Iterator[bytes | None]:
        if self._transfer is not None:
            for piece in self._transfer.flush():
                yield from self._contents(piece)
        if self._content is not None:
            self._content.finish()
        yield None

    def _contents(self, data: bytes) -> Iterator[bytes]:
        if self._content is not None:
            yield from self._content.feed(data)
        elif data:
            yield data


class Message(Parts):
    """message/rfc822: a head and a content (RFC 5322)."""

    def __init__(self) -> None:
        super().__init__("message")

    def _walk(self) -> Walk:
        yield from self._head()
        while (yield from self._need(1)):
            yield from self._decoded(self._take(len(self._buffer)))
        yield from self._end()
        return True


class Multipart(Parts):
    """multipart/* with one boundary."""

    def __init__(self, boundary: bytes) -> None:
        """Take apart at `boundary`, as the parameter gives it."""
        super().__init__("part")
        self._delimiter = b"--" + boundary
        self._line_start = True  # at `_at` a line begins
        self._closing = False  # the last delimiter was the closing one

    def _walk(self) -> Walk:
        inside = False
        while (yield from self._delimited(inside=inside)):
            if inside:
                yield from self._end()
            inside = not self._closing
            if inside:
                yield from self._head()
        if inside:
            yield from self._end()
        return True

    def _delimited(self, *, inside: bool) -> Walk:
        """Go to the next delimiter and over it; give what lies before it if `inside` a part.

        False when there is none.
        """
        delimiter = self._delimiter
        needle = b"\n" + delimiter
        while True:
            text, at = self._buffer, self._at
            ahead = text[at : at + len(delimiter)]
            if self._line_start and ahead == delimiter:
                end, after = at, at + len(delimiter)
            elif self._line_start and delimiter.startswith(ahead) and not self._last:
                yield More.MORE
                continue
            else:
                found = text.find(needle, at)
                if found < 0:
                    # A carriage return and all of the needle but its last byte may lie there.
                    end = len(text) if self._last else max(at, len(text) - len(needle))
                    yield from self._give(end, inside=inside)
                    if self._last:
                        return False
                    yield More.MORE
                    continue
                # The line break before a delimiter belongs to it.
                end = found - 1 if text[found - 1 : found] == b"\r" and found > at else found
                after = found + len(needle)
            line = self._line(after)
            if line < 0:
                yield from self._give(end, inside=inside)
                yield More.MORE
            elif line == 0:
                yield from self._give(after, inside=inside)
            else:
                yield from self._give(end, inside=inside)
                self._at = line
                self._line_start = True
                return True

    def _give(self, end: int, *, inside: bool) -> Iterator[bytes]:
        data = self._buffer[self._at : end]
        if data:
            self._at = end
            self._line_start = False
            if inside:
                yield from self._decoded(data)

    def _line(self, after: int) -> int:
        """Look at the rest of a delimiter's line, which begins at `after`.

        Returns where the next line begins; 0 if this is no delimiter, -1 if more is needed.
        """
        text = self._buffer
        line_end = text.find(b"\n", after, after + _LINE)
        if line_end < 0 and len(text) - after < _LINE and not self._last:
            return -1
        rest = text[after : line_end if line_end >= 0 else after + _LINE].strip(b" \t\r")
        self._closing = rest.startswith(b"--")
        if rest not in (b"", b"--") and not (line_end < 0 and self._closing):
            return 0
        return line_end + 1 if line_end >= 0 else len(text)


_EOL: Final = (b"\r\n", b"\n")
_HEAD_ENDS: Final = (b"\r\n\r\n", b"\n\n", b"\n\r\n")


def _unfolded(head: bytes) -> list[bytes]:
    """Lines of a head, those that go on joined (RFC 5322 section 2.2.3)."""
    lines: list[bytes] = []
    for line in head.split(b"\n"):
        if line[:1] in (b" ", b"\t") and lines:
            lines[-1] = lines[-1].rstrip(b"\r") + line
        else:
            lines.append(line)
    return lines


def _transfer_decoder(name: bytes) -> Decoder | None:
    if name == b"base64":
        return Base64()
    if name == b"quoted-printable":
        return QuotedPrintable()
    if name in UNREADABLE:
        raise incomplete("a part of the body is encoded in a way that cannot be read")
    return None


def boundary_of_first_line(first: bytes) -> bytes:
    """Boundary that the first line of a body shows, where none is declared; else b""."""
    line = first.lstrip(b"\r\n").partition(b"\n")[0].rstrip(b" \t\r")
    return line[2:] if line.startswith(b"--") and 2 < len(line) <= 202 else b""
