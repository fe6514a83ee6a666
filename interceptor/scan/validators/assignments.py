"""Values that a key word announces: `password = ...`, `SECRET_KEY=...`, `-u user:...`.

The word says that a secret may follow, not that one does. Documentation, templates, names of
variables and paths stand in the same place, so the value itself must look drawn at random.
"""

from __future__ import annotations

import itertools
import re

from interceptor.scan.validators.ethereum import PUBLISHED_KEYS
from interceptor.scan.validators.variety import entropy_of, is_placeholder

_VALUE = re.compile(rb"[^\s\"'`<>&;,)(\\|]{0,200}")
_TEMPLATE = re.compile(rb"\$[A-Za-z_{(]|\$\$|\{|\}|<|>|%[sd(]|\[|\]|://|\.\.|::|->|=>")
_CALLS = (b"(", b"[", b"{")  # the value was the name of a function, not a string
_LOWER, _UPPER, _DIGIT, _SYMBOL, _BETWEEN = range(5)
_CLASS = bytes(
    _DIGIT
    if 48 <= byte <= 57
    else _UPPER
    if 65 <= byte <= 90
    else _LOWER
    if 97 <= byte <= 122
    else _BETWEEN
    if byte in b"-_./:="
    else _SYMBOL
    for byte in range(256)
)
"""Classes of bytes; what stands between words says nothing, for it stands between names, too."""
_MADE_UP = re.compile(
    rb"test|fake|sample|demo|secret|passw|token|foo|bar|abc|123456|admin|user|config|default|local",
    re.IGNORECASE,
)


def looks_drawn(value: bytes, least: int = 12) -> bool:
    """Say whether a value of at least `least` bytes looks drawn at random.

    What is drawn changes between letters, digits and case all the time; words, names in any case
    convention, dates and versions seldom do. Of values drawn from letters and digits nine in ten
    pass with 20 characters, 97 in 100 with 32.
    """
    if len(value) < least or _TEMPLATE.search(value) or is_placeholder(value):
        return False
    if value.lower().removeprefix(b"0x").startswith(PUBLISHED_KEYS) or entropy_of(value) < 2.9:
        return False
    classes = value.translate(_CLASS)
    small, capital, digits = map(classes.count, (_LOWER, _UPPER, _DIGIT))
    if small + capital < 3 or classes.count(_BETWEEN) * 3 > len(value):
        return False
    pairs = [(a, b) for a, b in itertools.pairwise(classes) if a != b and _BETWEEN not in (a, b)]
    often = len(pairs) * 2 > len(value)
    if not often and (digits < 2 or _MADE_UP.search(value) is not None):
        return False
    if not digits and len(value) < 20:
        return False
    # A capital at the start of a word is one change, not two.
    changes = len(pairs) - pairs.count((_UPPER, _LOWER))
    return changes >= max(3, len(value) // (4 if small and capital else 5))


def drawn(secret: bytes, _after: bytes) -> bool:
    """Pass what looks drawn at random, for prefixes that stand by chance among long identifiers."""
    return looks_drawn(secret)


def assigned(secret: bytes, after: bytes) -> bool:
    """Pass the value of an assignment, read on in `after` to its end, if it looks drawn."""
    rest, follows = _rest(after)
    return follows not in _CALLS and looks_drawn(secret + rest)


def assigned_line(secret: bytes, after: bytes) -> bool:
    """Pass the same where no quotes mark its end, but not the value of a header field.

    Such a field ends with CRLF, or with the text. A line of settings may, too, and is let pass.
    """
    rest, follows = _rest(after)
    return follows not in _CALLS and follows not in (b"", b"\r") and looks_drawn(secret + rest)


def _rest(after: bytes) -> tuple[bytes, bytes]:
    """Return the rest of a value, and the byte behind it."""
    found = _VALUE.match(after)
    rest = found[0] if found is not None else b""
    return rest, after[len(rest) : len(rest) + 1]
