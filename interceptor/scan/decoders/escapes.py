r"""Backslash escapes of JSON, JavaScript, Python, C, shells and CSS.

`\u0041`, `\u{41}`, `\x41`, `\101`, `\U00000041`, `\/` and quotes, at any depth of JSON within JSON:
runs of backslashes are first made one. Whether what results is what a given language reads does not
matter; that no language reads a secret which is not found, does.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.near import Replacements, cut, replaced
from interceptor.scan.decoders.percent import BACKSLASH_X, character, hex_pairs

_H = "[0-9A-Fa-f]"
# Code points, in the hexadecimal digits of an escape, that may be taken for ASCII or for nothing.
_FOLDS = (
    rf"(?:00[aA][dD]|0[23-5]{_H}{_H}|061[cC]|115[fF]|1160|1[37]{_H}{_H}|180[b-fB-F]|1[dD]{_H}{_H}"
    rf"|20(?:0[b-fB-F]|1[0-2]|24|2[a-eA-E]|44|[6-9dDeE]{_H})|21[0-8]{_H}|24[6-9A-Fa-f]{_H}|3164"
    rf"|2[cC]{_H}{_H}|[aA]4[dDeEfF]{_H}|[aA][bB]{_H}{_H}|[fF][eE]{_H}{_H}|[fF][fF]{_H}{_H}"
    r"|[dD]83[cCdD]|[dD][bB]40)"
)
_U = r"\\{1,8}u"  # in JSON within JSON
_STYLES = ("[fF][fF][0-5]" + _H, rf"[dD]83[5cC]{_U}[dD]{_H}{{3}}", rf"[dD][bB]40{_U}[dD]{_H}{{3}}")
_GAP = rf"(?:20(?:0[b-fB-F]|6[0-4]){_U})?"  # what is not seen, in between
_STYLED = tuple(rf"{style}(?:{_U}{_GAP}{style}){{3}}" for style in _STYLES)
_OTHERS = (
    rf"x(?:\{{|[2-7]|1[bB]|[c-fC-F]{_H}\\{{1,8}}x[89abAB])|[01][0-7]{{2}}|01[0-7]{{2}}"
    rf"|00[4-7][0-7]|[4-7][0-7][^0-9A-Fa-f ]|3[0-7]{{2}}\\{{1,8}}2|/[A-Za-z0-9+/\\]|U00"
    r"|\\{3}[\"'`/nrtu]"
)
_ASCII = r"00[2-7]|001[bB]|\{"
_WORD = "[A-Za-z0-9_+/=-]{6}"  # no escape before: of that there are five such characters at most

ESCAPE = re.compile(
    rf"\\(?:u(?:{_ASCII}|{_FOLDS}(?:[A-Za-z0-9_]|(?<={_WORD}\\u....))|{'|'.join(_STYLED)})"
    rf"|{_OTHERS})".encode()
)
"""An escape that may be part of a secret or of what stands around it."""

ESCAPE_GATES = (
    rf"\\(?:u(?:{_ASCII})|{_OTHERS})",
    rf"\\u{_FOLDS}[A-Za-z0-9_]",
    rf"{_WORD}\\u{_FOLDS}",
    *(rf"\\u{styled}" for styled in _STYLED),
)
"""Where there is something to undo."""

_DEPTH = 5  # times that a run of backslashes is halved: four times JSON within JSON
_SINGLE = (
    (b"\\/", b"/"),
    (b'\\"', b'"'),
    (b"\\n", b"\n"),
    (b"\\r", b"\r"),
    (b"\\t", b"\t"),
)
_BACKSLASHES = (b"\\u005c", b"\\u005C", b"\\U0000005")
_BRACED = re.compile(rb"(\\[ux]\{0{0,24}[0-9A-Fa-f]{1,6}\})")
# Not the `\000` of `\000041`, which is CSS.
_OCTAL = re.compile(rb"(\\(?:0{0,2}(?:1[0-7]{2}|[4-7][0-7])|(?!00[0-7][0-9A-Fa-f])[0-3][0-7]{2}))")


def unescaped(text: bytes) -> bytes:
    """Undo all escapes, one layer; the text is shorter if there were any."""
    for _ in range(_DEPTH):
        if b"\\\\" not in text:
            break
        text = text.replace(b"\\\\", b"\\")
    # What an escaped backslash begins is for the next pass, and may be CSS.
    late = any(escaped in text for escaped in _BACKSLASHES)
    if not late:
        text = _unicode(text)
    for escape, value in _SINGLE:
        text = text.replace(escape, value)
    if _OCTAL.search(text) is not None:
        text = replaced(text, _OCTAL, b"\\", _MEANINGS)
    if b"\\x" in text:
        marked = hex_pairs(text.replace(b"\\x", BACKSLASH_X), BACKSLASH_X)
        text = marked.replace(BACKSLASH_X, b"\\x")
    if b"\\u{" in text or b"\\x{" in text:
        text = replaced(text, _BRACED, b"\\", _MEANINGS)
    return _unicode(text) if late else text


def _meaning(token: bytes) -> bytes:
    if token.endswith(b"}"):
        return character(int(token[3:-1], 16)) or token
    return bytes((int(token[1:], 8) & 0xFF,))


_MEANINGS = Replacements(_meaning)


def _kept(error: UnicodeError) -> tuple[str, int]:
    """Leave a backslash that begins no escape as it is, and go on behind it."""
    return "\\", getattr(error, "start", 0) + 1


_KEEP = "egressguard.scan.escapes"
codecs.register_error(_KEEP, _kept)


def _unicode(text: bytes) -> bytes:
    r"""Undo `\uXXXX` and `\UXXXXXXXX`, in C; pairs of surrogates become one character."""
    if b"\\u" not in text and b"\\U" not in text:
        return text
    if not text.isascii():
        # What stands there in UTF-8 must come out as it was, so it is escaped first.
        text = text.decode("utf-8", "surrogateescape").encode("raw_unicode_escape")
    out = text.decode("raw_unicode_escape", _KEEP)
    try:
        return out.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        out = out.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    try:
        return out.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return out.encode("utf-8", "surrogatepass")


_CSS = re.compile(rb"(\\(?:0{0,4}[2-7][0-9A-Fa-f])(?:\r\n|[ \t\r\n\f])?)")
CSS_SEEN = re.compile(rb"\\0{0,4}[2-7][0-9A-Fa-f](?:[ \t\r\n\f]|\\0{0,4}[2-7][0-9A-Fa-f])")
"""Evidence of CSS, whose escapes others read as octal ones."""


def _css(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    pieces = [replaced(piece, _CSS, b"\\", _CSS_MEANINGS) for piece in cut(text, (CSS_SEEN,))]
    yield "css", b"\n".join(pieces)


_CSS_MEANINGS = Replacements(lambda token: bytes((int(token[1:], 16),)))

CSS = Decoder(
    "css",
    (
        r"\\0{0,4}[2-7][0-9A-Fa-f][ \t\r\n\f]",
        r"\\0{0,4}[2-7][0-9A-Fa-f]\\[0-7]",  # the next one's first digit: any, or a zero
    ),
    _css,
)
r"""Escapes of CSS (CSS Syntax 3, section 4.3.7): `\41 ` or `\000041`, which C reads otherwise."""
