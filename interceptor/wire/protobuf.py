"""Texts of a Protocol Buffers message, read without its schema.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Final

_DEPTH: Final = 6
_FIELDS: Final = 1000
_FIXED: Final = {1: 8, 5: 4}


def texts(message: bytes) -> list[bytes] | None:
    """Return the printable strings of a message and those within it, in order.

    None if the bytes are no such message. Binary fields are left out.
    """
    found: list[bytes] = []
    return found if _read(message, found, 0) else None


def _read(message: bytes, found: list[bytes], depth: int) -> bool:
    at = 0
    size = len(message)
    while at < size:
        tag, at = _varint(message, at)
        kind = tag & 7
        if at < 0 or not tag >> 3 or len(found) > _FIELDS:
            return False
        if kind == 0:
            _, at = _varint(message, at)
            if at < 0:
                return False
        elif kind == 2:
            length, at = _varint(message, at)
            if at < 0 or at + length > size:
                return False
            value = message[at : at + length]
            at += length
            if value.isascii() and value.decode("ascii").isprintable():
                if value:
                    found.append(value)
            elif depth < _DEPTH:
                count = len(found)
                if not _read(value, found, depth + 1):
                    del found[count:]
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            return False
    return at == size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return a number and the offset behind it; -1 where there is none."""
    number = shift = 0
    for byte in message[at : at + 10]:
        number |= (byte & 127) << shift
        shift += 7
        at += 1
        if byte < 128:
            return number, at
    return 0, -1
