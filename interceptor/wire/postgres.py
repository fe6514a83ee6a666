"""PostgreSQL's protocol 3 (PostgreSQL documentation, chapters 54.2 and 54.7).

A client begins with a message without a type: it asks for TLS, for GSSAPI encryption, cancels a
query of another connection, or starts. After that every message has a type and a length.
"""

from __future__ import annotations

from typing import Final

from interceptor.verdict import Reason
from interceptor.wire.dialect import DialectError, Plain, Told, mistaken
from interceptor.wire.frames import Frames

SSL_REQUEST: Final = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
_GSSENC_REQUEST: Final = b"\x00\x00\x00\x08\x04\xd2\x16\x30"
REQUESTS: Final = (SSL_REQUEST, _GSSENC_REQUEST)
"""What is answered with one byte."""
_CANCEL: Final = b"\x04\xd2\x16\x2e"
_STARTUP_LIMIT: Final = 10_000  # MAX_STARTUP_PACKET_LENGTH of the server
_SASL: Final = 10
_BINDING: Final = (
    "SCRAM channel binding cannot hold where TLS is terminated; "
    "connect with channel_binding=disable (PGCHANNELBINDING)"
)


class Postgres(Plain):
    """One connection."""

    tls_asked = True

    def __init__(self) -> None:
        self._from_client = b""
        self._from_server = b""
        self._started = False
        self._asked = False
        self._silent = False
        self._cancelled = False
        self._sealed = False
        self._messages_in = Frames(5, _message)
        self._authenticating = True
        self._sasl = False

    def from_client(self, data: bytes) -> Told:
        """Hold messages back until they are whole."""
        if self._cancelled or (self._asked and not self._silent):
            raise DialectError("bytes were sent behind a request that is not answered yet")
        if not self._started:
            return self._start(self._from_client + data)
        return self._messages(data)

    def _start(self, buffer: bytes) -> Told:
        """Messages without a type."""
        self._from_client = buffer
        if not SSL_REQUEST.startswith(buffer[:2]):
            raise mistaken("postgres", buffer)
        if len(buffer) < 8:
            return Told()
        size = int.from_bytes(buffer[:4])
        code = buffer[4:8]
        if buffer[:8] in REQUESTS:
            if len(buffer) > 8:
                raise DialectError("bytes were sent behind the request for encryption")
            if self._sealed:
                raise DialectError("a request for encryption inside of TLS")
            self._from_client = b""
            if buffer == _GSSENC_REQUEST:
                return Told(reply=b"N")  # not relayed: we could not read it
            self._asked = True
            return Told(buffer)
        cancels = code == _CANCEL and 16 <= size <= 272
        if not cancels and not (code[:2] == b"\x00\x03" and 8 < size <= _STARTUP_LIMIT):
            raise mistaken("postgres", buffer)
        if len(buffer) < size:
            return Told()
        self._from_client = b""
        if cancels:
            self._cancelled = True
            if len(buffer) > size:
                raise DialectError("bytes were sent behind a request to cancel")
            return Told(buffer)
        self._started = True
        if len(buffer) == size:
            return Told(buffer)
        told = self._messages(buffer[size:])
        return Told(buffer[:size] + told.data)

    def _messages(self, data: bytes) -> Told:
        whole = self._messages_in.feed(data)
        if self._sasl and whole[:1] == b"p":
            self._look_at_sasl(whole[5:])
        return Told(whole)

    def _look_at_sasl(self, payload: bytes) -> None:
        """Refuse channel binding to a certificate that the client has not seen (RFC 5802, 6).

        Raises:
            DialectError: it is used, or its absence is complained about, inside of TLS.
        """
        self._sasl = False
        mechanism, _, rest = payload.partition(b"\0")
        if self._sealed and (mechanism.endswith(b"-PLUS") or rest[4:6] == b"y,"):
            raise DialectError(_BINDING)

    def from_server(self, data: bytes) -> Told:
        """Watch the answer to a request for TLS, and the methods of authentication."""
        if self._asked:
            return self._answer(data)
        if self._authenticating:
            self._look_at_methods(data)
        return Told(data)

    def _answer(self, data: bytes) -> Told:
        """One byte: S, N, or the first of an ErrorResponse of a server before 7.0."""
        first = data[:1]
        self._asked = False
        if first == b"S":
            if len(data) > 1:  # CVE-2021-23222
                detail = "bytes stand behind the agreement to TLS"
                raise DialectError(detail, Reason.UPSTREAM_MALFORMED)
            return Told(b"" if self._silent else data, seal=True)
        if self._silent:
            raise DialectError("the server has no TLS", Reason.CONNECT_FAILED)
        if first not in (b"N", b"E"):
            raise DialectError("the server does not speak postgres", Reason.UPSTREAM_MALFORMED)
        return Told(data)

    def _look_at_methods(self, data: bytes) -> None:
        """Note AuthenticationSASL; stop looking once the server is ready."""
        buffer = self._from_server + data
        at = 0
        while len(buffer) - at >= 9:
            kind = buffer[at : at + 1]
            length = 1 + int.from_bytes(buffer[at + 1 : at + 5])
            if kind == b"R" and buffer[at + 5 : at + 9] == _SASL.to_bytes(4):
                self._sasl = True
            if kind == b"Z" or not 5 <= length <= _STARTUP_LIMIT:
                self._authenticating = False
                self._from_server = b""
                return
            if at + length > len(buffer):
                break
            at += length
        self._from_server = buffer[at:]

    def preamble(self) -> bytes:
        """Ask for TLS as servers before version 17 have it, too."""
        self._asked = self._silent = True
        return SSL_REQUEST

    def sealed(self) -> None:
        """The start is inside of TLS."""
        self._sealed = True
        self._asked = self._silent = False


def _message(buffer: bytes, at: int) -> int:
    """Length of a message: a letter, int32 of what follows, itself included."""
    length = 1 + int.from_bytes(buffer[at + 1 : at + 5])
    if length < 5 or not buffer[at : at + 1].isalpha():
        raise DialectError("a malformed message of postgres")
    return length
