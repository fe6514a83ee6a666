"""One TLS connection over memory: ciphertext and plaintext in and out, no sockets."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterable
from typing import Final

_READ: Final = 16_384
"""One TLS record's payload; larger reads are slower, as OpenSSL returns a record at a time."""
_SLICE: Final = 65_536
"""Plaintext that is encrypted at a time: a connection's buffer keeps the largest size it ever had,
and after a body of 1 MB sent at once an idle connection would hold 1.1 MB."""


class TlsSession:
    """A TLS connection, either side.

    Attributes:
        established: the handshake is complete (and the peer's certificate verified).
        ended: the peer has sent close_notify.
    """

    __slots__ = ("_in", "_object", "_out", "_read", "_write", "ended", "established")

    def __init__(
        self, context: ssl.SSLContext, *, server_side: bool = False, server_name: str | None = None
    ) -> None:
        """Make a session; a client must call `receive(b"")` to start the handshake.

        Args:
            context: trust and certificates.
            server_side: answer a ClientHello instead of sending one.
            server_name: name to send as SNI and to verify the certificate for (client side).
        """
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._in, self._out, server_side=server_side, server_hostname=server_name
        )
        # The methods of SSLObject hand on to this object, in Python: a tenth of the cost of a
        # small record. They are used where a later Python should hide it elsewhere.
        engine = getattr(self._object, "_sslobj", self._object)
        self._read: Callable[[int], bytes] = engine.read
        self._write: Callable[[bytes | memoryview], int] = engine.write
        self.established = False
        self.ended = False

    def receive(self, data: bytes | memoryview) -> bytes:
        """Take ciphertext, give the plaintext it holds. `outgoing` may have something to send.

        Raises:
            ssl.SSLError: on a failed handshake, an untrusted certificate or damaged records.
        """
        incoming = self._in
        if data:
            incoming.write(data)
        if not self.established:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                return b""
            self.established = True
        if not incoming.pending:
            return b""
        try:
            piece = self._read(_READ)
            if piece and len(piece) < _READ and not incoming.pending:
                return piece  # the usual case: one record, whole
            return self._read_on(piece)
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLZeroReturnError:
            self.ended = True
            return b""

    def _read_on(self, piece: bytes) -> bytes:
        """Read what follows a first record; `piece` is what that held."""
        out: list[bytes] = []
        try:
            while piece:
                out.append(piece)
                if not self._in.pending and not self._object.pending():
                    break
                piece = self._read(_READ)
            else:
                self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        return out[0] if len(out) == 1 else b"".join(out)

    def send(self, data: bytes) -> bytes:
        """Encrypt `data`; gives everything that is now to be sent."""
        return b"".join(self.sealed(data))

    def sealed(self, data: bytes) -> Iterable[bytes]:
        """Encrypt `data` in slices, so that little of a long body is kept at a time."""
        if len(data) <= _SLICE:
            self._write(data)
            return (self._out.read(),)
        view = memoryview(data)
        return (self._seal(view[at : at + _SLICE]) for at in range(0, len(view), _SLICE))

    def _seal(self, data: memoryview) -> bytes:
        self._write(data)
        return self._out.read()

    def outgoing(self) -> bytes:
        """Handshake and alert bytes to be sent."""
        return self._out.read() if self._out.pending else b""

    def close(self) -> bytes:
        """Give the close_notify alert, and whatever else is to be sent."""
        if self.established:
            # The peer's close_notify is not waited for (RFC 8446 section 6.1).
            with contextlib.suppress(ssl.SSLError):
                self._object.unwrap()
        return self.outgoing()

    @property
    def alpn(self) -> str | None:
        """Protocol that was negotiated."""
        return self._object.selected_alpn_protocol()

    @property
    def version(self) -> str | None:
        """TLS version, such as `TLSv1.3`."""
        return self._object.version()
