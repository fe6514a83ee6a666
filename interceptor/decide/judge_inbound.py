"""Judging what comes back, before the agent reads it, and what it means for what leaves."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from interceptor.decide.inbound import InboundDocument, InboundWindow, Written, shows
from interceptor.decide.inbound_rules import InboundRules
from interceptor.decide.judge_places import PlaceJudge
from interceptor.decide.sources import Sources
from interceptor.decide.taint import Taint, Tightening
from interceptor.decide.verdicts import placed, unreadable
from interceptor.model import Passage, Target
from interceptor.policy.schema import Policy
from interceptor.scan.engine import RawFinding, Scanner
from interceptor.scan.injection.model import InjectionFinding
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.verdict import Action, Reason, Verdict
from interceptor.wire.body.media import media_of
from interceptor.wire.rendered.charset import codec_for
from interceptor.wire.rendered.readers import LOOK, reader_for

_JSON: Final = frozenset((b"application/json", b"text/json", b"application/manifest+json"))
_WRITTEN: Final = _JSON | frozenset(
    (
        *(b"text/plain", b"text/css", b"text/csv", b"text/javascript", b"application/javascript"),
        *(b"application/yaml", b"application/toml", b"text/yaml"),
        *(b"application/x-javascript", b"text/x-python"),
    )
)
"""Types in which text stands as it reads, but for escapes. Markdown is none: what splits a word in
it, such as emphasis or a comment, is not seen."""
_BLANK: Final = b"\xef\xbb\xbf \t\r\n\f"
"""Bytes before the first that tells something."""
_MARKUP: Final = (
    *(".html", ".htm", ".xhtml", ".shtml", ".xml", ".svg", ".ipynb"),
    *(".md", ".markdown", ".mdown", ".mkd", ".mdx", ".mdc", ".qmd", ".rmd"),
)


class InboundJudge(PlaceJudge):
    """Judges what comes back.

    Attributes:
        taint: what the agent knows, and whether it has received what steers; who judges for
            several agents sets each one's.
    """

    def __init__(
        self,
        policy: Policy,
        scanner: Scanner,
        digest_key: bytes,
        inbound: InjectionScanner | None = None,
    ) -> None:
        """Begin; see `interceptor.decide.judge.Judge`."""
        super().__init__(policy, scanner, digest_key)
        self._inbound = inbound
        self._sources = Sources(policy)
        self._inbound_rules = InboundRules(policy, self._sources, digest_key)
        self._tightening = Tightening(policy.inbound.taint, self._trusts, self._names, self.refuse)
        self.taint = Taint()

    def records(self, name: str, texts: Sequence[bytes]) -> Verdict:
        """Judge what the DNS records of a name say, before the agent reads them.

        Args:
            name: lower case, without trailing dot.
            texts: one for each record.
        """
        target = Target("dns", name, 53)
        window = self.inbound_window("dns_answer", target)
        found: list[tuple[str, RawFinding]] = []
        noted: Verdict | None = None
        for text in texts:
            verdict = None if window is None else window.judge(text)
            if verdict is not None:
                if verdict.action is not Action.ALLOW:
                    return verdict
                noted = verdict
            scan = self._scanner.scan(text, "body", self._key, self._decoded_bytes)
            if scan.incomplete:
                return unreadable()
            found += [("body", raw) for raw in scan.findings]
        weighed = placed(self._weigher.weigh(found, target), "dns_answer")
        if noted is not None and not weighed.all:
            return noted
        return self._weighed(weighed, () if noted is None else noted.findings)

    def finds_nothing(self, target: Target, content_type: bytes, content: bytes) -> bool:
        """Tell whether content that is there as a whole may go on as it is.

        Args:
            target: of the request.
            content_type: value of the field, empty for none.
            content: all of it, decoded.
        """
        scanner = self._inbound
        if scanner is None or not content or self._inbound_rules.place(target) is None:
            return True
        written = _written(content_type, target.path, content)
        if written and not shows(scanner, content, written):
            return True
        reader = reader_for(content_type, target.path, content[:LOOK])
        if reader is None:
            return True
        passages: list[Passage] = [*reader.feed(content), *reader.finish()]
        if not passages:
            return True
        return scanner.scan(passages).score < self.policy.inbound.thresholds.low

    def inbound_window(
        self, where: str, target: Target, *, apart: bool = True
    ) -> InboundWindow | None:
        """Return the window that judges one sequence of messages that come back.

        Args:
            where: what findings say of their place: `response`, `ws_message`, `stream`.
            target: where they come from.
            apart: a message ends where it ends; False: they are pieces, cut anywhere.

        Returns:
            None when nothing is looked for.
        """
        place = self._inbound_rules.place(target)
        if self._inbound is None or place is None:
            return None
        return InboundWindow(
            self._inbound, self._inbound_rules, place, where, self._received, apart=apart
        )

    def shows(self, data: bytes, *, closely: bool = False) -> bool:
        """Tell whether text needs a closer look before it goes to an agent.

        Args:
            data: the text, or JSON that holds it.
            closely: one word that may tell is enough.
        """
        inbound = self._inbound
        return inbound is not None and shows(inbound, data, "plain", closely=closely)

    def passages(
        self, target: Target, where: str, passages: Sequence[Passage]
    ) -> tuple[float, Verdict | None]:
        """Judge texts that stand together as a whole.

        Args:
            target: where they come from.
            where: what findings say of their place.
            passages: in their order.

        Returns:
            Their score, 0 to 100, and what is to be said of them by the policy's bands.
        """
        place = self._inbound_rules.place(target)
        if self._inbound is None or place is None or not passages:
            return 0.0, None
        assessment = self._inbound.scan(passages)
        if not assessment.findings:
            return 0.0, None
        counted = self._inbound_rules.counted(assessment, place, where, passages)
        judged = self._inbound_rules.judge(assessment.score, counted, place)
        return assessment.score, None if judged is None else self._received(judged)

    def holds_content(self, target: Target) -> bool | None:
        """Tell whether content of `target` may be refused or changed; None: it is not read."""
        place = self._inbound_rules.place(target)
        return None if self._inbound is None or place is None else place.changes

    def inbound_document(
        self, target: Target, content_type: bytes, first: bytes, where: str = "response"
    ) -> InboundDocument | None:
        """Begin to judge a content; None: there is nothing in it to be read.

        Args:
            target: of the request.
            content_type: value of the field, empty for none.
            first: the content's first bytes, decoded.
            where: what findings say of their place.
        """
        place = self._inbound_rules.place(target)
        if self._inbound is None or place is None:
            return None
        reader = reader_for(content_type, target.path, first[:LOOK])
        if reader is None:
            return None
        written = _written(content_type, target.path, first)
        return InboundDocument(
            self._inbound,
            self._inbound_rules,
            place,
            where,
            self._received,
            reader,
            written=written,
            whole=self.policy.limits.inbound_bytes,
        )

    def inbound_places(
        self, target: Target, content_type: bytes, content: bytes
    ) -> list[tuple[InjectionFinding, Passage]]:
        """Return what stands where in a content, whether or not it counts there.

        Args:
            target: of the request.
            content_type: value of the field, empty for none.
            content: all of it, decoded.
        """
        reader = reader_for(content_type, target.path, content[:LOOK])
        if reader is None or self._inbound is None:
            return []
        passages: list[Passage] = [*reader.feed(content), *reader.finish()]
        found = self._inbound.scan(passages).findings
        return [(one, passages[one.passage]) for one in found if 0 <= one.passage < len(passages)]

    def tag(self, what: str) -> str:
        """Return eight letters and digits for marks on `what`; nobody else can know them."""
        return hashlib.blake2b(what.encode(), digest_size=4, key=self._key).hexdigest()

    # -- taint -----------------------------------------------------------------------------

    def came_back(self, verdict: Verdict, target: Target, flow: str, *, seen: bool) -> None:
        """Take note of what was found in content of `target`: it may taint the agent.

        Args:
            verdict: on the content.
            target: where it came from.
            flow: id of the flow that brought it.
            seen: the agent has received some of it.
        """
        received, policy = verdict.received, self.policy.inbound
        if received is None or not seen or not policy.taint.seconds:
            return
        at = policy.thresholds
        least = {"web": at.middle, "own": at.high}.get(received.source)
        if least is None or received.score < least:
            return
        distrusted = target.host if received.score >= at.high else ""
        self.taint.begin(self._now, policy.taint.seconds, flow, distrusted)

    def named(self, target: Target) -> bool:
        """Tell whether the operator has named a place, or trusts it otherwise."""
        return self._trusts(target) or self._names(target)

    def _trusts(self, target: Target) -> bool:
        """Tell whether a place is reached as ever, whatever the agent has received."""
        return self._sources.of(target) != "web" or target.host in self._named

    def _names(self, target: Target) -> bool:
        """Tell whether the operator has named a place."""
        named = self._services.find(target.host, target.port) is not None
        return named or self._name_rules.exempt(target.host)

    def _tightened(
        self, target: Target, size: int, fields: Sequence[tuple[bytes, bytes]], *, content: bool
    ) -> Verdict | None:
        """Refuse what a tainted agent may not ask for; None: it may, or is not tainted."""
        cause = self.taint.at(self._now)
        if not cause:
            return None
        refused = self._tightening.refused(self.taint, target, size, fields, content=content)
        if refused is None:
            return None
        if self._record_only:
            refused = self._only_noted(refused, ())
        return msgspec.structs.replace(refused, taint=cause)

    def _while_tainted(self, verdict: Verdict, cause: str) -> Verdict:
        """Say of a verdict that the agent is tainted; what was only warned about blocks then."""
        warned = tuple(finding for finding in verdict.findings if not finding.home)
        if (
            verdict.reason is Reason.WOULD_BLOCK
            and warned
            and not self._record_only
            and self.policy.inbound.taint.credentials == "block"
        ):
            verdict = msgspec.structs.replace(
                self.refuse(Reason.TAINTED, verdict.detail, verdict.rule), findings=warned
            )
        return msgspec.structs.replace(verdict, taint=cause)


def _written(content_type: bytes, path: str, first: bytes) -> Written:
    """Tell how text stands in a content; path and begin may say otherwise than its type."""
    media = media_of(content_type)
    kind = media.kind
    if kind not in _WRITTEN or first.lstrip(_BLANK)[:1] == b"<":
        return ""
    if codec_for(media.charset, first[:LOOK]):  # letters of several bytes
        return ""
    if path.partition("?")[0].lower().endswith(_MARKUP):
        return ""
    return "json" if kind in _JSON or first.lstrip(_BLANK)[:1] in (b"{", b"[", b'"') else "plain"
