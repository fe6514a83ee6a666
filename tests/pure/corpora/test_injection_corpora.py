"""The corpora of injections: what they hold, and what the product makes of a small part of them."""

from __future__ import annotations

import pytest

from interceptor.scan.injection.model import NOTABLE, STRONG
from tests.corpora.injection import measure, unseen
from tests.corpora.injection.bases import HALVES, HELDOUT, bases
from tests.corpora.injection.benign import benign, hard
from tests.corpora.injection.documents import Document, injections

_KINDS = ("doc", "python", "manual", "locale")  # need no program to render them


def test_the_injections_are_as_various_as_asked_for() -> None:
    made = list(injections(1600, 1))
    assert made == list(injections(1600, 1))
    assert len({document.body for document in made}) >= 1000
    for name, least in (("family", 20), ("carrier", 14), ("disguise", 14), ("language", 15)):
        assert len({getattr(document, name) for document in made}) >= least, name
    for half in HALVES:
        assert {document.half for document in injections(50, 1, half)} == {half}


def test_plain_injections_stand_in_their_documents() -> None:
    for document in injections(300, 2):
        if document.disguise == "plain" and document.carrier in {"readme", "email", "log"}:
            word = document.payload.split()[-1]
            assert word in document.body.decode(), document


def test_the_hard_set_is_large_enough() -> None:
    documents = hard(1)
    assert len(documents) >= 150
    assert len({document.body for document in documents}) >= 150


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[measure.Result]]:
    by_what = measure.scanners(tmp_path_factory.mktemp("rules"))

    def judged(documents: list[Document]) -> list[measure.Result]:
        small = [document for document in documents if len(document.body) < 40_000]
        return measure.judge(small, by_what)

    return {
        "strong": judged([d for d in injections(200, 1, HELDOUT) if d.label == "strong"]),
        "ordinary": judged(benign(200, HELDOUT, _KINDS)),
        "hard": judged(hard(1, HELDOUT)),
    }


def test_nothing_ordinary_is_blocked_and_little_noted(
    results: dict[str, list[measure.Result]],
) -> None:
    assert measure.share(results["ordinary"], STRONG, measure.with_classifier) == 0
    assert measure.share(results["ordinary"], NOTABLE, measure.with_classifier) <= 0.015


def test_recall_does_not_fall(results: dict[str, list[measure.Result]]) -> None:
    # What was reached when this was written, less some; the goal is below.
    assert measure.share(results["strong"], NOTABLE, measure.with_classifier) >= 0.55
    plain = [r for r in results["strong"] if r.document.disguise == "plain"]
    assert measure.share(plain, NOTABLE, measure.with_classifier) >= 0.6
    assert measure.share(plain, NOTABLE, measure.with_classifier) > measure.share(
        plain, NOTABLE, measure.rules_alone
    )


def test_the_unseen_split_is_another_one() -> None:
    texts = {base.text for base in bases()}
    assert len(unseen.phrases()) >= 150
    assert not texts & {text for _, _, text in unseen.phrases()}
    assert len({document.body for document in unseen.injections(300, 1)}) >= 290
    assert len(unseen.hard(1)) >= 90


@pytest.mark.xfail(reason="not met: docs/detection.md has the figures", strict=True)
def test_goals(results: dict[str, list[measure.Result]]) -> None:
    assert measure.share(results["strong"], NOTABLE, measure.with_classifier) >= 0.9
    assert measure.share(results["ordinary"], NOTABLE, measure.with_classifier) <= 0.005
    assert measure.share(results["hard"], NOTABLE, measure.with_classifier) <= 0.02
