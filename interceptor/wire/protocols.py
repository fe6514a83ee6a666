"""Which protocol a connection speaks, by its first bytes and its port.

The answer names a refusal, or says whether a service that policy opened is spoken to in its own
protocol. It never allows anything by itself.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from interceptor.wire.signatures import CLIENT, SERVER, USUAL, Signature

ENOUGH: Final = 32
"""Bytes after which no answer changes any more."""

# A request line of HTTP/1: a method in capitals (RFC 9110 section 9.1; those of WebDAV and UPnP
# have hyphens), whole or cut. Empty lines before it are tolerated (RFC 9112 section 2.2).
_HTTP: Final = re.compile(rb"(?:\r\n){0,2}[A-Z][A-Z_-]{0,31}+( |$)")
# IMAP's clients begin with a tag of their choice (RFC 9051 section 2.2.1): whole, and cut.
_IMAP: Final = re.compile(
    rb"[a-z0-9._-]{1,16}+ (?:CAPABILITY|LOGIN|AUTHENTICATE|STARTTLS|NOOP|ID)[ \r]", re.IGNORECASE
)
_IMAP_CUT: Final = re.compile(rb"[a-z0-9._-]{1,16}+(?: [a-z]{0,12}+)?\Z", re.IGNORECASE)
_EMPTY_LINES: Final = (b"\r", b"\r\n", b"\r\n\r", b"\r\n\r\n")


def _by_first_byte(table: Sequence[Signature]) -> tuple[tuple[Signature, ...], ...]:
    """For each first byte, the signatures that begin with it."""
    index: defaultdict[int, list[Signature]] = defaultdict(list)
    for signature in table:
        for byte in signature.places[0] or range(256):
            index[byte].append(signature)
    return tuple(tuple(index[byte]) for byte in range(256))


_CLIENT: Final = _by_first_byte(CLIENT)
_SERVER: Final = _by_first_byte(SERVER)


def usual(port: int) -> str:
    """Protocol that is usual on a port, or an empty string."""
    return USUAL.get(port, "")


def recognise(data: bytes, port: int) -> str | None:
    """Name the protocol whose client begins with `data`.

    Returns:
        A name such as `ssh`, `http` or `socks5`; empty when there is none we know; None while
        more bytes are needed, which ends after `ENOUGH` of them.
    """
    found = _fitting(_CLIENT, data, port)
    if found is None or found:
        return found
    match = _HTTP.match(data[:40])
    if match is not None:
        return "http" if match[1] else _undecided(data)
    if _IMAP.match(data):
        return "imap"
    cut = data in _EMPTY_LINES or _IMAP_CUT.match(data) is not None
    return _undecided(data) if cut else ""


def recognise_banner(data: bytes, port: int) -> str | None:
    """Name the protocol whose server begins with `data`; as `recognise`."""
    return _fitting(_SERVER, data, port)


def _fitting(index: tuple[tuple[Signature, ...], ...], data: bytes, port: int) -> str | None:
    """First signature that fits; the one usual on the port where several do."""
    if not data:
        return None
    found: list[str] = []
    for signature in index[data[0]]:
        fits = signature.fits(data)
        if fits:
            found.append(signature.name)
        elif fits is None and not found and len(data) < ENOUGH:
            return None  # what stands further up may still fit
    if not found:
        return ""
    guess = USUAL.get(port, "")
    return guess if guess in found else found[0]


def _undecided(data: bytes) -> str | None:
    return None if len(data) < ENOUGH else ""
