"""Files for a scan: which ones, and what is in them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

if TYPE_CHECKING:
    from interceptor.cli.scan_content import ContentScanner, Found

_READ: Final = 1 << 20
# What tools fetch, build and keep for themselves, found by its name within a directory that is
# scanned; whoever names one of them gets it scanned.
# fmt: off
SKIPPED: Final = frozenset((
    ".git", ".hg", ".svn", ".jj", "node_modules", "bower_components", ".venv", "venv",
    "__pycache__", ".tox", ".nox", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis",
    ".gradle", ".terraform", ".next", ".nuxt", ".cache", ".yarn", ".pnpm-store", ".cargo",
))
# fmt: on
"""Directories that are passed over."""


class Report(msgspec.Struct):
    """What came out of a scan."""

    findings: list[Found]
    files: int = 0
    bytes: int = 0
    skipped: int = 0
    """Directories that were passed over."""
    unread: list[tuple[str, str]] = msgspec.field(default_factory=list)
    """(file, why): content that could not be read to its end; it was scanned as it stands."""
    faults: list[tuple[str, str]] = msgspec.field(default_factory=list)
    """(file, why): could not be opened or read."""

    @property
    def blocking(self) -> int:
        """How many findings count."""
        return sum(not found.warned for found in self.findings)


def scan_files(
    names: Sequence[str],
    scanner: ContentScanner,
    found: Callable[[Found], None],
    progress: Callable[[Report, str], None],
) -> Report:
    """Scan files and directories.

    Args:
        names: as given; `-` is standard input.
        scanner: see there.
        found: told of each finding at once.
        progress: told of each file before it is scanned, and at every megabyte.
    """
    report = Report([])
    for name in files_of(names, report):
        progress(report, name)
        try:
            with opened(name) as file:
                pieces = _pieces(file, name, report, progress)
                findings, unread = scanner.scan("stdin" if name == "-" else name, pieces)
        except (OSError, ValueError) as error:
            report.faults.append((name, getattr(error, "strerror", None) or str(error)))
            continue
        report.files += 1
        report.findings += findings
        if unread:
            report.unread.append((name, unread))
        for finding in findings:
            found(finding)
    return report


def files_of(names: Sequence[str], report: Report) -> Iterator[str]:
    """Give the files that `names` stand for, in order; count what is passed over in `report`.

    Within directories links are not followed, and only regular files are read.
    """
    for name in names:
        if name != "-" and _is_folder(name):
            yield from _below(name, report)
        else:
            yield name


def _below(top: str, report: Report) -> Iterator[str]:
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                sorted_entries = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            report.faults.append((folder, error.strerror or str(error)))
            continue
        below: list[str] = []
        for entry in sorted_entries:
            try:
                mode = entry.stat(follow_symlinks=False).st_mode
            except OSError:  # gone meanwhile
                continue
            if stat.S_ISDIR(mode):
                if entry.name in SKIPPED:
                    report.skipped += 1
                else:
                    below.append(entry.path)
            elif stat.S_ISREG(mode):
                yield entry.path.removeprefix("./")
        waiting += reversed(below)


def _is_folder(name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name).st_mode)  # noqa: PTH116 - paths stay as they were written
    except (OSError, ValueError):  # opening it will say so
        return False


def opened(name: str) -> BinaryIO:
    """Open a file to be read; `-` is standard input.

    Raises:
        OSError: it cannot be opened.
        ValueError: its name is none.
    """
    if name == "-":
        return open(0, "rb", buffering=0, closefd=False)
    return open(name, "rb", buffering=0)


def _pieces(
    file: BinaryIO, name: str, report: Report, progress: Callable[[Report, str], None]
) -> Iterator[bytes]:
    while piece := file.read(_READ):
        yield piece
        report.bytes += len(piece)
        progress(report, name)
