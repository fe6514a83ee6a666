"""Scanning a body that streams: everything but a short tail is released.

The tail is as long as the longest secret in its longest encoding, so a secret cut anywhere over
chunks lies whole inside one scanned window before its first byte can leave. Memory does not
depend on the body's length.
"""

from __future__ import annotations

from collections.abc import Callable

from interceptor.scan.decode import MAX_DEPTH
from interceptor.scan.engine import DECODED_BYTES, Scan, Scanner
from interceptor.scan.ruleset import MAX_SPAN
from interceptor.verdict import Finding, Verdict

HOLD = MAX_SPAN * 2**MAX_DEPTH
"""Bytes held back: the longest match, doubled (hex) at every depth of encoding."""
STRIDE = HOLD
"""New bytes that are collected before the window is scanned again."""

Decide = Callable[[Scan], tuple[Verdict | None, tuple[Finding, ...]]]
"""Turns a scan into a blocking verdict, if it blocks, and the findings to record."""


class BodyWindow:
    """The hold-back window of one body.

    Attributes:
        verdict: set once a finding blocks; from then on nothing is released.
        findings: findings that did not block (at home, warned, audited), each once.
    """

    def __init__(
        self,
        scanner: Scanner,
        decide: Decide,
        key: bytes = b"",
        decoded_bytes: int = DECODED_BYTES,
    ) -> None:
        self._scanner = scanner
        self._decide = decide
        self._key = key
        self._decoded_bytes = decoded_bytes
        self._buffer = bytearray()
        self._scanned = 0
        self.verdict: Verdict | None = None
        self.findings: tuple[Finding, ...] = ()

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return those that may be sent now."""
        if self.verdict is not None:
            return b""
        self._buffer += data
        if len(self._buffer) - self._scanned < STRIDE:
            return b""
        return self._release(HOLD)

    def finish(self) -> bytes:
        """Take note of the body's end; return all that may be sent."""
        if self.verdict is not None:
            return b""
        return self._release(0)

    def _release(self, hold: int) -> bytes:
        buffer = self._buffer
        if len(buffer) > self._scanned:
            window = bytes(buffer)
            scan = self._scanner.scan(window, "body", self._key, self._decoded_bytes)
            if scan.findings or scan.incomplete:
                self.verdict, findings = self._decide(scan)
                self.findings += tuple(f for f in findings if f not in self.findings)
                if self.verdict is not None:
                    buffer.clear()
                    return b""
        size = max(0, len(buffer) - hold)
        out = bytes(buffer[:size])
        del buffer[:size]
        self._scanned = len(buffer)
        return out
