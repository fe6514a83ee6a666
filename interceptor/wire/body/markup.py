"""XML text as its reader sees it: comments and CDATA marks gone, own entities in place.

Character references and the predefined entities are left: the scan knows them. External entities
are the recipient's to fetch, and stand for nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from interceptor.verdict import Reason
from interceptor.wire.body.decoders import DecoderBase
from interceptor.wire.fields import HttpError

_HEAD: Final = 65_536  # a document type lies in here, or is not read
_ROOT: Final = re.compile(rb"<[A-Za-z_:]")
_SUBSET_END: Final = re.compile(rb"\][ \t\r\n]*+>")
_REACH: Final = 1024  # text before the first mark that may belong to what follows it
_MARK: Final = re.compile(rb"<!\[CDATA\[|\]\]>|<!--|<\?")
_LONGEST_MARK: Final = 9
_ENTITY: Final = re.compile(
    rb"<!ENTITY[ \t\r\n]++([^%\s\"'<>&;]{1,128}+)[ \t\r\n]++"
    rb"(?:\"([^\"]{0,8192}+)\"|'([^']{0,8192}+)')"
)
_REFERENCE: Final = re.compile(rb"&([^#;&\s\"'<>]{1,128}+);")
_LONGEST_REFERENCE: Final = 130
_MOST: Final = 1000  # entities of one document
_VALUE: Final = 65_536  # bytes that one entity may stand for
_PIECE: Final = 65_536


class PlainMarkup(DecoderBase):
    """Gives the text of XML where marks or entities interrupt it; nothing where they do not.

    Raises:
        HttpError: INCOMPLETE for entities that grow without end.
    """

    __slots__ = ("_buffer", "_end", "_entities", "_head", "_started")

    def __init__(self) -> None:
        super().__init__()
        self.complete = True
        self._head = True
        self._buffer = b""
        self._started = False
        self._end = b""  # what ends the comment or instruction that goes on
        self._entities: dict[bytes, bytes] = {}

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `Decoder`."""
        self._buffer += data
        if self._head:
            if len(self._buffer) < _HEAD and not _past_prolog(self._buffer):
                return
            self._begin()
        yield from self._run(last=False)

    def flush(self) -> Iterator[bytes]:
        """See `Decoder`."""
        if self._head:
            self._begin()
        yield from self._run(last=True)

    def _begin(self) -> None:
        self._head = False
        if b"<!ENTITY" in self._buffer:
            self._entities = _entities(self._buffer)
            self._started = bool(self._entities)
        if self._buffer.startswith(b"<?xml"):
            self._buffer = self._buffer.partition(b"?>")[2]

    def _run(self, *, last: bool) -> Iterator[bytes]:
        text = self._buffer
        if not self._started:
            mark = _MARK.search(text)
            if mark is None:
                self._buffer = text[-_REACH:]
                return
            self._started = True
            text = text[max(0, mark.start() - _REACH) :]
        plain = []
        at = 0
        while True:
            if self._end:
                stop = text.find(self._end, at)
                if stop < 0:
                    at = max(at, len(text) - len(self._end) + 1)
                    break
                at = stop + len(self._end)
                self._end = b""
            mark = _MARK.search(text, at)
            if mark is None:
                # A mark or a reference may be cut.
                keep = 0 if last else _cut(text, at)
                plain.append(text[at : len(text) - keep])
                at = len(text) - keep
                break
            plain.append(text[at : mark.start()])
            at = mark.end()
            self._end = {b"<!--": b"-->", b"<?": b"?>"}.get(mark[0], b"")
        self._buffer = text[at:]
        joined = b"".join(plain)
        if self._entities:
            yield from self._expanded(joined)
        elif joined:
            yield joined

    def _expanded(self, text: bytes) -> Iterator[bytes]:
        out: list[bytes] = []
        size = at = 0
        for match in _REFERENCE.finditer(text):
            value = self._entities.get(match[1])
            if value is None:
                continue
            out += (text[at : match.start()], value)
            size += match.start() - at + len(value)
            at = match.end()
            if size >= _PIECE:
                yield b"".join(out)
                out.clear()
                size = 0
        out.append(text[at:])
        yield b"".join(out)


def _past_prolog(text: bytes) -> bool:
    """Tell whether the document type, if there is one, has ended."""
    if _ROOT.search(text) is None:
        return False
    _, found, rest = text.partition(b"<!DOCTYPE")
    if not found:
        return True
    plain, _, subset = rest.partition(b"[")
    return b">" in plain or _SUBSET_END.search(subset) is not None


def _cut(text: bytes, start: int) -> int:
    """Bytes at the end of `text` that may be the beginning of a mark or a reference."""
    size = len(text)
    cut = size
    at = text.rfind(b"<", max(start, size - _LONGEST_MARK))
    if at >= 0:
        cut = at
    at = text.rfind(b"&", max(start, size - _LONGEST_REFERENCE))
    if at >= 0 and b";" not in text[at:]:
        cut = min(cut, at)
    if text.endswith(b"]"):
        cut = min(cut, size - (2 if text.endswith(b"]]") else 1))
    return size - max(cut, start)


def _entities(head: bytes) -> dict[bytes, bytes]:
    """Entities of the document type, those within one another undone; the first one counts."""
    found: dict[bytes, bytes] = {}
    for match in _ENTITY.finditer(head):
        name, double, single = match.groups()
        found.setdefault(name, double if double is not None else single)
        if len(found) > _MOST:
            raise HttpError(Reason.INCOMPLETE, "a document type with too many entities")
    # Each round undoes one level. What still refers to others after that refers to itself.
    for _ in range(8):
        changed = False
        for name, value in found.items():
            if b"&" not in value:
                continue
            pieces = _REFERENCE.split(value)
            size = sum(len(found.get(piece, piece)) for piece in pieces)
            if size > _VALUE:
                raise HttpError(Reason.INCOMPLETE, "entities that grow without end")
            new = _REFERENCE.sub(lambda match: found.get(match[1], match[0]), value)
            changed = changed or new != value
            found[name] = new
        if not changed:
            break
    return found
