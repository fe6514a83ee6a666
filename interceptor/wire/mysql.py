"""MySQL's and MariaDB's client/server protocol (MySQL source documentation, connection phase).

The server greets with what it can do, the client answers with what it wants; if that is TLS, the
handshake follows at once, without an answer of the server. Compression is taken out of the
greeting, so that what follows can be read.
"""

from __future__ import annotations

from typing import Final

from interceptor.verdict import Reason
from interceptor.wire.dialect import DialectError, Plain, Told, mistaken
from interceptor.wire.frames import Frames

_PROTOCOL_41: Final = 1 << 9
_SSL: Final = 1 << 11
_COMPRESSION: Final = 1 << 5 | 1 << 26
"""CLIENT_COMPRESS and CLIENT_ZSTD_COMPRESSION_ALGORITHM."""
_GREETING_LIMIT: Final = 4_096


class Mysql(Plain):
    """One connection."""

    server_first = True
    tls_first = False

    def __init__(self) -> None:
        self._from_client = b""
        self._from_server = b""
        self._greeted = False
        self._answered = False
        self._sealed = False
        self._packets = Frames(4, _packet)

    def from_client(self, data: bytes) -> Told:
        """Hold packets back until they are whole."""
        if self._answered:
            return Told(self._packets.feed(data))
        buffer = self._from_client + data
        if not self._greeted:
            raise mistaken("mysql", buffer)  # the client spoke first
        return self._answer(buffer)

    def _answer(self, buffer: bytes) -> Told:
        """HandshakeResponse41 or SSLRequest: 3 bytes of length, a number, 4 of capabilities."""
        self._from_client = buffer
        size = len(buffer)
        if size < 8:
            return Told()
        length = int.from_bytes(buffer[:3], "little")
        wants = int.from_bytes(buffer[4:8], "little")
        if not wants & _PROTOCOL_41 or length < 32 or buffer[3] != 1 + self._sealed:
            raise mistaken("mysql", buffer)
        if wants & _COMPRESSION:
            raise DialectError("compression was not offered", Reason.INCOMPLETE)
        if size < 36:
            return Told()
        if length == 32 and wants & _SSL and not self._sealed:
            self._from_client = b""
            return Told(buffer[:36], seal=True, rest=buffer[36:])
        self._answered = True
        self._from_client = b""
        return Told(self._packets.feed(buffer))

    def from_server(self, data: bytes) -> Told:
        """Read the greeting; what follows passes."""
        if self._greeted:
            return Told(data)
        buffer = self._from_server + data
        self._from_server = buffer
        size = len(buffer)
        if size < 5:
            return Told()
        length = 4 + int.from_bytes(buffer[:3], "little")
        if length > _GREETING_LIMIT or buffer[3] or buffer[4] not in (10, 255):
            raise DialectError("the server does not speak mysql")
        if size < length:
            return Told()
        self._from_server = b""
        self._greeted = True
        if buffer[4] == 255:  # an error, such as too many connections
            return Told(buffer)
        return Told(_without_compression(buffer, length))

    def sealed(self) -> None:
        """The client repeats its answer inside of TLS, whole."""
        self._sealed = True
        self._from_client = b""


def _without_compression(buffer: bytes, length: int) -> bytes:
    """Greeting with the bits of compression cleared (Protocol::HandshakeV10).

    Raises:
        DialectError: it is malformed.
    """
    low = buffer.find(b"\0", 5, length) + 1 + 4 + 8 + 1
    if low < 18 + 1 or low + 2 > length:
        raise DialectError("the greeting of mysql is malformed", Reason.UPSTREAM_MALFORMED)
    out = bytearray(buffer)
    out[low] &= ~_COMPRESSION & 0xFF
    high = low + 2 + 1 + 2
    if high + 2 <= length:
        out[high + 1] &= ~(_COMPRESSION >> 24) & 0xFF
    return bytes(out)


def _packet(buffer: bytes, at: int) -> int:
    """Length of a packet: 3 bytes of what follows the header, and a number."""
    return 4 + int.from_bytes(buffer[at : at + 3], "little")
