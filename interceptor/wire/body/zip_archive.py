"""ZIP archives (APPNOTE.TXT 6.3.10), read from the front while they arrive.

Recipients read from the central directory at the end, which may name other members than those
that follow one another. So each entry of it is held against what was read; an archive that can be
read in two ways is refused, and so is a member that is encrypted or packed in an unknown way.
Every byte is looked at once, so members that overlap expand no further than others.
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final

from interceptor.wire.body.decoders import Bzip2, Decoder, Xz, Zstd
from interceptor.wire.body.media import NO_MEDIA
from interceptor.wire.body.parts import Event, More, Part, Walk, Walker, incomplete

LOCAL: Final = b"PK\x03\x04"
_CENTRAL: Final = b"PK\x01\x02"
_DESCRIPTOR: Final = b"PK\x07\x08"
_HEAD: Final = 30
_END: Final = b"PK\x05\x06"
_END_BYTES: Final = 22
_STORED: Final = 0
_DEFLATED: Final = 8
_METHODS: Final[dict[int, Callable[[], Decoder]]] = {12: Bzip2, 93: Zstd, 95: Xz}
_KNOWN_METHODS: Final = frozenset((*range(15), 16, 18, 19, 20, *range(93, 100)))
_ENCRYPTED: Final = 0x2041  # encrypted, strongly encrypted, central directory encrypted
_SIZES_FOLLOW: Final = 0x08
_BIG: Final = 0xFFFFFFFF
_MOST: Final = 1 << 18  # members
_SLICE: Final = 16_384
_PIECE: Final = 65_536


def is_zip(first: bytes) -> bool:
    """Tell whether data begins with a plausible local file header; 30 bytes are enough."""
    return (
        first.startswith(LOCAL)
        and len(first) >= _HEAD
        and first[4] < 64
        and int.from_bytes(first[8:10], "little") in _KNOWN_METHODS
        and 0 < int.from_bytes(first[26:28], "little") < 8192
    )


class ZipArchive(Walker):
    """A reader whose parts are the members."""

    def __init__(self, before: int = -1) -> None:
        """Read an archive.

        Args:
            before: bytes of the file that stand before the archive, which its directory may count
                or not. -1: it is the file, and an archive for sure.
        """
        super().__init__()
        self._before = max(before, 0)
        self._sure = before < 0
        self._members = array("Q")  # offset of each local header << 8 | method, in order
        self._cut = False  # the bytes ended within a member
        self._total = 0
        self._tail = b""
        self._ends: set[int] = set()  # where the archive ends, if an end record seen is the last

    def feed(self, data: bytes) -> Iterator[Event]:
        """See `Reader`."""
        self._note_ends(data)
        yield from super().feed(data)

    def finish(self) -> Iterator[Event]:
        """See `Reader`."""
        yield from super().finish()
        if self._cut and self._total in self._ends:
            # A first slice of an archive ends in the middle too, but not with an end record.
            raise incomplete("an archive that can be read in two ways")

    def _note_ends(self, data: bytes) -> None:
        """Note end records (APPNOTE 4.3.16): the last one closes the data with its comment."""
        text = self._tail + data
        start = self._total - len(self._tail)
        at = text.find(_END)
        while 0 <= at <= len(text) - _END_BYTES:
            self._ends.add(start + at + _END_BYTES + _number(text, at + 20, 2))
            at = text.find(_END, at + 4)
        self._total += len(data)
        self._tail = text[-_END_BYTES + 1 :]
        if self._ends:
            self._ends = {end for end in self._ends if end >= self._total}

    def _walk(self) -> Walk:
        while (yield from self._need(4)):
            signature = self._buffer[self._at : self._at + 4]
            if signature == LOCAL:
                if not (yield from self._member()):
                    self._cut = True
                    return False
            elif signature == _CENTRAL:
                if not (yield from self._entry()):
                    self._cut = True
                    return False
            else:
                # Descriptors, the end's records, and what some writers put between members.
                found = self._buffer.find(b"PK", self._at + 1)
                self._at = found if found >= 0 else len(self._buffer) - 1
        return True

    def _member(self) -> Walk:
        if not (yield from self._need(_HEAD)):
            return False
        offset = self._gone + self._at
        head = self._take(_HEAD)
        flags, method = _number(head, 6, 2), _number(head, 8, 2)
        packed, plain = _number(head, 18, 4), _number(head, 22, 4)
        names, extras = _number(head, 26, 2), _number(head, 28, 2)
        if not (yield from self._need(names + extras)):
            return False
        name = self._take(names)
        extra = self._take(extras)
        if packed == _BIG:
            packed = _wide(extra, plain == _BIG)
        if len(self._members) >= _MOST:
            raise incomplete("an archive with too many members")
        self._members.append(offset << 8 | min(method, 255))
        if flags & _ENCRYPTED:
            raise incomplete("an encrypted archive member cannot be read")
        label = f"zip[{len(self._members) - 1}]"
        yield Part(label, plain=method == _STORED, media=NO_MEDIA)
        unknown = bool(flags & _SIZES_FOLLOW) and not packed and not name.endswith(b"/")
        if method == _STORED:
            whole = yield from self._stored() if unknown else self._pass(packed)
        elif method == _DEFLATED:
            whole = yield from self._deflated()
        elif method in _METHODS and not unknown:
            whole = yield from self._packed(_METHODS[method](), packed)
        else:
            raise incomplete("an archive member is packed in a way that cannot be read")
        yield None
        return whole

    def _stored(self) -> Walk:
        """A stored member whose size only its descriptor tells: the one that fits what was read."""
        size = 0
        while True:
            text, at = self._buffer, self._at
            found = text.find(_DESCRIPTOR, at)
            end = found if found >= 0 else len(text) if self._last else max(at, len(text) - 3)
            size += end - at
            if end > at:
                yield self._take(end - at)
            if found < 0:
                if self._last:
                    return False
                yield More.MORE
            elif not (yield from self._need(16)):
                return False
            elif size in (_number(self._buffer, self._at + 8, 4), self._wide_size()):
                return True
            else:
                size += 4
                yield self._take(4)

    def _wide_size(self) -> int:
        return _number(self._buffer, self._at + 8, 8)

    def _deflated(self) -> Walk:
        """A deflated member; it shows its own end."""
        inflate = zlib.decompressobj(-15)
        while not inflate.eof:
            if not (yield from self._need(1)):
                return False
            given = self._buffer[self._at : self._at + _SLICE]
            rest = given
            while True:
                try:
                    out = inflate.decompress(rest, _PIECE)
                except zlib.error:
                    if not self._sure:
                        return False
                    raise incomplete("an archive member is damaged") from None
                if out:
                    yield out
                rest = inflate.unconsumed_tail
                if inflate.eof or not (rest or out):
                    break
            self._at += len(given) - len(inflate.unused_data)
        return True

    def _packed(self, decoder: Decoder, size: int) -> Walk:
        while size:
            if not (yield from self._need(1)):
                return False
            given = self._take(min(size, _PIECE, len(self._buffer) - self._at))
            size -= len(given)
            yield from decoder.feed(given)
            if decoder.damaged:
                raise incomplete("an archive member cannot be read")
        return True

    def _entry(self) -> Walk:
        """An entry of the central directory: its member must have been read, by that method."""
        if not (yield from self._need(46)):
            return False
        head = self._take(46)
        names, extras, comment = (_number(head, at, 2) for at in (28, 30, 32))
        if not (yield from self._need(names + extras + comment)):
            return False
        extra = self._take(names + extras + comment)[names : names + extras]
        offset = _number(head, 42, 4)
        if offset == _BIG:
            wide = [_number(head, at, 4) == _BIG for at in (24, 20)]
            offset = _wide(extra, *wide)
        method = min(_number(head, 10, 2), 255)
        if not (self._has(offset, method) or self._has(offset - self._before, method)):
            raise incomplete("an archive that can be read in two ways")
        return True

    def _has(self, offset: int, method: int) -> bool:
        known = offset << 8 | method
        at = bisect_left(self._members, known) if offset >= 0 else len(self._members)
        return at < len(self._members) and self._members[at] == known


class ZipWithin:
    """A reader that finds an archive behind other data, as in a program that unpacks itself.

    Tools look for an archive from its end, so what stands before it does not matter to them.
    """

    def __init__(self) -> None:
        self._archive: ZipArchive | None = None
        self._tail = b""
        self._total = 0

    @property
    def found(self) -> bool:
        """True once there is an archive."""
        return self._archive is not None

    def feed(self, data: bytes) -> Iterator[Event]:
        """See `Reader`."""
        if self._archive is not None:
            yield from self._archive.feed(data)
            return
        tail = self._tail
        # Text has no zero byte, a header has one: most data is passed over at once.
        if (b"\0" in data and LOCAL in data) or LOCAL in tail + data[: _HEAD - 1]:
            joined = tail + data
            at = joined.find(LOCAL)
            while 0 <= at <= len(joined) - _HEAD:
                if is_zip(joined[at : at + _HEAD]):
                    self._archive = ZipArchive(self._total - len(tail) + at)
                    yield from self._archive.feed(joined[at:])
                    return
                at = joined.find(LOCAL, at + 1)
        self._total += len(data)
        self._tail = data[1 - _HEAD :] if len(data) >= _HEAD else (tail + data)[1 - _HEAD :]

    def finish(self) -> Iterator[Event]:
        """See `Reader`."""
        if self._archive is not None:
            yield from self._archive.finish()


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _wide(extra: bytes, *before: bool) -> int:
    """Value of a ZIP64 extra field (APPNOTE 4.5.3) that stands after those `before` it."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = _number(extra, at, 2), _number(extra, at + 2, 2)
        if kind == 1:
            return _number(extra, at + 4 + 8 * sum(before), 8)
        at += 4 + size
    return _BIG
