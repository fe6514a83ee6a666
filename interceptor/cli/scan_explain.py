"""Explanations of findings: view, encodings, rule, home, and the text around, secrets masked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from interceptor.evidence import masking
from interceptor.scan.engine import DECODED_BYTES, RawFinding, Scan, Scanner, Witness

if TYPE_CHECKING:
    from interceptor.policy.schema import Policy
    from interceptor.scan.ruleset import Rule
    from interceptor.verdict import Finding

_BEFORE: Final = 48
_AFTER: Final = 24
_NEAR: Final = 1024
_SHOWN: Final = 4
_LEAST: Final = 16
"""Of a shorter secret not even the first characters are shown."""
_KEPT: Final = 4096
_EDGE: Final = re.compile(rb"[^A-Za-z0-9+/=_.~%\x80-\xff-]")
"""Ends a word that could be a token."""
_TURNED: Final = ("reversed", "rot13")


Seen = tuple[str, RawFinding, bytes]
"""View, finding, and the text that it was found in."""


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a finding is one, without the secret."""

    view: str
    """Where it lies: `url`, `header:x-note`, `body`."""
    encoding: str
    """Encodings that were undone, outermost first; `plain` if none."""
    rule: str
    title: str
    kind: str
    home: str
    """Why it is at home, or why not."""
    validator: str = ""
    """The check that the value passed."""
    references: tuple[str, ...] = ()
    around: str = ""
    """Text around the secret, decoded; the secret is its first characters and its length."""


class Witnessing(Scanner):
    """A scanner that keeps the texts of what it found, until they are taken.

    Attributes:
        seen: what was found since `take`. It holds secrets: never print it as it is.
    """

    def __init__(self, scanner: Scanner) -> None:
        self.__dict__.update(scanner.__dict__)
        self.seen: list[Seen] = []

    def take(self) -> list[Seen]:
        """Return what was seen since the last time."""
        seen, self.seen = self.seen, []
        return seen

    def scan(
        self,
        data: bytes,
        where: str,
        key: bytes = b"",
        decoded_bytes: int = DECODED_BYTES,
        *,
        joined: bool = False,
        unpacked: bool = False,
        witness: Witness | None = None,
    ) -> Scan:
        """See `Scanner.scan`."""
        own: Witness = [] if witness is None else witness
        start = len(own)
        scan = super().scan(
            data, where, key, decoded_bytes, joined=joined, unpacked=unpacked, witness=own
        )
        self.seen += [(where, raw, text) for raw, text in own[start:]]
        return scan

    def scan_folded(self, data: bytes, encoding: str, key: bytes = b"") -> list[RawFinding]:
        """See `Scanner.scan_folded`."""
        found = super().scan_folded(data, encoding, key)
        self.seen += [("name", raw, data) for raw in found]
        return found

    def scan_joined(self, data: bytes, key: bytes = b"") -> list[RawFinding]:
        """See `Scanner.scan_joined`."""
        found = super().scan_joined(data, key)
        self.seen += [("head", raw, data) for raw in found]
        return found


def witnessing(scanner: Scanner) -> Witnessing:
    """Return a scanner that was prepared as a witness, as one."""
    assert isinstance(scanner, Witnessing)  # noqa: S101
    return scanner


class Explainer:
    """Explains findings of one scanner.

    Attributes:
        scanner: that one.
    """

    def __init__(self, scanner: Witnessing, policy: Policy) -> None:
        self.scanner = scanner
        self._policy = policy
        self._rules = {rule.id: rule for rule in scanner.rules}
        self._around: dict[tuple[str, str, str], str] = {}
        self._names: dict[tuple[str, str, str], str] = {}

    def note(self, seen: Sequence[Seen]) -> None:
        """Keep what the scanner saw, masked. To be called before `explain`."""
        spans: dict[bytes, list[RawFinding]] = {}
        for _, raw, text in seen:
            spans.setdefault(text, []).append(raw)
        for where, raw, text in seen:
            rule = self.scanner.rules[raw.rule].id
            near = spans[text]
            hidden = any(is_known(self.scanner.rules[one.rule].id) for one in near)
            shown = around(text, raw, near, hidden=hidden)
            # A verdict on a name is remembered, so that the scanner sees the name only once.
            kept = self._names if where == "name" else self._around
            for encoding in (raw.encoding, ""):
                kept.setdefault((rule, raw.digest, encoding), shown)

    def forget(self) -> None:
        """Take note that another item follows."""
        self._around.clear()
        if len(self._names) > _KEPT:
            self._names.clear()

    def explain(self, finding: Finding, host: str, scheme: str = "https") -> Explanation:
        """Explain a finding.

        Args:
            finding: see there.
            host: where it goes, in the form that may be shown; may be empty.
            scheme: of the target.
        """
        rule = self._rules.get(finding.rule)
        view = view_of(finding.where)
        encoding = finding.encoding or "plain"
        if rule is None:
            return Explanation(view, encoding, finding.rule, finding.title, "inbound", "")
        return Explanation(
            view=view,
            encoding=encoding,
            rule=rule.id,
            title=rule.title,
            kind="known" if is_known(rule.id) else rule.kind,
            home=self._home(rule, finding, host, scheme),
            validator=rule.validator,
            references=rule.references,
            around=self._text(finding),
        )

    def _text(self, finding: Finding) -> str:
        kept = self._names if finding.where == "name" else self._around
        rule, digest = finding.rule, finding.digest
        exact = kept.get((rule, digest, finding.encoding), "")
        return exact or kept.get((rule, digest, ""), "")

    def _home(self, rule: Rule, finding: Finding, host: str, scheme: str) -> str:
        homes = [(home.hosts, home.places) for home in rule.home]
        for entry in self._policy.rules.homes:
            if entry.rule == rule.id:
                places = tuple(place for home in rule.home for place in home.places)
                homes.append(((entry.host,), places or ("header:authorization",)))
        place = view_of(finding.where)
        if host:
            place += f" of {host}"
        if finding.home:
            return f"at home: {place}"
        if not homes:
            return "belongs nowhere: the rule has no home"
        belongs = "; ".join(f"{_list(places)} of {_list(hosts)}" for hosts, places in homes)
        if scheme == "http":
            return f"not at home: in clear text nothing is; it belongs in {belongs}, over https"
        return f"not at home in {place}: it belongs in {belongs}"


def view_of(where: str) -> str:
    """Return the view of a finding as it may be printed: names of fields are somebody's choice."""
    kind = where.partition(":")[0]
    return masking.where(where) if kind in ("header", "trailer") else masking.printable(where)


def around(text: bytes, raw: RawFinding, others: Iterable[RawFinding], *, hidden: bool) -> str:
    """Return the text around a finding on one line, every secret in it masked.

    Args:
        text: where it was found; decoded text if it was encoded.
        raw: the finding.
        others: all findings in `text`.
        hidden: it is a known secret, or one stands in the same text: then nothing is shown but the
            length, because what was matched may be a part of it only.
    """
    start, end = raw.start, raw.end
    if hidden:
        return f"{masking.MASK}({end - start} bytes)"
    spans = _spans(text, start, end, others)
    for low, high in spans:  # those that overlap are one
        if low < end and high > start:
            start, end = min(start, low), max(end, high)
    turned = raw.encoding.rpartition(">")[2] in _TURNED
    shown = b"" if turned or end - start < _LEAST else text[start : start + _SHOWN]
    secret = f"{_printed(shown)}{masking.MASK}({end - start} bytes)"
    return _before(text, start, spans) + secret + _after(text, end, spans)


def is_known(rule: str) -> bool:
    """Say whether an id stands for a known secret or a canary: nothing of one is ever shown."""
    return rule.startswith(("known:", "canary:"))


def _spans(
    text: bytes, start: int, end: int, others: Iterable[RawFinding]
) -> list[tuple[int, int]]:
    """Where secrets stand near a span, in order; of one that is there often only one is found."""
    low, high = max(0, start - _NEAR), end + _NEAR
    spans: set[tuple[int, int]] = set()
    for secret in {text[other.start : other.end] for other in others}:
        at = text.find(secret, low, high) if secret else -1
        while at >= 0:
            spans.add((at, at + len(secret)))
            at = text.find(secret, at + 1, high)
    return sorted(spans)


def _before(text: bytes, end: int, spans: list[tuple[int, int]]) -> str:
    start = max(0, end - _BEFORE)
    start = max(start, text.rfind(b"\n", start, end) + 1, text.rfind(b"\r", start, end) + 1)
    piece = _blanked(text, start, end, spans)
    if (
        start and text[start - 1] not in b"\r\n"
    ):  # a word that is cut off here may be a token that nobody would recognise
        edge = _EDGE.search(piece)
        piece = piece[edge.start() :] if edge else b""
    return masking.tokens(_printed(piece))


def _after(text: bytes, start: int, spans: list[tuple[int, int]]) -> str:
    end = min(len(text), start + _AFTER)
    for line_end in (b"\n", b"\r"):
        stop = text.find(line_end, start, end)
        end = stop if stop >= 0 else end
    piece = _blanked(text, start, end, spans)
    # The word that goes on where the match ends may belong to the secret.
    edge = _EDGE.search(piece)
    piece = piece[edge.start() :] if edge else b""
    if end < len(text) and not _EDGE.match(text, end):
        while piece and not _EDGE.match(piece, len(piece) - 1):
            piece = piece[:-1]
    return masking.tokens(_printed(piece))


def _blanked(text: bytes, start: int, end: int, spans: list[tuple[int, int]]) -> bytes:
    """Cut out of `text`, with every secret in it replaced by the mask."""
    pieces: list[bytes] = []
    at = start
    for low, high in spans:
        if low < end and high > at:
            pieces += [text[at : max(at, low)], masking.MASK.encode()]
            at = max(at, min(high, end))
    return b"".join((*pieces, text[at:end]))


def _printed(text: bytes) -> str:
    return masking.printable(text.decode("utf-8", "replace"))


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)
