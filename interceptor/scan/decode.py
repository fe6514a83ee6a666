"""Undoing the encodings in which a secret may travel, cheaply and within bounds.

Gates are patterns of the same database as the rules: where no gate fires, nothing is decoded, so
clean text costs nothing here. Only ASCII results matter, since secrets are ASCII: an escaped
Chinese character is no gate. Runs are found with translate and find, never with an unbounded
`re`. What a decoder yields is at most three times what it read.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator

MAX_DEPTH = 4
"""Encodings inside one another that are undone."""
MIN_BASE64 = 24
MIN_HEX = 40

_NEAR = 2048  # bytes around an escape that can belong to the same secret, nested encodings included
_WRAP = 56  # a run this long that ends at a line break may continue on the next line
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_HEX = b"0123456789abcdefABCDEF"
_DELIMITERS = b" :.,_;-\t\r\n"

GATES: tuple[tuple[str, str], ...] = (
    ("percent", r"%(?:0[AaDd]|[2-7][0-9A-Fa-f])"),
    (
        "entities",
        r"&(?:#[0-9]{2}|#[xX][02-7]|(?:amp|lt|gt|quot|sol|lowbar|period|colon|equals|plus|hyphen);)",
    ),
    ("escapes", r"\\(?:u00[2-7]|u\{|x[2-7]|[01][0-7]{2}|/[A-Za-z0-9+/\\])"),
    ("base64", r"[A-Za-z0-9+/_-]{24}"),
    ("hex", r"[0-9A-Fa-f]{40}"),
    ("hex-delimited", r"[2-7][0-9A-Fa-f]:[2-7][0-9A-Fa-f]:[2-7][0-9A-Fa-f]:[2-7][0-9A-Fa-f]:"),
    ("hex-delimited", r"[2-7][0-9A-Fa-f] [2-7][0-9A-Fa-f] [2-7][0-9A-Fa-f] [2-7][0-9A-Fa-f] "),
    ("hex-delimited", r"[2-7][0-9A-Fa-f]-[2-7][0-9A-Fa-f]-[2-7][0-9A-Fa-f]-[2-7][0-9A-Fa-f]-"),
    ("hex-delimited", r"0[xX][2-7][0-9A-Fa-f][, ]{1,2}0[xX][2-7][0-9A-Fa-f][, ]"),
)
"""Decoder and gate pattern; bit i of a gate mask stands for entry i."""

Seen = set[tuple[str, bytes]]
"""What was decoded within one item: (encoding, run), or ("", whole output)."""

Decoder = Callable[[bytes, Seen], bytes]
"""(text, runs decoded before) -> decoded text, or b"" if there is nothing new."""


def decode(text: bytes, mask: int, seen: Seen) -> Iterator[tuple[str, bytes]]:
    """Yield (encoding, decoded bytes) for each encoding whose gate fired on `text`.

    Args:
        mask: bits of `GATES` that fired.
        seen: what was decoded before within the same item; grows, so that no run is decoded twice.
    """
    done = ""
    for bit, (name, _) in enumerate(GATES):
        if mask >> bit & 1 and name != done:
            done = name
            out = _DECODERS[name](text, seen)
            if out and ("", out) not in seen:
                seen.add(("", out))
                yield name.partition("-")[0], out


def base64_phases(run: bytes) -> list[bytes]:
    """Decode a run of base64 characters (either alphabet, unpadded) at each of its four offsets.

    The run may be the tail of a path or of another word, so its first character need not be the
    first of a group.
    """
    standard = run.translate(_STANDARD)
    return [_unpadded(standard[offset:]) for offset in range(4)]


def hex_phases(run: bytes) -> list[bytes]:
    """Decode a run of hexadecimal digits at both offsets."""
    size = len(run)
    return [
        binascii.unhexlify(run[: size & ~1]),
        binascii.unhexlify(run[1 : 1 + (size - 1 & ~1)]),
    ]


def runs(text: bytes, table: bytes, least: int, delete: bytes = b"") -> list[tuple[int, int]]:
    """Find runs of at least `least` bytes that `table` marks with `1`."""
    marked = text.translate(table, delete)
    needle = b"1" * least
    found = []
    start = marked.find(needle)
    while start >= 0:
        end = marked.find(b" ", start + least)
        if end < 0:
            end = len(marked)
        found.append((start, end))
        start = marked.find(needle, end)
    return found


def _unpadded(text: bytes) -> bytes:
    rest = len(text) & 3
    if rest == 1:
        text = text[:-1]
    elif rest:
        text += b"=" * (4 - rest)
    return binascii.a2b_base64(text)


def _marks(alphabet: bytes) -> bytes:
    return bytes(49 if byte in alphabet else 32 for byte in range(256))


_STANDARD = bytes.maketrans(b"-_", b"+/")
_MARK_BASE64 = _marks(_BASE64)
_MARK_HEX = _marks(_HEX)


def _base64(text: bytes, seen: Seen) -> bytes:
    found = runs(text, _MARK_BASE64, MIN_BASE64)
    pieces: list[bytes] = []
    wrapped = False
    for start, end in found:
        _once(text[start:end], seen, "base64", pieces)
        wrapped = wrapped or (end - start >= _WRAP and text[end : end + 1] in (b"\r", b"\n", b"\\"))
    if wrapped:
        joined = text.replace(b"\\r", b"").replace(b"\\n", b"").translate(None, b"\r\n")
        for start, end in runs(joined, _MARK_BASE64, MIN_BASE64):
            _once(joined[start:end], seen, "base64", pieces)
    return b"\n".join(pieces)


def _hex(text: bytes, seen: Seen) -> bytes:
    found = runs(text, _MARK_HEX, MIN_HEX)
    pieces: list[bytes] = []
    wrapped = False
    for start, end in found:
        _once(text[start:end], seen, "hex", pieces)
        wrapped = wrapped or (end - start >= _WRAP and text[end : end + 1] in (b"\r", b"\n"))
    if wrapped:
        pieces.append(_hex_delimited(text, seen))
    return b"\n".join(pieces)


def _hex_delimited(text: bytes, seen: Seen) -> bytes:
    joined = text.replace(b"0x", b"").replace(b"0X", b"").translate(None, _DELIMITERS)
    pieces: list[bytes] = []
    for start, end in runs(joined, _MARK_HEX, MIN_HEX):
        _once(joined[start:end], seen, "hex", pieces)
    return b"\n".join(pieces)


def _once(run: bytes, seen: Seen, encoding: str, pieces: list[bytes]) -> None:
    if (encoding, run) not in seen:
        seen.add((encoding, run))
        pieces += base64_phases(run) if encoding == "base64" else hex_phases(run)


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


_DECODERS: dict[str, Decoder] = {
    "percent": _percent,
    "entities": _entities,
    "escapes": _escapes,
    "base64": _base64,
    "hex": _hex,
    "hex-delimited": _hex_delimited,
}
