"""Verdicts are made here. The only maker of ALLOW.

Pure: no clock, no sockets, no files. Whatever goes wrong in here is an exception, and every
caller turns an exception into a refusal.
"""

from __future__ import annotations

from typing import Final

import msgspec

from interceptor.decide.findings import Weighed, Weigher
from interceptor.decide.inbound_rules import Judged
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from interceptor.verdict import Action, Finding, Reason, Verdict

ALLOWED: Final = Verdict(Action.ALLOW, Reason.ALLOWED)
"""Nothing was found."""


class Verdicts:
    """From findings to a verdict, as the policy has it. The judges build on it.

    Attributes:
        policy: the policy in force.
    """

    def __init__(self, policy: Policy, scanner: Scanner, digest_key: bytes) -> None:
        """Begin; see `interceptor.decide.judge.Judge`.

        Raises:
            ValueError: a pattern of the policy is malformed, or the key has another length.
        """
        if not 16 <= len(digest_key) <= 64:
            raise ValueError("digest_key must have 16 to 64 bytes")
        self.policy = policy
        self._scanner = scanner
        self._key = digest_key
        self._decoded_bytes = policy.limits.decoded_bytes
        self._record_only = policy.findings == "record"
        self._weigher = Weigher(scanner.rules, policy)

    @staticmethod
    def refuse(reason: Reason, detail: str = "", rule: str = "") -> Verdict:
        """Return a refusal that someone else has decided upon, such as a protocol error."""
        if reason in (Reason.ALLOWED, Reason.WOULD_BLOCK):
            return Verdict(Action.BLOCK, Reason.INTERNAL_ERROR, rule, detail)
        return Verdict(Action.BLOCK, reason, rule, detail)

    def tell(
        self, reason: Reason, detail: str = "", rule: str = "", *, record: bool = False
    ) -> Verdict:
        """Refuse for what was found; where the policy only records, note it and let it pass.

        Args:
            reason: why.
            detail: one clause for people.
            rule: what decided.
            record: the part of the policy that is about this only records.
        """
        refused = self.refuse(reason, detail, rule)
        return self._only_noted(refused, ()) if record or self._record_only else refused

    def passed(self, findings: tuple[Finding, ...]) -> Verdict:
        """Return the verdict on findings that a window let pass: at home, warned or recorded."""
        home = tuple(finding for finding in findings if finding.home)
        others = tuple(finding for finding in findings if not finding.home)
        return self._weighed(Weighed(warned=others, home=home), ())

    def _weighed(
        self, weighed: Weighed, before: tuple[Finding, ...], reason: Reason = Reason.SECRET
    ) -> Verdict:
        """Make the verdict on findings; `before` were passed with the connection's verdict."""
        findings = weighed.all + tuple(f for f in before if f not in weighed.all)
        if weighed.blocking and not self._record_only:
            first = weighed.blocking[0]
            reason = self._weigher.reason_of(weighed, reason)
            detail = f"{first.title} in {first.where}"
            return Verdict(Action.BLOCK, reason, first.rule, detail, findings)
        if not findings:
            return ALLOWED
        noted = weighed.blocking + weighed.warned or tuple(f for f in before if not f.home)
        if noted:
            detail = f"{noted[0].title} in {noted[0].where}"
            return Verdict(Action.ALLOW, Reason.WOULD_BLOCK, noted[0].rule, detail, findings)
        return Verdict(Action.ALLOW, Reason.ALLOWED, "", "", findings)

    def _received(self, judged: Judged) -> Verdict:
        """Make the verdict on what was found in content that came back."""
        findings = judged.findings
        detail = f"{findings[0].title} in {findings[0].where}"
        action, reason = Action.ALLOW, Reason.UNTRUSTED
        if judged.received.handling == "block":
            action, reason = Action.BLOCK, Reason.INJECTION
        elif judged.intended == "block":
            reason = Reason.WOULD_BLOCK
        return Verdict(action, reason, findings[0].rule, detail, findings, judged.received)

    def _only_noted(self, refused: Verdict, findings: tuple[Finding, ...]) -> Verdict:
        """Let pass what would be refused, where the policy only records."""
        return msgspec.structs.replace(
            refused, action=Action.ALLOW, reason=Reason.WOULD_BLOCK, findings=findings
        )


def placed(weighed: Weighed, where: str) -> Weighed:
    """Give findings another place: the one they were weighed by is that of a rule's home."""

    def moved(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        return tuple(msgspec.structs.replace(finding, where=where) for finding in findings)

    return Weighed(moved(weighed.blocking), moved(weighed.warned), moved(weighed.home))


def unreadable() -> Verdict:
    """Refuse what could not be read to its end."""
    detail = "layers of encoding exceed limits.decoded_bytes"
    return Verdict(Action.BLOCK, Reason.INCOMPLETE, "limits.decoded_bytes", detail)
