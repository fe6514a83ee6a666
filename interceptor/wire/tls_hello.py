"""The ClientHello, read without a TLS library: what a connection says before a key is made.

RFC 8446 section 4.1.2 (message), 5.1 (records), RFC 6066 section 3 (server_name), RFC 7301 (ALPN),
RFC 8701 (GREASE), RFC 9849 (Encrypted Client Hello). Strict: a hello that can be read in two ways
is refused. OpenSSL reads the same bytes again afterwards, so nothing here has to know ciphers or
keys.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import msgspec

from interceptor.verdict import Reason

MAX_HELLO: Final = 65_536
"""Most bytes of records, headers included, that one ClientHello may take."""

MAX_RECORDS: Final = 64
"""Most records a ClientHello may be cut into: keeps a hello that trickles in cheap to re-read."""

_MAX_FRAGMENT = 16_384  # RFC 8446 section 5.1
_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS, _ECH = 0x0000, 0x0010, 0x002B, 0xFE0D

_HOST = re.compile(
    rb"(?=.{1,253}\Z)"
    rb"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*"
    rb"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?",
    re.DOTALL,
)
# A last label that a URL parser reads as a number makes the whole host an IPv4 address
# (WHATWG URL, "ends in a number"): `127.1`, `0x7f000001`.
_NUMERIC_END = re.compile(rb"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.DOTALL)


class HelloError(ValueError):
    """The bytes are no ClientHello that can be served. `reason` goes into the verdict."""

    def __init__(self, message: str, reason: Reason = Reason.TLS_MALFORMED) -> None:
        super().__init__(message)
        self.reason = reason


class ClientHello(msgspec.Struct, frozen=True, gc=False):
    """What an agent's client offers in its first flight."""

    server_name: str
    """SNI: lower-case A-label name without trailing dot, or canonical address text; "" if none."""
    is_address: bool
    """True where the SNI is an IP literal, which RFC 6066 forbids and some clients send."""
    has_sni: bool
    alpn: tuple[str, ...]
    """Protocols in the client's order, GREASE left out; bytes as Latin-1."""
    versions: tuple[int, ...]
    """Versions in the client's order, such as 0x0304, GREASE left out."""
    has_ech: bool
    """An outer Encrypted Client Hello is there. Real and GREASE look alike by design (RFC 9849
    section 6.2); both are harmless to one who terminates, for the inner hello is never passed on.
    """
    consumed: int
    """Bytes of whole records that held the hello; what follows belongs to the next flight."""

    @staticmethod
    def parse(data: bytes) -> ClientHello | None:
        """Read a hello from the first bytes of a connection; None while bytes are missing.

        Raises HelloError (and nothing else) when no continuation could make it a hello.
        """
        message, consumed = _message(data)
        return None if message is None else _hello(message, consumed)


def looks_like_tls(first_bytes: bytes) -> bool:
    """True if these bytes begin a TLS handshake record with a ClientHello, as far as they go."""
    return (
        first_bytes[:2] in (b"\x16", b"\x16\x03")
        and first_bytes[2:3] <= b"\x04"
        and first_bytes[5:6] in (b"", b"\x01")
    )


def _is_grease(value: int) -> bool:
    """RFC 8701: 0x0A0A, 0x1A1A ... 0xFAFA."""
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


def _message(data: bytes) -> tuple[bytes | None, int]:
    """Take the records apart: (body of the handshake message, bytes consumed) or (None, 0)."""
    fragments: list[bytes] = []
    have = position = records = 0
    need = -1  # bytes of handshake header and body, unknown so far
    size = len(data)
    while True:
        header = data[position : position + 5]
        if header[:1] not in (b"", b"\x16"):
            raise HelloError("a record inside the ClientHello is not a handshake record")
        if header[1:2] not in (b"", b"\x03") or header[2:3] > b"\x04":
            raise HelloError("a record does not carry a TLS version")
        if len(header) < 5:
            break
        length = int.from_bytes(header[3:5])
        if not 0 < length <= _MAX_FRAGMENT:
            raise HelloError(f"a handshake record of {length} bytes")
        records += 1
        if records > MAX_RECORDS:
            raise HelloError(f"more than {MAX_RECORDS} records", Reason.LIMIT_EXCEEDED)
        if position + 5 + length > MAX_HELLO:
            raise HelloError(f"longer than {MAX_HELLO} bytes", Reason.LIMIT_EXCEEDED)
        fragment = data[position + 5 : position + 5 + length]
        fragments.append(fragment)
        have += len(fragment)
        position += 5 + length
        if need < 0:
            start = fragment[:4] if records == 1 else b"".join(fragments)[:4]
            if start[:1] not in (b"", b"\x01"):
                raise HelloError("the first handshake message is not a ClientHello")
            if len(start) == 4:
                need = 4 + int.from_bytes(start[1:])
                if need > MAX_HELLO:
                    raise HelloError(f"longer than {MAX_HELLO} bytes", Reason.LIMIT_EXCEEDED)
        if 0 <= need < have:
            raise HelloError("bytes follow the ClientHello in its record")
        if position > size:
            break
        if have == need:
            whole = fragments[0] if records == 1 else b"".join(fragments)
            return whole[4:], position
    return None, 0


def _vector(data: bytes, position: int, width: int, what: str) -> tuple[bytes, int]:
    """A variable-length vector (RFC 8446 section 3.4) with a length of `width` bytes, and its end.

    Raises HelloError if it does not fit.
    """
    start = position + width
    end = start + int.from_bytes(data[position:start])
    if end > len(data) or start > len(data):
        raise HelloError(f"{what} runs over its end")
    return data[start:end], end


def _hello(body: bytes, consumed: int) -> ClientHello:
    """The body of the message, after its four header bytes."""
    if len(body) < 35 or body[0] != 3:
        raise HelloError("the ClientHello has no version and random")
    legacy_version = int.from_bytes(body[:2])
    session, position = _vector(body, 34, 1, "session id")
    if len(session) > 32:
        raise HelloError("session id longer than 32 bytes")
    ciphers, position = _vector(body, position, 2, "cipher suites")
    if not ciphers or len(ciphers) % 2:
        raise HelloError("cipher suites of odd or no length")
    compression, position = _vector(body, position, 1, "compression methods")
    if 0 not in compression:
        raise HelloError("compression methods without null")
    extensions = _extensions(body, position)

    name, is_address = "", False
    sni = extensions.get(_SERVER_NAME)
    if sni is not None:
        name, is_address = _server_name(sni)
    alpn = extensions.get(_ALPN)
    versions = extensions.get(_SUPPORTED_VERSIONS)
    ech = extensions.get(_ECH)
    if ech is not None:
        _check_ech(ech)
    return ClientHello(
        server_name=name,
        is_address=is_address,
        has_sni=sni is not None,
        alpn=() if alpn is None else _protocols(alpn),
        versions=(legacy_version,) if versions is None else _versions(versions),
        has_ech=ech is not None,
        consumed=consumed,
    )


def _extensions(body: bytes, position: int) -> dict[int, bytes]:
    """Extensions by type; a type that comes twice is an error (RFC 8446 section 4.2)."""
    found: dict[int, bytes] = {}
    size = len(body)
    if position == size:  # TLS 1.2 without extensions
        return found
    if position + 2 > size or position + 2 + int.from_bytes(body[position : position + 2]) != size:
        raise HelloError("the extensions do not end where the ClientHello ends")
    position += 2
    while position < size:
        kind = int.from_bytes(body[position : position + 2])
        start = position + 4
        end = start + int.from_bytes(body[position + 2 : start])
        if start > size or end > size:
            raise HelloError("an extension runs over its end")
        if kind in found:
            raise HelloError(f"extension {kind:#06x} comes twice")
        found[kind] = body[start:end]
        position = end
    return found


def _server_name(data: bytes) -> tuple[str, bool]:
    """(name, whether it is an address). Exactly one entry of type host_name."""
    entries, end = _vector(data, 0, 2, "server name list")
    if end != len(data) or entries[:1] != b"\x00":
        raise HelloError("server_name does not hold one host_name")
    raw, end = _vector(entries, 1, 2, "server name")
    if end != len(entries):
        raise HelloError("server_name does not hold one host_name")
    host = raw.lower()
    if host[-1:] == b".":  # forbidden by RFC 6066, sent by clients that were given `name.`
        host = host[:-1]
    if _HOST.fullmatch(host) and not _NUMERIC_END.fullmatch(host):
        return host.decode("ascii"), False
    try:
        if b"%" not in host:  # a zone id says nothing outside the client's machine
            return str(ipaddress.ip_address(host.decode("ascii"))), True
    except ValueError:
        pass
    raise HelloError("the server name is no host name", Reason.NAME_INVALID)


def _protocols(data: bytes) -> tuple[str, ...]:
    """ALPN names in order."""
    entries, end = _vector(data, 0, 2, "ALPN list")
    if end != len(data) or not entries:
        raise HelloError("malformed ALPN list")
    names: list[str] = []
    position = 0
    while position < len(entries):
        entry, position = _vector(entries, position, 1, "ALPN name")
        if not entry:
            raise HelloError("empty ALPN name")
        if len(entry) != 2 or not _is_grease(int.from_bytes(entry)):
            names.append(entry.decode("latin-1"))
    return tuple(names)


def _versions(data: bytes) -> tuple[int, ...]:
    """The supported_versions extension (RFC 8446 section 4.2.1)."""
    entries, end = _vector(data, 0, 1, "supported versions")
    if end != len(data) or not entries or len(entries) % 2:
        raise HelloError("malformed supported_versions")
    values = (int.from_bytes(entries[i : i + 2]) for i in range(0, len(entries), 2))
    return tuple(value for value in values if not _is_grease(value))


def _check_ech(data: bytes) -> None:
    """Outer form: type 0, cipher suite 4, config id 1, enc<0..>, payload<1..> (RFC 9849, 5).

    The inner form (type 1) is only legal after decryption: in the open it is refused.
    """
    if data[:1] == b"\x01":
        raise HelloError("an inner ECH extension in the open", Reason.ECH_REFUSED)
    if data[:1] != b"\x00":
        raise HelloError("an ECH extension of unknown form")
    _, position = _vector(data, 6, 2, "ECH key")
    payload, position = _vector(data, position, 2, "ECH payload")
    if not payload or position != len(data):
        raise HelloError("malformed ECH extension")
