"""What a unified diff adds, with the lines of the new files."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from interceptor.cli.scan_files import Report
from interceptor.cli.scan_setup import Fault
from interceptor.evidence import masking

if TYPE_CHECKING:
    from interceptor.cli.scan_content import ContentScanner, Found

# Text of every file, in the form that is read here, whatever the user's configuration says.
_GIT: Final = (
    *("git", "diff", "--cached", "--unified=0", "--no-color", "--no-ext-diff", "--no-textconv"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--diff-filter=d", "--text"),
)
_HUNK: Final = re.compile(rb"@@ -[0-9]{1,9}(?:,([0-9]{1,9}))? \+([0-9]{1,9})(?:,([0-9]{1,9}))? @@")
_OCTAL: Final = re.compile(rb'\\([0-3][0-7]{2}|[abtnvfr"\\])')
_PLAIN: Final = dict(zip(b'abtnvfr"\\', b'\a\b\t\n\v\f\r"\\', strict=True))
"""Escapes of a C string: letter to byte."""


class Added(NamedTuple):
    """Lines that one hunk adds."""

    file: str
    """Of the new side."""
    text: bytes
    lines: tuple[int, ...]
    """Number in the new file of each line of `text`."""


def staged() -> bytes:
    """Return the diff of what is staged.

    Raises:
        Fault: git is missing or says no.
    """
    try:
        done = subprocess.run(_GIT, capture_output=True, check=False)
    except OSError as error:
        raise Fault(f"git cannot be run: {error.strerror}; pipe a diff in instead") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise Fault(f"git diff --cached failed: {said}")
    return done.stdout


def added(diff: Iterable[bytes]) -> Iterator[Added]:
    """Give what a unified diff adds, hunk by hunk.

    Args:
        diff: its lines, with their ends.

    Raises:
        Fault: a hunk without a file, or one that is cut short.
    """
    file: str | None = None
    lines = iter(diff)
    for line in lines:
        if line.startswith(b"+++ "):
            file = _name(line[4:])
        elif line.startswith((b"@@ -", b"@@@ -")):
            hunk = _HUNK.match(line)
            if hunk is None:
                raise Fault("the diff has a hunk of another form; give a unified diff of two sides")
            if file is None:
                raise Fault("the diff has a hunk before any `+++` line; give a unified diff")
            yield from _hunk(lines, hunk, file)


def _hunk(lines: Iterator[bytes], hunk: re.Match[bytes], file: str) -> Iterator[Added]:
    """Read one hunk by its counts, so that no line of it is taken for a header."""
    old = int(hunk[1]) if hunk[1] is not None else 1
    new = int(hunk[3]) if hunk[3] is not None else 1
    number = int(hunk[2])
    named = masking.printable(file, 200) or "a deleted file"
    texts: list[bytes] = []
    numbers: list[int] = []
    while old > 0 or new > 0:
        line = next(lines, None)
        if line is None:
            raise Fault(f"the diff ends within a hunk of {named}")
        mark = line[:1]
        if mark == b"+":
            texts.append(line[1:])
            numbers.append(number)
        if mark in (b"+", b" ", b"\n", b"\r"):  # some mailers strip the blank of an empty line
            number += 1
            new -= 1
        if mark in (b"-", b" ", b"\n", b"\r"):
            old -= 1
        elif mark not in (b"+", b"\\"):
            raise Fault(f"a line in a hunk of {named} begins with none of `+`, `-` and a blank")
    if texts and file:
        yield Added(file, b"".join(texts), tuple(numbers))


def _name(text: bytes) -> str:
    """Read the name of a `+++` line: without prefix and time, quotes undone; deleted files: ""."""
    text = text.rstrip(b"\r\n")
    if text.startswith(b'"'):
        text = _OCTAL.sub(_undone, text[1:].rpartition(b'"')[0])
    else:
        text = text.partition(b"\t")[0]
    if text == b"/dev/null":
        return ""
    return text.removeprefix(b"b/").decode("utf-8", "surrogateescape")


def _undone(found: re.Match[bytes]) -> bytes:
    code = found[1]
    return bytes((_PLAIN[code[0]] if len(code) == 1 else int(code, 8),))


def scan_diff(
    diff: bytes,
    scanner: ContentScanner,
    found: Callable[[Found], None],
    progress: Callable[[Report, str], None],
) -> Report:
    """Scan what a unified diff adds; places are those of the new files.

    Args:
        diff: all of it.
        scanner: see there.
        found: told of each finding at once.
        progress: told of each file before it is scanned.

    Raises:
        Fault: the diff is malformed.
    """
    report = Report([])
    names: set[str] = set()
    for hunk in added(io.BytesIO(diff)):
        progress(report, hunk.file)
        findings, unread = scanner.scan(hunk.file, [hunk.text])
        names.add(hunk.file)
        report.files = len(names)
        report.bytes += len(hunk.text)
        if unread:
            report.unread.append((hunk.file, unread))
        for finding in findings:
            line = hunk.lines[min(finding.line, len(hunk.lines)) - 1]
            placed = msgspec.structs.replace(finding, line=line)
            report.findings.append(placed)
            found(placed)
    return report
