"""Servers in JSON, also with comments and trailing commas, as editors write it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from interceptor.mcp.entries import ConfigError, Entry, Word

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)*")
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_OTHER: Final = re.compile(r"true|false|null|-?[0-9][0-9.eE+-]*")
_DEEP: Final = 100


class Node(msgspec.Struct, frozen=True):
    """A value and where it stands."""

    start: int
    end: int
    value: Any
    """A scalar's; None for objects and arrays."""
    members: dict[str, Node] | None = None
    items: list[Node] | None = None

    @property
    def data(self) -> Any:
        """All of it, as JSON has it."""
        if self.members is not None:
            return {key: node.data for key, node in self.members.items()}
        if self.items is not None:
            return [node.data for node in self.items]
        return self.value


def read(text: str) -> Node:
    """Parse a text.

    Raises:
        ConfigError: with the line where it is not JSON.
    """
    node, end = _value(text, _skip(text, 0), 0)
    end = _skip(text, end)
    if end != len(text):
        raise _fault(text, end, "something behind the end")
    return node


def servers(text: str, keys: tuple[str, ...]) -> list[Entry]:
    """Return the servers below `keys` that have a command.

    Raises:
        ConfigError: it is not JSON.
    """
    return [
        entry
        for path, node in _below(read(text), keys, ())
        if (entry := _entry(path, node)) is not None
    ]


def _below(
    node: Node, keys: tuple[str, ...], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Node]]:
    if node.members is None:
        return
    if not keys:
        for name, found in node.members.items():
            yield (*path, name), found
        return
    for name in node.members if keys[0] == "*" else keys[:1]:
        if name in node.members:
            yield from _below(node.members[name], keys[1:], (*path, name))


def _entry(path: tuple[str, ...], node: Node) -> Entry | None:
    members = node.members or {}
    command = members.get("command")
    if command is not None and command.members is not None:  # Zed, until 2025
        members = command.members
        command = members.get("path")
    if command is None:
        return None
    if command.items is not None:
        words = _words(command.items)
        return Entry(path, path[-1], None, words, command.start + 1) if words else None
    if not isinstance(command.value, str):
        return None
    word = Word(command.value, command.start, command.end)
    args = members.get("args")
    if args is None:
        added = (', "args": [', "]")
        return Entry(path, path[-1], word, (), -1, added=added, added_at=command.end)
    if args.items is None:
        return None
    words = _words(args.items)
    return Entry(path, path[-1], word, words, args.start + 1, added=(', "args": [', "]"))


def _words(items: list[Node]) -> tuple[Word, ...]:
    if not all(isinstance(item.value, str) for item in items):
        raise ConfigError("an argument that is no string")
    return tuple(Word(item.value, item.start, item.end) for item in items)


# -- parsing ---------------------------------------------------------------------------------


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _value(text: str, at: int, depth: int) -> tuple[Node, int]:
    if depth > _DEEP:
        raise _fault(text, at, "too many levels")
    first = text[at : at + 1]
    if first == "{":
        return _object(text, at, depth)
    if first == "[":
        return _array(text, at, depth)
    found = (_STRING if first == '"' else _OTHER).match(text, at)
    if found is None:
        raise _fault(text, at, "no value")
    try:
        value = json.loads(found[0])
    except ValueError:
        raise _fault(text, at, "no value") from None
    return Node(at, found.end(), value), found.end()


def _object(text: str, start: int, depth: int) -> tuple[Node, int]:
    members: dict[str, Node] = {}
    at = _skip(text, start + 1)
    while text[at : at + 1] != "}":
        found = _STRING.match(text, at)
        if found is None:
            raise _fault(text, at, "no name of a member")
        key = json.loads(found[0])
        if key in members:
            raise _fault(text, at, f"{key!r} stands twice")
        at = _skip(text, found.end())
        if text[at : at + 1] != ":":
            raise _fault(text, at, "no colon")
        members[key], at = _value(text, _skip(text, at + 1), depth + 1)
        at = _comma(text, at, "}")
    return Node(start, at + 1, None, members=members), at + 1


def _array(text: str, start: int, depth: int) -> tuple[Node, int]:
    items: list[Node] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != "]":
        node, at = _value(text, at, depth + 1)
        items.append(node)
        at = _comma(text, at, "]")
    return Node(start, at + 1, None, items=items), at + 1


def _comma(text: str, at: int, end: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] == ",":
        return _skip(text, at + 1)
    if text[at : at + 1] != end:
        raise _fault(text, at, "neither a comma nor an end")
    return at


def _fault(text: str, at: int, what: str) -> ConfigError:
    return ConfigError(f"line {text.count(chr(10), 0, at) + 1}: {what}")
