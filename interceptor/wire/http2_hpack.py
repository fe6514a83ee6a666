"""HPACK for hyper-h2 (RFC 7541): a linear decoder that keeps what it read, a stateless encoder.

hyper-h2 is told no more of a header section than what moves the states of its streams. All rules
of fields are held by `http2_fields`, in one pass, as stream errors.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hpack import Decoder, Encoder, HeaderTuple, HPACKError, OversizedHeaderListError
from hpack.hpack import encode_integer
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

Pair = tuple[bytes, bytes]
"""A field: name and value, as they stand in the section."""

REQUEST: Final = [HeaderTuple(b":method", b"GET")]
FINAL: Final = [HeaderTuple(b":status", b"200")]
INFORMATIONAL: Final = [HeaderTuple(b":status", b"100")]
"""Stand-ins for sections: all that hyper-h2 looks at."""

_STATIC: Final = HeaderTable.STATIC_TABLE_MAPPING
_ENTRIES: Final[tuple[Pair, ...]] = HeaderTable.STATIC_TABLE
_STATIC_SIZE: Final = len(_ENTRIES)
_INDEXED: Final[dict[Pair, bytes]] = {
    (name, value): bytes((0x80 | index,))
    for name, (_, values) in _STATIC.items()
    for value, index in values.items()
}
# Values that are worth guessing: an intermediary must not index them either (section 7.1.3).
_NEVER: Final = frozenset(
    (
        *(b"authorization", b"proxy-authorization", b"cookie", b"set-cookie", b"x-api-key"),
        *(b"api-key", b"x-auth-token", b"x-goog-api-key", b"x-amz-security-token"),
        *(b"private-token", b"x-vault-token", b"x-access-token", b"x-csrf-token"),
    )
)
_LENGTHS: Final = tuple(bytes((n,)) for n in range(127))
_KNOWN_BLOCKS: Final = 16
_KNOWN_SIZE: Final = 2048
_SHORT: Final = 64
_short_huffman = functools.lru_cache(1024)(decode_huffman)


def _named(name: bytes, index: int) -> bytes:
    start = encode_integer(index, 4)
    start[0] |= 0x10 if name in _NEVER else 0
    return bytes(start)


_NAMED: Final = {name: _named(name, index) for name, (index, _) in _STATIC.items()}


class CompressionError(ProtocolError):
    """A header block cannot be decoded: the connection is lost (RFC 9113 section 4.3)."""

    error_code = ErrorCodes.COMPRESSION_ERROR


class FieldEncoder(Encoder):
    """Encodes without a dynamic table and without Huffman coding.

    It holds no state, so nothing a peer asks for makes it grow, and no secret is ever compressed
    together with a guess; its cost is one look-up a field.

    Attributes:
        pairs: the section to encode next, names in lower case. hyper-h2 hands in a stand-in.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pairs: Sequence[Pair] = ()
        # The first block says that the table is empty and stays so (RFC 7541 section 4.2).
        self._first = b"\x20"

    @property
    def header_table_size(self) -> int:
        """Size of the dynamic table: none, whatever the peer would allow."""
        return 0

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        pass

    def encode(self, headers: Iterable[Any] | dict[Any, Any], huffman: bool = True) -> bytes:  # noqa: ARG002, FBT001, FBT002
        """Encode `pairs`."""
        out = [self._first]
        self._first = b""
        for pair in self.pairs:
            whole = _INDEXED.get(pair)
            if whole is not None:
                out.append(whole)
                continue
            name, value = pair
            start = _NAMED.get(name)
            if start is None:
                start = b"\x10" if name in _NEVER else b"\x00"
                start += _length(name) + name
            out += (start, _length(value), value)
        return b"".join(out)


def _length(text: bytes) -> bytes:
    size = len(text)
    return _LENGTHS[size] if size < 127 else bytes(encode_integer(size, 7))


class Decoded(NamedTuple):
    """A decoded header section."""

    pairs: tuple[Pair, ...]
    size: int
    """As SETTINGS_MAX_HEADER_LIST_SIZE counts: 32 bytes a field more (RFC 9113 section 6.5.2)."""


class FieldDecoder(Decoder):
    """Decodes for us; hyper-h2 gets a stand-in.

    The loop is our own: hpack's copies the rest of the block for each field, and takes any number
    of table size updates.

    Attributes:
        section: the last header section.
        ending: the block came with END_STREAM, so that it cannot be an informational response.
    """

    def __init__(self, size_limit: int, *, client: bool) -> None:
        """Decode sections up to `size_limit`, counted as in RFC 9113 section 6.5.2."""
        super().__init__(size_limit)
        self.section = Decoded((), 0)
        self.ending = False
        self._client = client
        # Blocks that came while the table was as it is now, and left it so.
        self._known: dict[bytes, Decoded] = {}

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:  # noqa: ARG002, FBT001, FBT002
        """Decode a block into `section`.

        Raises:
            CompressionError: the block is malformed.
            OversizedHeaderListError: it is too large when decoded.
        """
        section = self._known.get(data)
        if section is None:
            try:
                section = self._decode(data)
            except OversizedHeaderListError:
                raise
            except (HPACKError, IndexError):
                raise CompressionError("a header block cannot be decoded") from None
        self.section = section
        if not self._client:
            return REQUEST
        pairs = section.pairs
        if pairs and pairs[0][0] == b":status" and pairs[0][1][:1] == b"1" and not self.ending:
            return INFORMATIONAL
        return FINAL

    def _decode(self, data: bytes) -> Decoded:
        table = self.header_table
        dynamic = table.dynamic_entries
        at = size = updates = 0
        end = len(data)
        pairs: list[Pair] = []
        changed = False
        while at < end:
            byte = data[at]
            at += 1
            if byte & 0x80:
                index = byte & 0x7F
                if index == 0x7F:
                    index, at = _integer(data, at, index)
                pair = _entry(dynamic, index)
            elif byte & 0xE0 == 0x20:
                # At the start, and two at most: the smallest between, and the last (section 4.2).
                if pairs or updates == 2:
                    raise CompressionError("a table size update within a header block")
                updates += 1
                value = byte & 0x1F
                if value == 0x1F:
                    value, at = _integer(data, at, value)
                if value > self.max_allowed_table_size:
                    raise CompressionError("a table size beyond the limit")
                table.maxsize = value
                changed = True
                continue
            else:
                mask = 0x3F if byte & 0x40 else 0x0F
                index = byte & mask
                if index == mask:
                    index, at = _integer(data, at, index)
                if index:
                    name = _entry(dynamic, index)[0]
                else:
                    name, at = _string(data, at, end)
                text, at = _string(data, at, end)
                pair = (name, text)
                if mask == 0x3F:
                    table.add(name, text)
                    changed = True
            size += len(pair[0]) + len(pair[1]) + 32
            if size > self.max_header_list_size:
                raise OversizedHeaderListError("a header section is too large")
            pairs.append(pair)
        section = Decoded(tuple(pairs), size)
        if changed:
            self._known.clear()
        elif end <= _KNOWN_SIZE and size <= 2 * _KNOWN_SIZE:
            if len(self._known) >= _KNOWN_BLOCKS:
                self._known.clear()
            self._known[data] = section
        return section


def _entry(dynamic: Sequence[Pair], index: int) -> Pair:
    if index > _STATIC_SIZE:
        return dynamic[index - _STATIC_SIZE - 1]
    if index == 0:
        raise CompressionError("index 0")
    return _ENTRIES[index - 1]


def _integer(data: bytes, at: int, value: int) -> tuple[int, int]:
    """Go on with an integer whose prefix is full (section 5.1): four bytes more at most."""
    for shift in (0, 7, 14, 21):
        byte = data[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise CompressionError("an integer is too long")


def _string(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    """Read a string literal (section 5.2)."""
    byte = data[at]
    at += 1
    length = byte & 0x7F
    if length == 0x7F:
        length, at = _integer(data, at, length)
    stop = at + length
    if stop > end:
        raise CompressionError("a header block is cut short")
    text = data[at:stop]
    if byte & 0x80:
        return (_short_huffman(text) if length <= _SHORT else decode_huffman(text)), stop
    return text, stop
