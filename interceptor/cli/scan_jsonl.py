"""`egressguard scan --jsonl`: one item a line in, one verdict a line out, in order, streaming.

docs/scan.md describes both lines. A caller may send one line and wait for its answer: whatever has
come is answered before more is waited for.
"""

from __future__ import annotations

import binascii
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from interceptor.cli.main import EXIT_SETUP, EXIT_USAGE
from interceptor.cli.scan_explain import view_of
from interceptor.decide.item_parts import written_request
from interceptor.decide.items import SURFACES
from interceptor.evidence import masking
from interceptor.verdict import Reason

if TYPE_CHECKING:
    from interceptor.cli.scan_explain import Explainer, Explanation
    from interceptor.decide.items import Items
    from interceptor.verdict import Verdict

MAX_LINE: Final = 32 * 1024 * 1024
"""Bytes of a line; a longer one is an error, and the next line goes on."""
_READ: Final = 1 << 18
_SESSION: Final = 256

Writer = Callable[[bytes], object]


class LineError(ValueError):
    """A line that is no item. `id` is its id where it could be read."""

    def __init__(self, cause: str, id: str | int | None = None) -> None:
        super().__init__(cause)
        self.id = id


class Line(msgspec.Struct):
    """One item. Other keys are passed over."""

    id: str | int
    surface: str
    text: str | None = None
    base64: str | None = None
    host: str | None = None
    session: str | int | None = None
    at: float | None = None


_KEYS: Final = len(Line.__struct_fields__)


class Shown(msgspec.Struct, omit_defaults=True):
    """A finding as it is printed."""

    rule: str
    severity: str
    encoding: str
    where: str
    digest: str
    explain: Explanation | None = None
    home: bool = False


class Answer(msgspec.Struct, omit_defaults=True):
    """What is printed for an item."""

    id: str | int
    action: str
    reason: str
    findings: list[Shown]
    rule: str = ""
    detail: str = ""
    hint: str = ""


class Failure(msgspec.Struct):
    """What is printed for a line that is no item."""

    id: str | int | None
    error: str


class Stream:
    """Answers lines, one after the other.

    Attributes:
        failed: a line was no item.
        broken: an item met a defect of ours, and was refused.
    """

    def __init__(self, items: Items, explainer: Explainer | None, host: str = "") -> None:
        """Answer with what `items` decides.

        Args:
            items: see there.
            explainer: says why; None: nobody does.
            host: of items that name none.
        """
        self._host = host
        self._number = 0
        self._items = items
        self._explainer = explainer
        self._decode = msgspec.json.Decoder(Line).decode
        self._encode = msgspec.json.Encoder().encode
        self.failed = False
        self.broken = False

    def answer(self, line: bytes) -> bytes:
        """Return the answer to a line, both without their line ends. Never raises."""
        self._number += 1
        try:
            item = self._read(line)
            content = _content(item)
            verdict = self._items.judge_item(
                item.surface,
                content,
                item.host or self._host,
                "" if item.session is None else str(item.session),
                item.at or 0.0,
            )
            return self._encode(self._shown(item, verdict))
        except LineError as error:
            return self._failure(error)
        except Exception as error:  # noqa: BLE001 - a defect of ours refuses, as in the data plane
            return self._encode(self._broken(item.id, error))

    def too_long(self) -> bytes:
        """Return the answer to a line over `MAX_LINE`."""
        self._number += 1
        return self._failure(LineError(f"longer than {MAX_LINE} bytes; send less at a time"))

    def _failure(self, error: LineError) -> bytes:
        self.failed = True
        return self._encode(Failure(error.id, f"line {self._number}: {error}"))

    def _broken(self, id: str | int, error: Exception) -> Answer:
        if os.environ.get("EGRESSGUARD_DEBUG") == "1":
            raise error
        if not self.broken:
            from interceptor.cli import crash

            sys.stderr.write(crash.explain(error))
        self.broken = True
        return Answer(id, "block", Reason.INTERNAL_ERROR.value, [])

    def _read(self, line: bytes) -> Line:
        try:
            item = self._decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise _refused(line, error) from None
        # A key stands before each `":`, but where a blank is between; inside of a string the quote
        # is escaped. More keys than are known: one is unknown, or stands twice.
        keys = line.count(b'":') - line.count(b'\\":')
        given = (item.text, item.base64, item.host, item.session, item.at)
        blank = b" :" in line or b"\t:" in line or b"\r:" in line
        if blank or keys != _KEYS - given.count(None):
            _refuse_repeated(line, item.id)
        if len(str(item.session)) > _SESSION:
            raise LineError(f"`session` is longer than {_SESSION} characters", item.id)
        return item

    def _shown(self, item: Line, verdict: Verdict) -> Answer:
        answer = Answer(item.id, verdict.action.name.lower(), verdict.reason.value, [])
        explainer = self._explainer
        for finding in verdict.findings:
            shown = Shown(
                finding.rule,
                finding.severity.value,
                finding.encoding,
                view_of(finding.where),
                finding.digest,
                home=finding.home,
            )
            answer.findings.append(shown)
        if explainer is not None:
            from interceptor.decide.hints import HINTS

            explainer.forget()
            explainer.note(explainer.scanner.take())
            target = self._items.target
            host = masking.host(target.host, verdict)
            answer.rule = verdict.rule
            answer.detail = masking.detail(verdict.detail, verdict)
            answer.hint = HINTS[verdict.reason] if not verdict.allowed else ""
            for shown, finding in zip(answer.findings, verdict.findings, strict=True):
                shown.explain = explainer.explain(finding, host, target.scheme)
        return answer


def run(descriptor: int, stream: Stream, write: Writer) -> int:
    """Answer all lines of a file or pipe; return the exit code.

    Args:
        descriptor: what is read.
        stream: what answers.
        write: takes whole answers, each with its line end; flushes.
    """
    answer = stream.answer
    for lines in read_lines(descriptor):
        answers = [stream.too_long() if line is None else answer(line) for line in lines]
        answers.append(b"")
        write(b"\n".join(answers))
    if stream.broken:
        return EXIT_SETUP
    return EXIT_USAGE if stream.failed else 0


def read_lines(descriptor: int) -> Iterator[list[bytes | None]]:
    """Give the lines that have come, as soon as there are any; None stands for one too long."""
    begun: list[bytes] = []
    size = 0
    while data := os.read(descriptor, _READ):
        first, *others = data.split(b"\n")
        begun.append(first)
        size += len(first)
        if size > MAX_LINE:
            begun.clear()
        if not others:
            continue
        lines: list[bytes | None] = [None if size > MAX_LINE else b"".join(begun)]
        last = others.pop()
        lines += others
        begun = [last]
        size = len(last)
        yield lines
    if size:
        yield [None if size > MAX_LINE else b"".join(begun)]


def _content(item: Line) -> bytes:
    """Bytes of an item that was read."""
    if item.surface not in SURFACES:
        name = masking.printable(item.surface, 40)
        known = ", ".join(SURFACES)
        raise LineError(f"there is no surface {name!r}; write one of {known}", item.id)
    if (item.text is None) == (item.base64 is None):
        what = "neither" if item.text is None else "both"
        raise LineError(f"{what} `text` and `base64`; give one of them", item.id)
    if item.text is not None:
        text = item.text.encode("utf-8", "surrogatepass")
        return written_request(text) if item.surface == "request" else text
    try:
        return binascii.a2b_base64(item.base64 or "", strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise LineError(f"`base64` cannot be decoded: {error}", item.id) from None


def _refused(line: bytes, error: Exception) -> LineError:
    """Say what is wrong with a line, and whose it is if that can be told."""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return LineError(f"not JSON: {error}")
    if not isinstance(value, dict):
        return LineError("not a JSON object")
    told = value.get("id")
    if isinstance(told, bool) or not isinstance(told, (str, int)):
        told = None
    return LineError(str(error)[:1].lower() + str(error)[1:], told)


def _refuse_repeated(line: bytes, id: str | int) -> None:
    """Refuse a key that stands twice: readers differ on which one counts.

    Raises:
        LineError: it does.
    """
    import json

    def pairs(found: list[tuple[str, object]]) -> list[str]:
        return [name for name, _ in found]  # the outermost object comes last

    try:
        names: list[str] = json.loads(line, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        raise LineError("JSON that is nested too deeply, or a number without end", id) from None
    seen: set[str] = set()
    for name in names:
        if name in seen:
            cause = f"the key {masking.printable(name, 40)!r} stands twice; write it once"
            raise LineError(cause, None if name == "id" else id)
        seen.add(name)
