"""The public benchmark's cases, driven through the jail with other hosts and secrets.

Read where they lie (see tests/benchmark); skipped where they are not. The table is printed: run
with `-s`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.benchmark.cases import Case, load
from tests.benchmark.drive import Driver, Outcome, table
from tests.benchmark.talk_drive import Talker
from tests.lab import Lab, daemons
from tests.lab.agents import need

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

CASES = load()
DRIVEN = [case for case in CASES if not case.later and not case.talks]
TALKS = [case for case in CASES if case.talks]
ARGUED = {
    "enc-triple-url-009": "what is encoded is the two letters `AI`: there is no secret",
    "body-dlp-hex-encoded-007": "39 characters in binary with no word beside them, of a kind that "
    "is 40 long: nothing tells them from any other bytes; the agent's own key is found as known",
    "hostname-exfil-chunked-labels-004": "labels `ghp-xxxx.yyyyzzzz...` hold no data",
    **dict.fromkeys(
        (
            "hostname-exfil-base64-subdomain-003",
            "hostname-exfil-hex-subdomain-001",
            "url-entropy-subdomain-007",
        ),
        "words of 14 to 24 bytes, no credential and none of the agent's, named once: a domain is "
        "refused when its names have carried more than a budget; a known secret at once",
    ),
}
"""Cases whose wanted verdict is not given, and why."""


@pytest.fixture(scope="module")
def driver(lab: Lab) -> Driver:
    driver = Driver(lab)
    driver.arrive(DRIVEN)
    return driver


@pytest.fixture(scope="module")
def talker(lab: Lab) -> Talker:
    need(daemons.missing("mcp"))
    talker = Talker(lab)
    talker.arrive(TALKS)
    return talker


@pytest.fixture(scope="module")
def outcomes() -> Iterator[list[Outcome]]:
    found: list[Outcome] = []
    yield found
    print("\n" + table(found, [case for case in CASES if case.later]))


@pytest.mark.skipif(not CASES, reason="the benchmark is not there")
@pytest.mark.parametrize("case", DRIVEN, ids=lambda case: case.id)
def test_case(driver: Driver, outcomes: list[Outcome], case: Case) -> None:
    outcome = driver.drive(case)
    outcomes.append(outcome)
    assert outcome.arrived, "without the jail it does not arrive either"
    if case.id in ARGUED:
        assert not outcome.verdict.startswith("error"), outcome.verdict
    else:
        assert outcome.right, outcome


@pytest.mark.skipif(not CASES, reason="the benchmark is not there")
@pytest.mark.parametrize("case", TALKS, ids=lambda case: case.id)
def test_talk(talker: Talker, outcomes: list[Outcome], case: Case) -> None:
    outcome = talker.drive(case)
    outcomes.append(outcome)
    assert outcome.arrived, "without the jail it does not arrive either"
    assert outcome.right, outcome


@pytest.mark.skipif(not CASES, reason="the benchmark is not there")
def test_nothing_is_left_out_without_a_word() -> None:
    assert len(CASES) == len(DRIVEN) + len(TALKS) + sum(bool(case.later) for case in CASES)
    assert len(DRIVEN) > 30
    assert len(TALKS) > 25
    assert set(ARGUED) <= {case.id for case in DRIVEN}
