"""Letters: bytes to UTF-8, character references, and white space."""

from __future__ import annotations

import re
from typing import Final

_FALLBACK: Final = {
    0xDC00 + byte: bytes((byte,)).decode("cp1252", "ignore") or chr(byte)
    for byte in range(0x80, 0x100)
}
_USUAL: Final = (
    (b"&nbsp;", b" "),
    (b"&lt;", b"<"),
    (b"&gt;", b">"),
    (b"&quot;", b'"'),
    (b"&#39;", b"'"),
    (b"&#x27;", b"'"),
)
_REFERENCE: Final = re.compile(
    rb"&(?:#[0-9]{1,8}+;?|#[xX][0-9a-fA-F]{1,8}+;?|[a-zA-Z][a-zA-Z0-9]{1,31}+;?)"
)
_BLANKS: Final = bytes(32 if byte in b"\t\r\f\v" else byte for byte in range(256))


def utf8(text: bytes) -> bytes:
    """Text as UTF-8: bytes that are none are read as windows-1252, each by itself."""
    if text.isascii():
        return text
    try:
        text.decode()
    except UnicodeDecodeError:
        return text.decode("utf-8", "surrogateescape").translate(_FALLBACK).encode()
    return text


def unescaped(text: bytes) -> bytes:
    """Undo character references (HTML, "Named character references"), once.

    Args:
        text: UTF-8, or close to it.
    """
    if b"&" not in text:
        return text
    for reference, letter in _USUAL:
        if reference in text:
            text = text.replace(reference, letter)
    return _REFERENCE.sub(_letter, text) if b"&" in text else text


def _letter(match: re.Match[bytes]) -> bytes:
    reference = match[0]
    found = _KNOWN.get(reference)
    if found is None:
        import html

        found = html.unescape(reference.decode()).encode("utf-8", "replace")
        if len(_KNOWN) < 512:
            _KNOWN[reference] = found
    return found


_KNOWN: Final[dict[bytes, bytes]] = {b"&amp;": b"&", b"&#160;": b" ", b"&#38;": b"&"}


def collapsed(text: bytes) -> bytes:
    """White space as it is rendered: a run of it is one blank, or one line break."""
    text = text.translate(_BLANKS)
    while b"  " in text:
        text = text.replace(b"        ", b" ").replace(b"  ", b" ")
    if b"\n " in text:
        text = text.replace(b"\n ", b"\n")
    if b" \n" in text:
        text = text.replace(b" \n", b"\n")
    while b"\n\n" in text:
        text = text.replace(b"\n\n\n\n", b"\n").replace(b"\n\n", b"\n")
    return text


def lettered(text: bytes) -> bytes:
    """Text of markup as it is rendered: references undone, white space run together."""
    return collapsed(utf8(unescaped(text) if b"&" in text else text))
