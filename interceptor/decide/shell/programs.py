"""What small programs write, where that follows from their words and their input alone.

These are the ones that hide a command from a reader: `echo ... | base64 -d | sh`.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Final

from interceptor.decide.shell.expansion import LONGEST, UNKNOWN

Program = Callable[[Sequence[str], str | None], str | None]
"""(words behind its name, input) -> output; None where it is not known."""

_ESCAPE: Final = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|0?[0-7]{1,3}|[abefnrtv\\\"'])")
_SIMPLE: Final = {"a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_DIRECTIVE: Final = re.compile(r"%(?:%|[-+ #0]*\d{0,3}(?:\.\d{0,3})?([bcdiosuxXq]))")
_SETS: Final = {
    "[:lower:]": "abcdefghijklmnopqrstuvwxyz",
    "[:upper:]": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "[:digit:]": "0123456789",
    "[:space:]": " \t\n\r\f\v",
}


def output_of(name: str, words: Sequence[str], stdin: str | None) -> str | None:
    """Return what a program writes to its standard output.

    Args:
        name: of the program, without its folder.
        words: the words behind it.
        stdin: its input; None where that is not known.

    Returns:
        None where it is not known; never more than `LONGEST` characters.
    """
    program = _PROGRAMS.get(name)
    if program is None:
        return None
    try:
        out = program(words, stdin)
    except (ValueError, binascii.Error, zlib.error, IndexError):
        return None
    return None if out is None else out[:LONGEST]


def unescaped(text: str) -> str:
    """Undo the escapes of `echo -e` and `printf` (XCU printf, 5. File Format Notation)."""

    def one(found: re.Match[str]) -> str:
        code = found[1]
        if code[0] == "x":
            return chr(int(code[1:], 16))
        if code[0].isdigit():
            return chr(int(code, 8) & 0xFF)
        return _SIMPLE.get(code, code)

    return _ESCAPE.sub(one, text)


def _echo(words: Sequence[str], _stdin: str | None) -> str:
    words = list(words)
    end, escapes = "\n", False
    while words and re.fullmatch(r"-[neE]+", words[0]):
        flags = words.pop(0)
        end = "" if "n" in flags else end
        escapes = escapes or "e" in flags
    text = " ".join(words)
    # `echo` of sh undoes escapes unasked.
    return (unescaped(text) if escapes or "\\" in text else text) + end


def _printf(words: Sequence[str], _stdin: str | None) -> str:
    words = [word for word in words if word != "--"]
    if not words:
        return ""
    form, values = unescaped(words[0]), list(words[1:])
    out: list[str] = []
    while True:
        taken = False

        def one(found: re.Match[str]) -> str:
            nonlocal taken
            if found[1] is None:
                return "%"
            taken = True
            value = values.pop(0) if values else ""
            if found[1] == "b":
                return unescaped(value)
            if found[1] == "c":
                return value[:1]
            if found[1] in "xXo" and value.isdigit():
                return format(int(value[:18]), found[1])
            return value

        out.append(_DIRECTIVE.sub(one, form))
        if not values or not taken or sum(map(len, out)) > LONGEST:
            return "".join(out)


def _cat(words: Sequence[str], stdin: str | None) -> str | None:
    files = [word for word in words if word == "-" or not word.startswith("-")]
    if not files or files == ["-"] or files == ["/dev/stdin"]:
        return stdin
    return None


def _bytes(text: str) -> bytes:
    return text.encode("latin-1", "replace")


def _base64(words: Sequence[str], stdin: str | None) -> str | None:
    if stdin is None:
        return None
    if any(word in {"-d", "-D", "--decode", "-di", "-id"} for word in words):
        data = re.sub(
            rb"[^A-Za-z0-9+/]", b"", _bytes(stdin).translate(bytes.maketrans(b"-_", b"+/"))
        )
        return base64.b64decode(data + b"=" * (-len(data) % 4)).decode("latin-1")
    return base64.b64encode(_bytes(stdin)).decode("ascii") + "\n"


def _base32(words: Sequence[str], stdin: str | None) -> str | None:
    if stdin is None or not {"-d", "--decode", "-D"} & set(words):
        return None
    data = "".join(stdin.split()).rstrip("=")
    return base64.b32decode(data + "=" * (-len(data) % 8)).decode("latin-1")


def _xxd(words: Sequence[str], stdin: str | None) -> str | None:
    if stdin is None or not any("r" in word for word in words if word.startswith("-")):
        return None
    return bytes.fromhex(re.sub(r"[^0-9A-Fa-f]", "", stdin)).decode("latin-1")


def _openssl(words: Sequence[str], stdin: str | None) -> str | None:
    known = {"base64", "-base64", "-a"} & set(words)
    return _base64(["-d"], stdin) if known and "-d" in words else None


def _rev(_words: Sequence[str], stdin: str | None) -> str | None:
    if stdin is None:
        return None
    return "\n".join(line[::-1] for line in stdin.split("\n"))


def _tac(_words: Sequence[str], stdin: str | None) -> str | None:
    return None if stdin is None else "\n".join(reversed(stdin.rstrip("\n").split("\n"))) + "\n"


def _set(text: str) -> str:
    for name, members in _SETS.items():
        text = text.replace(name, members)
    text = unescaped(text)

    def span(found: re.Match[str]) -> str:
        first, last = ord(found[1]), ord(found[2])
        return "".join(map(chr, range(first, min(last, first + 255) + 1)))

    return re.sub(r"(.)-(.)", span, text, flags=re.DOTALL)


def _tr(words: Sequence[str], stdin: str | None) -> str | None:
    sets = [_set(word) for word in words if not re.fullmatch(r"-[cCdst]+", word)]
    flags = "".join(word for word in words if re.fullmatch(r"-[cCdst]+", word))
    if stdin is None or not sets or "c" in flags.lower():
        return None
    if "d" in flags:
        return stdin.translate(dict.fromkeys(map(ord, sets[0])))
    if len(sets) < 2 or not sets[1]:
        return stdin if "s" in flags else None
    to = sets[1].ljust(len(sets[0]), sets[1][-1])
    return stdin.translate(dict(zip(map(ord, sets[0]), to, strict=False)))


def _gunzip(words: Sequence[str], stdin: str | None) -> str | None:
    if stdin is None or (words and not any(word.startswith("-") for word in words)):
        return None
    return zlib.decompressobj(47).decompress(_bytes(stdin), LONGEST).decode("latin-1")


def _gzip(words: Sequence[str], stdin: str | None) -> str | None:
    return _gunzip(words, stdin) if any("d" in word for word in words) else None


def _head(words: Sequence[str], stdin: str | None) -> str | None:
    return stdin if not any(not word.startswith("-") for word in words) else None


_PROGRAMS: Final[dict[str, Program]] = {
    "echo": _echo,
    "printf": _printf,
    "print": _echo,
    "cat": _cat,
    "tee": lambda _words, stdin: stdin,
    "base64": _base64,
    "base32": _base32,
    "xxd": _xxd,
    "openssl": _openssl,
    "rev": _rev,
    "tac": _tac,
    "tr": _tr,
    "gunzip": _gunzip,
    "zcat": _gunzip,
    "gzip": _gzip,
    "head": _head,
    "tail": _head,
    "yes": lambda _words, _stdin: UNKNOWN,
}
