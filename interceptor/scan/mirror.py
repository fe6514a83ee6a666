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
_ENOUGH = 16  # bytes of a repeat that a hit takes
_EVIDENCE = 3  # bytes of fixed text before it
_FEW = 6  # members of a set that counts as one of them
_PLENTY = 5  # so many need nothing after them,
_WORD = 7  # or so many, if they are letters: ordinary text has words everywhere
_COUNTED = 4  # between the least and the most of a repeat that is worth counting


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


def shortened(pattern: str) -> str:
    """Return a pattern that ends within every match of `pattern`, and sooner if it is a long one.

    A matcher needs memory for every byte that a repeat counts. Some bytes after what identifies a
    secret are enough for a hit; the close look sees the rest.
    """
    try:
        items, cut = _short(list(_flat(_parse(pattern))), 0, word=True)
        return _sequence(items, _same, backwards=False) if cut else pattern
    except MirrorError:
        return pattern


def loosened(pattern: str) -> str:
    """Return a pattern that matches wherever `pattern` does, with repeats that have no most.

    A matcher counts a repeat byte by byte; without a most it has nothing to count. The close look
    sees the rest.
    """
    try:
        return _sequence(_parse(pattern), _loose, backwards=False)
    except MirrorError:
        return pattern


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


def _flat(items: Any) -> Any:
    """Give the items of a sequence, those of its groups in place of the groups."""
    for op, value in items:
        if str(op) == "SUBPATTERN":
            yield from _flat(value[3])
        else:
            yield op, value


def _short(items: list[Any], known: int, *, word: bool) -> tuple[list[Any], bool]:
    """Cut a sequence where what it has matched is evidence enough; say whether it was cut.

    Args:
        items: (operation, value) pairs without groups.
        known: bytes of fixed text that stand before them.
        word: that text is nothing but letters.
    """
    for at, (op, value) in enumerate(items):
        name = str(op)
        if name == "LITERAL":
            known += 1
            word = word and chr(value).isalpha()
        elif known >= (_WORD if word else _PLENTY):
            return items[:at], True
        elif name == "IN" and len(value) <= _FEW:
            known += 1
            word = word and all(str(kind) == "LITERAL" and chr(v).isalpha() for kind, v in value)
        elif name == "BRANCH":
            arms = [_short(list(_flat(arm)), known, word=word) for arm in value[1]]
            if all(cut for _, cut in arms):
                return [*items[:at], (op, (None, [arm for arm, _ in arms]))], True
            known += min(arm.getwidth()[0] for arm in value[1])
        elif name == "MAX_REPEAT" and value[0] > _ENOUGH and known >= _EVIDENCE:
            return [*items[:at], (op, (_ENOUGH, _ENOUGH, value[2]))], True
    return items, False


def _same(byte: int) -> int:
    return byte


def _loose(byte: int) -> int:
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
        last = "" if turn is _loose and most - least > _COUNTED else most
        count = f"{{{least}}}" if least == most else f"{{{least},{last}}}"
        return f"(?:{_sequence(inner, turn, backwards=backwards)}){count}"
    if turn is _loose and str(value) == "AT_BEGINNING":
        return "^"
    raise MirrorError(f"{op} has a direction")


def _class(members: Any, turn: Any) -> str:
    text = ""
    for op, value in members:
        name = str(op)
        if name == "NEGATE":
            text += "^"
        elif name == "LITERAL":
            text += _byte(turn(value))
        elif name == "RANGE" and turn is not _turned:
            text += f"{_byte(value[0])}-{_byte(value[1])}"
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
