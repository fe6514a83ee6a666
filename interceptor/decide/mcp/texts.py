"""Texts of messages as the scanner of instructions reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from interceptor.decide.judge import Judge
from interceptor.model import Passage
from interceptor.verdict import Verdict
from interceptor.wire import mcp

_ENCODE: Final = msgspec.json.Encoder().encode
_LONG: Final = 16_384
_FEW: Final = 64
"""Bytes for each quotation mark, on average, of what holds long texts."""
_NAMES: Final = 24
"""Characters of a key that may be more than a name."""


OPINION: Final = "reads-as-order"
"""The rule of what the classifier finds by itself: that it reads like orders to an agent. What an
agent sends often does: a task for another one, a note, a commit message."""


def steers(judge: Judge, score: float, verdict: Verdict | None) -> bool:
    """Tell whether what an agent sends is to be refused as text that steers who reads it."""
    if verdict is None or score < judge.policy.inbound.thresholds.high:
        return False
    return any(finding.rule != OPINION for finding in verdict.findings)


def passages(
    value: Any, judge: Judge, *, schema: bool = False, data: bytes | None = None
) -> list[Passage]:
    """Return the texts of a value, none where a glance says that nothing is in them.

    Args:
        value: decoded JSON.
        judge: of the agent.
        schema: it defines something: only agents read it.
        data: the same as JSON, where it is there.
    """
    encoded = _ENCODE(value) if data is None else data
    # Of a few long texts the scanner takes no longer for the whole than for a glance.
    few = len(encoded) > _LONG and encoded.count(b'"') * _FEW < len(encoded)
    if not few and not judge.shows(encoded):
        return []
    return texts_as_passages(mcp.texts(value, schema=schema))


def texts_as_passages(texts: Iterable[mcp.Text]) -> list[Passage]:
    """Return texts as the scanner reads them; keys, where they are more than names."""
    return [
        Passage(text.text.encode("utf-8", "replace"), text.setting)
        for text in texts
        if not text.key or len(text.text) > _NAMES
    ]
