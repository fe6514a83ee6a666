"""What a scan of files or a diff prints."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec

from interceptor.evidence import masking

if TYPE_CHECKING:
    from interceptor.cli.scan_content import Found
    from interceptor.cli.scan_explain import Explanation
    from interceptor.cli.scan_files import Report

_PATIENCE: Final = 1.0
"""Seconds after which progress is shown, on a terminal."""
_BETWEEN: Final = 0.1
_NAMED: Final = 5
"""Files that could not be read are named up to this number."""


def line_of(found: Found) -> str:
    """Return the line of a finding: place, rule, severity, encodings, digest, title."""
    place = f"{masking.printable(found.file, 4096)}:{found.line}:{found.column}"
    encoding = found.encoding or "plain"
    words = [place, found.rule, found.severity, encoding, found.digest, found.title]
    if found.where != "body":
        words.append(f"(in {found.where.removeprefix('body:')})")
    if found.warned:
        words.append("(warning only)")
    return " ".join(words)


def lines_of(explanation: Explanation) -> list[str]:
    """Return the lines that explain a finding, indented."""
    rows = [
        ("view", explanation.view),
        ("encoding", explanation.encoding),
        ("rule", f"{explanation.rule}: {explanation.title} ({explanation.kind})"),
        ("validator", explanation.validator),
        ("home", explanation.home),
        ("text", explanation.around),
        *(("see", reference) for reference in explanation.references),
    ]
    return [f"    {name:<10}{value}" for name, value in rows if value]


def print_found(found: Found) -> None:
    """Print a finding, and its explanation if it has one."""
    lines = [line_of(found)]
    if found.explain is not None:
        lines += lines_of(found.explain)
    sys.stdout.write("\n".join(lines) + "\n")


def summary(report: Report, seconds: float) -> str:
    """Return the summary: a table by rule, totals, and what could not be read."""
    lines: list[str] = []
    counts: dict[tuple[str, str, str], tuple[int, set[str]]] = {}
    for found in report.findings:
        key = (found.rule, found.severity, found.title)
        count, files = counts.get(key, (0, set()))
        counts[key] = count + 1, files | {found.file}
    if counts:
        width = max(len(rule) for rule, _, _ in counts)
        lines.append("")
        for (rule, severity, title), (count, files) in sorted(counts.items()):
            places = f"{count} in {_count(len(files), 'file')}"
            lines.append(f"  {rule:<{width}}  {severity:<8}  {places:<16}  {title}")
        lines.append("")
    total = _count(len(report.findings), "finding") if report.findings else "nothing found"
    size = f"{report.bytes / 1e6:.1f} MB"
    lines.append(f"{total}; {_count(report.files, 'file')}, {size} in {seconds:.1f} s")
    if report.skipped:
        lines[-1] += f"; passed over {_count(report.skipped, 'directory', 'directories')}"
    lines += _named(report.unread, "not read to its end, scanned as it stands")
    lines += _named(report.faults, "not read")
    return "\n".join(lines) + "\n"


def as_json(report: Report) -> bytes:
    """Return the report as one JSON object."""
    value: dict[str, Any] = {
        "findings": report.findings,
        "files": report.files,
        "bytes": report.bytes,
        "unread": [{"file": file, "why": why} for file, why in report.unread],
        "faults": [{"file": file, "why": why} for file, why in report.faults],
    }
    return msgspec.json.encode(value)


class Progress:
    """A line on a terminal that says how far a long scan is."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream if stream.isatty() else None
        self._due = time.monotonic() + _PATIENCE
        self._shown = False

    def __call__(self, report: Report, name: str) -> None:
        """Show where the scan is, if it has taken long enough."""
        if self._stream is None or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _BETWEEN
        self._shown = True
        text = f"{report.files} files, {report.bytes / 1e6:.0f} MB: {masking.printable(name, 60)}"
        self._stream.write(f"\r\x1b[K{text}")
        self._stream.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._shown and self._stream is not None:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False


def _named(entries: list[tuple[str, str]], what: str) -> list[str]:
    lines = [f"{masking.printable(file, 4096)}: {what}: {why}" for file, why in entries[:_NAMED]]
    if len(entries) > _NAMED:
        lines.append(f"... and {len(entries) - _NAMED} more {what}")
    return lines


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
