"""What a tool can do, told from its name, its arguments and what it says of itself."""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Mapping
from typing import Any, Final


class Capability(enum.Flag):
    """What a call may do."""

    NONE = 0
    READ = enum.auto()
    """Reads files or records."""
    LIST = enum.auto()
    """Lists what there is."""
    WRITE = enum.auto()
    """Writes files."""
    EXECUTE = enum.auto()
    """Runs commands or code."""
    FETCH = enum.auto()
    """Asks a server for something."""
    SEND = enum.auto()
    """Hands something to other people or places."""
    ENVIRONMENT = enum.auto()
    """Reads the environment or stored credentials."""
    DELETE = enum.auto()


_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# fmt: off
_VERBS: Final[dict[str, Capability]] = {
    **dict.fromkeys((
        "read", "cat", "view", "open", "load", "get", "show", "head", "tail", "grep", "display",
        "slurp", "inspect", "fetchfile",
    ), Capability.READ),
    **dict.fromkeys((
        "list", "ls", "dir", "tree", "glob", "find", "walk", "browse", "scan", "enumerate", "index",
    ), Capability.LIST),
    **dict.fromkeys((
        "write", "create", "edit", "save", "append", "put", "update", "patch", "insert", "modify",
        "replace", "overwrite", "store", "copy", "move",
    ), Capability.WRITE),
    **dict.fromkeys((
        "exec", "execute", "run", "shell", "bash", "sh", "zsh", "cmd", "command", "terminal",
        "spawn", "eval", "script", "powershell", "console", "process", "subprocess", "system",
        "invoke", "launch", "start",
    ), Capability.EXECUTE),
    **dict.fromkeys((
        "fetch", "http", "https", "curl", "wget", "download", "url", "web", "navigate", "scrape",
        "crawl", "visit", "goto", "request", "webpage", "browser", "api", "rest",
    ), Capability.FETCH),
    **dict.fromkeys((
        "send", "post", "publish", "upload", "email", "mail", "tweet", "notify", "share",
        "webhook", "slack", "discord", "telegram", "sms", "submit", "transmit", "forward", "push",
        "reply", "broadcast", "export", "sync",
    ), Capability.SEND),
    **dict.fromkeys((
        "env", "environ", "getenv", "printenv", "secret", "secrets", "credential",
        "credentials", "keychain", "vault", "password", "passwords",
    ), Capability.ENVIRONMENT),
    **dict.fromkeys(("delete", "remove", "rm", "unlink", "destroy", "drop"), Capability.DELETE),
}
_VARIABLES: Final = frozenset(("variable", "variables", "var", "vars", "values"))
_PUBLISHED: Final = frozenset(("gist", "paste", "pastebin", "comment", "message", "tweet", "reply"))
_PATHS: Final = frozenset((
    "path", "file", "filename", "file_path", "filepath", "paths", "files", "target_file", "source",
    "relative_path", "absolute_path", "src", "document", "filenames", "location", "directory",
    "dir", "folder", "uri", "root",
))
_COMMANDS: Final = frozenset((
    "command", "cmd", "shell", "bash", "shell_command", "command_line", "commandline", "cmdline",
    "commands", "script", "line", "exec",
))
_URLS: Final = frozenset((
    "url", "uri", "urls", "href", "endpoint", "webhook", "webhook_url", "link", "target_url",
    "callback", "callback_url", "base_url", "image_url", "address", "website", "page", "host",
    "hostname", "server", "domain",
))
_TEXTS: Final = frozenset((
    "content", "contents", "text", "data", "body", "new_str", "new_string", "file_text", "code",
    "message", "value", "payload", "source_code", "insert_text", "patch", "diff",
))
# fmt: on
_SHELLISH: Final = re.compile(
    r"\b(?:shell|terminal|command line|bash|subprocess|run(?:s|ning)? (?:a |any |arbitrary )?"
    r"(?:shell )?commands?|execut(?:e|es|ing) (?:a |any |arbitrary )?(?:shell )?commands?)\b",
    re.IGNORECASE,
)
_NETWORKISH: Final = re.compile(
    r"\b(?:https?|urls?|web ?pages?|web ?sites?|the (?:internet|web)|endpoints?|api requests?)\b",
    re.IGNORECASE,
)
_DESCRIBED: Final = 400


def words_of(name: str) -> list[str]:
    """Return the words of a name: `readTextFile`, `read-text-file`, `fs.read_text_file`."""
    return [word.lower() for word in _WORD.findall(name)]


@functools.lru_cache(maxsize=1024)
def _named(name: str) -> tuple[Capability, frozenset[str]]:
    """What the words of a name say."""
    words = words_of(name)
    found = Capability.NONE
    for word in words:
        found |= _VERBS.get(word, Capability.NONE)
    told = frozenset(words)
    if "environment" in told and not told.isdisjoint(_VARIABLES):
        found |= Capability.ENVIRONMENT
    if found & Capability.LIST and not found & Capability.READ:
        found &= ~Capability.ENVIRONMENT  # names, not values
    if found & Capability.WRITE and not told.isdisjoint(_PUBLISHED):
        found |= Capability.SEND
    return found, told


def capabilities(
    name: str, arguments: Mapping[str, Any], definition: Mapping[str, Any] | None = None
) -> Capability:
    """Tell what a call may do.

    Args:
        name: of the tool.
        arguments: of the call.
        definition: as its server has it, where it is known.
    """
    found, words = _named(name)
    keys = {key.lower() for key in arguments}
    if keys & _COMMANDS:
        found |= Capability.EXECUTE
    if keys & _TEXTS and keys & _PATHS and not found & (Capability.EXECUTE | Capability.SEND):
        found |= Capability.WRITE
    if any(is_url(arguments[key]) for key in arguments if key.lower() in _URLS):
        found |= Capability.FETCH
    if definition is not None:
        described = definition.get("description")
        if isinstance(described, str):
            described = described[:_DESCRIBED]
            if keys and not found & Capability.EXECUTE and _SHELLISH.search(described):
                found |= Capability.EXECUTE
            if keys & _URLS and _NETWORKISH.search(described):
                found |= Capability.FETCH
    if found & Capability.SEND and "file" in words and not found & Capability.FETCH:
        found |= Capability.READ
    return found


def is_url(value: object) -> bool:
    """Tell whether a value is a URL of the web."""
    return isinstance(value, str) and value[:8].lower().startswith(("http://", "https://"))


def is_command_key(key: str) -> bool:
    """Tell whether an argument of this name is a command of a shell."""
    return key.lower() in _COMMANDS


def is_path_key(key: str) -> bool:
    """Tell whether an argument of this name is a path."""
    return key.lower() in _PATHS


def is_text_key(key: str) -> bool:
    """Tell whether an argument of this name is content that is written or sent."""
    return key.lower() in _TEXTS
