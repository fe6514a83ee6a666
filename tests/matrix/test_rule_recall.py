"""Secrets of every rule leave in no encoding and by no carrier: a sample, all in other draws.

`python -m tests.recall` measures the whole.
"""

from __future__ import annotations

from collections import Counter

import pytest

from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import Rule
from tests.recall import report
from tests.recall.carriers import CARRIERS
from tests.recall.encodings import BY_NAME, ENCODINGS, STATED
from tests.recall.examples import Chain, counterexamples, is_split, secrets
from tests.recall.groups import EACH_GROUP, RULES, nothing
from tests.recall.measure import Tally, forget, judge_of, send

TURN = 3  # of the encodings of one draw, every third is sent
FEWER = {
    "settings-secret": 0.75,  # a line that ends with CRLF may be a header, where it is at home
    "elastic-api-key": 0.75,  # in protobuf: the next field is no end of a value to it
}
"""Rules of which more may pass, and why."""


@pytest.fixture(scope="module")
def tally(scanner: Scanner) -> Tally:
    """A sample in which every rule meets every stated encoding, and every carrier."""
    found = Tally()
    judge = judge_of(scanner)
    stated = [BY_NAME[name] for name in STATED]
    for index, secret in enumerate(secrets(RULES, TURN, first=1000)):
        forget(judge, scanner)
        for number, encoding in enumerate(stated):
            if encoding.folds and not is_split(secret.rule):
                continue
            if (number + secret.salt) % TURN and secret.drawn:
                continue
            carrier = CARRIERS[(index + number) % len(CARRIERS)]
            outcome = send(judge, secret, Chain((encoding,)), carrier)
            if outcome is not None:
                found.note(secret, encoding.name, carrier.name, outcome)
    return found


def test_what_identifies_itself_is_found(tally: Tally) -> None:
    found = report.stated(tally, RULES, CARRIERS)
    assert found >= report.GOAL, "\n".join(report.misses(tally))


def test_every_rule_is_found_under_most_encodings(tally: Tally) -> None:
    """The average of many rules must not hide one that is not found at all."""
    low = []
    for rule in RULES:
        found = report.recall(tally, lambda cell, rule=rule: cell[0] == rule.id)  # type: ignore[misc]
        if found < FEWER.get(rule.id, 0.9):
            missed = [f"{m[0].number} {m[1]} {m[2]}" for m in tally.missed if m[0].rule is rule]
            low.append(f"{rule.id} {found:.2f}: {missed}")
    nothing(low)


def test_every_stated_encoding_is_undone(tally: Tally) -> None:
    for name in STATED:
        found = report.recall(tally, lambda cell, name=name: cell[1] == name)  # type: ignore[misc]
        assert found >= 0.97, (name, found, report.misses(tally))


def test_every_carrier_is_read(tally: Tally) -> None:
    for carrier in CARRIERS:
        sent = sum(n for cell, n in tally.sent.items() if cell[2] == carrier.name)
        assert sent > len(RULES)
        found = report.recall(tally, lambda cell, name=carrier.name: cell[2] == name)  # type: ignore[misc]
        assert found >= 0.97, (carrier.name, found, report.misses(tally))


@pytest.mark.parametrize("rules", EACH_GROUP)
def test_every_draw_of_an_example_is_a_secret(scanner: Scanner, rules: list[Rule]) -> None:
    """Atoms are random, and validators must take almost all of them: of forty draws two may look
    like no secret, with letters that follow each other or come too often."""
    missed: Counter[str] = Counter()
    for secret in secrets(rules, 40):
        scan = scanner.scan(secret.text + b"\n", "head")
        if secret.rule.id not in {scanner.rules[raw.rule].id for raw in scan.findings}:
            missed[f"{secret.rule.id}[{secret.number}]"] += 1 if secret.drawn else 40
    nothing([f"{name}: {count} of 40 draws" for name, count in missed.items() if count > 2])


@pytest.mark.parametrize("rules", EACH_GROUP)
def test_what_a_rule_must_not_match_passes_by_every_carrier(
    scanner: Scanner, rules: list[Rule]
) -> None:
    """What a text is wrapped in may complete a pattern: sixty letters of a key and four of a form.
    That is rare; a rule that an encoding switched its validator off for would be seen."""
    sent = 0
    found = []
    judge = judge_of(scanner)
    for index, secret in enumerate(counterexamples(rules, 2)):
        for number, encoding in enumerate(ENCODINGS):
            if (number + index) % 5:
                continue
            forget(judge, scanner)
            carrier = CARRIERS[(index + number) % len(CARRIERS)]
            outcome = send(judge, secret, Chain((encoding,)), carrier)
            if outcome is not None:
                sent += 1
                if secret.rule.id in [one.rule for one in outcome.findings]:
                    name = f"{secret.rule.id}[{secret.number}]"
                    found.append(f"{name} {encoding.name} {carrier.name}")
    assert sent > 5 * len(rules)
    assert len(found) * 100 <= sent, found


def test_harmless_text_passes_by_every_carrier_in_every_encoding(scanner: Scanner) -> None:
    """Positive control: a carrier that were always refused would make recall look perfect."""
    judge = judge_of(scanner)
    for text in (b"the quick brown fox jumps over 13 lazy dogs", b"a=1, b=2"):
        secret = next(secrets([RULES[0]], 1))._replace(text=text)
        for carrier in CARRIERS:
            for encoding in ENCODINGS:
                outcome = send(judge, secret, Chain((encoding,)), carrier)
                assert outcome is None or not outcome.blocked, (carrier.name, encoding.name)
