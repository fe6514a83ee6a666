"""SSH's transport up to its keys (RFC 4253): what can be read of it.

Both sides send a version line and then packets in clear, until NEWKEYS. What follows is encrypted
by keys that are theirs alone, and passes unread: to open ssh is to open such a channel.
"""

from __future__ import annotations

from typing import Final

from interceptor.wire.dialect import DialectError, Plain, Told, mistaken

_VERSION_LIMIT: Final = 255  # RFC 4253 section 4.2, line end included
_LINES_LIMIT: Final = 8_192  # of what a server says before its version
_PACKET_LIMIT: Final = 35_000  # section 6.1
_VERSIONS: Final = (b"SSH-2.0-", b"SSH-1.99-")
_NEWKEYS: Final = 21
_CLEAR: Final = frozenset((1, 2, 3, 4, 20, 21, *range(30, 50)))
"""Messages of the transport and of key exchange methods (RFC 4250 section 4.1)."""


class Ssh(Plain):
    """One connection."""

    tls_first = False
    server_first = True  # both speak at once, but many clients wait

    def __init__(self) -> None:
        self._client = _Side(banner=False)
        self._server = _Side(banner=True)

    def from_client(self, data: bytes) -> Told:
        """Hold version line and packets back until they are whole."""
        return self._client.feed(data)

    def from_server(self, data: bytes) -> Told:
        """Hold version line and packets back until they are whole."""
        return self._server.feed(data)


class _Side:
    """One direction."""

    def __init__(self, *, banner: bool) -> None:
        self._banner = banner
        self._held = b""
        self._passed = 0
        self._versioned = False
        self._encrypted = False

    def feed(self, data: bytes) -> Told:
        if self._encrypted:
            return Told(opaque=data)
        buffer = self._held + data if self._held else data
        at = 0 if self._versioned else self._lines(buffer)
        if self._versioned:
            at = self._packets(buffer, at)
        return self._split(buffer, at)

    def _split(self, buffer: bytes, at: int) -> Told:
        if self._encrypted:
            self._held = b""
            return Told(buffer[:at], buffer[at:])
        self._held = buffer[at:]
        return Told(buffer[:at])

    def _lines(self, buffer: bytes) -> int:
        """Read up to the version line; a server may say something before it (section 4.2)."""
        at = 0
        while not self._versioned:
            end = buffer.find(b"\n", at) + 1
            line = buffer[at:end] if end else buffer[at : at + _VERSION_LIMIT]
            versions = any(v.startswith(line[: len(v)]) for v in _VERSIONS)
            if not versions and (not self._banner or line.startswith((b"SSH-", b"HTTP/"))):
                raise mistaken("ssh", line)
            if versions and (end or len(buffer)) - at > _VERSION_LIMIT:
                raise DialectError("the version line of ssh is too long")
            if self._passed + (end or len(buffer)) > _LINES_LIMIT:
                raise mistaken("ssh", buffer)
            if not end:
                break
            self._versioned = versions
            at = end
        self._passed += at
        return at

    def _packets(self, buffer: bytes, at: int) -> int:
        """Read packets in clear: uint32 length, byte of padding length, byte of message."""
        size = len(buffer)
        while not self._encrypted and size - at >= 6:
            length = 4 + int.from_bytes(buffer[at : at + 4])
            message = buffer[at + 5]
            if not 16 <= length <= _PACKET_LIMIT or message not in _CLEAR:
                raise DialectError("a packet that the key exchange of ssh does not have")
            if at + length > size:
                break
            at += length
            self._encrypted = message == _NEWKEYS
        return at
