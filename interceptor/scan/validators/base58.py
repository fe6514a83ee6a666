"""Base58Check: keys and addresses of Bitcoin, addresses of Monero.

Specifications: https://en.bitcoin.it/wiki/Base58Check_encoding and, for Monero's blocks of eleven
characters, https://docs.getmonero.org/cryptography/base58/.
"""

from __future__ import annotations

import hashlib
import re

from interceptor.scan.validators.keccak import keccak256

_ALPHABET = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGIT = {byte: number for number, byte in enumerate(_ALPHABET)}
_RUN = re.compile(rb"[1-9A-HJ-NP-Za-km-z]{0,128}")
_BLOCKS = {11: 8, 10: 7, 9: 6, 7: 5, 6: 4, 5: 3, 3: 2, 2: 1}  # characters: bytes


def base58_decode(text: bytes) -> bytes | None:
    """Decode base 58 (Bitcoin's alphabet); None for other characters."""
    number = 0
    for byte in text:
        digit = _DIGIT.get(byte)
        if digit is None:
            return None
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip(b"1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def base58check(text: bytes) -> bytes | None:
    """Return version and payload of Base58Check; None if the checksum does not hold."""
    data = base58_decode(text)
    if data is None or len(data) < 5:
        return None
    body, checksum = data[:-4], data[-4:]
    return body if hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4] == checksum else None


def wif(secret: bytes, after: bytes) -> bool:
    """Pass a private key of Bitcoin in wallet import format; `after` may hold its end."""
    token = _token(secret, after)
    if len(token) not in (51, 52):
        return False
    data = base58check(token)
    if data is None or data[0] not in (0x80, 0xEF):
        return False
    return len(data) == 33 or (len(data) == 34 and data[33] == 1)


def base58check_key(secret: bytes, after: bytes) -> bool:
    """Pass a whole text of Base58Check whose checksum holds; `after` may hold its end."""
    token = _token(secret, after)
    return bool(token) and base58check(token) is not None


def bitcoin_address(secret: bytes, after: bytes) -> bool:
    """Pass a P2PKH or P2SH address of Bitcoin; `after` may hold its end."""
    token = _token(secret, after)
    if not 26 <= len(token) <= 35:
        return False
    data = base58check(token)
    return data is not None and len(data) == 21 and data[0] in (0x00, 0x05)


def monero_address(secret: bytes, after: bytes) -> bool:
    """Pass a standard or subaddress of Monero."""
    token = _token(secret, after)
    if len(token) != 95:
        return False
    data = bytearray()
    for at in range(0, 95, 11):
        block = base58_decode(token[at : at + 11].lstrip(b"1"))
        size = _BLOCKS[len(token[at : at + 11])]
        if block is None or len(block) > size:
            return False
        data += block.rjust(size, b"\0")
    return data[0] in (18, 42) and keccak256(bytes(data[:-4]))[:4] == data[-4:]


def _token(secret: bytes, after: bytes) -> bytes:
    """Return secret and the characters of its alphabet that follow; b"" inside a longer word."""
    found = _RUN.match(after)
    run = found[0] if found is not None else b""
    return b"" if after[len(run) : len(run) + 1].isalnum() else secret + run
