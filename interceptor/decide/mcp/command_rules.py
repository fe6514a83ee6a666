"""Commands that are refused, whatever hides them. The rules are data: rules/mcp/commands.toml."""

from __future__ import annotations

import functools
import re
import tomllib
import unicodedata
from collections.abc import Sequence
from importlib import resources
from typing import Final, Literal

import msgspec

from interceptor.decide.mcp.paths import Paths, vital
from interceptor.decide.mcp.paths import load as load_paths
from interceptor.decide.shell.commands import SHELLS, Command, commands
from interceptor.decide.shell.expansion import UNKNOWN
from interceptor.decide.shell.lexer import TooComplexError

Kind = Literal[
    "destructive", "persistence", "credentials", "exfiltration", "remote-shell", "download"
]
_FETCHES: Final = frozenset(("curl", "wget", "aria2c", "fetch", "lynx", "http", "https"))
_RUNS: Final = SHELLS | {
    "eval",
    "source",
    ".",
    "python",
    "python3",
    "perl",
    "ruby",
    "node",
    UNKNOWN,
}
_INVISIBLE: Final = frozenset(("Cf", "Mn", "Me"))
_BACKTICKS: Final = re.compile(r"`([A-Za-z][\w.-]{0,15})`(?=[ \t])")
_KINDS: Final = ("{secret}", "{mild}", "{vital}")
_OUTPUT: Final = re.compile(r"\A-[A-Za-z]*[oO]\Z|\A--output(?:-document)?\Z")
_WORDS: Final = 4096
"""Characters of all words of a command, joined, in which a pattern is looked for."""


class CommandRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule; what is left out is not asked."""

    id: str
    title: str
    kind: Kind
    match: tuple[str, ...]
    no_match: tuple[str, ...]
    programs: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    text: str = ""
    none: str = ""
    before: tuple[str, ...] = ()
    writes: str = ""
    reads: str = ""
    raw: str = ""
    exact: bool = False


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    rule: tuple[CommandRule, ...]


class Refused(msgspec.Struct, frozen=True, gc=False):
    """What a text does that is refused."""

    rule: str
    title: str
    kind: str


class _Words:
    """A pattern of a word, with the words that stand for kinds of files."""

    def __init__(self, pattern: str, paths: Paths, flags: int) -> None:
        rest = pattern
        for kind in _KINDS:
            rest = rest.replace(f"{kind}|", "").replace(f"|{kind}", "").replace(kind, "")
        self._paths = paths
        self._secret = "{secret}" in pattern
        self._mild = "{mild}" in pattern
        self._vital = "{vital}" in pattern
        self._rest = re.compile(rest, flags) if rest else None

    def fits(self, word: str) -> bool:
        if self._rest is not None and self._rest.search(word) is not None:
            return True
        if self._vital and vital(word):
            return True
        if self._secret or self._mild:
            found = self._paths.within(word)
            return found is not None and (self._mild if found.mild else self._secret)
        return False


class _Compiled:
    def __init__(self, rule: CommandRule, paths: Paths) -> None:
        flags = re.NOFLAG if rule.exact else re.IGNORECASE
        self.rule = rule
        self.refused = Refused(rule.id, rule.title, rule.kind)
        self._words = [_Words(pattern, paths, flags) for pattern in rule.words]
        self._text = re.compile(rule.text, flags) if rule.text else None
        self._none = re.compile(rule.none, flags) if rule.none else None
        self._before = frozenset(rule.before)
        self._writes = re.compile(rule.writes, flags) if rule.writes else None
        self._reads = _Words(rule.reads, paths, flags) if rule.reads else None

    def fits(self, command: Command) -> bool:
        words = command.words
        if self._before and self._before.isdisjoint(command.before):
            return False
        if self._writes is not None and not self._writes_to(command):
            return False
        if self._reads is not None:
            inputs = [to for sign, to in command.redirections if sign == "<"]
            if not any(map(self._reads.fits, inputs)):
                return False
        if not all(any(map(pattern.fits, words)) for pattern in self._words):
            return False
        if self._none is not None and any(map(self._none.search, words)):
            return False
        return self._text is None or self._text.search(" ".join(words)[:_WORDS]) is not None

    def _writes_to(self, command: Command) -> bool:
        pattern = self._writes
        return pattern is not None and any(
            ">" in sign and pattern.search(to) is not None for sign, to in command.redirections
        )


class CommandRules:
    """Judges texts that a shell would run."""

    def __init__(self, rules: Sequence[CommandRule], paths: Paths) -> None:
        """Compile the rules.

        Raises:
            re.error: a pattern is malformed.
        """
        self.rules = tuple(rules)
        self._raw = [
            (re.compile(rule.raw), Refused(rule.id, rule.title, rule.kind))
            for rule in rules
            if rule.raw
        ]
        self._by_program: dict[str, list[_Compiled]] = {}
        self._of_all: list[_Compiled] = []
        for rule in rules:
            if rule.raw:
                continue
            compiled = _Compiled(rule, paths)
            for program in rule.programs:
                self._by_program.setdefault(program, []).append(compiled)
            if not rule.programs:
                self._of_all.append(compiled)

    def judge(self, text: str) -> tuple[Refused | None, list[Command]]:
        """Judge a text; what cannot be followed to its end is refused.

        Returns:
            What it does that is refused, and the commands that it runs, as far as they were read.
        """
        text = plain(text)
        for pattern, refused in self._raw:
            if pattern.search(text[:_WORDS]) is not None:
                return refused, []
        try:
            found = commands(text)
            if "`" in text:  # `rm` -rf / runs `rm` first; readers take it for rm -rf /
                found += commands(_BACKTICKS.sub(r"\1", text))
        except TooComplexError as error:
            return Refused("too-complex", str(error), "unreadable"), []
        found = [_folded(command) for command in found]
        for command in found:
            for rule in (*self._by_program.get(command.name, ()), *self._of_all):
                if rule.fits(command):
                    return rule.refused, found
        return _fetched_and_run(found), found

    def judge_code(self, code: str) -> Refused | None:
        """Judge a program in another language than the shell's."""
        command = Command("python3", ("-c", plain(code)[:_WORDS]))
        for rule in self._by_program.get("python3", ()):
            if not rule.rule.before and rule.fits(command):
                return rule.refused
        return None


def plain(text: str) -> str:
    """Fold width and compatibility forms (NFKC), and drop what nobody sees."""
    if text.isascii():
        return text
    folded = unicodedata.normalize("NFKC", text)
    return "".join(
        char for char in folded if char == UNKNOWN or unicodedata.category(char) not in _INVISIBLE
    )


def _folded(command: Command) -> Command:
    name = command.name.casefold().removesuffix(".exe")
    return command if name == command.name else msgspec.structs.replace(command, name=name)


def _fetched_and_run(found: Sequence[Command]) -> Refused | None:
    """Tell whether something is fetched and run by way of words or of a file."""
    fetched = False
    files: set[str] = set()
    for command in found:
        name = command.name
        if name in _FETCHES:
            fetched = fetched or command.within
            files.update(_written(command))
        elif fetched and name in _RUNS and (name == UNKNOWN or UNKNOWN in command.words):
            return Refused("fetch-and-run", "Runs what it has just fetched", "download")
        elif files:
            ran = {name} if name not in _RUNS else {_last(word) for word in command.words[:2]}
            if not files.isdisjoint(ran):
                return Refused("fetch-and-run", "Runs what it has just fetched", "download")
    return None


def _written(command: Command) -> list[str]:
    """Names of the files that a download is written to."""
    names = [to for sign, to in command.redirections if sign in (">", ">>", ">|")]
    words = command.words
    named = [words[at + 1] for at, word in enumerate(words[:-1]) if _OUTPUT.match(word)]
    if not named and (
        command.name == "wget" or any(word in ("-O", "-OL", "-LO") for word in words)
    ):
        named = [_last(word.partition("?")[0]) for word in words if "/" in word]
    return [_last(name) for name in (*names, *named) if _last(name) not in ("", "-", "null")]


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


@functools.lru_cache(maxsize=1)
def load() -> CommandRules:
    """Return the rules that ship."""
    text = resources.files("interceptor.rules").joinpath("mcp", "commands.toml").read_text("utf-8")
    return CommandRules(msgspec.convert(tomllib.loads(text), _File).rule, load_paths())
