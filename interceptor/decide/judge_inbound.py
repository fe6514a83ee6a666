"""Judging what comes back, before the agent reads it."""

from __future__ import annotations

from collections.abc import Sequence

from interceptor.decide.inbound import InboundWindow
from interceptor.decide.judge_places import PlaceJudge
from interceptor.decide.verdicts import placed, unreadable
from interceptor.model import Target
from interceptor.policy.schema import Policy
from interceptor.scan.engine import RawFinding, Scanner
from interceptor.scan.inbound import InboundScanner
from interceptor.verdict import Action, Finding, Verdict


class InboundJudge(PlaceJudge):
    """Judges what comes back."""

    def __init__(
        self,
        policy: Policy,
        scanner: Scanner,
        digest_key: bytes,
        inbound: InboundScanner | None = None,
    ) -> None:
        """Begin; see `interceptor.decide.judge.Judge`."""
        super().__init__(policy, scanner, digest_key)
        self._inbound = inbound

    def records(self, name: str, texts: Sequence[bytes]) -> Verdict:
        """Judge what the DNS records of a name say, before the agent reads them.

        Args:
            name: lower case, without trailing dot.
            texts: one for each record.
        """
        window = self.inbound_window("dns_answer")
        found: list[tuple[str, RawFinding]] = []
        noted: tuple[Finding, ...] = ()
        for text in texts:
            verdict = None if window is None else window.judge(text)
            if verdict is not None:
                if verdict.action is not Action.ALLOW:
                    return verdict
                noted += verdict.findings
            scan = self._scanner.scan(text, "body", self._key, self._decoded_bytes)
            if scan.incomplete:
                return unreadable()
            found += [("body", raw) for raw in scan.findings]
        weighed = self._weigher.weigh(found, Target("dns", name, 53))
        return self._weighed(placed(weighed, "dns_answer"), noted)

    def finds_nothing(self, content: bytes) -> bool:
        """Tell whether an inbound window would find nothing in content that is there as a whole."""
        return self._inbound is None or not self._inbound.scan(content)

    def inbound_window(self, where: str) -> InboundWindow | None:
        """Return the window that judges one sequence of content that comes back.

        Args:
            where: what findings say of their place: `response`, `ws_message`, `stream`.

        Returns:
            None when nothing is looked for.
        """
        if self._inbound is None:
            return None
        block = self.policy.inbound.findings == "block" and not self._record_only
        return InboundWindow(self._inbound, where, self._key, None if block else self.passed)
