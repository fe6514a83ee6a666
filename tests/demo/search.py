"""Looking for a credential in bytes that somebody else received, however it was written.

Deliberately apart from `interceptor.scan`: a check must not share the faults of what it checks.
"""

from __future__ import annotations

import base64
import contextlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote_to_bytes

WINDOW = 8
"""Neighbouring characters that count as seen when they stand together. The planted credentials
begin with a known prefix of four, so every window holds at least four random ones."""
_DEPTH = 4
_UNPACKED = 1 << 20


def seen_of(key: str, received: Iterable[bytes]) -> int:
    """How many characters of `key` can be read in what was received, in any order and encoding."""
    wanted = key.lower().encode()
    parts = [wanted[at : at + WINDOW] for at in range(len(wanted) - WINDOW + 1)]
    covered: set[int] = set()
    for data in received:
        for reading in readings(data):
            text = reading.lower()
            for at, part in enumerate(parts):
                if part in text or part[::-1] in text:
                    covered.update(range(at, at + WINDOW))
    return len(covered)


def readings(data: bytes) -> Iterator[bytes]:
    """The bytes and everything they decode to, decoders applied to each other's output."""
    known = {data}
    level = [data]
    for _ in range(_DEPTH):
        yield from level
        found = (out for each in level for out in _decoded(each) if len(out) >= WINDOW)
        level = [out for out in dict.fromkeys(found) if out not in known]
        known.update(level)
    yield from level


_LETTERS = b"abcdefghijklmnopqrstuvwxyz"
_BACK = bytes.maketrans(
    _LETTERS + _LETTERS.upper() + b"0123456789",
    _LETTERS[-5:] + _LETTERS[:-5] + (_LETTERS[-5:] + _LETTERS[:-5]).upper() + b"5678901234",
)
"""Undoes the cipher of `tests.demo.agent`."""


def _decoded(data: bytes) -> Iterator[bytes]:
    yield data.translate(_BACK)
    if b"%" in data:
        yield unquote_to_bytes(data)
    if b"\\u00" in data:
        yield re.sub(rb"\\u00([0-7][0-9a-fA-F])", lambda hit: bytes.fromhex(hit[1].decode()), data)
    at = data.find(b"\x1f\x8b\x08")
    if at >= 0:
        with contextlib.suppress(zlib.error):
            yield zlib.decompressobj(31).decompress(data[at:], _UNPACKED)
    for pattern, phases, decode in _ALPHABETS:
        for hit in pattern.finditer(data):
            # A run may begin with a letter or two of something else.
            yield from (decode(hit[0][offset:]) for offset in range(phases))


def _hex(run: bytes) -> bytes:
    return bytes.fromhex(run[: len(run) & ~1].decode())


def _base32(run: bytes) -> bytes:
    run = run[: len(run) - (len(run) % 8 in (1, 3, 6))]
    return base64.b32decode(run.upper() + b"=" * (-len(run) % 8))


def _base64(run: bytes) -> bytes:
    run = run[: len(run) - (len(run) % 4 == 1)]
    return base64.b64decode(run + b"=" * (-len(run) % 4), b"-_")


_ALPHABETS: tuple[tuple[re.Pattern[bytes], int, Callable[[bytes], bytes]], ...] = (
    (re.compile(rb"[0-9A-Fa-f]{16,}"), 2, _hex),
    (re.compile(rb"[A-Za-z2-7]{16,}"), 8, _base32),
    (re.compile(rb"[A-Za-z0-9+/_-]{12,}"), 4, _base64),
)
