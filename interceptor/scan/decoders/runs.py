"""Encodings that stand as runs of their own alphabet: base64 and hexadecimal.

Runs are found with translate and find, never with an unbounded `re`.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator

from interceptor.scan.decoders.model import Decoder, Seen

MIN_BASE64 = 24
MIN_HEX = 40

_WRAP = 56  # a run this long that ends at a line break may continue on the next line
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_HEX = b"0123456789abcdefABCDEF"
_DELIMITERS = b" :.,_;-\t\r\n"


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


def _named(name: str, out: bytes) -> Iterator[tuple[str, bytes]]:
    yield name, out


RUNS: tuple[Decoder, ...] = (
    Decoder(
        "base64",
        (r"[A-Za-z0-9+/_-]{24}",),
        lambda text, seen: _named("base64", _base64(text, seen)),
    ),
    Decoder("hex", (r"[0-9A-Fa-f]{40}",), lambda text, seen: _named("hex", _hex(text, seen))),
    Decoder(
        "hex",
        (
            r"[2-7][0-9A-Fa-f]:[2-7][0-9A-Fa-f]:[2-7][0-9A-Fa-f]:[2-7][0-9A-Fa-f]:",
            r"[2-7][0-9A-Fa-f] [2-7][0-9A-Fa-f] [2-7][0-9A-Fa-f] [2-7][0-9A-Fa-f] ",
            r"[2-7][0-9A-Fa-f]-[2-7][0-9A-Fa-f]-[2-7][0-9A-Fa-f]-[2-7][0-9A-Fa-f]-",
            r"0[xX][2-7][0-9A-Fa-f][, ]{1,2}0[xX][2-7][0-9A-Fa-f][, ]",
        ),
        lambda text, seen: _named("hex", _hex_delimited(text, seen)),
    ),
)
"""Decoders of runs."""
