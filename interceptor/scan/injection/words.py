r"""Words of the rule files, written out as patterns that Vectorscan and `re` share.

A word is written as one would type it. A blank stands for up to four characters that are no letters
or digits, `..` for up to thirty bytes within a sentence, `*` for any end of a word, behind a group
for up to three of them, `(a|b)` for alternatives, `[a-z]` for one byte of a class and `[a-z]*` for
up to sixteen, `?` makes what is before it optional, `{1,4}` repeats it, a backslash takes the next
character as it is.
Letters with marks are found without them and in either case; so are those of other alphabets.
"""

from __future__ import annotations

from unicodedata import combining, normalize

_BLANK = r"(?:[^A-Za-z0-9]{1,4})"
_GAP = r"(?:[^A-Za-z0-9](?:[^.!?]{0,28}[^A-Za-z0-9])?)"
_APOSTROPHE = r"(?:['`]|\xe2\x80[\x98\x99]|\xc2\xb4)?"
_BLANK_WITHIN = r"(?:[ \t\r\n]{0,3})"  # in scripts that have no blanks, or few
_EDGE = r"(?:\b|_)"
_END = r"[a-z]{0,8}"
_END_WITHIN = r"[\x80-\xff]{0,14}"
_SPECIAL = frozenset("\\^$.[]{}+*?()|/")


class WordError(Exception):
    """A word that cannot be read."""


def pattern(word: str, *, boundary: bool) -> str:
    """Write a word out as a pattern of bytes, to be matched without regard to the case of ASCII.

    Args:
        word: see the module.
        boundary: it begins and ends where a word does; False for scripts without blanks.

    Raises:
        WordError: parentheses that do not match, or nothing at all.
    """
    out: list[str] = []
    depth = 0
    at = 0
    while at < len(word):
        char = word[at]
        at += 1
        if char == " ":
            if word.startswith(".. ", at):
                at += 3
                out.append(_GAP if boundary else r"[^.!?]{0,30}")
            else:
                out.append(_BLANK if boundary else _BLANK_WITHIN)
        elif char == "(":
            depth += 1
            out.append("(?:")
        elif char in ")|?":
            depth -= char == ")"
            out.append(char)
        elif char in "[{":
            end = word.find("]" if char == "[" else "}", at) + 1
            if not end:
                raise WordError(f"cannot read {word!r}")
            out.append(word[at - 1 : end])
            at = end
        elif char == "*":
            before = word[at - 2 : at - 1]
            repeats = {")": "{0,3}", "]": "{0,16}"}
            out.append(repeats.get(before, _END if before.isascii() else _END_WITHIN))
        elif char == "'":
            out.append(_APOSTROPHE)
        elif char == "\\":
            out.append(literal(word[at : at + 1]))
            at += 1
        else:
            out.append(literal(char))
    text = "".join(out)
    if depth or not text:
        raise WordError(f"cannot read {word!r}")
    if not boundary:
        return text
    begins = word.lstrip("(")[:1]
    ends = word.rstrip(")?*s(|")[-1:]
    edge = _EDGE if begins.isascii() and begins.isalnum() else ""
    after = _EDGE if ends.isascii() and ends.isalnum() else ""
    return f"{edge}{text}{after}"


def literal(char: str) -> str:
    """Write one character out, with its forms in other cases and without marks."""
    if char.isascii():
        return f"\\{char}" if char in _SPECIAL else char
    forms = {char, char.lower(), char.upper()}
    if "\uac00" <= char <= "\ud7a3":  # Hangul comes apart into letters, and nobody writes so
        return _bytes(char)
    for form in tuple(forms):
        apart = normalize("NFD", form)
        bare = "".join(mark for mark in apart if not combining(mark))
        forms |= {apart, bare} if bare.isascii() and bare else {apart}
    if len(forms) == 1:
        return _bytes(char)
    return "(?:" + "|".join(sorted(_bytes(form) for form in forms)) + ")"


def _bytes(text: str) -> str:
    return "".join(chr(byte) if byte < 0x80 else f"\\x{byte:02x}" for byte in text.encode("utf-8"))
