"""Commands that are refused, whatever hides them. The rules are data: rules/mcp/commands.toml."""

from __future__ import annotations

import functools
import itertools
import re
import shlex
import tomllib
import unicodedata
from collections.abc import Sequence
from importlib import resources
from typing import Final, Literal

import msgspec

from interceptor.decide.mcp.command_flows import Refused, fetched_and_run, leaks
from interceptor.decide.mcp.impostors import LOOKS
from interceptor.decide.mcp.paths import Paths, normal, vital
from interceptor.decide.mcp.paths import load as load_paths
from interceptor.decide.shell.commands import Command, commands
from interceptor.decide.shell.lexer import TooComplexError

Kind = Literal[
    "destructive", "persistence", "credentials", "exfiltration", "remote-shell", "download"
]
_CODE: Final = frozenset((
    "python", "python2", "python3", "perl", "ruby", "node", "php", "lua", "deno", "bun", "awk",
    "gawk",
))  # fmt: skip
_CALLS: Final = re.compile(
    r"\b(?:system|exec\w*|popen\w*|run|call|check_\w+|spawn\w*|getoutput|shell_exec|passthru|sh)"
    r"\s*\(?\s*[rbfu]?(?:(?P<q>[\"'`])(?P<text>.{1,2000}?)(?P=q)|\[(?P<list>[^\]]{1,2000})\])",
    re.DOTALL | re.IGNORECASE,
)
_QUOTED: Final = re.compile(r"[\"']([^\"']{0,400})[\"']")
_CODE_LENGTH: Final = 65_536
_MOST_CALLS: Final = 32
_DEEPEST: Final = 2
_HOW: Final = {
    "ssh": "i F", "scp": "i F", "sftp": "i F", "rsync": "e rsh", "mosh": "ssh",
    "curl": "E key cert cacert netrc-file K", "wget": "private-key certificate ca-certificate",
    "openssl": "key CAfile cert",
}  # fmt: skip
_INVISIBLE: Final = frozenset(("Cf", "Mn", "Me"))
_BACKTICKS: Final = re.compile(r"`([A-Za-z][\w.-]{0,15})`(?=[ \t])")
_KINDS: Final = ("{secret}", "{mild}", "{vital}")
_WORDS: Final = 16_384
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
        self._paths = paths
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

    def judge(self, text: str, depth: int = 0) -> tuple[Refused | None, list[Command]]:
        """Judge a text; what cannot be followed to its end is refused.

        Args:
            text: commands of a shell.
            depth: programs of other languages that it stands in.

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
            if command.name in _CODE and depth < _DEEPEST:
                hidden = self._strings(" ".join(command.words), depth)
                if hidden is not None:
                    return hidden, found
        return fetched_and_run(found) or leaks(found, self._paths), found

    def _strings(self, code: str, depth: int) -> Refused | None:
        """Judge what code gives to a shell: `os.system('...')`, `exec([...])`."""
        for call in itertools.islice(_CALLS.finditer(code[:_CODE_LENGTH]), _MOST_CALLS):
            text = call["text"]
            if text is None:
                text = shlex.join(_QUOTED.findall(call["list"]))
            refused, _ = self.judge(text.replace("\\'", "'").replace('\\"', '"'), depth + 1)
            if refused is not None and refused.kind != "unreadable":
                return refused
        return None

    def judge_write(self, path: str, content: str) -> Refused | None:
        """Judge a file that a tool writes: by where it is, and what runs it from there."""
        path = normal(path)
        written = (
            Command("", (), ((">", path),)),
            Command("echo", (plain(content[:_WORDS]),), ((">>", path),)),
        )
        for command in written:
            for rule in (*self._by_program.get(command.name, ()), *self._of_all):
                if rule.rule.writes and rule.fits(command):
                    refused: Refused = rule.refused
                    return refused
        return None

    def judge_code(self, code: str) -> Refused | None:
        """Judge a program in another language than the shell's."""
        refused = self._strings(code, 0)
        if refused is not None:
            return refused
        command = Command("python3", ("-c", plain(code[:_WORDS])))
        for rule in self._by_program.get("python3", ()):
            if not rule.rule.before and rule.fits(command):
                return rule.refused
        return None


def plain(text: str) -> str:
    """Fold width and compatibility forms (NFKC), and drop what nobody sees."""
    if text.isascii():
        return text
    folded = unicodedata.normalize("NFKC", text)
    dropped = [ord(char) for char in set(folded) if unicodedata.category(char) in _INVISIBLE]
    return folded.translate(dict.fromkeys(dropped)) if dropped else folded


def _folded(command: Command) -> Command:
    """Fold a program's name, and leave out words that say how, not what."""
    name = command.name.casefold().removesuffix(".exe")
    if not name.isascii():
        name = name.translate(LOOKS)
    words = command.words
    options = _HOW.get(name, "")
    if options and any(options_of(word, options) for word in words):
        kept: list[str] = []
        skip = False
        for word in words:
            if not skip:
                kept.append(word)
            skip = not skip and options_of(word, options)
        words = tuple(kept)
    before = command.before
    if before and not "".join(before).isascii():
        before = tuple(one.casefold().translate(LOOKS) for one in before)
    if name == command.name and words is command.words and before is command.before:
        return command
    return msgspec.structs.replace(command, name=name, words=words, before=before)


def options_of(word: str, options: str) -> bool:
    """Tell whether a word is one of the options (`i E --key`) whose value says only how."""
    return word.startswith("-") and word.lstrip("-") in options.split()


@functools.lru_cache(maxsize=1)
def load() -> CommandRules:
    """Return the rules that ship."""
    text = resources.files("interceptor.rules").joinpath("mcp", "commands.toml").read_text("utf-8")
    return CommandRules(msgspec.convert(tomllib.loads(text), _File).rule, load_paths())
