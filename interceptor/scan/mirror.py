"""Rules for what is written backwards or in ROT13, made from the rules themselves.

Undoing ROT13 and reversal of whole texts would mean to scan everything three times. A pattern is
short: turned round, it finds the turned secret in the same pass as everything else.
"""

from __future__ import annotations

import codecs
from typing import Any

from interceptor.scan.patterns import parsed

ROT13 = bytes(codecs.encode(chr(byte), "rot13").encode("latin-1")[0] for byte in range(256))
"""For bytes.translate: ASCII letters turned by 13, the rest as it is."""

_CLASSES = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}


class MirrorError(Exception):
    """A pattern that holds what cannot be turned round."""


_BOUNDARY = "(?:^|"


def core(pattern: str) -> str:
    """Return a pattern without the boundary on its left, `(?:^|...)`.

    Turned round, or joined to what comes before, a secret has no such boundary.
    """
    if not pattern.startswith(_BOUNDARY):
        return pattern
    depth = at = 0
    inside = False
    while at < len(pattern):
        byte = pattern[at]
        if byte == "\\":
            at += 1
        elif inside:
            inside = byte != "]"
        elif byte == "[":
            inside = True
        elif byte in "()":
            depth += 1 if byte == "(" else -1
            if not depth:
                break
        at += 1
    return pattern[at + 1 :]


def reversed_pattern(pattern: str) -> str:
    """Return the pattern of all reversed matches of `pattern`.

    Raises:
        MirrorError: anchors and other constructs that have a direction.
    """
    return _sequence(_parse(pattern), _same, backwards=True)


def rot13_pattern(pattern: str) -> str:
    """Return the pattern of all matches of `pattern` in ROT13.

    Raises:
        MirrorError: a construct that cannot be turned.
    """
    return _sequence(_parse(pattern), _turned, backwards=False)


def _parse(pattern: str) -> Any:
    try:
        return parsed(pattern)
    except LookupError as error:  # pragma: no cover - CPython shows it
        raise MirrorError(str(error)) from None


def _same(byte: int) -> int:
    return byte


def _turned(byte: int) -> int:
    return ROT13[byte]


def _sequence(items: Any, turn: Any, *, backwards: bool) -> str:
    parts = [_item(str(op), value, turn, backwards=backwards) for op, value in items]
    return "".join(parts[::-1] if backwards else parts)


def _item(op: str, value: Any, turn: Any, *, backwards: bool) -> str:
    if op == "LITERAL":
        return _byte(turn(value))
    if op == "NOT_LITERAL":
        return f"[^{_byte(turn(value))}]"
    if op == "ANY":
        return "."
    if op == "IN":
        return _class(value, turn)
    if op == "SUBPATTERN":
        return f"(?:{_sequence(value[3], turn, backwards=backwards)})"
    if op == "BRANCH":
        arms = (_sequence(arm, turn, backwards=backwards) for arm in value[1])
        return f"(?:{'|'.join(arms)})"
    if op in ("MAX_REPEAT", "MIN_REPEAT"):
        least, most, inner = value
        count = f"{{{least}}}" if least == most else f"{{{least},{most}}}"
        return f"(?:{_sequence(inner, turn, backwards=backwards)}){count}"
    raise MirrorError(f"{op} has a direction")


def _class(members: Any, turn: Any) -> str:
    text = ""
    for op, value in members:
        name = str(op)
        if name == "NEGATE":
            text += "^"
        elif name == "LITERAL":
            text += _byte(turn(value))
        elif name == "RANGE":
            text += "".join(
                _byte(byte) for byte in sorted(map(turn, range(value[0], value[1] + 1)))
            )
        elif str(value) in _CLASSES:
            text += _CLASSES[str(value)]
        else:
            raise MirrorError(f"{value} cannot be turned")
    return f"[{text}]"


def _byte(byte: int) -> str:
    return chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\x{byte:02x}"
