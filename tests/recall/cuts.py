"""Secrets that come in pieces: what leaves before the block must hold nothing of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from interceptor.scan.engine import Scan, Scanner
from interceptor.scan.ruleset import Rule
from interceptor.scan.window import STRIDE, BodyWindow
from interceptor.verdict import Finding, Reason, Verdict
from tests.recall.encodings import BY_NAME
from tests.recall.examples import applies, secrets

_BEFORE = b"ab cd " * (STRIDE // 6 + 1)  # what calls for no decoder: there are many cuts

UNDER = ("plain", "base64", "hex", "percent", "escapes-u", "reversed", "full-width", "gzip+base64")
"""Encodings that a full run cuts."""


class Leak(NamedTuple):
    """A cut at which a secret was not stopped whole."""

    cut: int
    left: int
    """Bytes of it that had been released."""
    caught: bool


def leaks(
    scanner: Scanner, rule: str, secret: bytes, cuts: Iterable[int], *, flush: bool = False
) -> list[Leak]:
    """Stream `secret` inside a longer body, cut in two at each of `cuts`.

    Args:
        scanner: the scanner.
        rule: id of a rule that must be among the findings.
        secret: what must not leave.
        cuts: offsets in it.
        flush: the sender pauses at the cut, so that what came before may leave. Then a part may be
            gone, but not the whole: what the rest is stopped for does not matter, as the part that
            is there at the pause may look like another secret, and ends the body for that.
    """
    found = []
    for cut in cuts:
        hit: set[str] = set()

        def decide(scan: Scan, hit: set[str] = hit) -> tuple[Verdict | None, tuple[Finding, ...]]:
            hit.update(scanner.rules[raw.rule].id for raw in scan.findings)
            return Verdict(reason=Reason.SECRET), ()

        window = BodyWindow(scanner, decide)
        sent = window.feed(_BEFORE + secret[:cut])
        if flush and window.verdict is None:
            sent += window.flush()
        if window.verdict is None:
            sent += window.feed(secret[cut:] + b"\n" + _BEFORE)
        if window.verdict is None:
            sent += window.finish()
        left = max(0, len(sent) - len(_BEFORE))
        caught = window.verdict is not None and (flush or rule in hit)
        if not caught or left > (cut if flush else 0):
            found.append(Leak(cut, left, caught))
    return found


def whole(scanner: Scanner, rules: Sequence[Rule]) -> tuple[int, list[str]]:
    """First example of every rule, in each of `UNDER`, cut at every byte, with pauses and without.

    Returns how many cuts there were, and a line for each secret that got past one.
    """
    count = 0
    missed = []
    for secret in secrets(rules, 1):
        for name in UNDER:
            encoding = BY_NAME[name]
            if not applies(secret.rule, (encoding,)):
                continue
            text = encoding.encode(secret.text)
            for flush in (False, True):
                cuts = range(1, len(text))
                count += len(cuts)
                found = leaks(scanner, secret.rule.id, text, cuts, flush=flush)
                if found:
                    how = "after a pause" if flush else "in a stream"
                    at = ", ".join(str(leak.cut) for leak in found[:5])
                    missed.append(
                        f"{secret.rule.id}[{secret.number}] {name} {how}: {len(found)} of "
                        f"{len(cuts)} cuts, at {at}"
                    )
    return count, missed
