"""Evidence that a credential was cut into fields: a value that ends within one.

Values of structured texts are joined only where this says that it may be worth the work.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from interceptor.scan.patterns import parsed

_LEAST = 3  # bytes of a prefix that tell it from ordinary text, unless all are small letters:
_WORD = 5  # so many of those, since words end in any three
_MOST = 48  # prefixes of one rule
_CLOSE = r"""(?:\\{1,3}[rn"']|["'&;<\r\n])"""


def fragment_gates(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return patterns of values that end within the fixed prefix of a rule, or after it.

    Args:
        patterns: of the rules that may be found in pieces.
    """
    whole: set[str] = set()
    for pattern in patterns:
        whole.update(prefix for prefix in prefixes(pattern) if len(prefix) >= _LEAST)
    return tuple(
        f"(?:{'|'.join(sorted(map(_fragment, group)))})" + _CLOSE for group in _groups(whole)
    )


def prefixes(pattern: str) -> frozenset[str]:
    """Return the fixed texts that a match of `pattern` may begin with; none: it has no such."""
    try:
        items = parsed(pattern)
    except LookupError:  # pragma: no cover - CPython shows it
        return frozenset()
    return frozenset(text for text, _ in _begin(list(items)) if text)


def _begin(items: list[tuple[Any, Any]]) -> Iterator[tuple[str, bool]]:
    """Give (text, whether it goes on after it) for each way in which `items` may begin."""
    found: list[tuple[str, bool]] = [("", True)]
    for op, value in items:
        following: list[tuple[str, bool]] = []
        for text, on in found:
            if not on:
                following.append((text, False))
            else:
                following += [(text + more, goes) for more, goes in _one(str(op), value)]
        if len(following) > _MOST:
            yield from ((text, False) for text, _ in found)
            return
        found = following
        if not any(on for _, on in found):
            break
    yield from found


def _one(op: str, value: Any) -> list[tuple[str, bool]]:
    if op == "LITERAL":
        return [(chr(value), True)]
    if op == "IN":
        literals = [chr(v) for kind, v in value if str(kind) == "LITERAL"]
        if len(literals) == len(value) <= 8:
            return [(text, True) for text in literals]
        return [("", False)]
    if op == "SUBPATTERN":
        return list(_begin(list(value[3])))
    if op == "BRANCH":
        return [one for arm in value[1] for one in _begin(list(arm))]
    if op == "MAX_REPEAT" and value[1] == 1:
        return [*([("", True)] if value[0] == 0 else []), *_begin(list(value[2]))]
    return [("", False)]


def _groups(whole: set[str]) -> Iterator[list[str]]:
    """Cut the prefixes into patterns of a moderate size."""
    ordered = sorted(whole)
    for at in range(0, len(ordered), 40):
        yield ordered[at : at + 40]


def _fragment(prefix: str) -> str:
    """Pattern of the first bytes of a secret with this prefix, at least `_LEAST` of them."""
    # Unbounded: a counted repeat would take the matcher a hundred states for each prefix.
    text = "[A-Za-z0-9+/=_.~-]*"
    least = _LEAST
    while least < min(_WORD, len(prefix)) and prefix[:least].islower() and prefix[:least].isalpha():
        least += 1
    for byte in reversed(prefix[least:]):
        text = f"(?:{re.escape(byte)}{text})?"
    return re.escape(prefix[:least]) + text
