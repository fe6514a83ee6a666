"""What the classifier learns from: windows of stems, of injections and of ordinary text."""

from __future__ import annotations

import html
import random
import re
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from interceptor.scan.injection.classifier import WINDOW, stems
from tests.corpora.injection.bases import FOLDER, Base, bases, fill, halved
from tests.corpora.injection.benign import hard, languages
from tests.corpora.injection.documents import Document
from tests.corpora.injection.grammar import BENIGN, sentences

_BLANK: Final = re.compile(r"\n\s*\n")
_CODE: Final = re.compile(r"(?is)<(script|style)\b.*?</\1>|<!--.*?-->")
_ELEMENT: Final = re.compile(r"<[^<>]{0,2000}>")
_BREAK: Final = re.compile(r"(?i)</?(p|div|li|td|tr|h[1-6]|pre|ul|ol|dl|dd|dt|section|br)\b[^<>]*>")
_CONTEXT: Final = 0.5  # of the injections stand within ordinary text
_DROPPED: Final = 0.06  # of an injection's stems are left out at random
_OTHER_WORDS: Final = 0.4  # of the words that have synonyms are replaced
_JOINED: Final = 0.25  # of the injections follow upon another one


def kept_out(source: str) -> bool:
    """Tell whether a source of the dev half calibrates instead of being learned from."""
    return zlib.crc32(f"calibration {source}".encode()) % 6 == 0


class Window(NamedTuple):
    """Stems that stand together, and what they are."""

    found: list[bytes]
    injected: bool
    weight: float
    source: str
    """Base phrase or document: what only one source has is not learned."""


def paragraphs(document: Document) -> list[str]:
    """Return the paragraphs of a document, roughly as they are read; no reader of the product's."""
    text = document.body.decode("utf-8", "ignore")
    if document.content_type == "text/html":
        text = _ELEMENT.sub("", _BREAK.sub("\n\n", _CODE.sub(" ", text)))
        text = html.unescape(text)
    return [part for part in _BLANK.split(text) if not part.isspace() and part]


def of_document(document: Document, weight: float = 1.0) -> Iterator[Window]:
    """Give the windows of an ordinary document: its paragraphs, long ones in parts."""
    for paragraph in paragraphs(document):
        found = stems(paragraph.encode())
        for start in range(0, len(found), WINDOW):
            part = found[start : start + WINDOW]
            if len(part) >= 4:
                yield Window(part, injected=False, weight=weight, source=document.name)


def of_bases(seed: int, half: str, fills: int, context: list[Window]) -> Iterator[Window]:
    """Give windows of each base phrase of a half, with and without ordinary text around it.

    Args:
        seed: the same seed gives the same windows.
        half: whose bases.
        fills: how often each base is filled.
        context: windows of ordinary text to take from.
    """
    others: dict[bool, list[Base]] = {False: [], True: []}
    for base in bases():
        if base.half == half and base.strong:
            others[kept_out(base.text)].append(base)
    for base in bases():
        if base.half != half:
            continue
        rng = random.Random(f"{seed}/{base.family}/{base.text}")
        for number in range(fills):
            text = fill(base, rng)
            if number % 4 and base.language == "en":
                text = reworded(text, rng)
            if rng.random() < _JOINED:
                text = f"{fill(rng.choice(others[kept_out(base.text)]), rng)} {text}"
            found = stems(text.encode())
            if rng.random() < 0.5:
                found = [stem for stem in found if rng.random() >= _DROPPED]
            if rng.random() < _CONTEXT and context and len(found) < WINDOW - 4:
                room = rng.randrange(4, WINDOW - len(found) + 1)
                before = rng.randrange(room + 1)
                first = rng.choice(context).found[:before] if before else []
                after = rng.choice(context).found[: room - before]
                found = [*first, *found, *after]
            elif len(found) > WINDOW:
                start = rng.randrange(len(found) - WINDOW + 1)
                found = found[start : start + WINDOW]
            yield Window(found, injected=True, weight=1.0 if base.strong else 0.5, source=base.text)


def of_grammar(seed: int, count: int, context: list[Window]) -> Iterator[Window]:
    """Give windows of sentences made of parts, with and without ordinary text around them."""
    for number, (source, text) in enumerate(sentences(seed, count)):
        rng = random.Random(f"{seed}/{number}/window")
        found = stems(text.encode())
        if rng.random() < 0.3:
            found = [stem for stem in found if rng.random() >= _DROPPED]
        if rng.random() < _CONTEXT and context and len(found) < WINDOW - 4:
            room = rng.randrange(4, WINDOW - len(found) + 1)
            before = rng.randrange(room + 1)
            first = rng.choice(context).found[:before] if before else []
            found = [*first, *found, *rng.choice(context).found[: room - before]]
        yield Window(found[:WINDOW], injected=True, weight=0.6, source=source)


def of_benign_grammar(seed: int, count: int) -> Iterator[Window]:
    """Give windows of sentences about injections, for agents and of manuals."""
    for source, text in sentences(seed, count, BENIGN):
        yield Window(stems(text.encode())[:WINDOW], injected=False, weight=1.0, source=source)


@lru_cache(maxsize=1)
def _synonyms() -> tuple[re.Pattern[str], dict[str, tuple[str, ...]]]:
    lines = (FOLDER / "synonyms.txt").read_text("utf-8").splitlines()
    groups: dict[str, tuple[str, ...]] = {}
    for line in lines:
        words = tuple(line.split("|"))
        for word in words:
            if word:
                groups.setdefault(word.lower(), words)
    longest = sorted(groups, key=lambda word: (-len(word), word))
    return re.compile(r"(?i)\b(?:" + "|".join(map(re.escape, longest)) + r")\b"), groups


def reworded(text: str, rng: random.Random) -> str:
    """Say the same with other words, here and there."""
    pattern, groups = _synonyms()

    def other(match: re.Match[str]) -> str:
        if rng.random() >= _OTHER_WORDS:
            return match.group()
        return rng.choice(groups[match.group().lower()])

    return pattern.sub(other, text)


def imperatives(seed: int, half: str, fills: int, weight: float) -> Iterator[Window]:
    """Give windows of ordinary requests and orders, such as manuals hold, with the same slots."""
    lines = (FOLDER / "phrases" / "benign_imperatives.txt").read_text("utf-8").splitlines()
    half_of = halved(lines, "imperatives")
    for line in lines:
        if half_of[line] != half:
            continue
        rng = random.Random(f"{seed}/{line}")
        base = Base("imperative", "en", False, line, half)
        for _ in range(fills):
            found = stems(reworded(fill(base, rng), rng).encode())
            yield Window(found[:WINDOW], injected=False, weight=weight, source=line)


def of_hard_set(seed: int, half: str, weight: float, quotes: int) -> Iterator[Window]:
    """Give windows of the hard set and of ordinary sentences in many languages.

    A paragraph of a frame that is nothing but the quoted phrase is left out: only its setting
    tells it from the phrase itself.

    Args:
        seed: as of `of_bases`.
        half: whose documents.
        weight: of each window that quotes nothing; the others count 1.
        quotes: phrases that each frame quotes.
    """
    for document in hard(seed, half, quotes):
        quoting = document.family.startswith("hard:quote")
        for paragraph in paragraphs(document):
            found = stems(paragraph.encode())
            alone = quoting and not any(stem in _TELLING for stem in found)
            for start in range(0, len(found), WINDOW):
                part = found[start : start + WINDOW]
                if len(part) >= 4 and not alone:
                    counts = 1.0 if quoting else weight
                    yield Window(part, injected=False, weight=counts, source=document.name)
    for document in languages(half):
        found = stems(document.body)
        yield Window(
            found[:WINDOW], injected=False, weight=weight, source=document.name or str(found)
        )


_TELLING: Final = frozenset(
    stems(b"attacker attack injection prompt rule sample blocked success severity label assert")
)
