"""Private keys and addresses of Ethereum."""

from __future__ import annotations

from interceptor.scan.validators.keccak import keccak256
from interceptor.scan.validators.variety import varied

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_HEX = frozenset(b"0123456789abcdefABCDEF")
PUBLISHED_KEYS = (
    b"ac0974bec39a17e3",
    b"59c6995e998f97a5",
    b"5de4111afa1a4b94",
    b"7c852118294e51e6",
    b"47e179ec19748859",
    b"8b3a350cf5c34c91",
    b"92db14e403b83dfe",
    b"4bbbf85ce3377467",
    b"dbda1821b80551c9",
    b"2a871d0798f97d79",
)
"""How the keys begin that every Hardhat and Anvil node gives to its test accounts."""


def ethereum_key(secret: bytes, after: bytes) -> bool:
    """Pass 64 hexadecimal digits that are a private key of secp256k1, and nobody's test key."""
    if len(secret) != 64 or not _HEX.issuperset(secret) or after[:1].isalnum():
        return False
    if secret.lower().startswith(PUBLISHED_KEYS) or not varied(secret, after):
        return False
    return 0 < int(secret, 16) < _ORDER


def ethereum_address(secret: bytes, after: bytes) -> bool:
    """Pass `0x` and 40 digits in mixed case whose case is the checksum of EIP-55."""
    digits = secret[2:]
    if len(digits) != 40 or not _HEX.issuperset(digits) or after[:1].isalnum():
        return False
    folded = digits.lower()
    if digits in (folded, digits.upper()):
        return False
    nibbles = keccak256(folded).hex()
    return all(
        chr(byte).isdigit() or chr(byte).isupper() == (nibble > "7")
        for byte, nibble in zip(digits, nibbles, strict=False)
    )


def ethereum_address_in_context(secret: bytes, after: bytes) -> bool:
    """Pass `0x` and 40 digits that look drawn at random: upper, lower, or with a checksum."""
    digits = secret[2:]
    if len(digits) != 40 or not _HEX.issuperset(digits) or after[:1].isalnum():
        return False
    if digits in (digits.lower(), digits.upper()):
        return varied(digits, after)
    return ethereum_address(secret, after)
