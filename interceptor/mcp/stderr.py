"""What a server says on its standard error: passed on within bounds, harmless on a terminal."""

from __future__ import annotations

from typing import Final

BURST: Final = 1 << 20
"""Bytes that may come at once."""
RATE: Final = 1 << 16
"""Bytes a second that may follow."""

# All of C0 but tab, line feed and carriage return, and DEL: a terminal obeys them (ECMA-48).
_CONTROLS: Final = bytes(
    ord("?") if (byte < 0x20 and byte not in b"\t\n\r") or byte == 0x7F else byte
    for byte in range(256)
)


class Messages:
    """Bounds and cleans a stream.

    Args:
        terminal: a terminal shows it: what would steer it is replaced.
        now: seconds of a clock that only goes forward.
    """

    def __init__(self, *, terminal: bool, now: float) -> None:
        self._terminal = terminal
        self._left = float(BURST)
        self._at = now
        self.dropped = 0
        """Bytes left out since the last note."""
        self._half = b""

    def pass_on(self, data: bytes, now: float) -> bytes:
        """Return what is to be written of `data`."""
        self._left = min(float(BURST), self._left + (now - self._at) * RATE)
        self._at = now
        note = b""
        if self.dropped and self._left >= RATE:
            note = b"\negressguard: %d bytes of the server's messages left out\n" % self.dropped
            self.dropped = 0
        kept = data[: int(self._left)] if not self.dropped else b""
        self._left -= len(kept)
        self.dropped += len(data) - len(kept)
        return note + (self._clean(kept) if self._terminal else kept)

    def _clean(self, data: bytes) -> bytes:
        """Replace controls. C1 controls are two bytes in UTF-8, which may come one by one."""
        data = self._half + data
        self._half = b""
        if data.endswith(b"\xc2"):
            data, self._half = data[:-1], b"\xc2"
        if b"\xc2" in data:
            for byte in range(0x80, 0xA0):
                data = data.replace(bytes((0xC2, byte)), b"?")
        return data.translate(_CONTROLS)
