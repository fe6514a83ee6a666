"""Secrets to look for: the rules' own examples, with atoms drawn anew for each salt."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from interceptor.scan.ruleset import Rule, example
from tests.recall.encodings import BY_NAME, ENCODINGS, Encoding

CHAINABLE = tuple(
    encoding for encoding in ENCODINGS if encoding.chains and encoding.name != "plain"
)
"""Those that chains are made of."""
LAYERS = 4
"""Encodings inside encodings that must be undone."""


class Secret(NamedTuple):
    """One text that holds a secret."""

    rule: Rule
    number: int
    """Which of the rule's `match` examples."""
    salt: int
    text: bytes

    @property
    def drawn(self) -> bool:
        """Whether anything in it depends on the salt."""
        return any(part.startswith("{") for part in self.rule.match[self.number])

    @property
    def seed(self) -> int:
        """A number for choices that a client makes."""
        return self.number + self.salt


class Chain(NamedTuple):
    """Encodings, the innermost first."""

    encodings: tuple[Encoding, ...]

    @property
    def name(self) -> str:
        """Outermost first, as findings name them."""
        return ">".join(encoding.name for encoding in reversed(self.encodings))

    @property
    def layers(self) -> int:
        """How many encodings lie around the secret."""
        return sum(encoding.layers for encoding in self.encodings)

    @property
    def url(self) -> bool:
        """Whether the whole stands in a URL as it is."""
        return bool(self.encodings) and self.encodings[-1].url

    @property
    def out_of_reach(self) -> bool:
        """Whether it is one of those that are known to pass (docs/detection.md): reversed and in
        ROT13 at once, around another encoding."""
        names = [encoding.name for encoding in self.encodings]
        return any({"reversed", "rot13"} == {*pair} for pair in pairwise(names[1:]))

    def encode(self, text: bytes) -> bytes | None:
        """Apply all of them; None if one cannot take what the one before gives."""
        try:
            for encoding in self.encodings:
                text = encoding.encode(text)
        except UnicodeDecodeError:
            return None
        return text


def is_split(rule: Rule) -> bool:
    """Whether the rule is looked for where words run together or read another way."""
    return rule.kind == "prefixed" if rule.split is None else rule.split


def applies(rule: Rule, encodings: Iterable[Encoding]) -> bool:
    """Whether the rule should be found under these."""
    return is_split(rule) or not any(encoding.folds for encoding in encodings)


def secrets(rules: Iterable[Rule], salts: int, *, first: int = 0) -> Iterator[Secret]:
    """Every example of every rule, `salts` times with other random parts.

    Without blanks at its ends: that a text ends with the secret is the usual case.
    """
    for rule in rules:
        for number, parts in enumerate(rule.match):
            for salt in range(first, first + salts):
                text = example(parts, f"recall/{rule.id}/{number}/{salt}").strip()
                secret = Secret(rule, number, salt, text)
                yield secret
                if not secret.drawn:
                    break


def counterexamples(rules: Iterable[Rule], salts: int) -> Iterator[Secret]:
    """The same of what rules must not match."""
    for rule in rules:
        for number, parts in enumerate(rule.no_match):
            for salt in range(salts):
                text = example(parts, f"recall/{rule.id}/no/{number}/{salt}")
                yield Secret(rule, number, salt, text)
                if not any(part.startswith("{") for part in parts):
                    break


def pairs() -> list[Chain]:
    """Every ordered pair of encodings that may be chained."""
    return [Chain((inner, outer)) for inner in CHAINABLE for outer in CHAINABLE]


def random_chains(seed: str, count: int) -> list[Chain]:
    """Chains of two to four layers, the same ones for the same seed."""
    draw = random.Random(f"chains/{seed}")
    found: list[Chain] = []
    while len(found) < count:
        chain = Chain(tuple(draw.choices(CHAINABLE, k=draw.randint(2, LAYERS))))
        if chain.layers <= LAYERS:
            found.append(chain)
    return found


def chain(*names: str) -> Chain:
    """Chain of encodings by name, the outermost first."""
    return Chain(tuple(BY_NAME[name] for name in reversed(names)))
