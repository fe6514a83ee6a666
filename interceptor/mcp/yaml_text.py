"""Servers in YAML (Continue, Goose): found by the marks that PyYAML gives to what it reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import yaml

from interceptor.mcp.entries import ConfigError, Entry, Word

_COMMANDS: Final = ("command", "cmd")


def read(text: str) -> Any:
    """Parse a text.

    Raises:
        ConfigError: it is not YAML.
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(str(error).replace("\n", " ")) from None


def servers(text: str, keys: tuple[str, ...]) -> list[Entry]:
    """Return the servers below `keys`, a mapping or a list, that have a command.

    Raises:
        ConfigError: it is not YAML.
    """
    read(text)
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for key in keys:
        node = _member(node, key)
    found = (_entry(text, keys, name, server) for name, server in _named(node))
    return [entry for entry in found if entry is not None]


def _named(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield str(key.value), value
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            name = _member(value, "name")
            if isinstance(name, yaml.ScalarNode):
                yield str(name.value), value


def _member(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == name:
                return value  # type: ignore[no-any-return]
    return None


def _entry(text: str, keys: tuple[str, ...], name: str, node: yaml.Node) -> Entry | None:
    command = next((found for key in _COMMANDS if (found := _member(node, key))), None)
    if not isinstance(command, yaml.ScalarNode) or command.style in ("|", ">"):
        return None
    path = (*keys, name)
    word = _word(command)
    args = _member(node, "args")
    column = command.start_mark.line
    line = text.splitlines(keepends=True)[column]
    key_column = len(line) - len(line.lstrip(" -"))
    newline = "\r\n" if line.endswith("\r\n") else "\n"
    if args is None or isinstance(args, yaml.ScalarNode):
        if args is not None or (isinstance(node, yaml.MappingNode) and node.flow_style):
            return Entry(path, name, word, (), -1)
        at = _end_of_line(text, command.end_mark.index)
        added = (f"{newline}{' ' * key_column}args: [", "]")
        return Entry(path, name, word, (), -1, added=added, added_at=at)
    if not isinstance(args, yaml.SequenceNode):
        return None
    items = args.value
    if not all(isinstance(item, yaml.ScalarNode) for item in items):
        raise ConfigError(f"{name}: an argument that is no string")
    words = tuple(map(_word, items))
    between = ", "
    inside = args.start_mark.index + 1
    if not args.flow_style:
        dash = args.start_mark.column
        between = f"{newline}{' ' * dash}- "
    added = (f"{newline}{' ' * key_column}args: [", "]")
    return Entry(path, name, word, words, inside, between, added)


def _word(node: yaml.ScalarNode) -> Word:
    return Word(str(node.value), node.start_mark.index, node.end_mark.index)


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    if end < 0:
        return len(text)
    return end - 1 if text[end - 1] == "\r" else end
