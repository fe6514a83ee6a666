"""Key pairs written as arrays of numbers, as Solana's tools store them."""

from __future__ import annotations

import re

_BYTES = re.compile(rb"\[\s{0,8}+[0-9]{1,3}(?:\s{0,8}+,\s{0,8}+[0-9]{1,3}){63}+\s{0,8}+\]")
_NUMBER = re.compile(rb"[0-9]+")


def solana_keypair(secret: bytes, after: bytes) -> bool:
    """Pass an array of 64 bytes that are a secret and its own public key (Ed25519).

    Tables of 64 small numbers are common in codecs; the public key tells them apart for certain.
    """
    found = _BYTES.match(secret + after)
    if found is None:
        return False
    numbers = [int(number) for number in _NUMBER.findall(found[0])]
    if max(numbers) > 255:
        return False
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(bytes(numbers[:32]))
    return private.public_key().public_bytes_raw() == bytes(numbers[32:])
