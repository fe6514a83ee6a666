"""git packs (gitformat-pack): what `git push` over HTTP sends, and bundles.

Objects are compressed one by one, so a pushed secret can be read in none of a pack's own bytes.
An object that is written as a delta gives the text that is new in it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from interceptor.wire.body.media import NO_MEDIA
from interceptor.wire.body.parts import More, Part, Walk, Walker, incomplete

MAGIC: Final = b"PACK\x00\x00\x00"
BUNDLE: Final = b"# v"
_FLUSH: Final = b"0000"
_OFFSET_DELTA: Final = 6
_REF_DELTA: Final = 7
_FIRST_SLICE: Final = 1024
_SLICE: Final = 16_384
_PIECE: Final = 65_536
_LINE: Final = 65_520  # a pkt-line (gitprotocol-common)


class GitPack(Walker):
    """A reader whose parts are the objects of a pack, and of what stands before it."""

    def __init__(self, *, request: bool = False) -> None:
        """Read a pack or a bundle; `request`: the body of a push (gitprotocol-pack).

        A body that was declared to be one is refused where it cannot be read.
        """
        super().__init__()
        self._request = request
        self._hash = 20

    def _walk(self) -> Walk:
        before = self._commands() if self._request else self._bundle_head()
        if not (yield from before):
            return False
        if not (yield from self._need(12)):
            return self._bad("is cut short")
        head = self._take(12)
        if head[:7] != MAGIC or head[7] not in (2, 3):
            return self._bad("is no pack")
        for number in range(int.from_bytes(head[8:], "big")):
            if not (yield from self._object(f"pack[{number}]")):
                return self._bad("is cut short")
        return True

    def _bad(self, what: str) -> bool:
        if self._request:
            raise incomplete(f"the git pack {what}")
        return False

    def _commands(self) -> Walk:
        """Step over the commands of a push and its options; false when there is no pack."""
        while (yield from self._need(4)):
            mark = self._buffer[self._at : self._at + 4]
            if mark == b"PACK":
                return True
            try:
                size = int(mark, 16)
            except ValueError:
                return self._bad("is no pack")
            if size > _LINE or 0 < size < 4:
                return self._bad("is no pack")
            if not (yield from self._need(max(size, 4))):
                return self._bad("is cut short")
            if b"object-format=sha256" in self._take(max(size, 4)):
                self._hash = 32
        return False

    def _bundle_head(self) -> Walk:
        """Step over the head of a bundle (gitformat-bundle), if there is one."""
        if not (yield from self._need(4)):
            return False
        if not self._buffer.startswith(BUNDLE, self._at):
            return True
        while (found := self._buffer.find(b"\n\nPACK", self._at)) < 0:
            if self._last or len(self._buffer) > 1 << 20:
                return False
            yield More.MORE
        if b"object-format=sha256" in self._take(found + 2 - self._at):
            self._hash = 32
        return True

    def _varint(self) -> Iterator[More]:
        """Wait for a number of 7-bit groups."""
        while not self._last:
            ahead = self._buffer[self._at : self._at + 10]
            if len(ahead) == 10 or any(byte < 0x80 for byte in ahead):
                return
            yield More.MORE

    def _number(self) -> int:
        """Step over a number; return its first byte, or -1 if it has no end."""
        for size, byte in enumerate(self._buffer[self._at : self._at + 10], 1):
            if byte < 0x80:
                return self._take(size)[0]
        return -1

    def _object(self, label: str) -> Walk:
        yield from self._varint()
        first = self._number()
        if first < 0:
            return False
        kind = first >> 4 & 7
        if kind == _OFFSET_DELTA:
            yield from self._varint()
            if self._number() < 0:
                return False
        elif kind == _REF_DELTA:
            if not (yield from self._need(self._hash)):
                return False
            self._take(self._hash)
        yield Part(label, plain=False, media=NO_MEDIA)
        whole = yield from self._inflated(_Delta() if kind in (_OFFSET_DELTA, _REF_DELTA) else None)
        yield None
        return whole

    def _inflated(self, delta: _Delta | None) -> Walk:
        inflate = zlib.decompressobj()
        size = _FIRST_SLICE
        while not inflate.eof:
            if not (yield from self._need(1)):
                return False
            given = rest = self._buffer[self._at : self._at + size]
            size = _SLICE
            while True:
                try:
                    out = inflate.decompress(rest, _PIECE)
                except zlib.error:
                    return self._bad("is damaged")
                if out:
                    text = out if delta is None else delta.feed(out)
                    if text:
                        yield text
                rest = inflate.unconsumed_tail
                if inflate.eof or not (rest or out):
                    break
            self._at += len(given) - len(inflate.unused_data)
        return True


class _Delta:
    """New text in the instructions of a delta; a line break stands for what is copied."""

    __slots__ = ("_head", "_left", "_skip")

    def __init__(self) -> None:
        self._head = 2  # sizes of base and result come first
        self._skip = 0
        self._left = 0

    def feed(self, data: bytes) -> bytes:
        out: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            if self._left:
                piece = data[at : at + self._left]
                out.append(piece)
                at += len(piece)
                self._left -= len(piece)
            elif self._skip:
                step = min(self._skip, size - at)
                at += step
                self._skip -= step
            else:
                byte = data[at]
                at += 1
                if self._head:
                    self._head -= byte < 0x80
                elif byte & 0x80:
                    self._skip = (byte & 0x7F).bit_count()
                    out.append(b"\n")
                else:
                    self._left = byte
        return b"".join(out)
