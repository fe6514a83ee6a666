"""A command line taken apart as a shell does (POSIX.1-2024, XCU 2.3; bash(1), QUOTING).

Pure and linear: each character is looked at once, whatever stands in it. What a shell would refuse
is read as far as it goes, because another shell may take it.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

_OPERATORS: Final = (
    *("&&", "||", ";;", "<<<", "<<-", "<<", ">>", ">&", "<&", "<>", ">|", "&>>", "&>"),
    *(";", "&", "|&", "|", "\n", "(", ")", "<", ">"),
)
_BY_FIRST: Final[dict[str, tuple[str, ...]]] = {
    first: tuple(sorted((op for op in _OPERATORS if op.startswith(first)), key=len, reverse=True))
    for first in {op[0] for op in _OPERATORS}
}
# fmt: off
_ANSI_C: Final = {
    "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
    "v": "\v", "\\": "\\", "'": "'", '"': '"', "?": "?",
}
# fmt: on
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_OCTAL: Final = frozenset("01234567")


class TooComplexError(ValueError):
    """More than is looked at: what a shell would make of it is not known."""


class PartKind(enum.Enum):
    """Parts of a word."""

    TEXT = enum.auto()
    """Unquoted text: braces, tildes and patterns mean something in it."""
    QUOTED = enum.auto()
    """Text that stands for itself."""
    VARIABLE = enum.auto()
    """`$name` or `${name...}`: what is between the braces."""
    COMMAND = enum.auto()
    """`$(...)`, backquotes or `<(...)`: the text of the commands."""


class Part(msgspec.Struct, frozen=True, gc=False):
    """A part of a word."""

    kind: PartKind
    text: str
    quoted: bool = False
    """Within double quotes: what comes out is one word."""


class Word(msgspec.Struct, frozen=True, gc=False):
    """A word, not expanded yet."""

    parts: tuple[Part, ...]


class Operator(msgspec.Struct, frozen=True, gc=False):
    """A control or redirection operator; a number before a redirection is left out."""

    text: str


Token = Word | Operator


def tokens(text: str) -> list[Token]:
    """Take a text apart into words and operators; comments are left out."""
    return _Lexer(text).run()


class _Lexer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._parts: list[Part] = []
        self._plain: list[str] = []
        self._begun = False
        self._found: list[Token] = []

    def run(self) -> list[Token]:
        text, size = self._text, len(self._text)
        while self._at < size:
            at = self._at
            char = text[at]
            if char in " \t\r":
                self._end_word()
                self._at += 1
            elif char == "#" and not self._begun:
                line = text.find("\n", at)
                self._at = size if line < 0 else line
            elif char == "\\":
                self._backslash()
            elif char == "'":
                self._single()
            elif char == '"':
                self._double()
            elif char == "$":
                self._dollar(quoted=False)
            elif char == "`":
                self._backquote(quoted=False)
            elif char in "<>" and text[at + 1 : at + 2] == "(":
                self._at += 1
                self._command(quoted=False)
            elif char in _BY_FIRST:
                self._operator(char)
            else:
                self._begun = True
                self._plain.append(char)
                self._at += 1
        self._end_word()
        return self._found

    def _operator(self, first: str) -> None:
        if first in "<>" and self._begun and not self._parts and "".join(self._plain).isdigit():
            self._plain.clear()  # the descriptor that is redirected
            self._begun = False
        self._end_word()
        for operator in _BY_FIRST[first]:
            if self._text.startswith(operator, self._at):
                self._found.append(Operator(operator))
                self._at += len(operator)
                return
        self._at += 1  # cannot be: each first character is an operator, or begins one that is

    def _end_word(self) -> None:
        self._flush()
        if self._begun:
            self._found.append(Word(tuple(self._parts)))
        self._parts = []
        self._begun = False

    def _flush(self) -> None:
        if self._plain:
            self._parts.append(Part(PartKind.TEXT, "".join(self._plain)))
            self._plain.clear()

    def _add(self, kind: PartKind, text: str, *, quoted: bool) -> None:
        self._flush()
        self._begun = True
        self._parts.append(Part(kind, text, quoted))

    def _backslash(self) -> None:
        """A backslash quotes what follows; with a line end it is nothing (XCU 2.2.1)."""
        following = self._text[self._at + 1 : self._at + 2]
        self._at += 2
        if following == "\r" and self._text[self._at : self._at + 1] == "\n":
            self._at += 1
        elif following not in {"\n", ""}:
            self._add(PartKind.QUOTED, following, quoted=True)

    def _single(self) -> None:
        end = self._text.find("'", self._at + 1)
        end = len(self._text) if end < 0 else end
        self._add(PartKind.QUOTED, self._text[self._at + 1 : end], quoted=True)
        self._at = end + 1

    def _double(self) -> None:
        """Within double quotes only `$`, backquotes and some backslashes mean something."""
        text, size = self._text, len(self._text)
        self._add(PartKind.QUOTED, "", quoted=True)
        self._at += 1
        run: list[str] = []
        while self._at < size and text[self._at] != '"':
            char = text[self._at]
            if char == "\\" and text[self._at + 1 : self._at + 2] in {*'$`"\\', "\n"}:
                following = text[self._at + 1]
                if following != "\n":
                    run.append(following)
                self._at += 2
            elif char in "$`":
                if run:
                    self._add(PartKind.QUOTED, "".join(run), quoted=True)
                    run = []
                if char == "$":
                    self._dollar(quoted=True)
                else:
                    self._backquote(quoted=True)
            else:
                run.append(char)
                self._at += 1
        if run:
            self._add(PartKind.QUOTED, "".join(run), quoted=True)
        self._at += 1

    def _dollar(self, *, quoted: bool) -> None:
        text, at = self._text, self._at
        following = text[at + 1 : at + 2]
        if following == "(":
            self._at += 1
            self._command(quoted=quoted)
        elif following == "{":
            end = _closing(text, at + 2, "{", "}")
            self._add(PartKind.VARIABLE, text[at + 2 : end], quoted=quoted)
            self._at = end + 1
        elif following == "'" and not quoted:
            self._ansi_c()
        elif following == '"' and not quoted:
            self._at += 1  # $"..." is translated, which changes nothing that matters here
        elif following.isalpha() or following == "_":
            end = at + 1
            while end < len(text) and (text[end].isalnum() or text[end] == "_"):
                end += 1
            self._add(PartKind.VARIABLE, text[at + 1 : end], quoted=quoted)
            self._at = end
        elif following and following in "@*#?-$!0123456789":
            self._add(PartKind.VARIABLE, following, quoted=quoted)
            self._at += 2
        else:
            self._add(PartKind.QUOTED, "$", quoted=True)
            self._at += 1

    def _command(self, *, quoted: bool) -> None:
        """`(...)` at the place where we are: the commands in it are the part's text."""
        begin = self._at + 1
        end = _closing(self._text, begin, "(", ")")
        inner = self._text[begin:end]
        if inner.startswith("(") and inner.endswith(")"):
            self._add(PartKind.VARIABLE, "((", quoted=quoted)  # arithmetic: a number
        else:
            self._add(PartKind.COMMAND, inner, quoted=quoted)
        self._at = end + 1

    def _backquote(self, *, quoted: bool) -> None:
        text, size = self._text, len(self._text)
        at = self._at + 1
        inner: list[str] = []
        while at < size and text[at] != "`":
            if text[at] == "\\" and at + 1 < size and text[at + 1] in '$`\\"':
                at += 1
            inner.append(text[at])
            at += 1
        self._add(PartKind.COMMAND, "".join(inner), quoted=quoted)
        self._at = at + 1

    def _ansi_c(self) -> None:
        """`$'...'` (XCU 2.2.4, dollar-single-quotes)."""
        text, size = self._text, len(self._text)
        at = self._at + 2
        out: list[str] = []
        while at < size and text[at] != "'":
            if text[at] != "\\" or at + 1 >= size:
                out.append(text[at])
                at += 1
                continue
            char = text[at + 1]
            at += 2
            if char in _ANSI_C:
                out.append(_ANSI_C[char])
            elif char in "xuU":
                end = at
                most = {"x": 2, "u": 4, "U": 8}[char]
                while end < size and end - at < most and text[end] in _HEX:
                    end += 1
                out.append(_character(text[at:end], 16))
                at = end
            elif char in _OCTAL:
                end = at
                while end < size and end - at < 2 and text[end] in _OCTAL:
                    end += 1
                out.append(_character(text[at - 1 : end], 8))
                at = end
            elif char == "c" and at < size:
                out.append(chr(ord(text[at]) & 0x1F))
                at += 1
            else:
                out.append(char)
        self._add(PartKind.QUOTED, "".join(out), quoted=True)
        self._at = at + 1


def _character(digits: str, base: int) -> str:
    number = int(digits, base) if digits else 0
    return chr(number) if number < 0x110000 else ""


def _closing(text: str, at: int, opening: str, closing: str) -> int:
    """Place of the bracket that ends what begins at `at`; the end of the text if there is none."""
    depth, size = 1, len(text)
    while at < size:
        char = text[at]
        if char == "\\":
            at += 1
        elif char == "'":
            end = text.find("'", at + 1)
            at = end if end >= 0 else at
        elif char == '"':
            at += 1
            while at < size and text[at] != '"':
                at += 2 if text[at] == "\\" else 1
        elif char == opening:
            depth += 1
        elif char == closing:
            depth -= 1
            if not depth:
                return at
        at += 1
    return size
