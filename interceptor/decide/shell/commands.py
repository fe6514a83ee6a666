"""The commands that a text makes a shell run, in their order, whatever hides them.

Followed are: lists, pipelines, groups, loops and conditions; assignments and expansions; commands
within substitutions; `sh -c`, `eval`, here documents and pipes into a shell, as far as the text
says what goes in; programs that run others (`sudo`, `env`, `xargs`, `find -exec`...). What is too
deep or too long is `TooComplexError`: a reader that gives up must not say that nothing was there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from interceptor.decide.shell.expansion import UNKNOWN, Variables, expand, fits, text_of
from interceptor.decide.shell.lexer import (
    Operator,
    Part,
    PartKind,
    TooComplexError,
    Word,
    tokens,
)
from interceptor.decide.shell.programs import output_of

MAX_DEPTH: Final = 12
"""Texts within texts: substitutions, `sh -c`, `eval`."""
MAX_TEXT: Final = 1 << 18
"""Characters of all texts together."""
MAX_COMMANDS: Final = 4_096

SHELLS: Final = frozenset(("sh", "bash", "dash", "zsh", "ksh", "ash", "mksh", "fish", "rbash"))
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[[^\]]*\])?\+?=(.*)", re.DOTALL)
# fmt: off
_HERE: Final = re.compile(r"(?<!<)<<(-?)[ \t]*([\\'\"]?)([A-Za-z_][A-Za-z0-9_]*)\2?")
_RESERVED: Final = frozenset((
    "if", "then", "else", "elif", "fi", "do", "done", "while", "until", "esac", "{", "}", "!",
    "time", "coproc",
))
_DECLARES: Final = frozenset(("export", "declare", "typeset", "local", "readonly"))
_COUNTED: Final = frozenset(("timeout", "chroot", "flock", "taskset", "chrt"))
_STDIN: Final = frozenset(("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"))
_SEPARATORS: Final = frozenset(("&&", "||", ";", ";;", "&", "\n", "(", ")"))
_PIPES: Final = frozenset(("|", "|&"))
_WRAPPERS: Final[dict[str, str]] = {
    # name -> options that take a word of their own
    "sudo": "ugpChTRDrt", "doas": "uC", "env": "uCS", "nohup": "", "nice": "n", "ionice": "cnp",
    "timeout": "ks", "stdbuf": "ioe", "setsid": "", "exec": "a", "command": "", "builtin": "",
    "busybox": "", "toybox": "", "xargs": "IinPLsEdadS", "time": "fo", "chrt": "", "taskset": "",
    "unbuffer": "", "strace": "oesp", "ltrace": "oes", "watch": "n", "su": "", "runuser": "u",
    "unshare": "", "nsenter": "t", "chroot": "", "flock": "w", "parallel": "jI", "script": "",
    "proot": "", "fakeroot": "", "catchsegv": "", "dbus-run-session": "",
}
_FOLDERS: Final = ("/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/", "/usr/local/bin/")
_KNOWN: Final = (
    "cat", "curl", "wget", "nc", "ncat", "sh", "bash", "dash", "zsh", "python", "python3", "perl",
    "rm", "dd", "base64", "chmod", "chown", "cp", "mv", "ssh", "scp", "tar", "head", "tail",
    "less", "more", "strings", "xxd", "od", "socat", "telnet", "ruby", "node", "php", "crontab",
    "shred", "mkfs", "tee", "find", "env", "printenv", "sed", "awk", "grep", "ls", "id", "whoami",
)
# fmt: on


class Command(msgspec.Struct, frozen=True, gc=False):
    """A simple command as it would run."""

    name: str
    """Of the program, without its folder; empty where only redirections are left."""
    words: tuple[str, ...]
    """The words behind it."""
    redirections: tuple[tuple[str, str], ...] = ()
    """(operator, file or text)."""
    before: tuple[str, ...] = ()
    """Names of the programs that stand before it in its pipeline."""
    stdin: str | None = None
    """What it reads, where that is known."""
    within: bool = False
    """It runs within a substitution: what it writes becomes words."""


def commands(text: str) -> list[Command]:
    """Return the commands of a text.

    Raises:
        TooComplexError: it goes deeper or farther than is looked at.
    """
    shell = _Shell()
    shell.run(text, 0, within=False)
    return shell.found


class _Shell:
    def __init__(self) -> None:
        self.found: list[Command] = []
        self._variables = Variables()
        self._left = MAX_TEXT

    def run(self, text: str, depth: int, *, within: bool, stdin: str | None = None) -> str | None:
        """Follow a text; return what it writes, None where that is not known."""
        self._left -= len(text)
        if depth > MAX_DEPTH or self._left < 0:
            raise TooComplexError("commands are nested too deep, or too long")
        written: list[str] = []
        known = True
        for pipeline in _pipelines(text):
            flow = stdin
            before: list[str] = []
            for simple in pipeline:
                count = len(self.found)
                flow = self._simple(simple, flow, tuple(before), depth, within=within)
                before += [command.name for command in self.found[count:]][:1]
            if flow is None:
                known = False
            else:
                written.append(flow)
        return "".join(written) if known else None

    def _simple(
        self,
        simple: _Simple,
        stdin: str | None,
        before: tuple[str, ...],
        depth: int,
        *,
        within: bool,
    ) -> str | None:
        def output(text: str) -> str:
            out = self.run(text, depth + 1, within=True)
            return UNKNOWN if out is None else out

        words = list(simple.words)
        while words and _reserved(words[0]):
            words.pop(0)
        if len(words) > 2 and _is(words[0], "function"):
            del words[:2]  # its name, too: what a function does may be run
            while words and _reserved(words[0]):
                words.pop(0)
        while words and (found := _assignment(words[0])) is not None:
            name, value = found
            self._variables.set(name, text_of(value, self._variables, output))
            words.pop(0)
        fields = [field for word in words for field in expand(word, self._variables, output)]
        redirections: list[tuple[str, str]] = []
        for operator, word in simple.redirections:
            target = text_of(word, self._variables, output)
            redirections.append((operator, target))
            if operator in {"<<<", "<<", "<<-"}:
                stdin = target
            elif operator == "<":
                stdin = UNKNOWN if target == UNKNOWN else None
        if not fields:
            if redirections:  # of a loop, or a file that is only opened
                noted = Command("", (), tuple(redirections), tuple(before), stdin, within)
                self.found.append(noted)
            return ""
        out = self._act(fields, tuple(redirections), before, stdin, depth, within=within)
        to_file = any(op.startswith((">", "&>")) and op != ">&" for op, _ in redirections)
        return "" if to_file else out

    def _act(
        self,
        fields: list[str],
        redirections: tuple[tuple[str, str], ...],
        before: tuple[str, ...],
        stdin: str | None,
        depth: int,
        *,
        within: bool,
    ) -> str | None:
        """Note a command, and those that it runs."""
        if depth > MAX_DEPTH:
            raise TooComplexError("commands are nested too deep, or too long")
        name, words = _program(fields[0]), fields[1:]
        if name in _DECLARES:
            for word in words:
                found = _ASSIGNMENT.match(word)
                if found is not None:
                    self._variables.set(found[1], found[2])
        if name in {"for", "select"} and len(words) > 1:
            self._variables.set(words[0], " ".join(words[2:]))
            return ""
        if name == "read" and words and stdin is not None:
            self._variables.set(words[-1], stdin.partition("\n")[0])
        if len(self.found) >= MAX_COMMANDS:
            raise TooComplexError("too many commands")
        self.found.append(Command(name, tuple(words), redirections, before, stdin, within))
        inner = _wrapped(name, words)
        if inner:
            if name == "xargs" and stdin is not None:
                inner = _fed(words, inner, stdin)
            return self._act(inner, redirections, before, stdin, depth + 1, within=within)
        text = _script(name, words, stdin)
        if text is not None:
            return self.run(text, depth + 1, within=within, stdin=stdin)
        return output_of(name, words, stdin)


class _Simple(msgspec.Struct, frozen=True, gc=False):
    words: tuple[Word, ...]
    redirections: tuple[tuple[str, Word], ...]


def _pipelines(text: str) -> Iterable[list[_Simple]]:
    """Cut a text into pipelines of simple commands; here documents go with their command."""
    text, documents = _here_documents(text)
    pipeline: list[_Simple] = []
    words: list[Word] = []
    redirections: list[tuple[str, Word]] = []
    operator = ""
    for token in [*tokens(text), Operator("\n")]:
        if isinstance(token, Word):
            if operator in {"<<", "<<-"} and documents:
                redirections.append((operator, documents.pop(0)))
            elif operator:
                redirections.append((operator, token))
            else:
                words.append(token)
            operator = ""
        elif token.text in _PIPES or token.text in _SEPARATORS:
            operator = ""
            if words or redirections:
                pipeline.append(_Simple(tuple(words), tuple(redirections)))
            words, redirections = [], []
            if token.text in _SEPARATORS and pipeline:
                yield pipeline
                pipeline = []
        else:
            operator = token.text


def _here_documents(text: str) -> tuple[str, list[Word]]:
    """Take here documents out of a text (XCU 2.7.4)."""
    if "<<" not in text:
        return text, []
    lines = text.split("\n")
    kept: list[str] = []
    documents: list[Word] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        kept.append(line)
        at += 1
        for found in _HERE.finditer(line):
            end = at
            while end < len(lines) and lines[end].strip("\t\r") != found[3]:
                end += 1
            body = "\n".join(lines[at:end]) + "\n"
            at = min(end + 1, len(lines))
            documents.append(_document(body, literal=bool(found[2])))
    return "\n".join(kept), documents


def _document(body: str, *, literal: bool) -> Word:
    if not literal:
        found = tokens('"' + body.replace('"', '\\"') + '"')
        if len(found) == 1 and isinstance(found[0], Word):
            return found[0]
    return Word((Part(PartKind.QUOTED, body, quoted=True),))


def _reserved(word: Word) -> bool:
    return (
        len(word.parts) == 1
        and word.parts[0].kind is PartKind.TEXT
        and word.parts[0].text in _RESERVED
    )


def _is(word: Word, text: str) -> bool:
    return (
        len(word.parts) == 1 and word.parts[0].kind is PartKind.TEXT and word.parts[0].text == text
    )


def _assignment(word: Word) -> tuple[str, Word] | None:
    if not word.parts or word.parts[0].kind is not PartKind.TEXT:
        return None
    found = _ASSIGNMENT.match(word.parts[0].text)
    if found is None:
        return None
    first = (Part(PartKind.TEXT, found[2]),) if found[2] else ()
    return found[1], Word(first + word.parts[1:])


def _program(word: str) -> str:
    """Name of a program without its folder; a pattern is the first program that it fits."""
    if any(char in word for char in "*?["):
        for known in _KNOWN:
            if fits(word, known) or any(fits(word, folder + known) for folder in _FOLDERS):
                return known
    return word.rpartition("/")[2] or word


def _wrapped(name: str, words: Sequence[str]) -> list[str]:
    """Return the command that a program like `sudo` or `find -exec` runs, none if it is no such."""
    if name == "find":
        for option in ("-exec", "-execdir", "-ok", "-okdir"):
            if option in words:
                begin = words.index(option) + 1
                inner = list(words[begin:])
                ends = [inner.index(end) for end in (";", "+") if end in inner]
                return inner[: min(ends)] if ends else inner
        return []
    options = _WRAPPERS.get(name)
    if options is None:
        return []
    left = list(words)
    while left:
        word = left[0]
        if word == "--":
            left.pop(0)
            break
        if word.startswith("-") and len(word) > 1:
            left.pop(0)
            if not word.startswith("--") and word[-1] in options and left:
                value = left.pop(0)
                if name == "env" and word[-1] == "S":
                    return value.split() + left
        elif _ASSIGNMENT.match(word):
            left.pop(0)
        else:
            break
    if name in _COUNTED and left:
        left.pop(0)  # how long, as whom, where
    return left


def _fed(words: Sequence[str], inner: list[str], stdin: str) -> list[str]:
    """Return the command that `xargs` makes of its input: at the end, or in place of a mark."""
    marks = [word[2:] or words[at + 1] for at, word in enumerate(words[:-1]) if word[:2] == "-I"]
    if not marks:
        return inner + stdin.split()
    return [word.replace(marks[0], stdin.strip("\n")) if marks[0] else word for word in inner]


def _script(name: str, words: Sequence[str], stdin: str | None) -> str | None:
    """Return the text that a shell or a part of one is given to run; None if it is no such."""
    if name in SHELLS or name in {"su", "runuser", "script"}:
        for at, word in enumerate(words):
            if re.fullmatch(r"-[A-Za-z]*c[A-Za-z]*|--command", word):
                return " ".join(words[at + 1 : at + 2])
            if word.startswith("--command="):
                return word.partition("=")[2]
        files = [word for word in words if not word.startswith(("-", "+"))]
        return stdin if name in SHELLS and (not files or files[0] in _STDIN) else None
    if name == "eval":
        return " ".join(words)
    if name in {"source", "."}:
        return stdin if words and words[0] in _STDIN else None
    if name == "trap":
        return words[0] if words and not words[0].startswith("-") else None
    if name == "alias":
        return "\n".join(word.partition("=")[2] for word in words if "=" in word)
    if name in {"at", "batch"}:
        return stdin
    return None
