"""permessage-deflate: what is offered, what was agreed, and reading it (RFC 7692).

Messages are inflated to be judged and go on as they came. That is only safe when the receiver's
inflater must read what ours read, so everything that inflaters read in more than one way is
refused: a final block, an empty compressed message, a message that ends within a block.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from interceptor.verdict import Reason
from interceptor.wire.websocket_close import INVALID_DATA, TOO_BIG, WebSocketError

NAME: Final = b"permessage-deflate"

_BITS: Final = re.compile(rb'(?:([89]|1[0-5])|"([89]|1[0-5])")')
_FLAGS: Final = (b"server_no_context_takeover", b"client_no_context_takeover")
_TAIL: Final = b"\x00\x00\xff\xff"  # section 7.2.2: left out by the sender
_END: Final = b"\x03\x00"  # a final block with nothing in it: read as such at a block's border only
_FREE: Final = 1 << 20  # bytes that may come out whatever went in


class Deflate(msgspec.Struct, frozen=True, gc=False):
    """Parameters of the extension: of one offer, or as agreed (RFC 7692 section 7.1)."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 0
    """8 to 15; 0 where it is not named, which is 15."""
    client_max_window_bits: int = 0
    """8 to 15; 0 where it is not named, which in an offer forbids the server to name it."""
    open_client_bits: bool = False
    """An offer names client_max_window_bits without a value; the field is then 15."""

    def text(self) -> bytes:
        """Write it as a member of Sec-WebSocket-Extensions."""
        parts = [NAME]
        if self.server_no_context_takeover:
            parts.append(_FLAGS[0])
        if self.client_no_context_takeover:
            parts.append(_FLAGS[1])
        if self.server_max_window_bits:
            parts.append(b"server_max_window_bits=%d" % self.server_max_window_bits)
        if self.open_client_bits:
            parts.append(b"client_max_window_bits")
        elif self.client_max_window_bits:
            parts.append(b"client_max_window_bits=%d" % self.client_max_window_bits)
        return b"; ".join(parts)


def read_member(member: bytes) -> Deflate | None:
    """Read one member of Sec-WebSocket-Extensions; None unless it is this extension, well-formed.

    An unknown parameter, one that stands twice, or a value out of range spoils it (section 7.1).
    """
    name, *parameters = [part.strip(b" \t") for part in member.split(b";")]
    if name.lower() != NAME:
        return None
    found: dict[bytes, int] = {}
    for parameter in parameters:
        key, equals, value = parameter.partition(b"=")
        key = key.strip(b" \t").lower()
        if key in found:
            return None
        if key in _FLAGS:
            if equals:
                return None
            found[key] = 1
        elif key in (b"server_max_window_bits", b"client_max_window_bits"):
            bits = _BITS.fullmatch(value.strip(b" \t"))
            if bits is not None:
                found[key] = int(bits[1] or bits[2])
            elif equals or key == b"server_max_window_bits":
                return None
            else:
                found[key] = 0
        else:
            return None
    client = found.get(b"client_max_window_bits")
    return Deflate(
        _FLAGS[0] in found,
        _FLAGS[1] in found,
        found.get(b"server_max_window_bits", 0),
        15 if client == 0 else client or 0,
        client == 0,
    )


def answers(agreed: Deflate, offers: Sequence[Deflate]) -> bool:
    """Tell whether `agreed` accepts one of the offers (RFC 7692 section 7.1)."""
    return not agreed.open_client_bits and any(_accepts(agreed, offer) for offer in offers)


def _accepts(agreed: Deflate, offer: Deflate) -> bool:
    if offer.server_no_context_takeover and not agreed.server_no_context_takeover:
        return False
    most = offer.server_max_window_bits or 15
    if (agreed.server_max_window_bits or 15) > most:
        return False
    return agreed.client_max_window_bits <= offer.client_max_window_bits


class Inflater:
    """Inflates the messages of one direction, within a budget for each."""

    __slots__ = ("_bits", "_expansion", "_fault", "_fed", "_limit", "_made", "_takeover", "_z")

    def __init__(
        self, bits: int, *, takeover: bool, limit: int, expansion: int, fault: Reason
    ) -> None:
        """Begin a direction.

        Args:
            bits: base-2 logarithm of the sender's window, 8 to 15.
            takeover: messages refer to those before.
            limit: most bytes of a message.
            expansion: how many times larger than its input a message may be, beyond 1 MiB.
            fault: reason code of malformed data: whose fault it is.
        """
        self._bits = -max(bits, 9)  # older zlib means 9 where it says 8
        self._takeover = takeover
        self._limit = limit
        self._expansion = expansion
        self._fault = fault
        self._z: zlib._Decompress | None = None
        self._fed = self._made = 0

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of a message.

        Raises:
            WebSocketError: damaged data, or more than the budget comes out.
        """
        z = self._z
        if z is None:
            z = self._z = zlib.decompressobj(self._bits)
        self._fed += len(data)
        bulk = _FREE + self._expansion * self._fed
        room = min(self._limit, bulk) - self._made
        try:
            out = z.decompress(data, room + 1)
        except zlib.error:
            raise self._damaged() from None
        if len(out) > room:
            if bulk < self._limit:
                detail = "a compressed message expands too much"
                raise WebSocketError(TOO_BIG, Reason.INCOMPLETE, detail)
            detail = f"a message over {self._limit} bytes"
            raise WebSocketError(TOO_BIG, Reason.LIMIT_EXCEEDED, detail)
        if z.eof:
            # Some inflaters stop here, some go on: what follows would be read by some only.
            detail = "a final block in a compressed message"
            raise WebSocketError(INVALID_DATA, Reason.INCOMPLETE, detail)
        self._made += len(out)
        return out

    def finish(self) -> None:
        """Take note of the message's end.

        Raises:
            WebSocketError: the message is empty or does not end where a block does.
        """
        z = self._z
        if z is None:
            raise self._damaged()
        self._fed = self._made = 0
        try:
            rest = z.decompress(_TAIL, 1)
            probe = z.copy() if self._takeover else z
            rest += probe.decompress(_END, 1)
        except zlib.error:
            raise self._damaged() from None
        if rest or not probe.eof:
            raise self._damaged()
        if not self._takeover:
            self._z = None

    def _damaged(self) -> WebSocketError:
        return WebSocketError(INVALID_DATA, self._fault, "a compressed message is damaged")
