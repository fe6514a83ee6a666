"""Bodies of requests: the bytes as received, and every text that can be read in them.

A body that is held is looked at whole; one that streams passes a window that holds back what
could still turn out to belong to a secret, in the body or in any text within it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from interceptor.scan.engine import RawFinding, Scan, Scanner
from interceptor.scan.window import BodyWindow
from interceptor.verdict import Finding, Reason, Verdict
from interceptor.wire.body.stream import BodyStream, Piece, is_plain
from interceptor.wire.fields import HttpError

OpenWindow = Callable[[str], BodyWindow]
"""Opens the window of a text, by its place."""

_LAG = 1 << 18  # bytes of a body that wait for one text; more, and what was found clean may go
_SLICE = 1 << 16
_MOST = 1000  # findings of one body that are kept


def content_types(fields: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """Values of Content-Type among (lower-case name, value) pairs, each once."""
    found = [value for name, value in fields if name == b"content-type"]
    return found if len(found) < 2 else list(dict.fromkeys(found))[:4]


def holds_texts(fields: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
    """Tell at once whether a whole body may hold texts besides itself; almost none does."""
    typed = False
    for name, value in fields:
        if name == b"content-type":
            if not is_plain(value, body):
                return True
            typed = True
    return not (typed or is_plain(b"", body))


def scan_texts(
    stream: BodyStream, body: bytes, scanner: Scanner, key: bytes, decoded_bytes: int
) -> tuple[list[tuple[str, RawFinding]], bool]:
    """Scan the texts of a whole body.

    Returns ((place, finding) pairs, whether a scan was incomplete).

    Raises:
        HttpError: INCOMPLETE, see `BodyStream`.
    """
    found: dict[tuple[str, RawFinding], None] = {}
    incomplete = False

    def opened(where: str) -> BodyWindow:
        def collect(scan: Scan) -> tuple[Verdict | None, tuple[Finding, ...]]:
            nonlocal incomplete
            incomplete = incomplete or scan.incomplete
            if len(found) < _MOST:
                found.update(dict.fromkeys((where, raw) for raw in scan.findings))
            return None, ()

        return BodyWindow(scanner, collect, key, decoded_bytes)

    windows: dict[int, BodyWindow] = {}
    for pieces in (stream.feed(body), stream.finish()):
        for piece in pieces:
            window = windows.get(piece.text)
            if window is None:
                window = windows[piece.text] = opened(piece.where)
            window.feed(piece.data)
            if piece.last:
                window.finish()
                del windows[piece.text]
    return list(found), incomplete


class _Text:
    """A text that is being read.

    Attributes:
        fed: bytes of it so far.
        clear: how many of them can no longer belong to a secret that is still to be found.
    """

    __slots__ = ("clear", "fed", "window")

    def __init__(self, window: BodyWindow) -> None:
        self.window = window
        self.fed = 0
        self.clear = 0


class UploadWindow:
    """The hold-back window of a streaming body and all its texts; `BodyWindow` for what it holds.

    Bytes go in and come out as received. A byte comes out when it and all that it decodes to have
    left their windows. A text that stands still holds the body up for `_LAG` bytes at most: then
    what was found clean goes, and stays context for what follows.

    Attributes:
        verdict: set once a finding blocks; from then on nothing is released.
        findings: findings that did not block, each once.
    """

    __slots__ = (
        *("_body", "_clear", "_fed", "_found", "_given", "_marks", "_open", "_opened"),
        *("_stream", "_waiting", "verdict"),
    )

    def __init__(self, opened: OpenWindow, stream: BodyStream) -> None:
        """Begin a body.

        Args:
            opened: opens windows.
            stream: gives the texts; without a budget, since nothing is kept.
        """
        self._opened = opened
        self._stream = stream
        self._body = _Text(opened("body"))
        self._open: dict[int, _Text] = {}
        self._marks: deque[tuple[int, list[tuple[_Text, int]], int]] = deque()
        self._waiting = bytearray()
        self._fed = 0
        self._clear = 0
        self._given = 0
        self._found: dict[Finding, None] = {}
        self.verdict: Verdict | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """See the class."""
        return tuple(dict.fromkeys((*self._body.window.findings, *self._found)))

    @property
    def waiting(self) -> bool:
        """True if `flush` would release something."""
        return self._given < self._fed and self._stream.settled

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return those that may be sent now.

        Raises:
            HttpError: INCOMPLETE, see `BodyStream`.
        """
        # In slices, because what waits for what is known for each as a whole.
        out = [self._feed(data[at : at + _SLICE]) for at in range(0, len(data), _SLICE)]
        return b"" if self.verdict is not None else b"".join(out)

    def _feed(self, data: bytes) -> bytes:
        if self.verdict is not None:
            return b""
        self._fed += len(data)
        body = self._body
        out = body.window.feed(data)
        if not self._passes(body) or not self._take(self._stream.feed(data)):
            return b""
        undecided, newest = self._stream.undecided
        if self._open or self._marks or undecided <= newest:
            if not self._marks:
                self._clear = self._fed - len(data)
            texts = [(text, text.fed) for text in self._open.values()]
            self._marks.append((self._fed, texts, newest))
        return self._release(out)

    def flush(self) -> bytes:
        """Return all that may be sent so far, so that a body that pauses does not stall.

        A secret may begin in what is released; its last part will not be. Nothing is released
        while something in the body cannot be read before more of it comes.

        Raises:
            HttpError: INCOMPLETE, see `BodyStream`.
        """
        if self.verdict is not None or not self._stream.settled:
            return b""
        for text in self._open.values():
            if not self._flushed(text):
                return b""
        self._marks.clear()
        out = self._body.window.flush()
        return self._release(out) if self._passes(self._body) else b""

    def finish(self) -> bytes:
        """Take note of the body's end; return all that may be sent.

        Raises:
            HttpError: INCOMPLETE, see `BodyStream`.
        """
        if self.verdict is not None or not self._take(self._stream.finish()):
            return b""
        out = self._body.window.finish()
        return self._release(out) if self._passes(self._body) else b""

    def _take(self, pieces: Iterator[Piece]) -> bool:
        """Pass pieces of texts through their windows; false if one of them blocks."""
        for piece in pieces:
            text = self._open.get(piece.text)
            if text is None:
                text = self._open[piece.text] = _Text(self._opened(piece.where))
            text.fed += len(piece.data)
            text.clear += len(text.window.feed(piece.data))
            if piece.last:
                text.window.finish()
                text.clear = text.fed
                del self._open[piece.text]
            if not self._passes(text):
                return False
            if piece.last and text.window.findings and len(self._found) < _MOST:
                self._found.update(dict.fromkeys(text.window.findings))
        return True

    def _passes(self, text: _Text) -> bool:
        if text.window.verdict is None:
            return True
        self.verdict = text.window.verdict
        self._marks.clear()
        self._open.clear()
        self._waiting.clear()
        return False

    def _flushed(self, text: _Text) -> bool:
        text.clear += len(text.window.flush())
        return self._passes(text)

    def _release(self, out: bytes) -> bytes:
        """Of what the body's own window gives `out` and gave before, return what is clear."""
        marks = self._marks
        while marks:
            end, texts, newest = marks[0]
            late = [text for text, fed in texts if text.clear < fed]
            undecided = self._stream.undecided[0] <= newest
            if late or undecided:
                if self._fed - self._clear <= _LAG:
                    break
                if undecided:
                    detail = "a body that unfolds too slowly to be read as it comes"
                    raise HttpError(Reason.INCOMPLETE, detail)
                if not all(self._flushed(text) for text in late):
                    return b""
            self._clear = end
            marks.popleft()
        waiting = self._waiting
        if marks or waiting:
            waiting += out
            out = bytes(waiting[: self._clear - self._given] if marks else waiting)
            del waiting[: len(out)]
        self._given += len(out)
        return out
