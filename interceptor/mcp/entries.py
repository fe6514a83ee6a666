"""A server in a text of configuration, and the edits that put the judge before it or take it away.

Nothing is written anew: words are put in and taken out where they belong, and all the rest, order,
indentation, comments and unknown fields, stays as it is to the byte.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

_MODULE: Final = "interceptor.cli.main"


class ConfigError(ValueError):
    """A configuration that cannot be read, or not be edited without harm."""


class Word(NamedTuple):
    """A string of the text."""

    value: str
    start: int
    end: int


class Entry(NamedTuple):
    """A server with a command."""

    path: tuple[str, ...]
    """Keys that lead to it; the last is its name."""
    name: str
    command: Word | None
    """None where the first of `words` is the command."""
    words: tuple[Word, ...]
    """Arguments."""
    inside: int
    """Offset where the first argument goes if there is none; -1 where there is no list."""
    between: str = ", "
    """What separates two arguments."""
    added: tuple[str, str] = ("", "")
    """What stands before and behind the arguments of a list that has to be made."""
    added_at: int = -1
    """Offset where such a list goes; -1: it cannot be made."""

    @property
    def line(self) -> tuple[str, ...]:
        """Command and arguments."""
        head = () if self.command is None else (self.command.value,)
        return (*head, *(word.value for word in self.words))


class Edit(NamedTuple):
    """Replace what stands from `start` to `end`."""

    start: int
    end: int
    text: str


def quoted(text: str) -> str:
    """A string as JSON, TOML (basic strings) and YAML (double-quoted) all read it."""
    return json.dumps(text, ensure_ascii=False)


def inner(line: Sequence[str]) -> int:
    """Index of the server's own command in a wrapped command line; -1 where it is not wrapped."""
    if not line:
        return -1
    at = 1
    if os.path.basename(line[0]) != "egressguard":  # noqa: PTH119
        if tuple(line[1:3]) != ("-m", _MODULE):
            return -1
        at = 3
    if len(line) <= at or line[at] != "mcp" or "--" not in line:
        return -1
    found = line.index("--") + 1
    return found if at < found < len(line) else -1


def wrap(text: str, entry: Entry, program: Sequence[str], options: Sequence[str]) -> list[Edit]:
    """Return the edits that put the judge before a server.

    Args:
        text: all of the configuration.
        entry: a server in it, not wrapped.
        program: words that start egressguard.
        options: of `egressguard mcp`, without the server's name.

    Raises:
        ConfigError: there is no place for arguments.
    """
    made = entry.inside < 0
    name = (f"--server={entry.name}",) if made else ("--server", entry.name)
    own = [*program, "mcp", *options, *name, "--"]
    if entry.command is None:
        start = entry.words[0].start
        return [Edit(start, start, "".join(quoted(word) + entry.between for word in own))]
    command = entry.command
    raw = text[command.start : command.end]
    said = entry.between.join([*map(quoted, own[1:]), raw])
    edits = [Edit(command.start, command.end, quoted(own[0]))]
    if made:
        if entry.added_at < 0:
            raise ConfigError("there is no place for arguments")
        before, behind = entry.added
        edits.append(Edit(entry.added_at, entry.added_at, before + said + behind))
    elif entry.words:
        start = entry.words[0].start
        edits.append(Edit(start, start, said + entry.between))
    else:
        edits.append(Edit(entry.inside, entry.inside, said))
    return edits


def unwrap(text: str, entry: Entry) -> list[Edit]:
    """Return the edits that take the judge away again; none where it is not there."""
    at = inner(entry.line)
    if at < 0:
        return []
    if entry.command is None:
        return [Edit(entry.words[0].start, entry.words[at].start, "")]
    at -= 1
    own, command = entry.words[at], entry.command
    edits = [Edit(command.start, command.end, text[own.start : own.end])]
    rest = entry.words[at + 1 :]
    if rest:
        edits.append(Edit(entry.words[0].start, rest[0].start, ""))
        return edits
    start, end = entry.words[0].start, own.end
    before, behind = entry.added
    made = any(word.value.startswith("--server=") for word in entry.words[:at])
    if made and before and text[:start].endswith(before) and text.startswith(behind, end):
        start, end = start - len(before), end + len(behind)
    return [*edits, Edit(start, end, "")]


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Carry out edits, which do not overlap."""
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text
