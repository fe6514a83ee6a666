"""SOCKS as its server reads it: SOCKS5 (RFC 1928, RFC 1929), SOCKS4 and SOCKS4a.

A client that was told to use a proxy is answered here. User names and passwords are accepted
whatever they are, and not kept.
"""

from __future__ import annotations

import enum
import ipaddress
from typing import Final

import msgspec

from interceptor.verdict import Reason
from interceptor.wire.authority import parse_authority
from interceptor.wire.http1 import HttpError

_USER_LIMIT: Final = 512  # bytes of a user id of SOCKS4, which has no length of its own
_NO_METHOD: Final = b"\x05\xff"


class Command(enum.IntEnum):
    """What is asked for; the numbers are those of both versions."""

    CONNECT = 1
    BIND = 2
    UDP_ASSOCIATE = 3


class Answer(enum.Enum):
    """Replies, as (SOCKS5 code, SOCKS4 code)."""

    GRANTED = (0, 90)
    FAILED = (1, 91)
    NOT_ALLOWED = (2, 91)
    NO_SUCH_COMMAND = (7, 91)
    NO_SUCH_ADDRESS_TYPE = (8, 91)


class SocksRequest(msgspec.Struct, frozen=True, gc=False):
    """What a client asked for."""

    version: int
    """4 or 5."""
    command: int
    """One of `Command`."""
    host: str
    """Lower-case name without trailing dot, or canonical address text."""
    port: int
    asked: str
    """The host as the client wrote it: a secret may need its capitals to be seen."""


class SocksError(ValueError):
    """The bytes are no SOCKS that can be answered with a grant.

    Attributes:
        reply: what the client is to be told before the end; may be empty.
    """

    def __init__(
        self, message: str, reply: bytes, reason: Reason = Reason.PROTOCOL_REFUSED
    ) -> None:
        super().__init__(message)
        self.reply = reply
        self.reason = reason


class SocksReader:
    """Reads one negotiation.

    Attributes:
        request: set when it is complete; then `rest` holds the bytes behind it.
    """

    __slots__ = ("_data", "_stage", "request", "rest")

    def __init__(self) -> None:
        self._data = b""
        self._stage = self._first
        self.request: SocksRequest | None = None
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the client; give those to send back now.

        Raises:
            SocksError: no continuation could make it a request.
        """
        self._data += data
        out = b""
        while self.request is None:
            stage, size = self._stage, len(self._data)
            try:
                out += stage()
            except SocksError as error:
                error.reply = out + error.reply
                raise
            if self._stage == stage and len(self._data) == size:
                break
        if self.request is not None:
            self.rest += self._data
            self._data = b""
        return out

    # Each stage reads `_data` if it is whole, names the next one and gives what to send.

    def _first(self) -> bytes:
        if self._data:
            version = self._data[0]
            if version not in (4, 5):
                raise SocksError("neither SOCKS4 nor SOCKS5", b"")
            self._stage = self._methods if version == 5 else self._socks4
        return b""

    def _methods(self) -> bytes:
        """RFC 1928 section 3: ver, nmethods, methods."""
        data = self._data
        if len(data) < 2 or len(data) < 2 + data[1]:
            return b""
        methods = data[2 : 2 + data[1]]
        self._data = data[2 + data[1] :]
        if 0 in methods:
            self._stage = self._socks5
            return b"\x05\x00"
        if 2 in methods:
            self._stage = self._password
            return b"\x05\x02"
        raise SocksError("no method of authentication that we have", _NO_METHOD)

    def _password(self) -> bytes:
        """RFC 1929: ver 1, ulen, uname, plen, passwd."""
        data = self._data
        if data[:1] not in (b"", b"\x01"):
            raise SocksError("user and password are malformed", b"\x01\x01")
        if len(data) < 2 or len(data) < 3 + data[1]:
            return b""
        end = 3 + data[1] + data[2 + data[1]]
        if len(data) < end:
            return b""
        self._data = data[end:]
        self._stage = self._socks5
        return b"\x01\x00"

    def _socks5(self) -> bytes:
        """RFC 1928 section 4: ver, cmd, rsv, atyp, dst.addr, dst.port."""
        data = self._data
        if data[:1] not in (b"", b"\x05"):
            raise SocksError("the request is malformed", reply(5, Answer.FAILED))
        if len(data) < 5:
            return b""
        kind = data[3]
        length = {1: 4, 3: 1 + data[4], 4: 16}.get(kind)
        if length is None:
            raise SocksError("an unknown type of address", reply(5, Answer.NO_SUCH_ADDRESS_TYPE))
        end = 4 + length + 2
        if len(data) < end:
            return b""
        raw = data[4 : 4 + length]
        port = int.from_bytes(data[end - 2 : end])
        if kind == 3:
            raw = raw[1:]
            host = _name(raw, 5)
            asked = raw.decode("ascii")
        else:
            host = asked = str(ipaddress.ip_address(raw))
        self._finish(SocksRequest(5, data[1], host, port, asked), end)
        return b""

    def _socks4(self) -> bytes:
        """VN, CD, DSTPORT, DSTIP, USERID, NULL; SOCKS4a adds a name and NULL for 0.0.0.x."""
        data = self._data
        if len(data) < 9:
            return b""
        user_end = data.find(b"\0", 8, 9 + _USER_LIMIT)
        if user_end < 0:
            if len(data) > 8 + _USER_LIMIT:
                raise SocksError("the user id is too long", reply(4, Answer.FAILED))
            return b""
        end = user_end + 1
        address = data[4:8]
        host = asked = str(ipaddress.IPv4Address(address))
        if address[:3] == b"\0\0\0" and address[3]:
            name_end = data.find(b"\0", end, end + 257)
            if name_end < 0:
                if len(data) > end + 256:
                    raise SocksError("the name is too long", reply(4, Answer.FAILED))
                return b""
            host = _name(data[end:name_end], 4)
            asked = data[end:name_end].decode("ascii")
            end = name_end + 1
        port = int.from_bytes(data[2:4])
        self._finish(SocksRequest(4, data[1], host, port, asked), end)
        return b""

    def _finish(self, request: SocksRequest, end: int) -> None:
        version, command = request.version, request.command
        if command not in (1, 2, 3) or (version == 4 and command == 3):
            detail = "an unknown SOCKS command"
            raise SocksError(detail, reply(version, Answer.NO_SUCH_COMMAND))
        if command == Command.CONNECT and not request.port:
            raise SocksError("port 0", reply(version, Answer.FAILED))
        self.request = request
        self._data = self._data[end:]


def reply(version: int, answer: Answer) -> bytes:
    """Write a reply to a request; the bound address is not told (0.0.0.0, port 0)."""
    of_five, of_four = answer.value
    if version == 4:
        return bytes((0, of_four)) + bytes(6)
    return bytes((5, of_five, 0, 1)) + bytes(6)


def _name(raw: bytes, version: int) -> str:
    """Host of a name field, which may hold an address in text.

    Raises:
        SocksError: it is neither.
    """
    try:
        text = b"[%b]" % raw if b":" in raw else raw
        authority = parse_authority(text)
    except HttpError:
        detail = "the host name is malformed"
        raise SocksError(detail, reply(version, Answer.FAILED), Reason.NAME_INVALID) from None
    return authority.host
