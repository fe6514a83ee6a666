"""What a call of a tool asks for: files, places on the net, commands, content."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from interceptor.decide.mcp.capabilities import (
    Capability,
    capabilities,
    is_command_key,
    is_path_key,
    is_text_key,
    is_url,
    words_of,
)

LEAVES: Final = 4096
"""Values of one call that are looked at; what has more is content, and is scanned as such."""
_PATH: Final = 1024
_GUESSED: Final = 8192
"""Characters of what may be a command, though its argument is not called so."""
_SHELLS: Final = frozenset((
    "shell", "bash", "sh", "zsh", "terminal", "command", "cmd", "exec", "execute", "powershell",
    "console",
))  # fmt: skip
_CODE: Final = frozenset(("code", "source_code", "script_code", "python", "javascript", "program"))
_HOSTS: Final = frozenset(("host", "hostname", "domain", "server", "ip", "ip_address"))
_ARGUMENTS: Final = frozenset(("args", "arguments", "argv", "parameters", "params"))


class Leaf(msgspec.Struct, frozen=True, gc=False):
    """One value that holds no others."""

    path: str
    """Such as `options.files.0`."""
    key: str
    """The nearest name, in lower case."""
    value: Any


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What a call asks for."""

    can: Capability
    leaves: tuple[Leaf, ...]
    paths: tuple[str, ...]
    urls: tuple[str, ...]
    hosts: tuple[str, ...]
    commands: tuple[str, ...]
    guessed: tuple[str, ...]
    """What may be a command of a shell, by the tool's name."""
    code: tuple[str, ...]
    content: tuple[str, ...]


def asked(
    name: str, arguments: Mapping[str, Any], definition: Mapping[str, Any] | None = None
) -> Asked:
    """Read a call.

    Args:
        name: of the tool.
        arguments: of the call.
        definition: of the tool, where it is known.
    """
    can = capabilities(name, arguments, definition)
    found = tuple(leaves(arguments))
    paths: list[str] = []
    urls: list[str] = []
    hosts: list[str] = []
    commands = list(_whole(arguments))
    guessed: list[str] = []
    code: list[str] = []
    content: list[str] = []
    shell = bool(can & Capability.EXECUTE) and not _SHELLS.isdisjoint(words_of(name))
    for leaf in found:
        value, key = leaf.value, leaf.key
        if not isinstance(value, str):
            continue
        if is_url(value.strip()) and " " not in value.strip():
            if not is_text_key(key):
                urls.append(value.strip())
        elif is_command_key(key):
            pass  # taken as a whole
        elif key in _CODE:
            code.append(value)
            content.append(value)
        elif is_text_key(key) and not (shell and len(found) == 1):
            content.append(value)
        elif is_path_key(key) or _looks_like_path(value):
            paths.append(value[:_PATH])
        elif key in _HOSTS and value:
            hosts.append(value)
        elif shell and len(value) <= _GUESSED:
            guessed.append(value)
    return Asked(
        can,
        found,
        tuple(paths),
        tuple(urls),
        tuple(hosts),
        tuple(commands),
        tuple(guessed),
        tuple(code),
        tuple(content),
    )


def leaves(value: Any) -> Iterator[Leaf]:
    """Give the values that hold no others, in their order, at most `LEAVES`."""
    pending: list[tuple[str, str, Any]] = [("", "", value)]
    count = 0
    while pending and count < LEAVES:
        path, key, found = pending.pop()
        below = f"{path}." if path else ""
        if isinstance(found, dict):
            pending += [
                (below + str(name), str(name).lower(), found[name]) for name in reversed(found)
            ]
        elif isinstance(found, list):
            pending += [
                (f"{below}{at}", key, found[at])
                for at in range(min(len(found), LEAVES) - 1, -1, -1)
            ]
        else:
            count += 1
            yield Leaf(path, key, found)


def _whole(arguments: Mapping[str, Any]) -> Iterator[str]:
    """Give the commands among arguments at any depth: texts, lists of words, program and words."""
    pending: list[Mapping[str, Any]] = [arguments]
    count = 0
    while pending and count < LEAVES:
        found = pending.pop()
        for key, value in found.items():
            count += 1
            if isinstance(value, dict):
                pending.append(value)
            elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
                pending += [one for one in value if isinstance(one, dict)]
            elif is_command_key(key):
                words = _words(value)
                if isinstance(value, str):
                    yield value
                elif key.lower() == "commands":
                    yield "\n".join(words)
                elif words:
                    yield shlex.join(words)
                more = [_words(found[name]) for name in found if name.lower() in _ARGUMENTS]
                if any(more):
                    yield shlex.join([*words, *[word for part in more for word in part]])


def _words(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [one for one in value if isinstance(one, str)]
    return []


def _looks_like_path(value: str) -> bool:
    if len(value) > _PATH or "\n" in value:
        return False
    return value.startswith(("/", "~/", "./", "../", "file://", ".env")) or value[1:3] in (
        ":\\",
        ":/",
    )
