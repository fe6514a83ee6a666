"""Findings in content that lies in a file, with their places: file, line and column.

Content is judged as an upload of it would be: through the window of a streaming body and every
text that can be read in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from interceptor.cli.scan_explain import Explainer, Explanation, Seen, view_of, witnessing
from interceptor.decide.findings import Weigher
from interceptor.decide.memory import SplitMemory
from interceptor.decide.urls import read_host
from interceptor.model import Target
from interceptor.scan.engine import RawFinding, Scanner
from interceptor.verdict import Finding, Verdict
from interceptor.wire.fields import HttpError

if TYPE_CHECKING:
    from interceptor.cli.scan_setup import Prepared
    from interceptor.decide.bodies import UploadWindow
    from interceptor.decide.messages import RememberingWindow

_SLICE: Final = 1 << 16
"""The window is fed no more at a time, so that what it scans ends where the slice does."""
_RECENT: Final = 1 << 18
"""Bytes that are kept to find lines in; more than a window scans at a time."""
_WINDOW: Final = 1 << 17
"""Bytes in which the place of an encoded finding is looked for; no less than a window scans."""
_LOCATED: Final = 20
"""Encoded findings of one file whose place is looked for; the rest is where the window begins."""


class Place(NamedTuple):
    """A place in a file, from 1; (0, 0) if it is not known."""

    line: int
    column: int

    def __bool__(self) -> bool:
        return self.line > 0


_NOWHERE: Final = Place(0, 0)


class Found(msgspec.Struct, frozen=True, omit_defaults=True):
    """A finding in a file."""

    file: str
    line: int
    """From 1."""
    column: int
    """From 1, in bytes; of what is encoded, where its encoding begins or a little later."""
    rule: str
    title: str
    severity: str
    encoding: str
    where: str
    """`body`, or which text within the file, such as `body:zip[2]`: then the place is unknown."""
    digest: str
    warned: bool = False
    """The policy says `warn`: it is told, and counts for nothing."""
    explain: Explanation | None = None


class ContentScanner:
    """Scans one content after the other."""

    def __init__(self, prepared: Prepared, host: str, *, explain: bool = False) -> None:
        """Scan as what goes to `host`; the policy of `prepared` must record findings."""
        self._scanner = witnessing(prepared.scanner)
        self._judge = prepared.items.judge
        self._key = prepared.key
        self._weigher = Weigher(prepared.scanner.rules, prepared.policy)
        self._host = read_host(host.encode())
        self._explainer = Explainer(self._scanner, prepared.policy) if explain else None

    def scan(self, name: str, pieces: Iterable[bytes]) -> tuple[list[Found], str]:
        """Return the findings in a content, by place, and why some of it could not be read, or "".

        Args:
            name: of its file; what the policy says of a path holds for it.
            pieces: its bytes, in their order.
        """
        path = "/" + os.path.normpath(name).replace(os.sep, "/").lstrip("/")
        host = self._host
        target = Target("https", host.canonical, host.port or 443, "POST", path)
        if self._explainer is not None:
            self._explainer.forget()
        reading = _Reading(self, target)
        for piece in pieces:
            for start in range(0, len(piece), _SLICE):
                reading.feed(piece[start : start + _SLICE])
        reading.finish()
        found = [self._found(name, target, *entry) for entry in reading.entries()]
        return sorted(found, key=lambda one: (one.line, one.column, one.rule)), reading.unread

    def open(self, target: Target) -> UploadWindow:
        """Open the window of an upload."""
        return self._judge.upload_window(target, ())

    def open_plain(self, target: Target) -> RememberingWindow:
        """Open a window that looks for no texts within."""
        self._judge.memory = SplitMemory(self._scanner, self._key)  # files do not follow each other
        return self._judge.message_window(target, "body")

    def take(self) -> list[Seen]:
        """Return what the scanner saw since the last time."""
        seen = self._scanner.take()
        if self._explainer is not None:
            self._explainer.note(seen)
        return seen

    def rule(self, raw: RawFinding) -> str:
        """Id of the rule of a raw finding."""
        return self._scanner.rules[raw.rule].id

    def finds(self, raw: RawFinding) -> Callable[[bytes], bool]:
        """Return a test whether the same secret is found in a text."""

        def test(text: bytes) -> bool:
            scan = Scanner.scan(self._scanner, text, "body", self._key)
            return any(f.rule == raw.rule and f.digest == raw.digest for f in scan.findings)

        return test

    def _found(
        self, name: str, target: Target, finding: Finding, raw: RawFinding, place: Place
    ) -> Found:
        weighed = self._weigher.weigh([("body", raw)], target)
        return Found(
            file=name,
            line=place.line,
            column=place.column,
            rule=finding.rule,
            title=finding.title,
            severity=finding.severity.value,
            encoding=finding.encoding,
            where=view_of(finding.where),
            digest=finding.digest,
            warned=bool(weighed.warned),
            explain=self._explainer.explain(finding, target.host) if self._explainer else None,
        )


class _Reading:
    """One content.

    Attributes:
        unread: why some of it could not be read, or empty.
    """

    def __init__(self, owner: ContentScanner, target: Target) -> None:
        self._owner = owner
        self._target = target
        self._window: UploadWindow | None = owner.open(target)
        self._plain: RememberingWindow | None = None
        self._recent = bytearray()
        self._start = 0  # of what is recent
        self._newlines = 0  # before it
        self._newline = -1  # where the last of them is
        self._located = 0
        self._places: dict[tuple[str, str, str, Place], RawFinding] = {}
        self._findings: dict[Finding, None] = {}
        self.unread = ""

    def feed(self, data: bytes) -> None:
        """Take the next bytes, at most `_SLICE`."""
        self._recent += data
        if self._window is not None:
            try:
                self._window.feed(data)
            except HttpError as error:
                self._give_up(self._window, error)
        elif self._plain is not None:
            self._note(self._plain.judge(data))
        self._locate()
        self._forget(len(self._recent) - _RECENT)

    def finish(self) -> None:
        """The content has ended."""
        if self._window is not None:
            try:
                self._window.finish()
            except HttpError as error:
                self._give_up(self._window, error)
            else:
                self._findings.update(dict.fromkeys(self._window.findings))
        self._locate()

    def entries(self) -> list[tuple[Finding, RawFinding, Place]]:
        """Return each finding with its place; one that stands at many places once for each."""
        found: dict[tuple[str, str, Place], tuple[Finding, RawFinding, Place]] = {}
        located = {(rule, digest) for rule, digest, _, place in self._places if place}
        for (rule, digest, encoding, place), raw in self._places.items():
            if not place and (rule, digest) in located:
                continue  # what is in a text within stands in the file itself, too
            alike = [f for f in self._findings if f.rule == rule and f.digest == digest]
            # Known places are in the file itself, unknown ones in a text within.
            alike.sort(key=lambda f: (f.encoding != encoding, (f.where == "body") != bool(place)))
            if alike and not alike[0].home:
                entry = alike[0], raw, place or Place(1, 1)
                found.setdefault((rule, digest, entry[2]), entry)
        return list(found.values())

    def _give_up(self, window: UploadWindow, error: HttpError) -> None:
        """What lies within cannot be read: what is there is scanned as it stands."""
        self.unread = error.detail
        self._findings.update(dict.fromkeys(window.findings))
        self._window = None
        self._plain = self._owner.open_plain(self._target)
        self._note(self._plain.judge(bytes(self._recent)))

    def _note(self, verdict: Verdict | None) -> None:
        if verdict is not None:
            self._findings.update(dict.fromkeys(verdict.findings))
            if not verdict.allowed and not verdict.findings:  # more layers than may be undone
                self.unread = self.unread or verdict.detail

    def _locate(self) -> None:
        """Note the places of what the scanner saw."""
        for _, raw, text in self._owner.take():
            key = (self._owner.rule(raw), raw.digest, raw.encoding, self._place(raw, text))
            self._places.setdefault(key, raw)

    def _place(self, raw: RawFinding, text: bytes) -> Place:
        recent = self._recent
        if raw.encoding:
            if self._located == _LOCATED:
                return _NOWHERE
            self._located += 1
            base = max(0, len(recent) - _WINDOW)
            at = begin_of(bytes(recent[base:]), self._owner.finds(raw))
            return _NOWHERE if at is None else self._position(base + at)
        for whole in (text, text.removesuffix(b"\n")):  # windows put a line end behind the last
            if recent.endswith(whole):
                return self._position(len(recent) - len(whole) + raw.start)
        secret = text[raw.start : raw.end].decode("latin-1")
        for codec in ("latin-1", "utf-16-le", "utf-16-be"):
            at = recent.find(secret.encode(codec))
            if at >= 0:
                return self._position(at)
        return _NOWHERE

    def _position(self, at: int) -> Place:
        newline = self._recent.rfind(b"\n", 0, at)
        line = self._newlines + self._recent.count(b"\n", 0, at) + 1
        column = at - newline if newline >= 0 else self._start + at - self._newline
        return Place(line, column)

    def _forget(self, count: int) -> None:
        if count <= 0:
            return
        newline = self._recent.rfind(b"\n", 0, count)
        if newline >= 0:
            self._newlines += self._recent.count(b"\n", 0, count)
            self._newline = self._start + newline
        self._start += count
        del self._recent[:count]


def begin_of(text: bytes, finds: Callable[[bytes], bool]) -> int | None:
    """Return where what is found in `text` begins: the last offset from which it is still found.

    Args:
        text: in which it is found as a whole.
        finds: says whether it is found in a part of the text; called some 40 times.
    """
    if not finds(text):
        return None
    ends = [at + 1 for at, byte in enumerate(text) if byte == 10] + [len(text)]
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high) // 2
        if finds(text[: ends[middle]]):
            high = middle
        else:
            low = middle + 1
    end = ends[low]
    begin, limit = 0, end
    while limit - begin > 1:
        middle = (begin + limit) // 2
        if finds(text[middle:end]):
            begin = middle
        else:
            limit = middle
    return begin
