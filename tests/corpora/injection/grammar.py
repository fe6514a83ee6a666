"""Texts made of parts, for the classifier to learn from: `grammar.txt`, `grammar_benign.txt`."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from tests.corpora.injection.bases import DEV, FOLDER, Base, fill

_PART: Final = re.compile(r"<([a-z-]+)>")
_DEEP: Final = 12

INJECTIONS: Final = "grammar.txt"
BENIGN: Final = "grammar_benign.txt"


@lru_cache(maxsize=2)
def parts(file: str) -> dict[str, list[str]]:
    """Return the ways to put each part."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in (FOLDER / file).read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        if re.fullmatch(r"[a-z-]+:", line):
            name = line[:-1]
            found[name] = []
        elif name:
            found[name].append(line)
    return found


def sentence(rng: random.Random, file: str) -> str:
    """Return one text, its slots filled."""
    table = parts(file)
    text = rng.choice(table["start"])
    for _ in range(_DEEP):
        made = _PART.sub(lambda m: rng.choice(table.get(m[1], [m[1]])), text)
        if made == text:
            break
        text = made
    return fill(Base("grammar", "en", True, text, DEV), rng)


def sentences(seed: int, count: int, file: str = INJECTIONS) -> Iterator[tuple[str, str]]:
    """Give (source, text): texts of the same source are alike."""
    for number in range(count):
        yield f"{file} {number % 97}", sentence(random.Random(f"{seed}/{file}/{number}"), file)
