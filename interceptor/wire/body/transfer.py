"""Content-Transfer-Encodings of parts (RFC 2045 section 6): base64 and quoted-printable."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import Final

from interceptor.wire.body.decoders import DecoderBase

_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_IN_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_="
_NO_BASE64: Final = bytes(byte for byte in range(256) if byte not in _IN_BASE64)

_PADDED_BREAK: Final = re.compile(rb"=[ \t]{1,80}+\r?+\n")
_LONGEST_BREAK: Final = 84

UNREADABLE: Final = frozenset((b"x-uuencode", b"uuencode", b"x-uue", b"x-yencode", b"yenc"))
"""Encodings that would have to be undone, and cannot be."""


class Base64(DecoderBase):
    """base64 in either alphabet; what is no character of it is passed over, as recipients do."""

    __slots__ = ("_carry",)

    def __init__(self) -> None:
        super().__init__()
        self.complete = True
        self._carry = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `Decoder`."""
        *ended, text = (self._carry + data.translate(_STANDARD, _NO_BASE64)).split(b"=")
        out = [_tail(piece) for piece in ended if piece]
        whole = len(text) & ~3
        out.append(binascii.a2b_base64(text[:whole]))
        self._carry = text[whole:]
        joined = b"".join(out)
        if joined:
            yield joined

    def flush(self) -> Iterator[bytes]:
        """See `Decoder`."""
        yield _tail(self._carry)


def _tail(text: bytes) -> bytes:
    rest = len(text) & 3
    if rest == 1:
        text = text[:-1]
    elif rest:
        text += b"=" * (4 - rest)
    return binascii.a2b_base64(text)


class QuotedPrintable(DecoderBase):
    """quoted-printable: `=41`, and lines that end in `=` go on."""

    __slots__ = ("_carry",)

    def __init__(self) -> None:
        super().__init__()
        self.complete = True
        self._carry = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `Decoder`."""
        data = self._carry + data
        # An escape may be cut: `=`, `=4`, `= \r`.
        cut = data.rfind(b"=", max(0, len(data) - _LONGEST_BREAK))
        if cut >= 0 and len(data) - cut > 2 and data[cut + 1 :].strip(b" \t\r"):
            cut = -1
        self._carry = b"" if cut < 0 else data[cut:]
        out = _unquoted(data if cut < 0 else data[:cut])
        if out:
            yield out

    def flush(self) -> Iterator[bytes]:
        """See `Decoder`."""
        yield _unquoted(self._carry)


def _unquoted(text: bytes) -> bytes:
    # White space before a line break does not count (RFC 2045 section 6.7, rule 3).
    if b"= " in text or b"=\t" in text:
        text = _PADDED_BREAK.sub(b"=\n", text)
    return binascii.a2b_qp(text)
