"""Dialects: how far the protocols of opened TCP services are understood.

Enough to hold whole units back until they can be judged whole, to enforce that what is spoken is
what policy opened, and to follow a connection into TLS. A dialect holds no policy and judges
nothing. It sees plain bytes of both sides, in the order in which they came.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from interceptor.verdict import Reason
from interceptor.wire.protocols import ENOUGH, recognise
from interceptor.wire.tls_hello import looks_like_tls

HELD: Final = 8_192
"""Bytes of an unfinished unit that stay back until its end; a longer unit goes on behind them."""


class DialectError(ValueError):
    """Bytes that this protocol does not have there, or that cannot be read on."""

    def __init__(self, message: str, reason: Reason = Reason.PROTOCOL_REFUSED) -> None:
        super().__init__(message)
        self.reason = reason


def mistaken(name: str, data: bytes) -> DialectError:
    """Return the error for first bytes that are not those of `name`."""
    found = recognise(data[:ENOUGH], 0)
    return DialectError(f"the first bytes are {found or 'not'}{', not' if found else ''} {name}")


class Told(msgspec.Struct, frozen=True, gc=False):
    """What follows from bytes of one side."""

    data: bytes = b""
    """Whole units, to be judged and relayed."""
    opaque: bytes = b""
    """Behind them: to be relayed unread, because the protocol encrypts by itself."""
    reply: bytes = b""
    """To be sent back to the side that spoke; what it said is not relayed."""
    seal: bool = False
    """TLS begins behind `data`, on both sides."""
    rest: bytes = b""
    """With `seal`: bytes of the agent's handshake that came with it."""


class Dialect(Protocol):
    """One connection.

    Attributes:
        server_first: the client waits for the server's greeting.
        tls_first: TLS may begin with the connection, without being asked for.
        tls_asked: the server has to be asked for it even then (`preamble`).
    """

    server_first: bool
    tls_first: bool
    tls_asked: bool

    def from_client(self, data: bytes) -> Told:
        """Take bytes of the agent.

        Raises:
            DialectError: they are not of this protocol.
        """

    def from_server(self, data: bytes) -> Told:
        """Take bytes of the server.

        Raises:
            DialectError: they are not of this protocol.
        """

    def remainder(self, *, client: bool) -> bytes:
        """What was held back of the side that has ended, and means something without its end."""

    def preamble(self) -> bytes:
        """Bytes that ask the server for TLS where the agent began with TLS; none: begin it.

        After some, `from_server` says `seal` when the server agrees.
        """

    def sealed(self) -> None:
        """TLS stands on both sides; the bytes that follow are those inside of it."""


class Plain:
    """Base of dialects in which nothing is asked before TLS."""

    server_first = False
    tls_first = True
    tls_asked = False

    def remainder(self, *, client: bool) -> bytes:  # noqa: ARG002
        """Nothing: half a message means nothing."""
        return b""

    def preamble(self) -> bytes:
        """TLS begins with the connection."""
        return b""

    def sealed(self) -> None:
        """Nothing of what came before counts."""


class Raw(Plain):
    """A protocol that is not understood: bytes pass as they come."""

    def __init__(self) -> None:
        self._held = b""
        self._sealed = False

    def from_client(self, data: bytes) -> Told:
        """Pass on; a TLS handshake in the middle of it (STARTTLS of any kind) is followed."""
        data = self._held + data
        self._held = b""
        if not self._sealed and looks_like_tls(data):
            if len(data) < 6:
                self._held = data
                return Told()
            return Told(seal=True, rest=data)
        return Told(data)

    def from_server(self, data: bytes) -> Told:
        """Pass on."""
        return Told(data)

    def sealed(self) -> None:
        """There is no TLS inside of TLS."""
        self._sealed = True


class Lines(Plain):
    """Base of text protocols: a line is a unit.

    Args:
        name: of the protocol, for messages.
        commands: what a client's first line may begin with, in capitals.
    """

    server_first = True

    def __init__(self, name: str, commands: frozenset[bytes]) -> None:
        self._name = name
        self._commands = commands
        self._from_client = b""
        self._from_server = b""
        self._greeted = False
        self._spoken = False
        self._sealed = False

    def from_client(self, data: bytes) -> Told:
        """Hold the last line back until it is complete."""
        buffer = self._from_client + data
        if not self._sealed and looks_like_tls(buffer):
            raise DialectError(f"TLS where {self._name} has none")
        if not self._spoken:
            line, newline, _ = buffer.partition(b"\n")
            if newline:
                self._first_line(line + newline)
                self._spoken = True
            elif len(buffer) >= HELD:
                raise mistaken(self._name, buffer)
        data, end = self._read_client(buffer) if self._spoken else (b"", 0)
        surplus = len(buffer) - HELD
        if end < surplus:
            data += buffer[end:surplus]
            end = surplus
        self._from_client = buffer[end:]
        return Told(data)

    def _read_client(self, buffer: bytes) -> tuple[bytes, int]:
        """Read whole lines; gives what is to be relayed of them, and where they end."""
        end = buffer.rfind(b"\n") + 1
        return buffer[:end], end

    def _first_line(self, line: bytes) -> None:
        words = line.upper().split(None, 1)
        if not words or words[0] not in self._commands or b" HTTP/1." in line:
            raise mistaken(self._name, line)

    def from_server(self, data: bytes) -> Told:
        """Hold the last line back until it is complete."""
        buffer = self._from_server + data
        if not self._greeted:
            self._greeted = self._greets(buffer)
            if not self._greeted:
                self._from_server = buffer
                return Told()
        end = max(buffer.rfind(b"\n") + 1, len(buffer) - HELD)
        self._from_server = buffer[end:]
        return Told(buffer[:end])

    def _greets(self, buffer: bytes) -> bool:  # noqa: ARG002
        """Say whether the server's first bytes are this protocol's; False while some are missing.

        Raises:
            DialectError: they are not.
        """
        return True

    def remainder(self, *, client: bool) -> bytes:
        """The last line, which has no end."""
        rest = self._from_client if client else self._from_server
        self._from_client, self._from_server = b"", b""
        return rest if self._spoken or not client else b""

    def sealed(self) -> None:
        """What came before TLS counts no more."""
        self._sealed = True
        self._from_client = self._from_server = b""


class Irc(Lines):
    """IRC (RFC 2812, IRCv3). STARTTLS is not offered on: it is deprecated (IRCv3 `tls`)."""

    server_first = False

    def __init__(self) -> None:
        super().__init__("irc", _IRC)

    def from_client(self, data: bytes) -> Told:
        """As lines; a client that asks for TLS is told that there is none."""
        told = super().from_client(data)
        if told.data[:8].upper() != b"STARTTLS":
            return told
        _, _, rest = told.data.partition(b"\n")
        return Told(rest, reply=b":egressguard 691 * :STARTTLS is not relayed\r\n")


class Redis(Lines):
    """Redis: RESP arrays and inline commands. TLS begins with the connection."""

    server_first = False

    def __init__(self) -> None:
        super().__init__("redis", frozenset())

    def _first_line(self, line: bytes) -> None:
        line = line.rstrip(b"\r\n")
        if line[:1] == b"*":
            fits = line[1:].isdigit()
        else:
            word = line.split(b" ", 1)[0]
            fits = 1 < len(word) < 20 and word.isalpha() and b" HTTP/1." not in line
        if not fits:
            raise mistaken("redis", line)


_IRC: Final = frozenset(b"NICK USER PASS CAP AUTHENTICATE QUIT PING PONG WEBIRC STARTTLS".split())
