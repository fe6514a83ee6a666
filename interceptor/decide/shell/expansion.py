"""Expansions of words, as far as the text itself says what comes out (XCU 2.6; bash(1), EXPANSION).

What only the machine knows (an unset variable, the output of a program) is taken for nothing, as an
unset variable is, or for `UNKNOWN` where something would stand there.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from interceptor.decide.shell.lexer import Part, PartKind, TooComplexError, Word

UNKNOWN: Final = "\ufffc"
"""Stands for what a program would write."""
LONGEST: Final = 1 << 16
"""Characters of what one word may become."""
_MOST: Final = 256  # words that one word may become
_BRACES: Final = 32  # opening braces in one word

HOME: Final = "~"
# fmt: off
_GIVEN: Final[Mapping[str, str]] = {
    "IFS": " \t\n", "HOME": HOME, "PWD": ".", "OLDPWD": ".", "SHELL": "/bin/sh", "0": "sh",
    "BASH": "/bin/bash", "PATH": "/usr/bin:/bin", "TMPDIR": "/tmp", "PS4": "+ ",  # noqa: S108
}
# fmt: on
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[@*#?$!0-9-]")
_SLICE: Final = re.compile(r":\s*(-?\d{1,6})(?::(-?\d{1,6}))?\Z")
_RANGE: Final = re.compile(r"(-?\d{1,6}|[A-Za-z])\.\.(-?\d{1,6}|[A-Za-z])\Z")

Output = Callable[[str], str]
"""What the commands of a text write, as far as it can be told."""


class Variables:
    """The variables of a shell, as far as its text has set them."""

    def __init__(self) -> None:
        self._set: dict[str, str] = {}

    def set(self, name: str, value: str) -> None:
        """Set one; doubling it over and over ends soon.

        Raises:
            TooComplexError: it is too long.
        """
        if len(value) >= LONGEST:
            raise TooComplexError("a variable is too long")
        self._set[name] = value

    def get(self, name: str) -> str | None:
        """Its value; None where it is not set."""
        return self._set.get(name, _GIVEN.get(name))


def expand(word: Word, variables: Variables, output: Output) -> list[str]:
    """Return the fields that a word becomes: one, none or several.

    Args:
        word: from the lexer.
        variables: those that are set by now.
        output: for `$(...)`.

    Raises:
        TooComplexError: they are too many, or too long.
    """
    opened = sum(part.text.count("{") for part in word.parts if part.kind is PartKind.TEXT)
    if opened > _BRACES:
        raise TooComplexError(f"more than {_BRACES} braces in a word")
    if not opened:
        return _fields(word.parts, variables, output)
    fields: list[str] = []
    for variant in _braces(word.parts):
        fields += _fields(variant, variables, output)
        if len(fields) > _MOST:
            raise TooComplexError(f"a word becomes more than {_MOST} words")
    return fields


def text_of(word: Word, variables: Variables, output: Output) -> str:
    """Return what a word becomes where it is not split, as in assignments and redirections."""
    return "".join(_values(word.parts, variables, output))[:LONGEST]


def _values(parts: tuple[Part, ...], variables: Variables, output: Output) -> Iterator[str]:
    for part in parts:
        if part.kind is PartKind.VARIABLE:
            yield parameter(part.text, variables)
        elif part.kind is PartKind.COMMAND:
            yield output(part.text).rstrip("\n")
        else:
            yield part.text


def _fields(parts: tuple[Part, ...], variables: Variables, output: Output) -> list[str]:
    """Split at blanks that came out of unquoted expansions (XCU 2.6.5)."""
    fields: list[str] = []
    current: list[str] = []
    begun = False
    length = 0
    for part, value in zip(parts, _values(parts, variables, output), strict=True):
        length += len(value)
        if length > LONGEST:
            raise TooComplexError("a word is too long")
        split = part.kind in (PartKind.VARIABLE, PartKind.COMMAND) and not part.quoted
        if not split:
            current.append(value)
            begun = begun or bool(value) or part.kind is PartKind.QUOTED
            continue
        words = value.split()
        if value[:1].isspace() and begun:
            fields.append("".join(current))
            current, begun = [], False
        for number, found in enumerate(words):
            if number:
                fields.append("".join(current))
                current = []
            current.append(found)
            begun = True
        if words and value[-1:].isspace():
            fields.append("".join(current))
            current, begun = [], False
    if begun:
        fields.append("".join(current))
    return fields


def parameter(text: str, variables: Variables) -> str:
    """Return the value of `${text}` (XCU 2.6.2; bash(1), Parameter Expansion)."""
    if text == "((":
        return "1"
    if text.startswith("#") and len(text) > 1:
        return str(len(variables.get(text[1:]) or ""))
    indirect = text.startswith("!") and len(text) > 1
    match = _NAME.match(text, 1 if indirect else 0)
    if match is None:
        return ""
    value = variables.get(match[0])
    if indirect:
        value = variables.get(value or "")
    rest = text[match.end() :]
    if rest.startswith("["):
        rest = rest.partition("]")[2]  # an element of an array; it was set as a whole
    return _changed(value, rest)[:LONGEST] if rest else value or ""


def _changed(value: str | None, rest: str) -> str:
    plain = value or ""
    use = rest.removeprefix(":")
    if use[:1] in {"-", "="}:
        return plain if plain or (value is not None and use is rest) else _bare(use[1:])
    if use[:1] == "+":
        return _bare(use[1:]) if plain else ""
    if use[:1] == "?":
        return plain
    found = _SLICE.match(rest)
    if found is not None:
        begin = int(found[1])
        length = len(plain) if found[2] is None else int(found[2])
        plain = plain[begin:]
        return plain[:length]
    if rest[0] in "#%":
        pattern = _bare(rest.lstrip(rest[0]))
        return _without(plain, pattern, begin=rest[0] == "#", longest=rest[:2] in {"##", "%%"})
    if rest[0] == "/":
        old, _, new = rest.lstrip("/").partition("/")
        if not old:
            return plain
        return plain.replace(_bare(old), _bare(new), -1 if rest.startswith("//") else 1)
    if rest[0] in "^,":
        change = str.upper if rest[0] == "^" else str.lower
        return change(plain) if rest[1:2] == rest[0] else change(plain[:1]) + plain[1:]
    if rest in {"@U", "@L", "@u"}:
        return plain.lower() if rest == "@L" else plain.upper()
    return plain


def _bare(text: str) -> str:
    return text.replace("'", "").replace('"', "").replace("\\", "")


def _without(value: str, pattern: str, *, begin: bool, longest: bool) -> str:
    """Take a prefix or a suffix away; of patterns only a leading or trailing star is known."""
    core = pattern.strip("*")
    if not core or any(char in core for char in "*?["):
        return value
    if begin:
        at = value.rfind(core) if longest else value.find(core)
        fits = at == 0 or (at > 0 and pattern.startswith("*"))
        return value[at + len(core) :] if fits else value
    at = value.find(core) if longest else value.rfind(core)
    fits = at >= 0 and (at + len(core) == len(value) or pattern.endswith("*"))
    return value[:at] if fits else value


def _braces(parts: tuple[Part, ...]) -> Iterator[tuple[Part, ...]]:
    """Expand `{a,b}` and `{1..3}` in unquoted text, the first one first (bash(1))."""
    depth = 0
    opened: tuple[int, int] | None = None
    commas: list[tuple[int, int]] = []
    for number, part in enumerate(parts):
        if part.kind is not PartKind.TEXT:
            continue
        for at, char in enumerate(part.text):
            if char == "{":
                depth += 1
                if depth == 1:
                    opened, commas = (number, at), []
            elif char == "," and depth == 1:
                commas.append((number, at))
            elif char == "}" and depth:
                depth -= 1
                if depth or opened is None:
                    continue
                inner = _between(parts, opened, (number, at))
                choices = _choices(parts, opened, commas, (number, at))
                if not commas:
                    choices = _range(inner)
                if choices:
                    head = _between(parts, (0, -1), opened)
                    tail = _between(parts, (number, at), (len(parts), 0))
                    for choice in choices:
                        yield from _braces(head + choice + tail)
                    return
    yield parts


def _choices(
    parts: tuple[Part, ...],
    opened: tuple[int, int],
    commas: list[tuple[int, int]],
    closed: tuple[int, int],
) -> list[tuple[Part, ...]]:
    edges = [opened, *commas, closed]
    return [_between(parts, a, b) for a, b in itertools.pairwise(edges)][:_MOST]


def _between(
    parts: tuple[Part, ...], first: tuple[int, int], last: tuple[int, int]
) -> tuple[Part, ...]:
    """Return the parts behind one place and before another: (index of the part, offset in it)."""
    found: list[Part] = []
    for number in range(first[0], min(last[0] + 1, len(parts))):
        part = parts[number]
        begin = first[1] + 1 if number == first[0] else 0
        end = last[1] if number == last[0] else len(part.text)
        if part.kind is not PartKind.TEXT:
            found.append(part)
        elif begin < end:
            found.append(Part(PartKind.TEXT, part.text[begin:end]))
    return tuple(found)


def _range(inner: tuple[Part, ...]) -> list[tuple[Part, ...]]:
    if len(inner) != 1 or inner[0].kind is not PartKind.TEXT:
        return []
    found = _RANGE.match(inner[0].text)
    if found is None or found[1].isalpha() != found[2].isalpha():
        return []
    number = not found[1].isalpha()
    first, last = (int(found[1]), int(found[2])) if number else (ord(found[1]), ord(found[2]))
    step = 1 if last >= first else -1
    values = itertools.islice(range(first, last + step, step), _MOST)
    return [(Part(PartKind.TEXT, str(n) if number else chr(n)),) for n in values]


def fits(pattern: str, name: str) -> bool:
    """Tell whether a pattern of file names (XCU 2.14) may stand for a name."""
    return any(char in pattern for char in "*?[") and fnmatch.fnmatchcase(name, pattern)
