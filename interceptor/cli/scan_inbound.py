"""`egressguard scan --inbound`: what would become of files as content that comes back to an agent.

A file is judged as the response to a request for it: its name tells its type where it has one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from interceptor.cli import scan_files
from interceptor.decide.urls import read_host
from interceptor.evidence import masking
from interceptor.model import Passage, Setting, Target
from interceptor.verdict import Action

if TYPE_CHECKING:
    from interceptor.decide.judge import Judge
    from interceptor.scan.injection.model import InjectionFinding
    from interceptor.verdict import Verdict

_MOST: Final = 64 << 20
"""Bytes of a file that is read."""
_HOST: Final = b"content.invalid"
_LEAST: Final = 12
"""Bytes of a finding's text by which its line is looked for."""


class Place(msgspec.Struct, frozen=True):
    """One rule's finding, where it shows most."""

    rule: str
    title: str
    score: int
    """What it counts alone, 0 to 100."""
    line: int
    """From 1; 0: what it stands in has no lines, such as a member of an archive."""
    setting: str
    """`shown`, or what it stands in: `hidden`, `comment`, `attribute`, ..., joined by `+`."""
    disguise: str
    """How it was written; empty: as it is."""


class Judged(msgspec.Struct, frozen=True):
    """One file."""

    file: str
    handling: str
    """`block`, `annotate`, `strip`, `warn` or `pass`."""
    score: int
    source: str
    """`web`, `own` or `llm`; empty where nothing counts."""
    findings: tuple[Place, ...]


class InboundReport(msgspec.Struct):
    """What came out."""

    files: list[Judged] = []
    faults: list[tuple[str, str]] = []
    """(file, why): could not be opened or read."""
    skipped: int = 0

    @property
    def refused(self) -> int:
        """How many files would be refused."""
        return sum(judged.handling == "block" for judged in self.files)


def judge_files(names: Sequence[str], judge: Judge, host: str) -> InboundReport:
    """Judge files and directories.

    Args:
        names: as given; `-` is standard input.
        judge: by the policy.
        host: where the files come from; empty: from somewhere on the web.
    """
    report = InboundReport()
    walked = scan_files.Report([])
    for name in scan_files.files_of(names, walked):
        try:
            with scan_files.opened(name) as file:
                content = b"".join(iter(lambda: file.read(1 << 20), b""))[: _MOST + 1]
        except (OSError, ValueError) as error:
            report.faults.append((name, getattr(error, "strerror", None) or str(error)))
            continue
        if len(content) > _MOST:
            report.faults.append((name, f"longer than {_MOST >> 20} MiB"))
            continue
        report.files.append(judge_file("stdin" if name == "-" else name, content, judge, host))
    report.faults += walked.faults
    report.skipped = walked.skipped
    return report


def judge_file(name: str, content: bytes, judge: Judge, host: str) -> Judged:
    """Judge the content of one file.

    Args:
        name: of the file.
        content: all of it.
        judge: by the policy.
        host: where it comes from; empty: from somewhere on the web.
    """
    place = read_host(host.encode() or _HOST)
    path = "/" + os.path.normpath(name).replace(os.sep, "/").lstrip("/")
    target = Target("https", place.canonical, place.port or 443, "GET", path)
    verdict = _verdict(judge, target, content)
    received = None if verdict is None else verdict.received
    if verdict is None or received is None:
        return Judged(name, "pass", 0, "", ())
    counted = {finding.rule for finding in verdict.findings}
    places = {
        one.rule: _place(one, passage, content)
        for one, passage in judge.inbound_places(target, b"", content)
        if one.rule in counted
    }
    for finding in verdict.findings:  # found over the seam of two pieces of a long content
        places.setdefault(
            finding.rule, Place(finding.rule, finding.title, 0, 0, "shown", finding.encoding)
        )
    handling = "block" if verdict.action is Action.BLOCK else received.handling
    found = tuple(sorted(places.values(), key=lambda one: (-one.score, one.line, one.rule)))
    return Judged(name, handling, received.score, received.source, found)


def _verdict(judge: Judge, target: Target, content: bytes) -> Verdict | None:
    document = judge.inbound_document(target, b"", content)
    if document is None:
        return None
    for start in range(0, len(content), 1 << 16):
        document.feed(content[start : start + (1 << 16)])
    document.finish()
    return document.verdict()


def _place(found: InjectionFinding, passage: Passage, content: bytes) -> Place:
    said = passage.text[found.start : found.end]
    at = -1
    if len(said) >= _LEAST:  # exactly there, where it is written as it reads
        at = content.find(said, max(0, passage.start), passage.end if passage.end >= 0 else None)
        at = content.find(said) if at < 0 else at
    at = passage.start if at < 0 else at
    line = content.count(b"\n", 0, at) + 1 if at >= 0 else 0
    setting = "+".join(one.name.lower() for one in Setting if one in passage.setting and one.name)
    return Place(
        rule=found.rule,
        title=found.title,
        score=round(found.score),
        line=line,
        setting=setting or "shown",
        disguise=found.disguise,
    )


def as_text(report: InboundReport) -> str:
    """Return a line for each file that something was found in, and one for each rule."""
    lines = []
    for judged in report.files:
        if judged.handling == "pass":
            continue
        name = masking.printable(judged.file, 4096)
        lines.append(f"{name}: {judged.handling}, score {judged.score} ({judged.source})")
        for one in judged.findings:
            where = f"line {one.line}" if one.line else "within"
            how = f"{one.setting}, {one.disguise}" if one.disguise else one.setting
            lines.append(f"    {where:<10} {one.score:>3} {one.rule} ({how}): {one.title}")
    return "".join(f"{line}\n" for line in lines)


def summary(report: InboundReport) -> str:
    """Return how many files there were, and what could not be read."""
    told = sum(judged.handling != "pass" for judged in report.files)
    count = len(report.files)
    lines = [f"{count} file{'s' * (count != 1)}: {report.refused} refused, {told} not as it is"]
    if report.skipped:
        lines[0] += f"; directories passed over: {report.skipped}"
    lines += [f"not read: {masking.printable(file, 4096)}: {why}" for file, why in report.faults]
    return "".join(f"{line}\n" for line in lines)


def as_json(report: InboundReport) -> bytes:
    """Return one JSON object: `files`, `refused`, `faults`."""
    faults = [{"file": file, "why": why} for file, why in report.faults]
    files = [
        msgspec.structs.replace(judged, file=masking.printable(judged.file, 4096))
        for judged in report.files
    ]
    return msgspec.json.encode({"files": files, "refused": report.refused, "faults": faults})
