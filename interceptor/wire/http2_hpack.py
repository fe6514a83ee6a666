"""HPACK coders for hyper-h2 (RFC 7541): a decoder that keeps what it read, a stateless encoder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hpack import Decoder, Encoder, HeaderTuple, HPACKError, OversizedHeaderListError
from hpack.hpack import encode_integer
from hpack.table import HeaderTable

_STATIC: Final = HeaderTable.STATIC_TABLE_MAPPING
_INDEXED: Final[dict[tuple[bytes, bytes], bytes]] = {
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


def _indexed_name(name: bytes, index: int) -> bytes:
    start = encode_integer(index, 4)
    start[0] |= 0x10 if name in _NEVER else 0
    return bytes(start)


_NAMED: Final = {name: _indexed_name(name, index) for name, (index, _) in _STATIC.items()}


class CompressionError(ProtocolError):
    """A header block cannot be decoded: the connection is lost (RFC 9113 section 4.3)."""

    error_code = ErrorCodes.COMPRESSION_ERROR


class FieldEncoder(Encoder):
    """Encodes without a dynamic table and without Huffman coding.

    It holds no state, so nothing a peer asks for makes it grow, and no secret is ever compressed
    together with a guess; its cost is one look-up a field.
    """

    def __init__(self) -> None:
        super().__init__()
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
        """Encode pairs of lower-case name and value."""
        out = [self._first]
        self._first = b""
        for pair in headers:
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


class FieldDecoder(Decoder):
    """Decodes for us, and tells hyper-h2 no more than what moves its stream states.

    All checks of fields are in `http2_fields`, in one pass; they make stream errors where hyper-h2
    would end the connection.

    Attributes:
        fields: the last header section, decoded.
        ending: the block came with END_STREAM, so that it cannot be an informational response.
    """

    def __init__(self, size_limit: int, *, client: bool) -> None:
        """Decode sections up to `size_limit`, counted as in RFC 9113 section 6.5.2."""
        super().__init__(size_limit)
        self.fields: Iterable[HeaderTuple] = ()
        self.ending = False
        self._client = client

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:  # noqa: ARG002, FBT001, FBT002
        """Decode a block into `fields`; the return value is for hyper-h2.

        Raises:
            CompressionError: the block is malformed.
            OversizedHeaderListError: it is too large when decoded.
        """
        try:
            fields = list(super().decode(data, raw=True))
        except OversizedHeaderListError:
            raise
        except HPACKError:
            raise CompressionError("a header block cannot be decoded") from None
        self.fields = fields
        if not self._client:
            return _REQUEST
        if fields and fields[0][0] == b":status" and fields[0][1][:1] == b"1" and not self.ending:
            return _INFORMATIONAL
        return _FINAL


_REQUEST: Final = [HeaderTuple(b":method", b"GET")]
_FINAL: Final = [HeaderTuple(b":status", b"200")]
_INFORMATIONAL: Final = [HeaderTuple(b":status", b"100")]
