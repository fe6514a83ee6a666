"""One connection to an upstream server: its handshake, its bytes, and how it ends."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, Protocol, cast

from interceptor.serve.outbox import Outbox
from interceptor.tls.session import TlsSession
from interceptor.verdict import Reason

_WRITE_HIGH: Final = 262_144
_BUFFER: Final = memoryview(bytearray(65_536))
"""Shared by all connections of the process: `buffer_updated` runs before the next `get_buffer`."""


PoolKey = tuple[str, str, int, int]
"""Scheme, host and port of the target, and the judgement under which it was dialled."""


class DialError(Exception):
    """An upstream connection could not be had. `reason` is the code for the agent."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class NoCommonProtocolError(DialError):
    """Upstream speaks none of the protocols that were offered by ALPN."""


class Owner(Protocol):
    """Who uses an upstream connection: the agent's connection it serves."""

    def upstream_bytes(self, data: bytes, lane: int) -> None:
        """Decrypted bytes have come."""

    def upstream_eof(self, lane: int) -> None:
        """Upstream has ended, or broken."""

    def upstream_full(self, lane: int, *, full: bool) -> None:
        """Upstream's send buffer is full, or no longer is."""


class UpstreamConnection(asyncio.BufferedProtocol):
    """One connection to one judged address."""

    __slots__ = (
        *("_fault", "_transport", "_waiter", "address", "held", "idle_since", "key", "lane"),
        *("_early", "_early_end", "_fresh", "_outbox", "_owner", "tls"),
    )

    def __init__(self, key: PoolKey, address: str, tls: TlsSession | None, outbox: Outbox) -> None:
        """Serve `key` by the literal `address`."""
        self._outbox = outbox
        self.key = key
        self.address = address
        self.tls = tls
        self._owner: Owner | None = None
        self._fresh = True
        """Nobody has owned it yet: what comes now is for the first owner."""
        self._early = b""
        self._early_end = False
        self.lane = 0
        self.held = False
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._fault: DialError | None = None

    @property
    def owner(self) -> Owner | None:
        """Who is told what comes; the first owner also of what came before.

        A server that speaks first (SETTINGS of HTTP/2, a banner) does not wait for a listener.
        """
        return self._owner

    @owner.setter
    def owner(self, owner: Owner | None) -> None:
        self._owner = owner
        if owner is not None and self._fresh:
            self._fresh = False
            if self._early or self._early_end:  # after the caller has told its flow of us
                asyncio.get_running_loop().call_soon(self._hand_over)

    def _hand_over(self) -> None:
        data, self._early = self._early, b""
        if data and self._owner is not None:
            self._owner.upstream_bytes(data, self.lane)
        if self._early_end and self._owner is not None:
            self._owner.upstream_eof(self.lane)

    def itself(self) -> UpstreamConnection:
        """Protocol factory for the one transport this connection has."""
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is connected: begin the handshake."""
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        transport = self._transport
        transport.set_write_buffer_limits(high=_WRITE_HIGH)
        if self.tls is not None:
            self.tls.receive(b"")
            self._outbox.write(transport, self.tls.outgoing())

    async def ready(self) -> None:
        """Wait until bytes may be sent: TLS is established and the certificate verified.

        Raises:
            DialError: CERTIFICATE_INVALID or CONNECT_FAILED.
        """
        if self._fault is not None:
            raise self._fault  # it broke before anybody waited
        if self.tls is None or self.tls.established:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Give the buffer to read into."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        data = b""
        tls = self.tls
        ended = False
        if tls is None:
            data = bytes(_BUFFER[:nbytes])
        else:
            try:
                data = tls.receive(_BUFFER[:nbytes])
            except ssl.SSLError as error:
                self._broken(error)
                return
            out = tls.outgoing()
            if out and self._transport is not None:
                self._outbox.write(self._transport, out)
            if tls.established and self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
            ended = tls.ended
        owner = self._owner
        if self._fresh or self._early:
            self._early += data
            self._early_end |= ended
        elif owner is None:
            if data or ended:
                self.close()  # bytes that answer nothing, on a connection nobody uses
        else:
            if data:
                owner.upstream_bytes(data, self.lane)
            if ended and self._owner is not None:
                self._owner.upstream_eof(self.lane)

    def _broken(self, error: ssl.SSLError) -> None:
        waited = self._waiter is not None
        self._fail(_tls_fault(error))
        if self.owner is not None and not waited:
            self.owner.upstream_eof(self.lane)
        if self._transport is not None and self.tls is not None:
            self._outbox.write(self._transport, self.tls.outgoing())
        self.close()

    def eof_received(self) -> bool:
        """TCP ended on their side."""
        self._gone()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """TCP is gone."""
        self._gone()
        self._transport = None

    def _gone(self) -> None:
        if self.tls is not None and not self.tls.established:
            self._fail(DialError(Reason.CONNECT_FAILED, "closed during the TLS handshake"))
            if self._waiter is not None:
                return  # who waits for the handshake is told
        if self._fresh or self._early:
            self._early_end = True
        elif self._owner is not None:
            self._owner.upstream_eof(self.lane)

    def _fail(self, fault: DialError) -> None:
        """Note the first fault of the handshake; whoever waits, now or later, is told."""
        if self._fault is None:
            self._fault = fault
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self._fault)

    def pause_writing(self) -> None:
        """Our send buffer is full."""
        if self.owner is not None:
            self.owner.upstream_full(self.lane, full=True)

    def resume_writing(self) -> None:
        """Our send buffer has drained."""
        if self.owner is not None:
            self.owner.upstream_full(self.lane, full=False)

    def seal(self, tls: TlsSession) -> None:
        """Begin TLS on a connection that was plain; `ready` waits for its end."""
        self.tls = tls
        tls.receive(b"")
        if self._transport is not None:
            self._outbox.write(self._transport, tls.outgoing())

    @property
    def alpn(self) -> str:
        """Protocol that upstream chose; empty without TLS or choice."""
        return (self.tls.alpn or "") if self.tls is not None else ""

    def write(self, data: bytes) -> None:
        """Send plaintext bytes."""
        if self._transport is not None:
            if self.tls is None:
                self._outbox.write(self._transport, data)
            else:
                for sealed in self.tls.sealed(data):
                    self._outbox.write(self._transport, sealed)

    def hold_reading(self, *, hold: bool) -> None:
        """Stop or go on reading, so that a slow agent does not fill our memory."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if hold:
            transport.pause_reading()
        else:
            transport.resume_reading()

    @property
    def connected(self) -> bool:
        """True once TCP stands, and until it ends."""
        return self._transport is not None

    @property
    def usable(self) -> bool:
        """True while it can take another request."""
        if self._transport is None or self._transport.is_closing():
            return False
        return self.tls is None or not self.tls.ended

    def close(self) -> None:
        """Close, saying goodbye in TLS."""
        self.owner = None
        if self._transport is not None:
            if self.tls is not None and not self._transport.is_closing():
                self._outbox.write(self._transport, self.tls.close())
            self._outbox.settle(self._transport)
            self._transport.close()

    def finish(self) -> None:
        """End our side when what was written is out; what comes is still read."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self.tls is not None:
            self._outbox.write(transport, self.tls.close())
            return
        self._outbox.settle(transport)
        transport.write_eof()

    def abort(self) -> None:
        """Close at once; upstream sees that what it got is not complete."""
        self.owner = None
        if self._transport is not None:
            self._transport.abort()


def _tls_fault(error: ssl.SSLError) -> DialError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return DialError(Reason.CERTIFICATE_INVALID, error.verify_message)
    # OpenSSL has reasons that Python has no name for: such as the alert of RFC 7301
    said = str(error).partition("] ")[2].partition(" (_ssl")[0]
    text = (error.reason or said or "protocol error").replace("_", " ").lower()
    kind = NoCommonProtocolError if text.endswith("no application protocol") else DialError
    return kind(Reason.CONNECT_FAILED, f"TLS handshake failed: {text}")
