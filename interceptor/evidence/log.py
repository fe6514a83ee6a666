"""The evidence log: one line per decision, written before the decision is carried out."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time as clock
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from interceptor.evidence import masking
from interceptor.evidence.schema import (
    Completion,
    Decision,
    DecisionFinding,
    DecisionReceived,
    Event,
    Gap,
    ProcessSeen,
    Resumed,
    Started,
    Stopped,
)
from interceptor.flow.steps import Finished, Record
from interceptor.model import Origin
from interceptor.verdict import Action, Finding

WAITING = 100
"""Completions, some 300 bytes each, that may wait for the next decision's write."""
BACKLOG = 4000
"""Completions kept while nothing can be written; the oldest go first."""
SECRET_NAMES = 1024
"""Names known to carry a secret that stay masked in every later event."""

PROCESSES = 4096
"""Flows whose process is remembered for their later decisions."""

_ACTIONS = tuple(action.name.lower() for action in sorted(Action))


class EvidenceError(Exception):
    """Evidence could not be opened or written; what it was about must not happen."""


class Attributed(Protocol):
    """Who has opened a flow: `interceptor.serve.attribution.Process`."""

    @property
    def pid(self) -> int:
        """Process id, as the jail numbers it."""

    @property
    def executable(self) -> str:
        """Path of the program."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """Command line, not masked yet."""

    @property
    def folder(self) -> str:
        """Working directory."""

    @property
    def parents(self) -> tuple[str, ...]:
        """Names of the programs above it, nearest first."""


def _holds_nothing(_data: bytes) -> bool:
    return False


class EvidenceLog:
    """Appends events of one jail to a descriptor.

    A decision is one `write(2)` that has ended when `write()` returns. When it fails, wholly or in
    part, the file is cut back to its last whole line, `write()` raises, and the caller refuses.
    Every later decision tries again; the first that succeeds is preceded by a `gap` event. Not for
    use by several threads at once.

    Args:
        descriptor: opened with O_APPEND; `interceptor.evidence.place` opens files.
        jail: name of the jail.
        policy: digest of the policy in force; may be assigned when the policy is replaced.
        sequence: number of the last event already written for this jail.
        observe: called with every event that was written, such as `Summary.add`.
        holds: tells whether an argument of a command line holds a secret; masked then.
    """

    def __init__(
        self,
        descriptor: int,
        jail: str,
        policy: str = "",
        sequence: int = 0,
        observe: Callable[[Event], None] | None = None,
        holds: Callable[[bytes], bool] = _holds_nothing,
    ) -> None:
        self.policy = policy
        self.decisions = 0
        """Decisions that were written."""
        self.refused = 0
        """Those of them that were no ALLOW."""
        self.lost = 0
        """Decisions that could not be written."""
        self._descriptor = descriptor
        self._regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._jail = jail
        self._sequence = sequence
        self._observe = observe
        self._encode = msgspec.json.Encoder().encode_lines
        self._holds = holds
        self._processes: OrderedDict[str, msgspec.Raw] = OrderedDict()
        self._unattributed: OrderedDict[str, None] = OrderedDict()
        self._described: dict[tuple[object, ...], msgspec.Raw] = {}
        self._waiting: list[Completion | ProcessSeen] = []
        self._torn = False  # a part of a line went out and could not be taken back
        self._latest = 0.0
        self._gap = 0
        self._gap_since = 0.0
        self._second = -1
        self._prefix = ""
        self._secret_names: OrderedDict[str, None] = OrderedDict()

    def follow(self, policy: str, holds: Callable[[bytes], bool]) -> None:
        """Go on under another policy, and ask another judge what a secret is."""
        self.policy = policy
        self._holds = holds
        self._described.clear()

    @property
    def sequence(self) -> int:
        """Number of the last event written."""
        return self._sequence

    def write(self, record: Record, origin: Origin, now: float) -> None:
        """Write a decision; when this returns, it may be carried out.

        Args:
            record: what was decided.
            origin: whose flow it belongs to.
            now: seconds since the epoch.

        Raises:
            EvidenceError: the line is not in the file; the decision must become a refusal.
        """
        verdict = record.verdict
        target = record.target
        try:
            # Sixteen keywords would make this call three times as dear (CPython builds a dict).
            decision = Decision(
                time=self._stamp(now),
                jail=self._jail,
                flow=origin.flow,
                exchange=record.exchange,
                kind=str(record.kind),
                host=self._host(record),
                port=target.port,
                address=origin.address,
                scheme=target.scheme,
                method=masking.method(target.method),
                path=masking.path(target.path, verdict),
                action=_ACTIONS[verdict.action],
                reason=str(verdict.reason),
                rule=verdict.rule,
                policy=self.policy,
            )
            if origin.agent:
                decision.agent = origin.agent
            process = self._processes.get(origin.flow)
            if process is not None:
                decision.process = process
            else:
                self._unattributed[origin.flow] = None
                if len(self._unattributed) > PROCESSES:
                    self._unattributed.popitem(last=False)
            if verdict.detail:
                decision.detail = masking.detail(verdict.detail, verdict)
            if verdict.findings:
                decision.findings = tuple(map(_finding, verdict.findings))
            if verdict.received is not None:
                found = verdict.received
                decision.inbound = DecisionReceived(found.score, found.source, found.handling)
            if verdict.taint:
                decision.taint = verdict.taint
            self._append(decision, now)
        except EvidenceError:
            self._miss(now)
            raise
        except Exception as error:  # noqa: BLE001
            # Whatever could not be put into words is not evidence, so it must not happen. The
            # cause stays out of the message: it may quote the agent's bytes.
            self._miss(now)
            message = f"cannot describe a decision ({type(error).__name__})"
            raise EvidenceError(message) from None
        self.decisions += 1
        if verdict.action is not Action.ALLOW:
            self.refused += 1

    def attribute(self, flow: str, process: Attributed, now: float) -> None:
        """Learn who has opened a flow: later decisions say so, earlier ones get a line after them.

        Args:
            flow: id of the flow.
            process: who it was; its command line is masked here.
            now: seconds since the epoch.
        """
        known = self._processes[flow] = self._describe(process)
        if len(self._processes) > PROCESSES:
            self._processes.popitem(last=False)
        if flow in self._unattributed:
            del self._unattributed[flow]
            self._waiting.append(
                ProcessSeen(time=self._stamp(now), jail=self._jail, flow=flow, process=known)
            )
            self._latest = now

    def _describe(self, process: Attributed) -> msgspec.Raw:
        key = (process.pid, process.executable, process.arguments, process.folder, process.parents)
        known = self._described.get(key)
        if known is None:
            known = msgspec.Raw(
                msgspec.json.encode(
                    {
                        "pid": process.pid,
                        "executable": masking.printable(process.executable),
                        "arguments": masking.arguments(process.arguments, self._holds),
                        "folder": masking.printable(masking.tokens(process.folder)),
                        "parents": [masking.printable(name) for name in process.parents],
                    }
                )
            )
            if len(self._described) >= PROCESSES // 16:
                self._described.clear()
            self._described[key] = known
        return known

    def finished(self, step: Finished, origin: Origin, now: float, host: str = "") -> None:
        """Note how an exchange ended; the line goes out with the next decision or `flush()`.

        Args:
            step: how it ended.
            origin: whose flow it belongs to.
            now: seconds since the epoch.
            host: the exchange's host when it is not the leased name.
        """
        host = host or step.host or origin.name or origin.address
        if self._secret_names and host in self._secret_names:
            host = masking.secret_name(host)
        event = Completion(
            time=self._stamp(now),
            jail=self._jail,
            flow=origin.flow,
            exchange=step.exchange,
            host=masking.printable(host),
            port=step.port or origin.port,
            status=step.status,
            sent=step.sent,
            received=step.received,
            address=step.address,
            seconds=round(step.seconds, 6),
            reason=step.reason,
        )
        if origin.agent:
            event.agent = origin.agent
        self._waiting.append(event)
        self._latest = now
        # A failure here stops nobody: the exchange is over. The next decision meets the same disk
        # and refuses.
        if len(self._waiting) % WAITING == 0:
            with contextlib.suppress(EvidenceError):
                self.flush()
            del self._waiting[: max(0, len(self._waiting) - BACKLOG)]

    def started(
        self,
        now: float,
        *,
        command: Sequence[str],
        user: str,
        uid: int,
        rootless: bool,
        preset: str,
        authority: str,
        versions: Mapping[str, str],
        secrets: Sequence[str] = (),
        canaries: Sequence[str] = (),
        registries: Sequence[str] = (),
        published: Sequence[str] = (),
        guarantee: str = "",
    ) -> None:
        """Write that the jail begins. Arguments become a digest.

        Raises:
            EvidenceError: the line is not in the file; the command must not start.
        """
        vector = b"\0".join(os.fsencode(word) for word in command)
        event = Started(
            time=self._stamp(now),
            jail=self._jail,
            program=masking.printable(os.path.basename(command[0]) if command else ""),  # noqa: PTH119
            command=hashlib.sha256(vector).hexdigest(),
            user=masking.printable(user),
            uid=uid,
            rootless=rootless,
            policy=self.policy,
            preset=preset,
            authority=authority,
            versions=dict(versions),
            secrets=tuple(map(masking.printable, secrets)),
            canaries=tuple(map(masking.printable, canaries)),
            registries=tuple(map(masking.printable, registries)),
            published=tuple(published),
        )
        if guarantee:
            event.guarantee = guarantee
        self._append(event, now)

    def resumed(
        self,
        now: float,
        *,
        cause: str,
        preset: str,
        authority: str,
        versions: Mapping[str, str],
    ) -> None:
        """Write that a guest is served again; the arguments are as in `Resumed`.

        Raises:
            EvidenceError: the line is not in the file; the guest must not be served.
        """
        event = Resumed(
            time=self._stamp(now),
            jail=self._jail,
            cause=cause,
            policy=self.policy,
            preset=preset,
            authority=authority,
            versions=dict(versions),
        )
        self._append(event, now)

    def stopped(
        self, now: float, *, code: int, seconds: float, changed: Sequence[str] = ()
    ) -> None:
        """Write that the jail ended, with the counts so far, and push the file to the disk.

        Raises:
            EvidenceError: the line is not in the file.
        """
        event = Stopped(
            time=self._stamp(now),
            jail=self._jail,
            code=code,
            seconds=round(seconds, 6),
            decisions=self.decisions,
            refused=self.refused,
            lost=self.lost,
            changed=tuple(map(masking.printable, changed)),
        )
        self._append(event, now)
        if self._regular:
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                message = f"cannot push evidence to the disk: {error.strerror}"
                raise EvidenceError(message) from error

    def flush(self) -> None:
        """Write the completions that wait.

        Raises:
            EvidenceError: they could not be written; they go on waiting.
        """
        if self._waiting:
            self._append(None, self._latest)

    def _append(self, event: Event | None, now: float) -> None:
        """Write what waits, then `event`, with one system call; all of it counts or none."""
        batch: list[Event] = [*self._waiting]
        if self._gap:
            since = self._stamp(self._gap_since)
            gap = Gap(time=self._stamp(now), jail=self._jail, lost=self._gap, since=since)
            batch.insert(0, gap)
        if event is not None:
            batch.append(event)
        # Numbered only now, so that a failed write leaves no hole.
        number = self._sequence
        for item in batch:
            number += 1
            item.seq = number
        self._write_whole(self._encode(batch))
        self._sequence = number
        self._waiting.clear()
        self._gap = 0
        if self._observe is not None:
            for item in batch:
                self._observe(item)

    def _write_whole(self, data: bytes) -> None:
        if self._torn:
            data = b"\n" + data
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            raise EvidenceError(f"cannot write evidence: {error.strerror}") from error
        if written == len(data):
            self._torn = False
            return
        # A full disk or a limit took a part. Take it back, or the next line would begin inside it.
        try:
            end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
            os.ftruncate(self._descriptor, end - written)
        except OSError:
            self._torn = True  # not a file: the next write begins with a line end of its own
        raise EvidenceError("cannot write evidence: only a part of the line was taken")

    def _miss(self, now: float) -> None:
        if self._gap == 0:
            self._gap_since = now
        self._gap += 1
        self.lost += 1

    def _stamp(self, now: float) -> str:
        second = int(now)
        if second != self._second:
            self._prefix = clock.strftime("%Y-%m-%dT%H:%M:%S", clock.gmtime(second))
            self._second = second
        return "%s.%06dZ" % (self._prefix, (now - second) * 1e6)  # noqa: UP031 - a third faster

    def _host(self, record: Record) -> str:
        host = record.target.host
        if self._secret_names and host in self._secret_names:
            return masking.secret_name(host)
        verdict = record.verdict
        if verdict.action is Action.ALLOW and not verdict.findings:
            return masking.printable(host)
        if masking.holds_secret_name(verdict):
            self._secret_names[host] = None
            if len(self._secret_names) > SECRET_NAMES:
                self._secret_names.popitem(last=False)
        return masking.host(host, verdict)


def _finding(finding: Finding) -> DecisionFinding:
    return DecisionFinding(
        rule=finding.rule,
        title=finding.title,
        severity=finding.severity.value,
        where=masking.where(finding.where),
        encoding=masking.printable(finding.encoding),
        digest=finding.digest,
        home=finding.home,
    )
