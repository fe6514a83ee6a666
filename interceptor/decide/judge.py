"""The judge: from a unit and a policy to a verdict.

Pure: no clock, no sockets, no files. Whatever goes wrong in here is an exception, and every
caller turns an exception into a refusal. What an ALLOW is made of stands in `verdicts`; where
something goes is judged in `judge_places`, what comes back in `judge_inbound`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from interceptor.decide.bodies import UploadWindow, content_types, holds_texts, scan_texts
from interceptor.decide.findings import Weigher
from interceptor.decide.judge_inbound import InboundJudge
from interceptor.decide.memory import SplitMemory
from interceptor.decide.messages import RememberingWindow
from interceptor.decide.requests import RequestRules
from interceptor.decide.verdicts import ALLOWED, placed, unreadable
from interceptor.model import Target
from interceptor.policy.schema import Policy
from interceptor.scan.engine import CLEAN, RawFinding, Scan, Scanner
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.scan.window import BodyWindow, Decide, MessageWindow, scan_whole
from interceptor.verdict import Action, Finding, Reason, Verdict
from interceptor.wire.body.stream import BodyStream
from interceptor.wire.fields import HttpError

_FIELD_NAME: Final = 64
"""Bytes of a field's name that findings repeat."""


class Judge(InboundJudge):
    """Judges the units of one jail.

    Attributes:
        policy: the policy in force.
        memory: what the agent has sent in pieces; who judges for several agents sets each one's.
        names: what the agent has named; likewise.
        epoch: number of the judgement: another one for each judge and each scanner. What was
            dialled under one is not used under another.

    Args:
        policy: the policy in force.
        scanner: for this judge's thread alone.
        digest_key: key of the digests in findings, 16 to 64 random bytes of this jail.
        inbound: looks at what comes back; None: nothing does.

    Raises:
        ValueError: a pattern or network of the policy is malformed (the loader checks before), or
            the key has another length.
    """

    def __init__(
        self,
        policy: Policy,
        scanner: Scanner,
        digest_key: bytes,
        inbound: InjectionScanner | None = None,
    ) -> None:
        super().__init__(policy, scanner, digest_key, inbound)
        self._requests = RequestRules(policy.requests, self.refuse)
        self.memory = SplitMemory(scanner, digest_key, self._decoded_bytes)

    @property
    def asks_for_process(self) -> bool:
        """True when the policy has rules for some programs only."""
        return self._requests.by_process

    def use(self, scanner: Scanner) -> None:
        """Go on with another scanner, for this judge's thread alone: other rules, other secrets.

        What is judged from now on is judged by it; windows that are open keep the one they have.
        """
        self._weigher = Weigher(scanner.rules, self.policy)
        self._scanner = scanner
        self.memory.scanner = scanner
        self._anew()

    def request(
        self,
        target: Target,
        head: bytes,
        fields: Sequence[tuple[bytes, bytes]],
        body: bytes,
        codings: tuple[bytes, ...] = (),
        process: str = "",
    ) -> Verdict:
        """Judge a request: host and port once more, method and path, secrets in every view.

        Args:
            target: where it goes; `path` as it will be sent.
            head: request line and header section as received.
            fields: (lower-case name, value) of the header section; says where a finding lies, and
                what the body is.
            body: content, or b"".
            codings: content codings of `body` that are still to be undone.
            process: path of the program that asks, empty where it is not known.
        """
        verdict = self.connection(target)
        if verdict.action is not Action.ALLOW:
            return verdict
        refused = self.encrypted_dns.request(target, head, fields)
        if refused is None and self._requests:
            refused = self._requests.refused(target, fields, process)
        if refused is not None:
            return refused
        cause = self.taint.at(self._now)
        if not cause:
            verdict = self._secrets(target, head, fields, body, codings, verdict)
            if verdict.action is Action.ALLOW:
                self.taint.learn(target.host)
            return verdict
        tightened = self._tightened(target, len(head), fields, content=bool(body))
        if tightened is not None and not tightened.allowed:
            return tightened
        verdict = self._secrets(target, head, fields, body, codings, verdict)
        if tightened is not None and verdict.reason is Reason.ALLOWED:
            return tightened
        return self._while_tainted(verdict, cause)

    def _secrets(
        self,
        target: Target,
        head: bytes,
        fields: Sequence[tuple[bytes, bytes]],
        body: bytes,
        codings: tuple[bytes, ...],
        verdict: Verdict,
    ) -> Verdict:
        """Judge what a request says; `verdict` is the connection's."""
        scan = self._scanner.scan(head, "head", self._key, self._decoded_bytes)
        budget = self._decoded_bytes
        below = scan_whole(self._scanner, body, "body", self._key, budget) if body else CLEAN
        texts: list[tuple[str, RawFinding]] = []
        if body and (codings or holds_texts(fields, body)):
            stream = BodyStream(
                content_types(fields), codings, budget, self.policy.limits.expansion
            )
            try:
                texts, incomplete = scan_texts(stream, body, self._scanner, self._key, budget)
            except HttpError as error:
                return self.refuse(error.reason, error.detail)
            if incomplete:
                return unreadable()
        if scan.incomplete or below.incomplete:
            return unreadable()
        pieces = self.memory.pieces(target, fields, b"" if codings else body)
        found = self.memory.look(pieces, self._now) if pieces is not None else []
        if scan is CLEAN and below is CLEAN and not (found or texts or verdict.findings):
            verdict = ALLOWED
        else:
            found += self._views(scan, target, head, fields)
            found += [("body", raw) for raw in below.findings]
            found += texts
            verdict = self._weighed(self._weigher.weigh(found, target), verdict.findings)
        if pieces is not None and verdict.action is Action.ALLOW:
            self.memory.keep(pieces, self._now)
        return verdict

    def trailers(self, target: Target, fields: Sequence[tuple[bytes, bytes]]) -> Verdict:
        """Judge trailer fields (RFC 9110 section 6.5), (lower-case name, value)."""
        found: list[tuple[str, RawFinding]] = []
        for name, value in fields:
            where = f"trailer:{self._field_name(name)}"
            line = name + b": " + value
            scan = self._scanner.scan(line, where, self._key, self._decoded_bytes)
            if scan.incomplete:
                return unreadable()
            found += [(where, raw) for raw in scan.findings]
        return self._weighed(self._weigher.weigh(found, target), ())

    def packet(self, target: Target, what: str, data: bytes, names: Sequence[str]) -> Verdict:
        """Judge a packet that no listener takes: refused whatever it is, the question is why.

        Args:
            target: what it was sent to.
            what: what it is, for people.
            data: what it carries.
            names: host names it asks for.
        """
        found: tuple[Finding, ...] = ()
        for name in names:
            verdict = self.name(name)
            if verdict.reason not in (Reason.ALLOWED, Reason.NAME_INVALID):
                found += verdict.findings
                if not verdict.allowed:
                    return verdict
        scan = self._scanner.scan(data, "body", self._key, self._decoded_bytes)
        if scan.findings:
            weighed = self._weigher.weigh([("body", raw) for raw in scan.findings], target)
            verdict = self._weighed(placed(weighed, "packet"), found)
            if not verdict.allowed:
                return verdict
            found = verdict.findings
        detail = f"{what}: no listener takes it"
        return Verdict(Action.BLOCK, Reason.PROTOCOL_REFUSED, "", detail, found)

    def holds_secret(self, data: bytes) -> bool:
        """Tell whether bytes hold anything that a credential rule or a known secret describes."""
        scan = self._scanner.scan(data, "body", self._key, self._decoded_bytes)
        return bool(scan.findings) or scan.incomplete

    def upload_window(
        self,
        target: Target,
        fields: Sequence[tuple[bytes, bytes]],
        codings: tuple[bytes, ...] = (),
    ) -> UploadWindow:
        """Return the window of a streaming body and of all texts that can be read in it.

        Args:
            target: where it goes.
            fields: (lower-case name, value) of the header section; says what the body is.
            codings: content codings that the window is to undo for itself.

        Raises:
            HttpError: INCOMPLETE, a coding that is not known; TAINTED, content that a tainted agent
                may not send there.
        """
        tightened = self._tightened(target, 0, fields, content=True)
        if tightened is not None and not tightened.allowed:
            raise HttpError(tightened.reason, tightened.detail)

        def opened(where: str) -> BodyWindow:
            decide = self._decide(target, where)
            return BodyWindow(self._scanner, decide, self._key, self._decoded_bytes)

        expansion = self.policy.limits.expansion
        return UploadWindow(opened, BodyStream(content_types(fields), codings, None, expansion))

    def message_window(self, target: Target, where: str) -> RememberingWindow:
        """Return the window that judges the messages of one sequence bound for `target`.

        Args:
            target: where they go.
            where: what findings say of their place, such as `ws_message`. Rules take messages for
                bodies: what they look for in a body, and what is at home in one.
        """
        return RememberingWindow(
            MessageWindow(
                self._scanner,
                self._decide(target, where),
                self.passed,
                self._key,
                self._decoded_bytes,
            ),
            lambda message: self._remembered(target, where, message),
        )

    def _remembered(self, target: Target, where: str, message: bytes) -> Verdict | None:
        """Judge a small message together with what was sent before, anywhere."""
        pieces = self.memory.note(target.host, where, message)
        if pieces is None:
            return None
        found = self.memory.look(pieces, self._now)
        verdict = self._weighed(self._weigher.weigh(found, target), ()) if found else None
        if verdict is None or verdict.allowed:
            self.memory.keep(pieces, self._now)
        return verdict

    def _decide(self, target: Target, where: str) -> Decide:
        def decide(scan: Scan) -> tuple[Verdict | None, tuple[Finding, ...]]:
            if scan.incomplete:
                return unreadable(), ()
            weighed = self._weigher.weigh([("body", raw) for raw in scan.findings], target)
            if where != "body":
                weighed = placed(weighed, where)
            verdict = self._weighed(weighed, ())
            cause = self.taint.at(self._now)
            if cause:
                verdict = self._while_tainted(verdict, cause)
            return (None if verdict.allowed else verdict), weighed.all

        return decide

    def _views(
        self, scan: Scan, target: Target, head: bytes, fields: Sequence[tuple[bytes, bytes]]
    ) -> list[tuple[str, RawFinding]]:
        """Say in which view each finding of a head lies; what lies in none keeps `head`."""
        if not scan.findings:
            return []
        line = head.partition(b"\r\n")[0]
        views = [("url", line), ("url", target.path.encode("utf-8", "surrogateescape"))]
        for name, value in fields:
            views.append((f"header:{self._field_name(name)}", name + b": " + value + b"\r\n"))
        found: list[tuple[str, RawFinding]] = []
        for where, data in views:
            inner = self._scanner.scan(data, where, self._key, self._decoded_bytes)
            found += [(where, raw) for raw in inner.findings]
        placed = {raw.rule for _, raw in found}
        # What lies in no view lies over several, unless its rule is for one of them alone.
        both = {"url", "header"}
        return found + [
            ("head", raw)
            for raw in scan.findings
            if raw.rule not in placed and both <= set(self._scanner.rules[raw.rule].surfaces)
        ]

    def _field_name(self, name: bytes) -> str:
        """Name of a field as it may be repeated: the agent may have put the secret into it."""
        scan = self._scanner.scan(name, "header", self._key, self._decoded_bytes)
        return "…" if len(name) > _FIELD_NAME or scan is not CLEAN else name.decode("latin-1")
