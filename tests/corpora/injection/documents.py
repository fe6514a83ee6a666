"""Documents of the corpus: injections made from phrases, carriers and disguises."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from tests.corpora.injection.bases import HALVES, Base, bases, fill
from tests.corpora.injection.carriers import CARRIERS, Page
from tests.corpora.injection.disguises import DISGUISES, may_wear

_PLAIN = 0.4  # of all injections wear no disguise


class Document(NamedTuple):
    """What a server sends, and what is known of it."""

    content_type: str
    body: bytes
    family: str
    """Of an injection; of a benign document its kind, such as `man` or `hard:paper`."""
    label: str
    """`strong`, `weak`, `benign` or `hard`."""
    half: str
    carrier: str = ""
    disguise: str = ""
    language: str = "en"
    payload: str = ""
    """The injected text without its disguise."""
    name: str = ""
    """Of a benign document: where it comes from."""


def injections(count: int, seed: int, half: str | None = None) -> Iterator[Document]:
    """Give injections: every base phrase in turn, each time carried and disguised otherwise.

    Args:
        count: how many, over all halves wanted.
        seed: the same seed gives the same documents.
        half: `dev` or `heldout`; None: both.
    """
    wanted = [base for base in bases() if half in {None, base.half}]
    order = random.Random(seed)
    order.shuffle(wanted)
    for number in range(count):
        base = wanted[number % len(wanted)]
        rng = random.Random(f"{seed}/{number // len(wanted)}/{base.family}/{base.text}")
        yield injection(base, rng)


def injection(base: Base, rng: random.Random) -> Document:
    """Make one document of a base phrase."""
    payload = fill(base, rng)
    carrier = rng.choice(sorted(CARRIERS))
    disguise = "plain"
    if rng.random() >= _PLAIN:
        fitting = [d for d in DISGUISES if d != "plain" and may_wear(d, carrier, payload)]
        disguise = rng.choice(fitting)
    dressed = DISGUISES[disguise](payload, rng)
    content_type, text = CARRIERS[carrier](dressed, Page(rng, base.half))
    return Document(
        content_type=content_type,
        body=text.encode("utf-8", "surrogatepass"),
        family=base.family,
        label="strong" if base.strong else "weak",
        half=base.half,
        carrier=carrier,
        disguise=disguise,
        language=base.language,
        payload=payload,
    )


def half_of(name: str) -> str:
    """Return the half that a benign source belongs to, by its name: two of five are held out."""
    return HALVES[zlib.crc32(name.encode()) % 5 < 2]
