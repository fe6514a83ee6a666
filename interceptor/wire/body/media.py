"""Media types and other field values with parameters, as senders write them.

RFC 9110 section 8.3.1; RFC 2231 and RFC 8187 for values in another charset or in pieces;
RFC 2047 for encoded words. Reading is lenient: what is looked for is every reading that a
recipient could have.
"""

from __future__ import annotations

import binascii
import functools
import re
from typing import Final, NamedTuple

_PARAMETER: Final = re.compile(
    rb';[ \t]*+([^=;\s"]{1,128}+)[ \t]*+=[ \t]*+(?:"((?:[^"\\]|\\.){0,4096}+)"|([^;]{0,4096}+))',
    re.DOTALL,
)
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_PIECE: Final = re.compile(rb"([^*]++)\*([0-9]{1,3}+)\*?")
_WORD: Final = re.compile(rb"=\?([^?\s]{1,40}+)\?([BbQq])\?([^?]{0,1024}+)\?=")
_BETWEEN_WORDS: Final = re.compile(rb"\?=[ \t\r\n]++=\?")


class Media(NamedTuple):
    """A media type."""

    kind: bytes
    """`type/subtype` in lower case; empty where none is given."""
    charset: bytes = b""
    """In lower case."""
    boundaries: tuple[bytes, ...] = ()
    """Of a multipart: usually one. Recipients differ on which of several counts."""


NO_MEDIA: Final = Media(b"")


def parameters(value: bytes) -> list[tuple[bytes, bytes]]:
    """(lower-case name, value without quotes) of each parameter in a field value."""
    found = []
    for match in _PARAMETER.finditer(value):
        name, quoted, plain = match.groups()
        if quoted is not None:
            text = _ESCAPED.sub(rb"\1", quoted) if b"\\" in quoted else quoted
        else:
            text = plain.rstrip(b" \t\r\n")
        found.append((name.lower(), text))
    return found


def media_of(value: bytes) -> Media:
    """Read a Content-Type."""
    # Long ones are not remembered: the agent chooses them.
    return _remembered(value) if len(value) <= 256 else _media_of(value)


def _media_of(value: bytes) -> Media:
    kind = value.partition(b";")[0].strip(b" \t\r\n").lower()
    given = parameters(value)
    charset = b""
    boundaries: dict[bytes, None] = {}
    for name, text in given:
        if name == b"charset":
            charset = charset or text.lower()
        elif name == b"boundary" and text:
            boundaries[text] = None
    return Media(kind, charset, tuple(boundaries)[:4])


_remembered = functools.lru_cache(maxsize=64)(_media_of)


def hidden_text(value: bytes) -> bytes:
    """What a field value says beyond its own bytes: encoded words, and values in pieces.

    Empty if it says nothing more.
    """
    texts = []
    if b"=?" in value:
        joined = _BETWEEN_WORDS.sub(b"?==?", value)
        decoded = _WORD.sub(_word, joined)
        if decoded != joined:
            texts.append(decoded)
    if b"*" in value:
        pieces: dict[bytes, list[tuple[int, bytes]]] = {}
        for name, text in parameters(value):
            match = _PIECE.fullmatch(name)
            if match is not None:
                pieces.setdefault(match[1], []).append((int(match[2]), text))
        for parts in pieces.values():
            parts.sort(key=lambda part: part[0])
            texts.append(b"".join([text for _, text in parts]))
    return b"\n".join(texts)


def _word(match: re.Match[bytes]) -> bytes:
    _, encoding, text = match.groups()
    if encoding in b"Qq":
        return binascii.a2b_qp(text, header=True)
    text = text.rstrip(b"=")
    try:
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return match[0]
