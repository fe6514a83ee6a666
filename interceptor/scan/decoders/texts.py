"""Escapes within a text: percent, character references, backslashes.

Only ASCII results matter, since secrets are ASCII: an escaped Chinese character is no gate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from interceptor.scan.decoders.model import Decoder, Seen

_NEAR = 2048  # bytes around an escape that can belong to the same secret, nested encodings included


def _near(text: bytes, mark: bytes, escape: re.Pattern[bytes]) -> list[bytes]:
    """Cut `text` down to the blocks where an escape begins (with `mark`), and their neighbours.

    In binary data escapes occur by chance, a few to the megabyte; only there is work to do.
    """
    pieces: list[bytes] = []
    first = end = 0
    for start in range(0, len(text), _NEAR):
        stop = start + _NEAR
        at = text.find(mark, start, stop)
        while at >= 0 and escape.match(text, at) is None:
            at = text.find(mark, at + 1, stop)
        if at < 0:
            continue
        if start - _NEAR > end:
            if end:
                pieces.append(text[first:end])
            first = start - _NEAR
        end = start + 2 * _NEAR
    pieces.append(text[first:end])
    return pieces


_PERCENT = re.compile(rb"%(?:0[AaDd]|[2-7][0-9A-Fa-f])")


def _percent(text: bytes, _seen: Seen) -> bytes:
    return b"\n".join([_unquote(piece) for piece in _near(text, b"%", _PERCENT)])


def _unquote(text: bytes) -> bytes:
    # One replace per distinct escape. `%25` comes last; what it lays bare is for the next depth.
    for escape in sorted(set(_PERCENT.findall(text)), key=lambda found: found == b"%25"):
        text = text.replace(escape, bytes((int(escape[1:], 16),)))
    return text


_ENTITY = re.compile(
    rb"&(?:#0{0,5}([0-9]{2,3});?|#[xX]0{0,4}([2-7][0-9A-Fa-f]);?"
    rb"|(amp|lt|gt|quot|sol|lowbar|period|colon|equals|plus|hyphen);)"
)
_NAMED = {
    b"amp": b"&",
    b"lt": b"<",
    b"gt": b">",
    b"quot": b'"',
    b"sol": b"/",
    b"lowbar": b"_",
    b"period": b".",
    b"colon": b":",
    b"equals": b"=",
    b"plus": b"+",
    b"hyphen": b"-",
}


def _entity(found: re.Match[bytes]) -> bytes:
    decimal, hexadecimal, name = found.groups()
    if name:
        return _NAMED[name]
    number = int(decimal) if decimal else int(hexadecimal, 16)
    return bytes((number,)) if number < 128 else found.group()


def _entities(text: bytes, _seen: Seen) -> bytes:
    return b"\n".join([_ENTITY.sub(_entity, piece) for piece in _near(text, b"&", _ENTITY)])


_ESCAPE = re.compile(
    rb"\\{1,8}(?:u00([2-7][0-9A-Fa-f])|u\{0{0,4}([2-7][0-9A-Fa-f])\}|x([2-7][0-9A-Fa-f])"
    rb"|([01][0-7]{2})|(/))"
)


def _escape(found: re.Match[bytes]) -> bytes:
    long, braced, short, octal, slash = found.groups()
    if slash:
        return b"/"
    return bytes((int(octal, 8) if octal else int(long or braced or short, 16),))


def _escapes(text: bytes, _seen: Seen) -> bytes:
    return b"\n".join([_ESCAPE.sub(_escape, piece) for piece in _near(text, b"\\", _ESCAPE)])


def _named(name: str, out: bytes) -> Iterator[tuple[str, bytes]]:
    yield name, out


TEXTS: tuple[Decoder, ...] = (
    Decoder(
        "percent",
        (r"%(?:0[AaDd]|[2-7][0-9A-Fa-f])",),
        lambda text, seen: _named("percent", _percent(text, seen)),
    ),
    Decoder(
        "entities",
        (
            r"&(?:#[0-9]{2}|#[xX][02-7]|(?:amp|lt|gt|quot|sol|lowbar|period|colon|equals|plus|hyphen);)",
        ),
        lambda text, seen: _named("entities", _entities(text, seen)),
    ),
    Decoder(
        "escapes",
        (r"\\(?:u00[2-7]|u\{|x[2-7]|[01][0-7]{2}|/[A-Za-z0-9+/\\])",),
        lambda text, seen: _named("escapes", _escapes(text, seen)),
    ),
)
"""Decoders of escapes."""
