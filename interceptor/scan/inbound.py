"""Scanning what comes back: one pass of Vectorscan, no decoders.

Rules say what text must not reach an agent as it is; `interceptor/rules/inbound` holds them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interceptor.scan.database import Hit, Pattern, collect_hit, open_database
from interceptor.scan.ruleset import MAX_SPAN, Rule, Ruleset, load_folder

TAIL = MAX_SPAN
"""Bytes of earlier content that a match may reach back into."""


def load_inbound_rules(folder: Path | None = None) -> Ruleset:
    """Load the inbound rules that ship with the product.

    Args:
        folder: a cache directory, as of `load_rules`.

    Raises:
        RulesetError: a broken file or an id that stands twice.
    """
    return load_folder("rules/inbound", folder)


class InboundScanner:
    """Finds inbound rules in text; one for each thread.

    Attributes:
        rules: what `scan` gives indexes into.
    """

    def __init__(self, rules: Ruleset, database: Any) -> None:
        """Use `InboundScanner.build`."""
        self.rules: tuple[Rule, ...] = rules.rules
        self._database = database

    @classmethod
    def build(cls, rules: Ruleset, cache_dir: Path | None) -> InboundScanner:
        """Build a scanner, from the cache if it holds these rules.

        Raises:
            RulePatternError: a pattern that Vectorscan refuses.
        """
        patterns = [
            Pattern(rule.pattern.encode("ascii"), f"rule {rule.id}", rule.caseless)
            for rule in rules.rules
        ]
        return cls(rules, open_database(patterns, cache_dir))

    def scan(self, data: bytes) -> list[Hit]:
        """Give (index of the rule, offset where its match ends), in order of the offsets."""
        hits: list[Hit] = []
        self._database.scan(data, collect_hit, context=hits, scratch=self._database.scratch)
        return hits
