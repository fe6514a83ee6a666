"""Bech32 and Bech32m (BIP-173, BIP-350): addresses and keys with a readable prefix."""

from __future__ import annotations

import re

_CHARSET = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUE = {byte: number for number, byte in enumerate(_CHARSET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_RUN = re.compile(rb"[02-9ac-hj-np-zAC-HJ-NP-Z]{0,64}")
BECH32 = 1
BECH32M = 0x2BC830A3


def bech32_checksum(text: bytes) -> int:
    """Return what the checksum leaves: `BECH32`, `BECH32M`, or anything else if it does not hold.

    `text` is prefix, separator `1`, data; in one case. Returns -1 for what has another form.
    """
    if not text.isascii() or text not in (text.lower(), text.upper()):
        return -1
    prefix, separator, data = text.lower().rpartition(b"1")
    if not prefix or not separator or len(data) < 6:
        return -1
    values = [byte >> 5 for byte in prefix]
    values.append(0)
    values += [byte & 31 for byte in prefix]
    for byte in data:
        value = _VALUE.get(byte)
        if value is None:
            return -1
        values.append(value)
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit in range(5):
            if top >> bit & 1:
                check ^= _GENERATOR[bit]
    return check


def bech32_text(secret: bytes, after: bytes) -> bool:
    """Pass a whole text of Bech32 or Bech32m whose checksum holds."""
    return not after[:1].isalnum() and bech32_checksum(secret) in (BECH32, BECH32M)


def segwit_address(secret: bytes, after: bytes) -> bool:
    """Pass a segregated witness address, version 0 in Bech32 and later ones in Bech32m.

    `after` may hold its end.
    """
    found = _RUN.match(after)
    run = found[0] if found is not None else b""
    if after[len(run) : len(run) + 1].isalnum():
        return False
    text = secret + run
    data = text.lower().rpartition(b"1")[2]
    check = bech32_checksum(text)
    if check == BECH32:
        return data[:1] == b"q" and len(data) in (39, 59)
    return check == BECH32M and data[:1] != b"q" and 14 <= len(data) <= 71
