"""Recall: how many of the secrets that leave, encoded and carried, are caught."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from interceptor.decide.judge import Judge
from interceptor.decide.memory import SplitMemory
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from tests.recall.carriers import Carrier, Outcome, carry
from tests.recall.encodings import Encoding
from tests.recall.examples import Chain, Secret, applies

Cell = tuple[str, str, str]
"""Rule, encoding or chain, carrier."""


def judge_of(scanner: Scanner) -> Judge:
    """Judge of the default policy."""
    return Judge(Policy(), scanner, b"recall" * 4)


def forget(judge: Judge, scanner: Scanner) -> None:
    """Let a judge forget the pieces it remembers: what follows comes from another agent."""
    judge.memory = SplitMemory(scanner, b"recall" * 4)


class Tally:
    """What became of all texts.

    Attributes:
        sent: texts by cell.
        caught: of them those that were blocked for a finding.
        own: of these those with a finding of the secret's own rule.
        unreadable: those that were blocked as `incomplete`: no leak, but nothing found either.
        missed: (secret, encoding, carrier) that passed.
    """

    def __init__(self) -> None:
        self.sent: Counter[Cell] = Counter()
        self.caught: Counter[Cell] = Counter()
        self.own: Counter[Cell] = Counter()
        self.unreadable: Counter[Cell] = Counter()
        self.missed: list[tuple[Secret, str, str]] = []

    def note(self, secret: Secret, encoding: str, carrier: str, outcome: Outcome) -> None:
        """Count one text."""
        cell = secret.rule.id, encoding, carrier
        self.sent[cell] += 1
        if outcome.blocked and outcome.findings:
            self.caught[cell] += 1
            self.own[cell] += outcome.names(secret.rule.id)
        elif outcome.blocked:
            self.unreadable[cell] += 1
        else:
            self.missed.append((secret, encoding, carrier))


def send(judge: Judge, secret: Secret, chain: Chain, carrier: Carrier) -> Outcome | None:
    """Send a secret; None where it cannot be carried so."""
    text = chain.encode(secret.text)
    if text is None:
        return None
    return carry(judge, carrier, text, secret.seed, escaped=chain.url)


def measure(
    judge: Judge,
    secrets: Iterable[Secret],
    encodings: Sequence[Encoding],
    carriers: Sequence[Carrier],
) -> Tally:
    """Every secret in every encoding by every carrier."""
    tally = Tally()
    for secret in secrets:
        for encoding in encodings:
            if not applies(secret.rule, (encoding,)):
                continue
            chain = Chain((encoding,))
            for carrier in carriers:
                found = send(judge, secret, chain, carrier)
                if found is not None:
                    tally.note(secret, encoding.name, carrier.name, found)
    return tally
