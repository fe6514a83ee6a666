"""Servers in TOML (Codex): tables of their own, as the client and people write them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any, Final

from interceptor.mcp.entries import ConfigError, Entry, Word

_HEADER: Final = re.compile(
    r"^[ \t]*\[(?P<name>[^\[\]\r\n]+)\][ \t]*(?:#[^\r\n]*)?\r?$", re.MULTILINE
)
_NEXT: Final = re.compile(r"^[ \t]*\[", re.MULTILINE)
_KEY: Final = re.compile(r"^[ \t]*(?P<key>command|args)[ \t]*=[ \t]*", re.MULTILINE)
_TEXT: Final = re.compile(r'"(?:[^"\\\r\n]|\\.)*"|\'[^\'\r\n]*\'')
_GAP: Final = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")
_TAIL: Final = re.compile(r"[ \t]*(?:#[^\r\n]*)?")


def read(text: str) -> Any:
    """Parse a text.

    Raises:
        ConfigError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(error)) from None


def servers(text: str, keys: tuple[str, ...]) -> list[Entry]:
    """Return the servers below `keys` that have a command.

    Raises:
        ConfigError: it is not TOML, or a server is written in a form that is not edited.
    """
    data: Any = read(text)
    for key in keys:
        data = data.get(key, {})
    found = {entry.name: entry for entry in _tables(text, keys)}
    for name, value in data.items():
        if not isinstance(value, dict) or not isinstance(value.get("command"), str):
            continue
        line = (value["command"], *value.get("args", ()))
        if name not in found or found[name].line != line:
            raise ConfigError(f"{name}: not written as a table of its own with plain strings")
    return [entry for entry in found.values() if entry.name in data]


def _tables(text: str, keys: tuple[str, ...]) -> Iterator[Entry]:
    for header in _HEADER.finditer(text):
        try:
            data: Any = tomllib.loads(f"[{header['name']}]")
        except tomllib.TOMLDecodeError:
            continue
        path: list[str] = []
        while isinstance(data, dict) and len(data) == 1:
            (name,) = data
            path.append(name)
            data = data[name]
        if len(path) != len(keys) + 1 or tuple(path[:-1]) != keys:
            continue
        following = _NEXT.search(text, header.end())
        end = following.start() if following else len(text)
        while following and (_within_array(text, header.end(), following.start())):
            following = _NEXT.search(text, following.end())
            end = following.start() if following else len(text)
        entry = _entry(text, tuple(path), header.end(), end)
        if entry is not None:
            yield entry


def _within_array(text: str, start: int, at: int) -> bool:
    """Say whether a bracket at the begin of a line stands within the list of arguments."""
    for key in _KEY.finditer(text, start, at):
        if key["key"] == "args":
            _, end = _array(text, key.end())
            if key.end() < at < end:
                return True
    return False


def _entry(text: str, path: tuple[str, ...], start: int, end: int) -> Entry | None:
    command: Word | None = None
    words: tuple[Word, ...] = ()
    inside = -1
    for key in _KEY.finditer(text, start, end):
        if key["key"] == "command" and command is None:
            found = _TEXT.match(text, key.end())
            if found is None:
                return None
            command = Word(_plain(found[0]), found.start(), found.end())
        elif key["key"] == "args" and inside < 0:
            words, close = _array(text, key.end())
            if close < 0:
                return None
            inside = key.end() + 1
    if command is None:
        return None
    line = "\r\n" if "\r\n" in text else "\n"
    tail = _TAIL.match(text, command.end)
    at = tail.end() if tail else command.end
    added = (f"{line}args = [", "]")
    return Entry(path, path[-1], command, words, inside, added=added, added_at=at)


def _array(text: str, at: int) -> tuple[tuple[Word, ...], int]:
    """Strings of a list that begins at `at`, and the offset behind it; -1 if it is none."""
    if text[at : at + 1] != "[":
        return (), -1
    words: list[Word] = []
    at += 1
    while True:
        gap = _GAP.match(text, at)
        at = gap.end() if gap else at
        if text[at : at + 1] == "]":
            return tuple(words), at + 1
        found = _TEXT.match(text, at)
        if found is None:
            return (), -1
        words.append(Word(_plain(found[0]), found.start(), found.end()))
        at = found.end()


def _plain(raw: str) -> str:
    try:
        return str(tomllib.loads(f"a = {raw}")["a"])
    except tomllib.TOMLDecodeError:
        return ""
