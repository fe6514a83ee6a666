"""Scanning what comes in pieces: bodies that stream, and messages that follow each other.

A body: everything but a short tail is released. The tail is as long as the longest secret in its
longest encoding, so a secret cut anywhere over chunks lies whole inside one scanned window before
its first byte can leave. Messages: each is released whole or not at all, so the tail of those
before has left already; a secret cut over messages is found when its last part comes, and that
part never leaves. Memory does not depend on the length of either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from interceptor.scan.engine import CLEAN, DECODED_BYTES, RawFinding, Scan, Scanner
from interceptor.scan.ruleset import MAX_SPAN
from interceptor.verdict import Finding, Verdict

HOLD = 16 * MAX_SPAN
"""Bytes held back: the longest match under four layers of hex, or a key of 50 bytes under encodings
that make it 160 times as long."""
STRIDE = HOLD
"""New bytes that are collected before the window is scanned again."""
LONG_STRIDE = 6 * HOLD
"""The same where much comes at a time: what is held is scanned again each time, so a sender that is
quick is scanned seldom, and one that is slow waits for little."""

Decide = Callable[[Scan], tuple[Verdict | None, tuple[Finding, ...]]]
"""Turns a scan into a blocking verdict, if it blocks, and the findings to record."""

_PIECE: Final = 1 << 18  # a longer message is scanned in pieces, each with a budget of its own
_STARTS: Final = 8
_REMEMBERED: Final = 1000  # findings of one window that are not reported again
_END: Final = b"\n"  # for rules that ask for what follows a value: nothing may
_WORD: Final = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")


def scan_whole(scanner: Scanner, data: bytes, where: str, key: bytes, decoded_bytes: int) -> Scan:
    """Scan a text that is there as a whole; a long one in pieces that overlap by `HOLD`.

    Compressed data in it is left to who takes bodies apart: `interceptor.wire.body`.

    Args:
        scanner: for this thread.
        data: any size; time and memory grow with it evenly.
        where: the view.
        key: key of the digests.
        decoded_bytes: budget of decoders for each piece.
    """
    data += _END
    if len(data) <= _PIECE:
        return scanner.scan(data, where, key, decoded_bytes, unpacked=True)
    found: dict[tuple[int, str, str], RawFinding] = {}
    for at in range(0, len(data) - HOLD, _PIECE - HOLD):
        scan = scanner.scan(data[at : at + _PIECE], where, key, decoded_bytes, unpacked=True)
        if scan.incomplete:
            return scan
        for raw in scan.findings:
            found.setdefault((raw.rule, raw.digest, raw.encoding), raw)
    return Scan(tuple(found.values())) if found else CLEAN


class BodyWindow:
    """The hold-back window of one body, compressed parts of which have windows of their own.

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
        self._gone = 0  # bytes at the buffer's start that were released and are kept as context
        self._scanned = 0
        self.verdict: Verdict | None = None
        self.findings: tuple[Finding, ...] = ()

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return those that may be sent now."""
        if self.verdict is not None:
            return b""
        self._buffer += data
        fresh = len(self._buffer) - self._scanned
        if fresh < STRIDE or (fresh < LONG_STRIDE and fresh < 3 * len(data)):
            return b""
        return self._release(HOLD, HOLD)

    def flush(self) -> bytes:
        """Return all that may be sent so far, so that a body that pauses does not stall.

        A secret may begin in what is released; its last part will not be.
        """
        if self.verdict is not None:
            return b""
        return self._release(0, HOLD)

    def finish(self) -> bytes:
        """Take note of the body's end; return all that may be sent."""
        if self.verdict is not None:
            return b""
        return self._release(0, 0)

    def _release(self, hold: int, keep: int) -> bytes:
        """Scan what is new; release all but the last `hold` bytes, keep the last `keep`."""
        buffer = self._buffer
        if len(buffer) > self._scanned:
            window = bytes(buffer) if keep else bytes(buffer) + _END
            scan = self._scanner.scan(window, "body", self._key, self._decoded_bytes, unpacked=True)
            if scan.findings or scan.incomplete:
                self.verdict, findings = self._decide(scan)
                self.findings += tuple(f for f in findings if f not in self.findings)
                if self.verdict is not None:
                    buffer.clear()
                    return b""
        end = max(self._gone, len(buffer) - hold)
        out = bytes(buffer[self._gone : end])
        drop = max(0, len(buffer) - keep)
        del buffer[:drop]
        self._gone = max(0, end - drop)
        self._scanned = len(buffer)
        return out


class MessageWindow:
    """Judges the messages of one sequence, each together with the tail of those before."""

    def __init__(
        self,
        scanner: Scanner,
        decide: Decide,
        passed: Callable[[tuple[Finding, ...]], Verdict],
        key: bytes = b"",
        decoded_bytes: int = DECODED_BYTES,
    ) -> None:
        """Begin a sequence.

        Args:
            scanner: for this thread alone.
            decide: says whether what a scan found blocks.
            passed: makes the verdict on findings that do not.
            key: key of the digests.
            decoded_bytes: budget of decoders, for a message or each 256 KiB of a longer one.
        """
        self._scanner = scanner
        self._decide = decide
        self._passed = passed
        self._key = key
        self._decoded_bytes = decoded_bytes
        self._tail = b""
        self._starts: tuple[int, ...] = ()
        self._known: dict[Finding, None] = {}

    def copy(self) -> MessageWindow:
        """Return a window with the same past, for a sequence that goes another way from here.

        What one of the two reports, the other does not report again.
        """
        other: MessageWindow = object.__new__(MessageWindow)
        other.__dict__.update(self.__dict__)
        return other

    def judge(self, message: bytes) -> Verdict | None:
        """Judge the next message.

        Returns:
            None when it is clean; else a verdict, which allows where all findings may pass (each
            is reported once). After a block nothing more should be judged.
        """
        text = self._tail + message
        fresh: list[Finding] = []
        verdict = self._scan(text[:_PIECE] + _END + self._again(message), fresh)
        for at in range(_PIECE - HOLD, len(text) - HOLD, _PIECE - HOLD):
            if verdict is not None:
                break
            verdict = self._scan(text[at : at + _PIECE] + _END, fresh)
        self._tail = text[-HOLD:]
        return self._passed(tuple(fresh)) if fresh and verdict is None else verdict

    def _again(self, message: bytes) -> bytes:
        """Texts to be scanned besides: the message on its own, where words run into each other.

        A pattern that asks for the start of a word sees none where the text before ends in a
        letter. So joined text is scanned from such starts too, the last few of them.
        """
        tail = self._tail
        if not message:
            return b""
        starts = self._starts
        if tail and tail[-1] in _WORD and message[0] in _WORD:
            starts = (*starts[-_STARTS + 1 :], 0)
        elif not starts:
            return b""
        head = message[:HOLD]
        size = len(message)
        self._starts = tuple(back + size for back in starts if back + size < MAX_SPAN)
        return b"".join([b"\n%b%b" % (tail[len(tail) - back :], head) for back in starts])

    def _scan(self, text: bytes, fresh: list[Finding]) -> Verdict | None:
        """Scan; return the verdict that blocks, or append what passes and is new to `fresh`."""
        scan = self._scanner.scan(text, "body", self._key, self._decoded_bytes)
        if scan is CLEAN:
            return None
        verdict, findings = self._decide(scan)
        if verdict is None:
            known = self._known
            fresh += [finding for finding in findings if finding not in known]
            if len(known) > _REMEMBERED:
                known.clear()
            known.update(dict.fromkeys(findings))
        return verdict
