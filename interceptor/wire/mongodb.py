"""MongoDB's wire protocol (MongoDB manual, "MongoDB Wire Protocol"). TLS begins at once."""

from __future__ import annotations

from typing import Final

from interceptor.verdict import Reason
from interceptor.wire.dialect import DialectError, Plain, Told, mistaken
from interceptor.wire.frames import Frames

_LIMIT: Final = 48_000_000 + 65_536  # maxMessageSizeBytes of every server, and some
_REPLY, _QUERY, _COMPRESSED, _MSG = 1, 2004, 2012, 2013
_LEGACY: Final = range(2001, 2008)


class Mongodb(Plain):
    """One connection: messages of 16 bytes of header, int32 little-endian, length first."""

    def __init__(self) -> None:
        self._requests = Frames(16, _request)
        self._greeted = False
        self._from_server = b""

    def from_client(self, data: bytes) -> Told:
        """Hold messages back until they are whole."""
        return Told(self._requests.feed(data))

    def from_server(self, data: bytes) -> Told:
        """Check the first message; what follows passes."""
        if self._greeted:
            return Told(data)
        self._from_server += data
        if len(self._from_server) < 16:
            return Told()
        code = int.from_bytes(self._from_server[12:16], "little")
        if code not in (_REPLY, _MSG, _COMPRESSED):
            raise DialectError("the server does not speak mongodb")
        self._greeted = True
        data, self._from_server = self._from_server, b""
        return Told(data)


def _request(buffer: bytes, at: int) -> int:
    length = int.from_bytes(buffer[at : at + 4], "little")
    code = int.from_bytes(buffer[at + 12 : at + 16], "little")
    if code == _COMPRESSED:
        detail = "compressed messages cannot be read; connect without compressors"
        raise DialectError(detail, Reason.INCOMPLETE)
    if not 16 <= length <= _LIMIT or (code != _MSG and code not in _LEGACY):
        raise mistaken("mongodb", buffer[at:])
    return length
