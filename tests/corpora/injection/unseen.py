"""A split that nothing was tuned on: other phrases, slots, documents and frames, in `unseen/`.

Written before the rules were last worked over and looked at after that; the disguises and carriers
are those of the other halves, as they are mechanisms and not wordings.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from tests.corpora.injection import carriers
from tests.corpora.injection.bases import FOLDER, HELDOUT, read_parts
from tests.corpora.injection.carriers import CARRIERS, Page
from tests.corpora.injection.disguises import DISGUISES, may_wear
from tests.corpora.injection.documents import Document

UNSEEN: Final = "unseen"
_HERE: Final = FOLDER / UNSEEN
_SLOT: Final = re.compile(r"\{([A-Za-z]+[12]?)\}")
_PLAIN: Final = 0.4
_QUOTES: Final = 8


@lru_cache(maxsize=1)
def _slots() -> dict[str, list[str]]:
    return {name: text.split("\n") for name, text in read_parts(_HERE / "slots.txt", "%% ")}


@lru_cache(maxsize=1)
def phrases() -> tuple[tuple[str, str, str], ...]:
    """Return (family, language, phrase) of all phrases."""
    found = []
    for family, text in read_parts(_HERE / "phrases.txt", "%% "):
        for line in text.split("\n"):
            language = "en"
            if family == "multilingual":
                language, _, line = line.partition(": ")
            found.append((family, language, line.replace("\\n", "\n")))
    return tuple(found)


def filled(phrase: str, rng: random.Random) -> str:
    """Return a phrase with its slots filled."""
    act = _fill(rng.choice(_slots()["act"]), rng)
    words = act.split(" ")
    half = len(words) // 2
    made = {
        "act": act, "Act": act[0].upper() + act[1:], "half1": " ".join(words[:half]),
        "half2": " ".join(words[half:]), "shuffled": " / ".join(rng.sample(words, len(words))),
    }  # fmt: skip
    return _fill(_SLOT.sub(lambda m: made.get(m[1], m[0]), phrase), rng)


def _fill(text: str, rng: random.Random) -> str:
    def one(match: re.Match[str]) -> str:
        name = match[1]
        values = _slots().get(name.lower())
        if values is None:
            return match[0]
        value = rng.choice(values)
        return value[0].upper() + value[1:] if name[0].isupper() else value

    return _SLOT.sub(one, _SLOT.sub(one, text))


class _Page(Page):
    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng, HELDOUT if rng.random() < 0.5 else "dev")
        texts = (_HERE / "fillers.txt").read_text("utf-8").splitlines()
        self._fillers = rng.sample(texts, 4)


def injections(count: int, seed: int) -> Iterator[Document]:
    """Give injections: every phrase in turn, each time carried and disguised otherwise."""
    wanted = list(phrases())
    random.Random(f"{seed}/unseen").shuffle(wanted)
    for number in range(count):
        family, language, phrase = wanted[number % len(wanted)]
        rng = random.Random(f"{seed}/{number}/unseen/{phrase}")
        payload = filled(phrase, rng)
        carrier = rng.choice(sorted(CARRIERS))
        disguise = "plain"
        if rng.random() >= _PLAIN:
            fitting = [d for d in DISGUISES if d != "plain" and may_wear(d, carrier, payload)]
            disguise = rng.choice(fitting)
        page = _Page(rng)
        content_type, text = carriers.CARRIERS[carrier](DISGUISES[disguise](payload, rng), page)
        yield Document(
            content_type, text.encode("utf-8", "surrogatepass"), family, "strong", UNSEEN,
            carrier, disguise, language, payload,
        )  # fmt: skip


def hard(seed: int) -> list[Document]:
    """Return documents about injections and for agents, and frames that quote phrases."""
    found = []
    for rank, (head, text) in enumerate(read_parts(_HERE / "hard.txt", "%% ")):
        kind, content_type = head.split()
        found.append(
            Document(
                content_type, text.encode(), f"hard:{kind}", "hard", UNSEEN, name=f"{kind}:{rank}"
            )
        )
    english = [phrase for _, language, phrase in phrases() if language == "en"]
    for rank, (head, frame) in enumerate(read_parts(_HERE / "frames.txt", "%% ")):
        kind, content_type = head.split()
        rng = random.Random(f"{seed}/{rank}/unseen frames")
        for phrase in rng.sample(english, _QUOTES):
            texts = [filled(phrase, rng), filled(rng.choice(english), rng)]
            if content_type in {"application/json", "text/x-python", "text/x-yaml"}:
                texts = [
                    t.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for t in texts
                ]
            made = frame.replace("{payload2}", texts[1]).replace("{payload}", texts[0])
            found.append(
                Document(
                    content_type, made.encode(), f"hard:quote:{kind}", "hard", UNSEEN, name=phrase
                )
            )
    return found
