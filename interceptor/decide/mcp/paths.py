"""Files that hold credentials, and folders that are not rebuilt, as arguments name them.

The rules are data: interceptor/rules/mcp/paths.toml.
"""

from __future__ import annotations

import functools
import re
import tomllib
from importlib import resources
from typing import Final

import msgspec

_LONGEST: Final = 4096
"""Characters of a path that is looked at (PATH_MAX of Linux)."""
_TELLING: Final = 5
"""Letters of a glob that say enough: `*` alone fits everything."""
_SPLIT: Final = re.compile(r"[=@:,;]")
_HOME: Final = re.compile(r"\A(?:/home/[^/]+|/users/[^/]+|/root|[a-z]:/users/[^/]+)(?=/|\Z)")
# fmt: off
_REBUILT: Final = frozenset((
    "build", "dist", "out", "target", "node_modules", "bin", "obj", "coverage", "htmlcov", "tmp",
    "temp", "cache", ".cache", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".tox",
    ".nox", ".venv", "venv", "env", ".next", ".nuxt", ".turbo", ".parcel-cache", ".gradle", "logs",
    "log", "site", "public", "generated", "vendor", "bower_components", ".terraform", "artifacts",
    "test-results", "playwright-report", ".eggs", ".nyc_output", "storybook-static", "_build",
    "cmake-build-debug", "cmake-build-release", "debug", "release", "deriveddata", "pods", "output",
))
# fmt: on
_SCRATCH: Final = ("/tmp/", "/var/tmp/", "/dev/shm/", "/private/tmp/")  # noqa: S108


class PathRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of file."""

    id: str
    title: str
    pattern: str
    match: tuple[str, ...]
    no_match: tuple[str, ...]
    mild: bool = False
    """Agents read it in ordinary work: it is remembered, and may not leave."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    path: tuple[PathRule, ...]


class Paths:
    """Tells paths apart."""

    def __init__(self, rules: tuple[PathRule, ...]) -> None:
        """Compile the rules.

        Raises:
            re.error: a pattern is malformed.
        """
        self.rules = rules
        self._patterns = [(rule, re.compile(rule.pattern)) for rule in rules]
        self._any = re.compile("|".join(f"(?:{rule.pattern})" for rule in rules))
        self._samples = [
            (rule, [_HOME.sub("~", normal(sample)) for sample in rule.match])
            for rule in rules
            if not rule.mild
        ]

    def secret(self, path: str) -> PathRule | None:
        """Return what kind of credentials is in a file, None for none. Globs are what they fit."""
        path = normal(path)
        if self._any.search(path) is not None:
            return next(rule for rule, pattern in self._patterns if pattern.search(path))
        if ("*" in path or "?" in path) and sum(map(str.isalnum, path)) >= _TELLING:
            fits = _glob(_HOME.sub("~", path))
            for rule, samples in self._samples:
                if any(map(fits.fullmatch, samples)):
                    return rule
        return None

    def within(self, word: str) -> PathRule | None:
        """Do as `secret` does, for a word that may hold more: `file=@.env`, `of=/etc/shadow`."""
        found = self.secret(word)
        if found is None and _SPLIT.search(word[:_LONGEST]) is not None:
            for piece in _SPLIT.split(word[:_LONGEST]):
                found = self.secret(piece) if len(piece) > 3 else None
                if found is not None:
                    break
        return found


def normal(path: str) -> str:
    """Return a path in lower case with `/` alone, without dot segments and quotes."""
    path = path[:_LONGEST].strip(" \t\r\n'\"`").casefold().replace("\\", "/")
    path = path.removeprefix("file://")
    path = path.replace("${home}", "~").replace("$home", "~").replace("%userprofile%", "~")
    if "//" not in path and "/." not in path:
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == ".." and kept and kept[-1] not in ("", "..", "~"):
            kept.pop()
        elif segment not in (".", "") or not kept:
            kept.append(segment)
    return "/".join(kept) or "/"


def vital(word: str) -> bool:
    """Tell whether deleting all below a path loses what is not rebuilt.

    Relative paths are the agent's work, unless they are all of it or lead out of it; what builds
    make, and folders for what is temporary, are free anywhere.
    """
    path = normal(word)
    if not path or path.startswith("-"):
        return False
    bare = path.rstrip("/*") or "/"
    last = bare.rpartition("/")[2]
    if bare in ("/", "~", ".", "..", "./", "../", "~/") or path in ("*", "./*", ".*"):
        return True
    if last in _REBUILT or any(part in _REBUILT for part in bare.split("/")[3:]):
        return False
    if bare.startswith(_SCRATCH):
        return False
    return bare.startswith(("/", "~", "../")) or last == ".git" or bare[1:3] == ":/"


@functools.lru_cache(maxsize=1)
def load() -> Paths:
    """Return the paths that ship."""
    text = resources.files("interceptor.rules").joinpath("mcp", "paths.toml").read_text("utf-8")
    return Paths(msgspec.convert(tomllib.loads(text), _File).path)


def _glob(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of a shell: `*` is neither a `/` nor a dot at the begin of a name."""
    out: list[str] = []
    fresh = True
    for char in pattern[:256]:
        if char == "*":
            out.append(r"(?!\.)[^/]{0,64}" if fresh else "[^/]{0,64}")
        elif char == "?":
            out.append(r"(?!\.)[^/]" if fresh else "[^/]")
        else:
            out.append(re.escape(char))
        fresh = char == "/"
    return re.compile("".join(out))
